//! The explicit form, for clients that were told of us: a forward proxy, and a reverse proxy before a target.
//!
//! Invariants: bodies pass as they came, byte for byte and with their framing; of a head only what belongs to
//! the hop is changed; the recording gets what each side sent, not what we made of it; nothing is answered by
//! us but what cannot be forwarded. Never an open relay: whoever is neither on loopback nor allowed gets 403.
//! Imports what `proxy` imports, and `incident` for numbers and directions.

mod answer;
mod asking;
mod authority;
mod body;
mod buffer;
mod client;
mod count;
mod engine;
mod exchange;
mod fields;
mod forward;
mod shared;
mod thread;
mod tunnel;
mod upstream;
mod wire;

pub(crate) use body::Body;
pub(crate) use buffer::Buffer;
pub use count::Counts;
pub use engine::{Explicit, Role, Setup};

#[cfg(test)]
mod tests;
