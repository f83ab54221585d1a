//! What the session knows of a replay and its judge does not.

use std::collections::BTreeMap;

use super::faulted::Faulted;
use crate::replay::limiting::Limiting;
use crate::replay::minted::Substitution;
use crate::replay::script::Untested;

/// What the session knows.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// RFC 3339, UTC: when the replay ended.
    pub at: String,
    /// The incident's directory as it was named.
    pub incident: String,
    /// `--time-scale`.
    pub time_scale: f64,
    /// `--density`.
    pub density: f64,
    /// `--fanout`.
    pub fanout: u32,
    /// `--window`, in ns.
    pub window_ns: u64,
    /// What became of the faults, if there are any.
    pub faults: Option<Faulted>,
    /// What limited the rate, if it was measured.
    pub limiting: Option<Limiting>,
    /// What was not tested: of the script, and of the runs (kinds of packets that were dropped, tokens without a secret, …).
    pub untested: Vec<Untested>,
    /// What went wrong beside it, and what is to be known of the recording.
    pub problems: Vec<String>,
    /// Values that the target minted and that were put into later requests.
    pub substituted: Vec<Substitution>,
    /// Packets of the target that were dropped, by kind, in all runs: the leak counter.
    pub leaked: BTreeMap<String, u64>,
    /// The target's last lines on standard error, without secrets.
    pub stderr: Vec<String>,
}
