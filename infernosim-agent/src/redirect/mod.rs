//! The kernel half, from user space: loads the programs, attaches them to a cgroup, reads and sets their maps.
//!
//! Invariants: everything attached is a BPF link whose only holder is this process, so that the kernel
//! detaches it when we end, however we end; every descriptor is CLOEXEC, so no child keeps one alive.
//! Imports `error` and `clock`.

mod attach;
mod gate;
mod heartbeat;
mod load;
mod local_addresses;
mod netns;
mod original_dst;
mod refused;

pub use gate::Gate;
pub use heartbeat::Beating;
pub use heartbeat::Heartbeat;
pub use load::{Handles, Redirect};
pub use netns::namespace_cookie;
pub use original_dst::{OriginalDst, destination};
pub use refused::Refused;
