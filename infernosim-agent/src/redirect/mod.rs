//! The kernel half, from user space: loads the programs, attaches them to a cgroup, reads and sets their maps.
//!
//! Invariants: everything attached is a BPF link whose only holder is this process, so that the kernel
//! detaches it when we end, however we end; every descriptor is CLOEXEC, so no child keeps one alive.
//! Imports `error` and `clock`.

mod aheads;
mod announced;
mod attach;
mod gate;
mod heartbeat;
mod load;
mod namespaces;
mod netns;
mod original_dst;
mod probe;
mod refused;
mod replay;
mod resolvers;
mod tap;
mod targets;
mod tasks;
mod touches;
mod unix;
mod unix_connect;
mod verdicts;

pub use aheads::Aheads;
pub use announced::Announced;
pub use gate::Gate;
pub use heartbeat::Beating;
pub use heartbeat::Heartbeat;
pub use load::{Handles, Redirect, Setting, TapHandles, TapSetting};
pub use namespaces::{Namespaces, own_addresses};
pub use netns::namespace_cookie;
pub use original_dst::{OriginalDst, destination};
pub use probe::{Tried, probe_programs};
pub use refused::{Refused, fate};
pub use replay::{MOST_VERDICTS, ReplayHandles, ReplaySetting};
pub use resolvers::Resolvers;
pub use tap::{OlderRoles, Owners, Ring, Switch};
pub use targets::Targets;
pub use tasks::task_offsets;
pub use touches::Loose;
pub use unix::socket_offsets;
pub use verdicts::{Action, Verdict, VerdictKey, Verdicts};
