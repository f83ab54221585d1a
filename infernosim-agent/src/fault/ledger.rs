//! What became of each rule.

use serde::{Deserialize, Serialize};

/// A firing, to say of it that it was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FiredId(pub u64);

/// What became of a plan in a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// The seed.
    pub seed: u64,
    /// The rules, in their order.
    pub rules: Vec<RuleLedger>,
    /// What fired, by (rule, site, occurrence): the same for the same seed and traffic, whatever happened at once.
    pub entries: Vec<Entry>,
    /// Entries beyond those that are kept, not listed.
    pub more: u64,
}

/// What became of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleLedger {
    /// As it is written.
    pub rule: String,
    /// Occasions that its selectors chose.
    pub reached: u64,
    /// Of these, those that it hit.
    pub fired: u64,
    /// Of these, those whose effect came about.
    pub observed: u64,
}

/// One firing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The rule's place in the plan, from 0.
    pub rule: u32,
    /// `outbound payments.test POST /charge`.
    pub site: String,
    /// Of this site for this rule, from 1.
    pub occurrence: u64,
    /// What was done: `latency=213ms`.
    pub action: String,
    /// What came of it, where something did: `answered after 213.4ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<String>,
    /// When it fired, in ns since the run began. No part of what is the same.
    pub at_ns: u64,
}
