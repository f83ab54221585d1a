//! What is checked. Each check says what it saw; one that could not look is not passed.

use serde::Serialize;

use crate::report::Report;

/// Requests may be so much later than planned, 99 of 100 of them, in ns;
const LATE_NS: u64 = 50_000_000;
/// or this part of the time over which they are sent, if that is more.
const LATE_PART: u64 = 10;

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// It is so.
    Passed,
    /// It is not so.
    Failed,
    /// That could not be seen.
    NotChecked,
}

/// A check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// `isolated`.
    pub name: &'static str,
    /// What came of it.
    pub verdict: Verdict,
    /// What was seen.
    pub detail: String,
}

/// How much is in an incident.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Inbound requests; when each came, in ns.
    pub requests: Vec<u64>,
    /// Outbound calls that a stub answers.
    pub calls: usize,
    /// Lines.
    pub events: u64,
    /// Events that are missing.
    pub lost: u64,
    /// Its capture ended in order.
    pub is_closed: bool,
}

impl Check {
    fn new(name: &'static str, passed: bool, detail: String) -> Self {
        Self { name, verdict: if passed { Verdict::Passed } else { Verdict::Failed }, detail }
    }

    /// One that could not be made.
    pub fn not_made(name: &'static str, why: &str) -> Self {
        Self { name, verdict: Verdict::NotChecked, detail: why.to_owned() }
    }
}

/// CMD did what is recorded.
pub fn replayed(report: &Report) -> Check {
    let detail = if report.exit == 0 {
        format!(
            "{} of {} requests, {} of {} calls, as recorded",
            report.inbound.observed,
            report.inbound.expected,
            report.outbound.matched,
            report.outbound.expected
        )
    } else {
        why_failed(report)
    };
    Check::new("replayed", report.exit == 0, detail)
}

/// All that CMD was asked and asked while it was replayed against was recorded by the capture, which does not know of the
/// replay: what the one counted by itself the other saw on the wire.
pub fn captured(seen: &Content, recorded: &Content, report: &Report) -> Check {
    let runs = made(report);
    let of_runs = |count: usize| count.saturating_mul(runs);
    let (requests, calls) = (seen.requests.len(), seen.calls);
    let mut wrong = Vec::new();
    if seen.lost > 0 {
        wrong.push(format!("{} events are lost", seen.lost));
    }
    if !seen.is_closed {
        wrong.push("the capture did not end in order".to_owned());
    }
    for (what, seen, told, expected) in [
        ("requests", requests, report.inbound.observed, of_runs(recorded.requests.len())),
        ("calls", calls, report.outbound.observed, of_runs(recorded.calls)),
    ] {
        // Runs to learn what is volatile are in the capture and not in the counts: all runs are alike, or the replay failed.
        let told = usize::try_from(told).unwrap_or(usize::MAX) / counted(report).max(1);
        if seen != of_runs(told) || seen != expected {
            wrong.push(format!(
                "{seen} {what} in the capture, {} by the replay, {expected} by the recording",
                of_runs(told)
            ));
        }
    }
    if wrong.is_empty() {
        let runs = if runs == 1 { "1 run".to_owned() } else { format!("{runs} runs") };
        let detail = format!("{} events of {runs} ({requests} requests, {calls} calls), 0 lost", seen.events);
        return Check::new("captured", true, detail);
    }
    Check::new("captured", false, wrong.join("; "))
}

/// The capture was replayed twice, with one fingerprint.
pub fn deterministic(report: &Report) -> Check {
    let runs = &report.runs;
    let equal = runs.each.windows(2).all(|two| two[0].fingerprint == two[1].fingerprint);
    let whole = runs.completed == runs.requested && runs.each.len() >= 2 && !report.fingerprint.is_empty();
    if report.exit == 0 && equal && whole {
        let weakly = if report.outcome == "PASS_STRONG" { "" } else { &format!(", {}", report.outcome) };
        let short = report.fingerprint.get(..16).unwrap_or_default();
        return Check::new("deterministic", true, format!("fingerprint {short}… twice{weakly}"));
    }
    Check::new("deterministic", false, why_failed(report))
}

/// The leak counter stayed at zero. What it counts was dropped; but a service that sends it is not answered as recorded.
pub fn isolated<'a>(reports: impl IntoIterator<Item = &'a Report>) -> Check {
    let mut kinds = std::collections::BTreeMap::<&str, u64>::new();
    for report in reports {
        report.leaked.iter().for_each(|(kind, count)| *kinds.entry(kind).or_default() += count);
    }
    kinds.retain(|_, count| *count > 0);
    if kinds.is_empty() {
        return Check::new("isolated", true, "0 packets by other ways than those of the replay".to_owned());
    }
    let each: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} by {kind}")).collect();
    Check::new("isolated", false, format!("packets of the target were dropped: {}", each.join(", ")))
}

/// Requests came when they were due: by the driver's own clock in the second replay, and by the capture's in the first.
pub fn time_controlled(first: &Report, seen: &Content, second: &Report) -> Check {
    const NAME: &str = "time-controlled";
    let paced = |report: &Report| report.runs.each.first().map_or(0, |run| run.rates.paced_ns);
    if second.runs.each.iter().any(|run| run.rates.sent < 2 || run.rates.paced_ns == 0) || paced(second) == 0
    {
        return Check::not_made(NAME, "there are no two requests with time between them");
    }
    let mut wrong = Vec::new();
    for run in &second.runs.each {
        let rates = &run.rates;
        if rates.late_p99_ns > allowed(rates.paced_ns) {
            wrong.push(format!("1 of 100 requests was more than {} ms late", rates.late_p99_ns / 1_000_000));
        }
        if rates.wall_ns < rates.paced_ns {
            wrong.push("a run was over before its last request was due".to_owned());
        }
    }
    wrong.extend(untimely(first, seen, paced(first)));
    if !wrong.is_empty() {
        return Check::new(NAME, false, wrong.join("; "));
    }
    let late = second.rates.late_max_ns.div_ceil(1_000_000);
    Check::new(NAME, true, format!("sent at most {late} ms late over {} ms", paced(second) / 1_000_000))
}

/// Where the capture's clock contradicts what the first replay tells: from the first request to the last it took less or
/// more time than it can have, with one of them as late as it says (it waits for answers that their client waited for, and
/// a target may be slower than it was).
fn untimely(first: &Report, seen: &Content, due: u64) -> Option<String> {
    if due == 0 {
        return None;
    }
    let late = first.rates.late_max_ns + allowed(due);
    // Of runs to learn what is volatile it does not tell how late they were.
    let counted = spans(&seen.requests, made(first)).into_iter().skip(first.runs.learning as usize);
    let took = counted.into_iter().find(|took| took.abs_diff(due) > late)?;
    let [took, due, late] = [took, due, first.rates.late_max_ns].map(|ns| ns / 1_000_000);
    Some(format!("requests came over {took} ms that were due over {due} ms and sent at most {late} ms late"))
}

/// From the first request of each run to its last.
fn spans(requests: &[u64], runs: usize) -> Vec<u64> {
    let each = requests.len() / runs.max(1);
    let span = |run: &[u64]| run.iter().max().zip(run.iter().min()).map_or(0, |(last, first)| last - first);
    requests.chunks_exact(each.max(1)).filter(|run| run.len() > 1).map(span).collect()
}

fn allowed(paced_ns: u64) -> u64 {
    LATE_NS.max(paced_ns / LATE_PART)
}

/// All runs, those to learn what is volatile included.
fn made(report: &Report) -> usize {
    counted(report) + report.runs.learning as usize
}

fn counted(report: &Report) -> usize {
    report.runs.executed as usize
}

/// In one line.
fn why_failed(report: &Report) -> String {
    match report.divergences.first() {
        Some(it) => format!("{} at {} event index={}", it.reason, it.direction, it.index),
        None => format!("{}: {}", report.outcome, report.reason),
    }
}

#[cfg(test)]
mod tests;
