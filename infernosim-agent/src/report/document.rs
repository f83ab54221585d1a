//! `replay_report.json`: its fields are a promise to programs, described in `docs/replay.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::faulted::Faulted;
use super::timeline::Timeline;
use crate::incident::manifest::{FormatVersion, Tool};

/// The version of what this program writes.
pub const VERSION: FormatVersion = FormatVersion { major: 1, minor: 1 };

/// All there is to say of a replay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Report {
    /// The version of the report.
    pub report_version: FormatVersion,
    /// What wrote it.
    pub tool: Tool,
    /// RFC 3339, UTC: when the replay ended.
    pub at: String,
    /// The incident's directory as it was named.
    pub incident: String,
    /// `PASS`, `FAIL` or `INCONCLUSIVE`.
    pub result: String,
    /// `PASS_STRONG`, …
    pub outcome: String,
    /// Why it did not pass, or only weakly; else `NONE`.
    pub reason: String,
    /// The status that the replay exits with.
    pub exit: u8,
    /// 64 hex digits.
    pub fingerprint: String,
    /// 64 hex digits over what is volatile: fingerprints compare only under equal ones.
    pub volatile_set: String,
    /// What is volatile.
    pub volatile: Vec<VolatileField>,
    /// Names that were not looked at (`--ignore`).
    pub ignored: Vec<String>,
    /// `--time-scale`.
    pub time_scale: f64,
    /// `--density`.
    pub density: f64,
    /// `--fanout`.
    pub fanout: u32,
    /// `--window`, in ns.
    pub window_ns: u64,
    /// `--seed`, where it matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// What became of the faults; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub faults: Option<Faulted>,
    /// The runs.
    pub runs: Runs,
    /// Exchanges, over all runs.
    pub inbound: Counted,
    /// Calls, over all runs.
    pub outbound: Counted,
    /// Over all runs: sums, and the worst of what does not add up.
    pub rates: Rates,
    /// What became of each objective (`--slo`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub slo: Vec<Objective>,
    /// How often calls were made, by dependency, over all runs; absent where none was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Calls>,
    /// What limited the rate; absent where that was not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limiting: Option<Limiting>,
    /// What was seen to pass; absent where nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envelope: Option<Envelope>,
    /// The divergences, in causal order; the first hundred.
    pub divergences: Vec<Divergence>,
    /// How many there are.
    pub divergences_found: u64,
    /// When things happened in one of the runs; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<Timeline>,
    /// The target's last lines on standard error.
    pub stderr: Vec<String>,
    /// Values that the target minted and that were put into later requests.
    pub substituted: Vec<Substituted>,
    /// Packets of the target that were dropped, by kind, in all runs: the leak counter.
    pub leaked: BTreeMap<String, u64>,
    /// What was not tested.
    pub untested: Vec<Untested>,
    /// What went wrong beside it, and what is to be known of the recording (a torn last line): on stderr, too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// Against the replay before; absent of the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// The command that shows it again; absent where it passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat: Option<String>,
}

/// A field whose values may be others in each run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolatileField {
    /// `inbound POST /orders`.
    pub site: String,
    /// `body.id`.
    pub name: String,
    /// `time`, `runs disagree`, or `said`.
    pub why: String,
}

/// The runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Runs {
    /// Asked for.
    pub requested: u32,
    /// Made.
    pub executed: u32,
    /// Come to their end.
    pub completed: u32,
    /// Made besides, to learn what is volatile.
    pub learning: u32,
    /// With the fingerprint of most, without those that the user ended.
    pub deterministic: u32,
    /// Each of those that were made.
    pub each: Vec<RunReport>,
}

impl Runs {
    /// Of those that were made, how many are to be alike: not those that the user ended, unless there are no others.
    pub fn compared(&self) -> u32 {
        let ended = self.each.iter().filter(|it| it.ended == "interrupted").count();
        match self.executed.saturating_sub(u32::try_from(ended).unwrap_or(u32::MAX)) {
            0 => self.executed,
            runs => runs,
        }
    }
}

/// A run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunReport {
    /// 64 hex digits.
    pub fingerprint: String,
    /// `completed`, `targetExited`, `stalled` or `interrupted`.
    pub ended: String,
    /// How many divergences it has.
    pub divergences: u64,
    /// Exchanges.
    pub inbound: Counted,
    /// Calls.
    pub outbound: Counted,
    /// How fast.
    pub rates: Rates,
}

/// What was to be, and what was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counted {
    /// Answers that came whole, or calls that were made.
    pub observed: u64,
    /// How many were due: what the recording has, as often as it was to be sent (runs, `--fanout`, rounds of `--window`); of
    /// calls, as often as their causes were sent.
    pub expected: u64,
    /// Requests that were sent, or calls that had their recorded counterpart.
    pub matched: u64,
    /// Calls that could have had another counterpart.
    pub ambiguous: u64,
}

/// How fast, and how late. Times in ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rates {
    /// Requests sent.
    pub sent: u64,
    /// From the first to the end.
    pub wall_ns: u64,
    /// What that was meant to be; 0 where no gaps were to be kept.
    pub paced_ns: u64,
    /// From a request to its whole answer: the median.
    pub latency_p50_ns: u64,
    /// 99 of 100 were not above.
    pub latency_p99_ns: u64,
    /// How much later than planned requests were sent: the median.
    pub late_p50_ns: u64,
    /// 99 of 100 were not above.
    pub late_p99_ns: u64,
    /// The worst.
    pub late_max_ns: u64,
    /// The most requests that were open at a time.
    pub most_open: u64,
}

/// What became of an objective.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Objective {
    /// `p99<250ms`.
    pub objective: String,
    /// `312.40ms`; `none` where nothing was measured.
    pub measured: String,
    /// Whether that is within it.
    pub met: bool,
}

/// Calls to a dependency.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Calls {
    /// Whom.
    pub dependency: String,
    /// That were made.
    pub made: u64,
    /// That the recording has, as often as their causes were sent.
    pub expected: u64,
    /// `made` / `expected`; absent where none was expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amplification: Option<f64>,
}

/// What limited the rate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limiting {
    /// `NONE`, `APPLICATION_CPU`, …
    pub factor: String,
    /// By what that is known.
    pub evidence: String,
    /// All that was measured: what, and how much.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<(String, String)>,
}

/// What was seen to pass. Nothing is said of what was not tried.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Envelope {
    /// Requests a second.
    pub per_second: f64,
    /// Requests that were open at a time.
    pub most_open: u64,
    /// 99 of 100 answers were whole by then, in ns.
    pub latency_p99_ns: u64,
}

/// A difference between runs and recording.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Divergence {
    /// `inbound` or `outbound`.
    pub direction: String,
    /// Of the events of that direction, from 0.
    pub index: u32,
    /// `unexpected_outbound_call`, …
    pub reason: String,
    /// The runs that have it, from 1.
    pub runs: Vec<u32>,
    /// How often, in the first of them.
    pub count: u64,
    /// What was to be.
    pub expected: String,
    /// What was.
    pub actual: String,
    /// Field by field; the first fifty.
    pub fields: Vec<Field>,
    /// Fields that differ besides.
    #[serde(rename = "moreFields", skip_serializing_if = "is_zero")]
    pub more_fields: u64,
    /// What made it happen; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A field that differs: its values as JSON has them, absent where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Field {
    /// `body.total`.
    pub name: String,
    /// In the recording.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<String>,
    /// In the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<String>,
}

/// The exchange that made it happen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// Its inbound index.
    pub index: u32,
    /// Method, path and query.
    pub asked: String,
    /// Its id.
    pub id: String,
    /// `header`, `thread`, `only-one-in-flight`; absent where it is about the answer itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basis: Option<String>,
}

/// A value that was put in the place of a recorded one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Substituted {
    /// The exchange whose answer has it.
    pub minted_by: u32,
    /// Where in it.
    pub field: String,
    /// The exchange in whose request it was put.
    pub used_in: u32,
    /// Where in it.
    pub place: String,
}

/// What was not tested.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Untested {
    /// What.
    pub what: String,
    /// How many; 0 where that is not known.
    pub count: u64,
    /// Why.
    pub why: String,
}

/// Against the replay before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Change {
    /// When that ended.
    pub previous_at: String,
    /// Its outcome.
    pub previous_outcome: String,
    /// `same`, `other`, or `not comparable` where another set is volatile.
    pub fingerprint: String,
    /// Divergences that were not there: `unexpected_outbound_call at outbound event index=1`.
    pub newly_failing: Vec<String>,
    /// Divergences that are not there any more.
    pub newly_passing: Vec<String>,
    /// Requests a second, in percent of what they were, less 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_percent: Option<f64>,
}
