//! The explicit form: the binary `infernosim` as a user runs it, between real programs on loopback. These tests need
//! no privileges; those of the recipes, which need fixed ports, are among the privileged ones.
//!
//! Whatever a test lacks it says in a failure; none is skipped.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "all of this is test code")]
#![allow(clippy::disallowed_methods, reason = "deadlines of tests, and clients with clocks of their own")]

mod bodies;
mod clients;
mod connect;
mod connections;
mod ending;
mod errors;
mod harness;
mod headers;
mod incident;
mod logs;
mod refusals;
mod serving;
