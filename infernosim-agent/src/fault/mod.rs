//! What can go wrong on purpose, and what became of it. Pure: no socket, no clock, no thread.
//!
//! ```text
//! --inject, --plan ─▶ Plan of Rules ─▶ Faults ◀── Occasion (an exchange, a connect, a lookup)
//!                                        │  └──▶ Fired: an Effect, for whoever serves the occasion to bring about
//!                                        └─▶ Ledger: planned, reached, fired, observed
//! ```
//!
//! Invariants: whether a rule fires follows from (seed, rule, site, occurrence) alone, so that one request more shifts
//! nothing else; an effect is only said to be observed by who brought it about. Imports `error`, `seed`, `pattern`,
//! `incident`.

mod effect;
mod faults;
mod ledger;
mod occasion;
mod plan;

pub use effect::{Effect, Rcode};
pub use faults::{Faults, Fired};
pub use ledger::{Entry, FiredId, Ledger, RuleLedger};
pub use occasion::{Kind, Occasion, Stream};
pub use plan::{Plan, Rule};
