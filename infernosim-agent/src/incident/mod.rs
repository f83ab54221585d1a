//! The recording: a directory of JSON lines, bodies and a manifest; `docs/format.md` is its description.
//!
//! Writing: messages of one connection become exchanges, exchanges become lines, and one thread writes them.
//! Lines are written by hand, since they are made for every exchange; they are read back with serde.
//! Invariants: a line is written whole or not at all; what is not written is counted and said. Files are made
//! with O_NOFOLLOW and mode 0600. A shelf that is created is ours alone; one that is joined is a folder of somebody's, of which
//! another process may write the other log. Imports `error`, `clock`, `seed` and `protocol`.

mod body;
mod budget;
pub mod cause;
pub mod compare;
mod content;
pub mod curl;
mod direction;
mod dns;
pub mod event;
mod exchange;
pub mod har;
mod head;
mod joined;
mod json;
mod known;
mod line;
mod loss;
pub mod manifest;
mod number;
pub mod reader;
pub mod redact;
mod regular;
mod shelf;
pub mod site;
mod store;
mod turn;
mod writer;

pub use budget::Budget;
pub use direction::{Both, Direction};
pub use dns::{Lookup, Sent, Transport};
pub use exchange::{Ending, Exchanges, TARGET_GAVE_UP};
pub use joined::{Join, Joined};
pub use line::{Dependency, Full, Limits, Lines, Peer, Process, Rotation, Selects, Share, Totals};
pub use loss::{Losses, Reason};
pub use number::Numbers;
pub use shelf::{AskKernel, Closed, LeftAlone, Shelf, Sums};
pub use store::{Directory, Ownership, Store};
pub use writer::{Writer, Written, WrittenLog};
