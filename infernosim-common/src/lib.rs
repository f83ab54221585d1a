//! What crosses the boundary between the kernel half and the agent: map values, counters, names.
//!
//! Every type is `repr(C)` with no implicit padding (the verifier refuses uninitialised bytes, and map keys
//! compare by byte); sizes are asserted at compile time. No `std`.
#![no_std]

mod addr;
mod counter;
mod flow;
mod map;
mod replay;
pub mod tap;
mod task;
mod unix;

pub use addr::Ip;
pub use counter::{COUNTERS, Counter};
pub use flow::{Flow, FlowKey, Listeners, LocalAddress, Via};
pub use map::{FLOWS_DEFAULT_ENTRIES, HEARTBEAT_LIMIT_NS, LISTENER_PRIORITY, PortRule, State};
pub use replay::{AHEAD, Act, Ahead, Asked, Destination, Fate, Replay, Verdict};
pub use task::TaskOffsets;
pub use unix::{SocketOffsets, UNIX_PATHS, UnixPath};
