//! What the kernel half copies of the target's traffic, back into what each side said.
//!
//! The tap stands beside the traffic and sees single TCP segments, before TCP has judged them: late, twice, out of
//! order, and now and then not at all. [`Stream`] puts one direction in order, [`Connection`] reads both as one
//! conversation. [`Lookups`] pairs what resolvers were asked with what they answered, and [`Names`] remembers whose
//! address is whose. [`Table`] reads the ring's records with them. Pure: no socket, no kernel program, no clock.
//!
//! Invariants: no byte is shown in a wrong place; what was not seen is told as a gap of exactly its length; memory
//! is bounded for each stream and over all ([`Memory`]); bytes that come in order are never copied. Imports
//! `clock`, `protocol` and `incident`.

mod connection;
mod dns;
mod early;
mod lookups;
mod names;
mod owners;
mod recording;
mod stream;
mod table;
mod touches;

pub use connection::{Connection, How, Segment};
pub use lookups::{Lookups, Seen};
pub use names::Names;
pub use stream::{Memory, Piece, Stream};
pub use table::{Table, Unread};
pub use touches::touch;
