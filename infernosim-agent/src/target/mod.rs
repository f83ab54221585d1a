//! The process under test: how it is found, its cgroup, its identity, its launch, and what it had open before.
//!
//! Invariants: a launched target is in its cgroup before its first instruction (CLONE_INTO_CGROUP); it
//! inherits what it would have inherited without us and no descriptor of ours; when we die it goes on.
//! Imports `error`.

pub mod btf;
mod cgroup;
mod hierarchy;
mod identity;
mod launch;
pub mod older;
pub mod processes;
pub mod programs;

pub use cgroup::Cgroup;
pub use hierarchy::Hierarchy;
pub use identity::Identity;
pub use launch::{Inheritance, Launched, Waiting, launch};
