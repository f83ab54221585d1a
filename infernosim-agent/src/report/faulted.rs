//! What became of the faults of a replay: `faults` in `replay_report.json`, FAULTS in the text, `faults.jsonl`
//! and `fault-plan.toml`.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use super::people::{count, duration, escape, escape_json};
use super::unlike::{self, FaultyRun, Unlike};
use crate::fault::{Entry, RuleLedger};
use crate::replay::RunLedger;

/// So many firings are in the report; `faults.jsonl` has all that were kept.
const MOST_ENTRIES: usize = 1_000;
/// So many are in the text.
const MOST_SHOWN: usize = 10;

/// What became of the faults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Faulted {
    /// What all chances followed from (`--seed`).
    pub seed: u64,
    /// The rules in their order, over all runs.
    pub rules: Vec<FaultyRule>,
    /// How many runs that is.
    pub runs: u32,
    /// The counts of each run, of the first hundred.
    pub each: Vec<FaultyRun>,
    /// The first run whose faults were not those of the first run; absent where all were the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unlike: Option<Unlike>,
    /// The run whose firings are listed, from 1: the first that diverged, else the last.
    pub run: u32,
    /// Its firings, by rule, site and occurrence; the first thousand.
    pub happened: Vec<Happened>,
    /// Firings of that run that are not listed.
    pub more: u64,
}

/// What became of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FaultyRule {
    /// As it is written.
    pub rule: String,
    /// What its selectors chose.
    pub reached: u64,
    /// What of that it hit.
    pub fired: u64,
    /// Of these, those whose effect came about.
    pub observed: u64,
}

/// A firing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Happened {
    /// The rule's place, from 0.
    pub rule: u32,
    /// `outbound payments.test POST /charge`.
    pub site: String,
    /// Of this site for this rule, from 1.
    pub occurrence: u64,
    /// `latency=213ms`.
    pub action: String,
    /// What came of it; absent where nothing was seen to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<String>,
    /// In ns since the run began.
    pub at_ns: u64,
}

impl Faulted {
    /// Of these runs; the firings are those of the run at this place.
    pub fn of(seed: u64, runs: &[RunLedger], told: usize) -> Self {
        let count = u32::try_from(runs.len()).unwrap_or(u32::MAX);
        let (each, unlike) = (unlike::each(runs), unlike::first_unlike(runs));
        let mut faulted = Self { seed, runs: count, each, unlike, ..Self::default() };
        for it in runs {
            for (at, rule) in it.ledger.rules.iter().enumerate() {
                faulted.add(at, rule);
            }
        }
        if let Some(told) = runs.get(told) {
            let all = &told.ledger.entries;
            faulted.run = told.run;
            faulted.happened = all.iter().take(MOST_ENTRIES).map(Happened::of).collect();
            faulted.more = told.ledger.more + all.len().saturating_sub(MOST_ENTRIES) as u64;
        }
        faulted
    }

    fn add(&mut self, at: usize, rule: &RuleLedger) {
        if self.rules.len() <= at {
            self.rules.push(FaultyRule { rule: rule.rule.clone(), ..FaultyRule::default() });
        }
        if let Some(it) = self.rules.get_mut(at) {
            it.reached += rule.reached;
            it.fired += rule.fired;
            it.observed += rule.observed;
        }
    }

    /// Whether they were the same in each run; none of one run.
    pub(super) fn in_each(&self) -> Option<String> {
        match &self.unlike {
            Some(Unlike { run, beside, what }) => {
                Some(format!("Run {run} is the first that is unlike run {beside}: {what}"))
            }
            None => (self.runs > 1).then(|| format!("The same in all {} runs", self.runs)),
        }
    }

    /// FAULTS.
    pub(super) fn write(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "\nFAULTS (seed {})", self.seed)?;
        for (at, rule) in self.rules.iter().enumerate() {
            let FaultyRule { reached, fired, observed, .. } = rule;
            writeln!(
                out,
                "- {}: `{}`: reached {reached}, fired {fired}, observed {observed}",
                at + 1,
                escape(&rule.rule)
            )?;
        }
        if let Some(told) = self.in_each() {
            writeln!(out, "{}", escape(&told))?;
        }
        if self.happened.is_empty() {
            return Ok(());
        }
        writeln!(out, "In run {}:", self.run)?;
        for it in self.happened.iter().take(MOST_SHOWN) {
            let observed = it.observed.as_deref().unwrap_or("not observed");
            writeln!(
                out,
                "- rule {}, {} #{}, at {}: {}: {}",
                it.rule + 1,
                escape(&it.site),
                it.occurrence,
                duration(it.at_ns),
                escape(&it.action),
                escape(observed)
            )?;
        }
        let more = self.more + self.happened.len().saturating_sub(MOST_SHOWN) as u64;
        if more > 0 {
            writeln!(out, "and {}: see faults.jsonl", count(more, "more firing"))?;
        }
        writeln!(out, "The same again, whatever chance says: --plan fault-plan.toml, in the incident")
    }
}

impl Happened {
    fn of(entry: &Entry) -> Self {
        let Entry { rule, site, occurrence, action, observed, at_ns, .. } = entry.clone();
        Self { rule, site, occurrence, action, observed, at_ns }
    }
}

/// The text of `fault-plan.toml`: what happened in this run, to happen again.
pub(super) fn plan(run: Option<&RunLedger>) -> String {
    let Some(RunLedger { run, ledger }) = run else { return String::new() };
    match ledger.plan() {
        Ok(plan) => format!("# The faults of run {run}, by site and occurrence.\n{}", plan.to_toml()),
        Err(error) => format!("# No plan of run {run}: {}\n", error.message),
    }
}

/// The text of `faults.jsonl`: a line for each firing, with its run and its rule's text.
pub(super) fn lines(runs: &[RunLedger]) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        run: u32,
        text: &'a str,
        #[serde(flatten)]
        entry: &'a Entry,
    }
    let mut out = String::new();
    for RunLedger { run, ledger } in runs {
        for entry in &ledger.entries {
            let rule = ledger.rules.get(entry.rule as usize);
            let text = rule.map_or("", |rule| rule.rule.as_str());
            let line = serde_json::to_string(&Line { run: *run, text, entry }).unwrap_or_default();
            out.push_str(&escape_json(&line));
            out.push('\n');
        }
    }
    out
}
