//! The process under test: how it is named and found, its cgroup, its identity, its launch,
//! and what it had open before.
//!
//! Invariants: a launched target is in its cgroup before its first instruction (CLONE_INTO_CGROUP); it
//! inherits what it would have inherited without us and no descriptor of ours; one that runs already is not
//! moved; when we die it goes on. Imports `error`.

pub mod btf;
mod cgroup;
mod hierarchy;
mod identity;
mod launch;
mod launcher;
mod netns;
pub mod older;
mod output;
pub mod processes;
pub mod programs;
mod scope;
mod stop;

pub use cgroup::Cgroup;
pub use hierarchy::Hierarchy;
pub use identity::Identity;
pub use launch::{Inheritance, Launched, Streams, Waiting, launch};
pub use launcher::Launcher;
pub use netns::within_namespace_of;
pub use output::{Output, Written};
pub use scope::{CgroupName, Scope, Selection};
