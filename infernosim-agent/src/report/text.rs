//! `replay_result.txt`, which standard output shows too.

use std::fmt::{self, Write as _};

use super::document::{Divergence, Report};
use super::people::{count, duration, escape};

/// So many divergences are told; the report has more.
const MOST_SHOWN: usize = 10;
/// So many volatile fields, substituted values and untested things are told.
const MOST_LISTED: usize = 20;

/// The text of `replay_result.txt`.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(report, &mut out);
    out
}

fn write(report: &Report, out: &mut String) -> fmt::Result {
    writeln!(out, "REPLAY: {}", report.result)?;
    writeln!(out, "FINGERPRINT: {}", report.fingerprint)?;
    writeln!(out, "RUNS: {}", report.runs.executed)?;
    writeln!(out, "TIME_SCALE: {:.3}", report.time_scale)?;
    writeln!(out)?;
    summary(report, out)?;
    envelope(report, out)?;
    measured(report, out)?;
    if let Some(faults) = &report.faults {
        faults.write(out)?;
    }
    change(report, out)?;
    volatile(report, out)?;
    substituted(report, out)?;
    leaked(report, out)?;
    untested(report, out)?;
    let shown = &report.divergences[..report.divergences.len().min(MOST_SHOWN)];
    for divergence in shown {
        self::divergence(divergence, &report.runs, out)?;
    }
    let more = report.divergences_found.saturating_sub(shown.len() as u64);
    if more > 0 {
        writeln!(out, "\nand {}: see replay_report.json", count(more, "more divergence"))?;
    }
    if !report.stderr.is_empty() && report.exit != 0 {
        writeln!(out, "\nThe target's last lines on standard error:")?;
        for line in &report.stderr {
            writeln!(out, "  {}", escape(line))?;
        }
    }
    if let Some(repeat) = &report.repeat {
        writeln!(out, "\nTo see it again:\n  {}", escape(repeat))?;
    }
    Ok(())
}

fn leaked(report: &Report, out: &mut String) -> fmt::Result {
    if report.leaked.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nLEFT THE TARGET AND WAS DROPPED")?;
    report
        .leaked
        .iter()
        .try_for_each(|(kind, packets)| writeln!(out, "- {}", count(*packets, &format!("{kind} packet"))))
}

fn summary(report: &Report, out: &mut String) -> fmt::Result {
    let (runs, rates) = (&report.runs, &report.rates);
    writeln!(out, "Outcome: {}", report.outcome)?;
    writeln!(out, "Primary failure reason: {}", escape(&report.reason))?;
    writeln!(out, "Runs requested: {}", runs.requested)?;
    writeln!(out, "Runs executed: {}", runs.executed)?;
    writeln!(out, "Runs completed: {}", runs.completed)?;
    writeln!(out, "Deterministic runs: {} / {}", runs.deterministic, runs.compared())?;
    if runs.learning > 0 {
        writeln!(out, "Runs to learn what is volatile: {}", runs.learning)?;
    }
    for (name, counted) in [("Inbound", &report.inbound), ("Outbound", &report.outbound)] {
        writeln!(out, "{name} events observed: {}", counted.observed)?;
        writeln!(out, "{name} events expected: {}", counted.expected)?;
    }
    if report.outbound.ambiguous > 0 {
        writeln!(out, "Outbound events that are ambiguous: {}", report.outbound.ambiguous)?;
    }
    if let Some(seed) = report.seed {
        writeln!(out, "Seed: {seed}")?;
    }
    writeln!(out, "Elapsed: {}", duration(rates.wall_ns))?;
    let rate = |rate: Option<f64>| rate.map_or("not paced".to_owned(), |rate| format!("{rate:.2}"));
    writeln!(out, "Achieved rate (req/s): {}", rate(rates.achieved()).replace("not paced", "none"))?;
    writeln!(out, "Target rate (req/s): {}", rate(rates.target()))?;
    let [p50, p99, max] = [rates.late_p50_ns, rates.late_p99_ns, rates.late_max_ns].map(duration);
    writeln!(out, "Sent later than planned: p50 {p50}, p99 {p99}, at most {max}")?;
    for it in &report.slo {
        let (is, objective) = (if it.met { "met" } else { "missed" }, escape(&it.objective));
        writeln!(out, "Objective {objective}: {is}, {}", escape(&it.measured))?;
    }
    amplified(report, out)?;
    match &report.limiting {
        None => writeln!(out, "Limiting factor: not measured"),
        Some(it) if it.evidence.is_empty() => writeln!(out, "Limiting factor: {}", it.factor),
        Some(it) => writeln!(out, "Limiting factor: {} ({})", it.factor, escape(&it.evidence)),
    }
}

/// Dependencies that were called more often than in the recording.
fn amplified(report: &Report, out: &mut String) -> fmt::Result {
    for it in report.calls.iter().filter(|it| it.made > it.expected).take(MOST_LISTED) {
        let (whom, times) = (escape(&it.dependency), it.amplification);
        let times = times.map_or(String::new(), |times| format!(" {times:.1}"));
        let calls = count(it.made, "call");
        writeln!(out, "Retry amplification: {whom}{times} ({calls} for {})", it.expected)?;
    }
    Ok(())
}

fn envelope(report: &Report, out: &mut String) -> fmt::Result {
    writeln!(out, "\nSUSTAINABLE ENVELOPE (observed)")?;
    let Some(seen) = &report.envelope else { return writeln!(out, "- None: the replay did not pass") };
    writeln!(out, "- Inbound rate: {:.2} req/s", seen.per_second)?;
    writeln!(out, "- Requests at once: {}", seen.most_open)?;
    writeln!(out, "- Answers: p99 {}", duration(seen.latency_p99_ns))
}

fn measured(report: &Report, out: &mut String) -> fmt::Result {
    let all = report.limiting.iter().flat_map(|it| &it.measured);
    let mut lines = all.map(|(what, value)| format!("{}: {}", escape(what), escape(value))).peekable();
    if lines.peek().is_none() {
        return Ok(());
    }
    writeln!(out, "\nMEASURED")?;
    list(lines, out)
}

fn change(report: &Report, out: &mut String) -> fmt::Result {
    writeln!(out, "\nChange from last run:")?;
    let Some(change) = &report.change else { return writeln!(out, "- None: there is no last run") };
    writeln!(out, "- Outcome: {} → {}", escape(&change.previous_outcome), report.outcome)?;
    writeln!(out, "- Fingerprint: {}", escape(&change.fingerprint))?;
    for (what, places) in [("Newly failing", &change.newly_failing), ("Newly passing", &change.newly_passing)]
    {
        list(places.iter().map(|it| format!("{what}: {}", escape(it))), out)?;
    }
    match change.rate_percent {
        Some(percent) => writeln!(out, "- Achieved rate: {percent:+.1} %"),
        None => Ok(()),
    }
}

fn volatile(report: &Report, out: &mut String) -> fmt::Result {
    if report.volatile.is_empty() && report.ignored.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nVOLATILE FIELDS (set {})", report.volatile_set)?;
    let fields = report.volatile.iter();
    let fields = fields.map(|it| format!("{} {} ({})", escape(&it.site), escape(&it.name), escape(&it.why)));
    list(fields.chain(report.ignored.iter().map(|it| format!("{} (--ignore)", escape(it)))), out)
}

fn substituted(report: &Report, out: &mut String) -> fmt::Result {
    if report.substituted.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nSUBSTITUTED VALUES")?;
    let values = report.substituted.iter().map(|it| {
        format!(
            "{} of exchange {}'s answer is {} of exchange {}'s request",
            escape(&it.field),
            it.minted_by,
            escape(&it.place),
            it.used_in
        )
    });
    list(values, out)
}

fn untested(report: &Report, out: &mut String) -> fmt::Result {
    writeln!(out, "\nWHAT THIS RUN DID NOT TEST")?;
    if report.untested.is_empty() {
        return writeln!(out, "- None");
    }
    let all = report.untested.iter().map(|it| {
        let count = if it.count > 0 { format!("{} ", it.count) } else { String::new() };
        let why = if it.why.is_empty() { String::new() } else { format!(": {}", escape(&it.why)) };
        format!("{count}{}{why}", escape(&it.what))
    });
    list(all, out)
}

/// One a line, and how many more there are.
fn list(lines: impl Iterator<Item = String>, out: &mut String) -> fmt::Result {
    let mut more = 0;
    for (at, line) in lines.enumerate() {
        if at < MOST_LISTED {
            writeln!(out, "- {line}")?;
        } else {
            more += 1;
        }
    }
    if more > 0 { writeln!(out, "- and {more} more: see replay_report.json") } else { Ok(()) }
}

/// A divergence, for people.
pub(super) fn of_divergence(it: &Divergence, runs: &super::Runs) -> String {
    let mut out = String::new();
    let _ = divergence(it, runs, &mut out);
    out
}

fn divergence(it: &Divergence, runs: &super::Runs, out: &mut String) -> fmt::Result {
    writeln!(out, "\nDIVERGENCE at {} event index={}", it.direction, it.index)?;
    writeln!(out, "reason={}", it.reason)?;
    writeln!(out, "expected: {}", escape(&it.expected))?;
    let times = if it.count > 1 { format!(" ({} times)", it.count) } else { String::new() };
    writeln!(out, "actual:   {}{times}", escape(&it.actual))?;
    for field in &it.fields {
        for (mark, value) in [('-', &field.recorded), ('+', &field.live)] {
            if let Some(value) = value {
                writeln!(out, "{mark} {}: {}", escape(&field.name), escape(value))?;
            }
        }
    }
    if it.more_fields > 0 {
        writeln!(out, "and {}", count(it.more_fields, "more field"))?;
    }
    if let Some(cause) = &it.cause {
        let basis = cause.basis.as_deref().map_or(String::new(), |it| format!(", known by {it}"));
        let what = if it.direction == "inbound" { "exchange" } else { "cause" };
        let (asked, id) = (escape(&cause.asked), escape(&cause.id));
        writeln!(out, "{what}: {asked} (inbound event index={}, id {id}{basis})", cause.index)?;
    } else if it.direction == "outbound" {
        writeln!(out, "cause: not known")?;
    }
    let is_all = it.runs.len() == runs.executed as usize;
    if is_all { Ok(()) } else { writeln!(out, "in runs {} of {}", ranges(&it.runs), runs.executed) }
}

/// `1, 3-5`.
pub(super) fn ranges(numbers: &[u32]) -> String {
    let mut out = String::new();
    for chunk in numbers.chunk_by(|a, b| a + 1 == *b) {
        let sep = if out.is_empty() { "" } else { ", " };
        let _ = match chunk {
            [one] => write!(out, "{sep}{one}"),
            [first, .., last] => write!(out, "{sep}{first}-{last}"),
            [] => Ok(()),
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_a_row_are_a_range() {
        assert_eq!(ranges(&[1, 3, 4, 5, 9, 10]), "1, 3-5, 9-10");
        assert_eq!(ranges(&[]), "");
    }
}
