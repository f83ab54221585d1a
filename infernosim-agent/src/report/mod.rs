//! What a replay amounts to, written down: `replay_report.json` for programs, `replay_result.txt` for people.
//!
//! ```text
//! judge::Judgement ─┐
//! Facts (session)  ─┼─▶ Report ─┬─▶ json ─▶ replay_report.json
//! the last Report  ─┘           └─▶ text ─▶ replay_result.txt, standard output
//! ```
//!
//! The report holds all there is to say; the text is made of it and of nothing else. Secrets are in neither: values are
//! those of the redacted recording. Text from the target and the recording is escaped before a terminal gets it.

mod change;
pub mod diff;
mod document;
mod facts;
mod faulted;
pub mod files;
mod html;
mod junit;
mod made;
mod markdown;
pub mod output;
pub mod people;
#[cfg(test)]
mod tests;
mod text;
mod timeline;
mod unlike;

pub use document::{
    Calls, Cause, Change, Counted, Divergence, Envelope, Field, Limiting, Objective, Rates, Report,
    RunReport, Runs, Substituted, Untested, VolatileField,
};
pub use facts::Facts;
pub use faulted::{Faulted, FaultyRule, Happened};
pub use html::html;
pub use junit::junit;
pub use markdown::markdown;
pub use text::text;
pub use timeline::{TimedCall, TimedExchange, Timeline};
pub use unlike::{FaultyRun, Unlike};

/// The text of `replay_report.json`.
pub fn json(report: &Report) -> String {
    // Plain structs with string keys always serialise.
    let json = serde_json::to_string_pretty(report).unwrap_or_default();
    people::escape_json(&json).into_owned() + "\n"
}
