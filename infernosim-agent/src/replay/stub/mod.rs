//! What answers for the dependencies: every connection and lookup of the target ends here, and gets what was recorded.
//!
//! ```text
//! accept ─▶ whom was it for? ─┬▶ live: relayed
//!                             ├▶ port 53: dns
//!                             ├▶ HTTP/1: hyper ─▶ causes ─▶ matcher ─▶ reply, at its pace ─▶ wire
//!                             └▶ turns: bytes compared as they come
//! ```
//!
//! Invariants: nothing is answered that was not recorded, but refused and noted, unless the user said otherwise; no lock
//! is held across a wait; what the target sends is bounded in memory. `directory`, `connects`, `turns` and
//! `dns::{message, zone}` are pure.

mod activity;
mod connects;
mod directory;
mod dns;
mod engine;
mod explicit;
mod http;
mod kernel;
mod live;
mod paced;
mod replies;
mod service;
mod shared;
mod spelling;
mod tcp;
mod thread;
mod turns;
mod unmatched;
mod wire;

pub(crate) use dns::Query;
pub use engine::{Explicitly, Stub, StubSeen, StubSetup};
pub use kernel::{FromKernel, Kernel};
pub use live::LiveRule;

#[cfg(test)]
mod tests;
