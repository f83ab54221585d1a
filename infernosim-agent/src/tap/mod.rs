//! The passive tap: what the kernel half copies of the target's traffic, put together again.
//!
//! Pure: no sockets, no BPF, no clock. Imports `clock`, `protocol` and `incident`.

mod lookups;
mod names;

pub use lookups::{Lookups, Seen};
pub use names::Names;
