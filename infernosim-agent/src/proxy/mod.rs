//! Where redirected sockets land: accepts them, dials what they were meant for, and relays the bytes.
//!
//! Invariants: the relay is the only writer of the real sockets, and writes nothing but what the other end
//! sent; it never waits for the recording, which gets a copy through the [`tee`](Tee) and may lag; only
//! connections that the kernel half redirected are answered. Imports `error`, `clock`, `protocol` (for
//! [`Sender`](crate::protocol::Sender)) and `redirect`.

mod connection;
pub mod explicit;
pub mod faulty;
mod limit;
mod listener;
mod relay;
mod relays;
mod slab;
mod socket;
mod tee;
mod worker;

pub use limit::{Limit, raise_open_files};
pub use listener::{Listener, ReplaySockets};
pub use relay::{Relay, Setup};
pub use relays::Relays;
// For the stub, which answers on sockets like the relay's.
pub use slab::{AnsweredFor, Dialled, Note, Opened, Slab, UNNOTED_NS, What};
pub(crate) use socket::{close_with_rst, dial, unsent};
pub use tee::{Copies, Feed, Pool, Tee};
