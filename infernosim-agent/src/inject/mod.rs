//! Faults on live traffic: target ─▶ redirect ─▶ here, where rules disturb it ─▶ whom it was meant for.
//!
//! ```text
//! connect() ─▶ kernel half ─┬▶ refused, or hangs, as `connects` told it ahead
//!                           └▶ accept ─▶ dial ─▶ first bytes ─┬▶ HTTP/1: `http`, an exchange at a time
//!                                                             └▶ bytes: `proxy::faulty`
//! lookup ─▶ `lookups` ─▶ whom it asked        rules ◀─ `control`: changed while it runs        `toxiproxy`: its HTTP API
//! ```
//!
//! Invariants: what no rule hits goes on byte for byte; without us (dead, hung, at a limit) connects go direct; nothing
//! is recorded. `answer`, `earlier`, `names` and `ledger` are pure.

mod answer;
mod asking;
mod callers;
mod connection;
mod connects;
pub mod control;
mod earlier;
mod engine;
mod http;
mod instead;
mod ledger;
mod lookups;
mod message;
mod names;
mod options;
mod rules;
mod seen;
mod session;
mod setup;
mod shared;
mod side;
mod standing;
mod toxiproxy;
mod treatment;
mod unmediated;
mod written;

pub use options::Options;
pub use session::run;
