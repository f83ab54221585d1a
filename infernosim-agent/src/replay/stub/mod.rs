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
//!
//! For others that answer HTTP in a dependency's place: serve hyper over a [`wire::Wire`], make an answer into a
//! [`replies::Ready`], let faults meet it with [`disturbed::Disturbed::of`], and give it to [`sending::send`]; then end the
//! connection as [`wire::Line::due`] says ([`wire::end`]), after [`wire::Line::settle`], so that what came about is observed.

pub(crate) mod activity;
mod ahead;
mod connects;
mod directory;
pub(crate) mod disturbed;
mod dns;
mod engine;
mod explicit;
pub(crate) mod flow;
mod http;
mod kernel;
mod live;
mod met;
pub(crate) mod paced;
mod relayed;
pub(crate) mod replies;
pub(crate) mod sending;
mod service;
mod shared;
pub(crate) mod spelling;
mod spoilt;
mod streamed;
mod tcp;
mod thread;
mod turns;
mod unmatched;
mod upstream;
pub(crate) mod wire;

pub use ahead::Series;
pub(crate) use dns::Query;
pub use engine::{Explicitly, Stub, StubSeen, StubSetup};
pub use kernel::{FromKernel, Kernel};
pub use live::LiveRule;

#[cfg(test)]
mod tests;
