//! The driver against real servers on loopback.

mod befallen;
mod connections;
mod endings;
mod framing;
mod harness;
mod pacing;
mod programs;
mod schedule;
mod scripted;
