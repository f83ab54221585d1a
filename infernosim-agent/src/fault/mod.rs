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
//! `quantity`, and of `incident` how content is coded. A new action is a file in `action/`, a line in its `ENTRIES`, and an entry in docs/faults.md.

mod action;
mod effect;
mod faults;
mod journal;
mod json;
mod ledger;
mod occasion;
mod plan;
mod replan;
mod rule;
mod schema;
mod selector;
#[cfg(test)]
mod tests;
mod toml;
mod when;
mod word;
mod wrong;

pub use action::Need;
pub use effect::{Effect, Rcode};
pub use faults::{Faults, Fired};
pub use json::set_json;
pub use ledger::{Entry, FiredId, Ledger, RuleLedger};
pub use occasion::{Kind, Occasion, Stream};
pub use plan::Plan;
pub use rule::Rule;
pub use schema::schema;
pub use wrong::near;

/// A word of the grammar that is no action.
struct Term {
    word: &'static str,
    /// What stands behind `=`.
    value: &'static str,
    /// Whether a number of TOML will do.
    numbers: bool,
    /// Whether it may be a list.
    repeats: bool,
    about: &'static str,
    example: &'static str,
}
