//! A relay that disturbs the bytes: each direction goes through a chain of stages, as in toxiproxy.
//!
//! ```text
//! client ─▶ read ─▶ (now, bytes) ─▶ stage ─▶ stage ─▶ (when, bytes) ─▶ queue ─▶ write ─▶ server
//! client ◀─ write ◀─ queue ◀─ … the same, the other way, with a chain of its own
//! ```
//!
//! A stage is pure: bytes at a time in, bytes at times out. Only [`relay`] waits. Invariants: without stages bytes, FIN
//! and RST pass as they come; a direction holds at most [`MOST_HELD`] bytes and then reads no more; what is said to be
//! observed has been written.

mod chain;
mod course;
mod ending;
mod pace;
mod relay;
mod spoil;
#[cfg(test)]
mod tests;
mod toxic;

pub use course::{Course, Passage};
pub use relay::{Drip, Ending, MOST_HELD, relay};
pub use toxic::{Direction, Told, Toxic, What};
