//! The stub, addressed directly: without privileges, with a kernel half of the tests' own.

mod endings;
mod faults;
mod harness;
mod http;
mod lookups;
mod reach;
mod told;
mod turns;
