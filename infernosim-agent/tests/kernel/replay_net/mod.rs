//! What the kernel half does in replay, driven by the library itself: programs in a cgroup of the test's own, a stub that
//! says whom it stands in for, and a resolver that knows every name.

mod connects;
mod driver;
mod failures;
mod leaks;
mod lookups;
mod scopes;
mod unix;

pub use driver::{Field, Replay};
