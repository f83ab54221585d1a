//! What changed between two replays.

use serde::Serialize;

use super::change::comparable;
use super::document::{Divergence, Report};

/// What differs between two reports. Equal where nothing but times and rates does.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportDiff {
    /// Nothing but times and rates differs.
    pub equal: bool,
    /// `PASS_STRONG`, …, of both.
    pub outcome: [String; 2],
    /// `same`, `other`, or `not comparable` where another set is volatile.
    pub fingerprint: String,
    /// What is not as it was, by name, with both values.
    pub changed: Vec<Changed>,
    /// Divergences of B only.
    pub newly_failing: Vec<Divergence>,
    /// Divergences of A only.
    pub newly_passing: Vec<Divergence>,
    /// Divergences of both, at the same place for the same reason, of other content: that of B.
    pub failing_otherwise: Vec<Divergence>,
    /// Volatile in B only: site and name.
    pub newly_volatile: Vec<String>,
    /// Volatile in A only.
    pub no_longer_volatile: Vec<String>,
    /// Requests a second in B, in percent of those in A, less 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_percent: Option<f64>,
}

/// A number or word that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// Which.
    pub what: &'static str,
    /// In A.
    pub a: String,
    /// In B.
    pub b: String,
}

impl ReportDiff {
    /// From `a` to `b`.
    pub fn of(a: &Report, b: &Report) -> Self {
        let change = super::change::between(a, b);
        let changed = changed(a, b);
        let newly_failing = only(&b.divergences, &a.divergences);
        let newly_passing = only(&a.divergences, &b.divergences);
        let failing_otherwise: Vec<Divergence> =
            b.divergences.iter().filter(|it| is_otherwise(it, &a.divergences)).cloned().collect();
        let (newly_volatile, no_longer_volatile) = (volatile(b, a), volatile(a, b));
        let lists = [&newly_failing, &newly_passing, &failing_otherwise];
        let equal = a.outcome == b.outcome
            && change.fingerprint == "same"
            && changed.is_empty()
            && lists.iter().all(|it| it.is_empty())
            && newly_volatile.is_empty()
            && no_longer_volatile.is_empty();
        Self {
            equal,
            outcome: [a.outcome.clone(), b.outcome.clone()],
            fingerprint: change.fingerprint,
            changed,
            newly_failing,
            newly_passing,
            failing_otherwise,
            newly_volatile,
            no_longer_volatile,
            rate_percent: change.rate_percent,
        }
    }
}

fn only(these: &[Divergence], those: &[Divergence]) -> Vec<Divergence> {
    these.iter().filter(|it| !those.iter().any(|other| comparable(it, other))).cloned().collect()
}

/// Is there one at the same place, of which something else is told? In which runs does not count.
fn is_otherwise(it: &Divergence, those: &[Divergence]) -> bool {
    let told = |it: &Divergence| (it.expected.clone(), it.actual.clone(), it.fields.clone());
    let mut same = those.iter().filter(|other| comparable(it, other)).peekable();
    same.peek().is_some() && same.all(|other| told(other) != told(it))
}

fn volatile(these: &Report, those: &Report) -> Vec<String> {
    let fields = these.volatile.iter().filter(|it| !those.volatile.contains(it));
    let fields = fields.map(|it| format!("{} {} ({})", it.site, it.name, it.why));
    let ignored = these.ignored.iter().filter(|it| !those.ignored.contains(it));
    fields.chain(ignored.map(|it| format!("{it} (--ignore)"))).collect()
}

/// Counts are those of one run: how many runs there were is no difference.
fn changed(a: &Report, b: &Report) -> Vec<Changed> {
    let per_run = |report: &Report, n: u64| match report.runs.executed {
        0 => "none".to_owned(),
        runs if n.is_multiple_of(u64::from(runs)) => (n / u64::from(runs)).to_string(),
        runs => format!("{n} in {runs} runs"),
    };
    let all_alike = |report: &Report| {
        if report.runs.deterministic == report.runs.compared() { "all" } else { "not all" }.to_owned()
    };
    let both = |what, value: &dyn Fn(&Report) -> String| Changed { what, a: value(a), b: value(b) };
    [
        both("answers per run", &|it| per_run(it, it.inbound.observed)),
        both("answers expected per run", &|it| per_run(it, it.inbound.expected)),
        both("calls per run", &|it| per_run(it, it.outbound.observed)),
        both("calls expected per run", &|it| per_run(it, it.outbound.expected)),
        both("runs that are alike", &all_alike),
    ]
    .into_iter()
    .filter(|it| it.a != it.b)
    .collect()
}
