//! InfernoSIM: transparent capture and replay for Linux services.
//!
//! The folders are the path of the data; `docs/architecture.md` draws it.
//!
//! ```text
//! capture   target ─▶ redirect ─▶ proxy ─▶ protocol ─▶ incident
//! replay    incident ─▶ replay ─▶ (target ─▶ redirect ─▶ replay::stub) ─▶ report
//! inject    target ─▶ redirect ─▶ inject ─▶ whom it was meant for; what goes wrong on the way: fault
//! ```

pub mod capture;
pub mod cli;
pub mod clock;
pub mod error;
pub mod fault;
pub mod incident;
pub mod inject;
pub mod pattern;
pub mod privilege;
pub mod protocol;
pub mod proxy;
pub mod quantity;
pub mod redirect;
pub mod replay;
pub mod report;
pub mod seed;
pub mod tap;
pub mod target;
