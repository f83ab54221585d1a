//! Markdown for step summaries and comments (GitHub's and GitLab's). Nothing that was recorded can be markup: whatever might
//! be is written as a character reference, which CommonMark (section 6.2) never takes for structure.

use std::fmt::{self, Write as _};

use super::document::{Divergence, Report};
use super::faulted::{Faulted, FaultyRule};
use super::people::{self, count, duration};
use super::text::ranges;

/// A step summary of GitHub's may have 1 MiB, in bytes; what is longer is not shown at all.
const MOST_BYTES: usize = 1 << 20;
/// So much is shown of each list (divergences, fields of each, firings, …); less where that would be too long.
const ROOM: usize = 20;
/// So many characters of one text are shown.
const LONGEST: usize = 500;
/// A longer command is not shown, in bytes: cut short it would be another one.
const LONGEST_COMMAND: usize = 64 << 10;

/// The report in Markdown.
pub fn markdown(report: &Report) -> String {
    let mut room = ROOM;
    loop {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = write(report, room, &mut out);
        if out.len() <= MOST_BYTES || room == 0 {
            return out;
        }
        room /= 2;
    }
}

/// With so much of each list.
fn write(report: &Report, room: usize, out: &mut String) -> fmt::Result {
    let sign = match (report.exit, report.outcome.as_str()) {
        (0, "PASS_WEAK") => "⚠️",
        (0, _) => "✅",
        (1, _) => "❌",
        _ => "❔",
    };
    let outcome = escape(&report.outcome);
    writeln!(out, "## {sign} Replay of {}: {outcome}\n", code(&report.incident))?;
    if report.reason != "NONE" {
        writeln!(out, "{}\n", line(&report.reason))?;
    }
    summary(report, room, out)?;
    divergences(report, room, out)?;
    if let Some(it) = &report.faults {
        faults(it, room, out)?;
    }
    untested(report, room, out)?;
    if !report.stderr.is_empty() && report.exit != 0 {
        let last = report.stderr.iter().skip(report.stderr.len().saturating_sub(ROOM));
        let lines: Vec<_> =
            last.map(|it| people::escape(&people::shorten(it, LONGEST)).into_owned()).collect();
        writeln!(
            out,
            "\n### The target's last lines on standard error\n\n{}",
            fenced("text", &lines.join("\n"))
        )?;
    }
    if let Some(repeat) = report.repeat.as_ref().filter(|it| it.len() <= LONGEST_COMMAND) {
        writeln!(out, "\n### To see it again\n\n{}", fenced("sh", &people::escape(repeat)))?;
    }
    Ok(())
}

fn summary(report: &Report, room: usize, out: &mut String) -> fmt::Result {
    let (runs, rates) = (&report.runs, &report.rates);
    let mut rows = vec![
        ("Runs", format!("{} of {} whole, {} alike", runs.completed, runs.requested, runs.deterministic)),
        ("Inbound", format!("{} of {} answered", report.inbound.observed, report.inbound.expected)),
        ("Outbound", format!("{} of {} calls", report.outbound.observed, report.outbound.expected)),
        ("Fingerprint", code(&report.fingerprint)),
        ("Time scale", format!("{:.3}", report.time_scale)),
    ];
    rows.extend(report.seed.map(|seed| ("Seed", seed.to_string())));
    let rate = |rate: Option<f64>| rate.map_or("none".to_owned(), |it| format!("{it:.2}"));
    rows.push(("Rate", format!("{} req/s, target {}", rate(rates.achieved()), rate(rates.target()))));
    let [p50, p99] = [rates.latency_p50_ns, rates.latency_p99_ns].map(duration);
    rows.push(("Answers", format!("p50 {p50}, p99 {p99}")));
    rows.extend(report.slo.iter().take(ROOM).map(|it| {
        let sign = if it.met { "✅ met" } else { "❌ missed" };
        ("Objective", format!("{}: {sign}, {}", code(&it.objective), escape(&it.measured)))
    }));
    let amplified = report.calls.iter().filter(|it| it.made > it.expected).take(room);
    rows.extend(amplified.map(|it| {
        let (whom, calls) = (code(&it.dependency), count(it.made, "call"));
        ("Retry amplification", format!("{whom}: {calls} for {}", it.expected))
    }));
    if let Some(it) = &report.limiting {
        let evidence =
            if it.evidence.is_empty() { String::new() } else { format!(": {}", escape(&it.evidence)) };
        rows.push(("Limiting factor", escape(&it.factor) + &evidence));
    }
    if let Some(it) = &report.change {
        let before = escape(&it.previous_outcome);
        rows.push(("Last replay", format!("{before}, fingerprint {}", escape(&it.fingerprint))));
    }
    writeln!(out, "| | |\n|---|---|")?;
    rows.iter().try_for_each(|(name, value)| writeln!(out, "| {name} | {value} |"))
}

fn divergences(report: &Report, room: usize, out: &mut String) -> fmt::Result {
    let shown = &report.divergences[..report.divergences.len().min(room)];
    if report.divergences.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n### {}\n",
        count(report.divergences_found.max(report.divergences.len() as u64), "divergence")
    )?;
    writeln!(out, "| at | reason | expected | actual | cause |\n|---|---|---|---|---|")?;
    for it in shown {
        let cause = it.cause.as_ref().map_or("not known".to_owned(), |cause| code(&cause.asked));
        writeln!(
            out,
            "| {} {} | {} | {} | {} | {cause} |",
            escape(&it.direction),
            it.index,
            escape(&it.reason),
            code(&it.expected),
            code(&it.actual),
        )?;
    }
    let more = report.divergences_found.saturating_sub(shown.len() as u64);
    if more > 0 {
        writeln!(out, "\nand {}: see the report in JSON.", count(more, "more divergence"))?;
    }
    shown.iter().try_for_each(|it| fields(it, report, room, out))
}

/// What differs, field by field.
fn fields(it: &Divergence, report: &Report, room: usize, out: &mut String) -> fmt::Result {
    if it.fields.is_empty() {
        return Ok(());
    }
    let is_all = it.runs.len() == report.runs.executed as usize;
    let runs = if is_all { String::new() } else { format!(", in runs {}", ranges(&it.runs)) };
    writeln!(out, "\n**{}**{runs}\n\n| field | recorded | live |\n|---|---|---|", escape(&it.place()))?;
    let value = |value: &Option<String>| value.as_deref().map_or("*absent*".to_owned(), code);
    for field in it.fields.iter().take(room) {
        writeln!(out, "| {} | {} | {} |", code(&field.name), value(&field.recorded), value(&field.live))?;
    }
    let more = it.fields.len().saturating_sub(room) as u64 + it.more_fields;
    if more > 0 { writeln!(out, "\nand {}.", count(more, "more field")) } else { Ok(()) }
}

/// What became of each rule, and what fired in the run that is told.
fn faults(it: &Faulted, room: usize, out: &mut String) -> fmt::Result {
    writeln!(out, "\n### Faults\n\n| rule | reached | fired | observed |\n|---|--:|--:|--:|")?;
    for rule in it.rules.iter().take(room) {
        let sign = if rule.fired == 0 { " (never fired)" } else { "" };
        let FaultyRule { reached, fired, observed, .. } = rule;
        writeln!(out, "| {}{sign} | {reached} | {fired} | {observed} |", code(&rule.rule))?;
    }
    if let Some(told) = it.in_each() {
        writeln!(out, "\n{}", line(&told))?;
    }
    if it.happened.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nIn run {}:\n\n| rule | site | at | action | observed |\n|--:|---|--:|---|---|", it.run)?;
    for one in it.happened.iter().take(room) {
        writeln!(
            out,
            "| {} | {} #{} | {} | {} | {} |",
            one.rule + 1,
            code(&one.site),
            one.occurrence,
            duration(one.at_ns),
            code(&one.action),
            one.observed.as_deref().map_or("*not observed*".to_owned(), escape),
        )?;
    }
    let more = it.more + it.happened.len().saturating_sub(room) as u64;
    if more > 0 { writeln!(out, "\nand {}.", count(more, "more firing")) } else { Ok(()) }
}

fn untested(report: &Report, room: usize, out: &mut String) -> fmt::Result {
    let dropped = report.leaked.iter().map(|(kind, n)| {
        format!("{} left the target and were dropped", count(*n, &format!("{} packet", escape(kind))))
    });
    let untested = report.untested.iter().map(|it| {
        let count = if it.count > 0 { format!("{} ", it.count) } else { String::new() };
        let why = if it.why.is_empty() { String::new() } else { format!(": {}", escape(&it.why)) };
        let what = if count.is_empty() { line(&it.what) } else { escape(&it.what) };
        format!("{count}{what}{why}")
    });
    let lines: Vec<String> = untested.chain(dropped).collect();
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n### What this run did not test\n")?;
    lines.iter().take(room).try_for_each(|it| writeln!(out, "- {it}"))?;
    let more = lines.len().saturating_sub(room);
    if more > 0 { writeln!(out, "- and {more} more: see the report in JSON") } else { Ok(()) }
}

/// A value, as code: HTML's element, since backticks would show character references as they are.
fn code(text: &str) -> String {
    format!("<code>{}</code>", escape(text))
}

/// Text that is nothing but text, on one line.
fn escape(text: &str) -> String {
    let text = people::shorten(text, LONGEST);
    let text = people::escape(&text);
    let mut out = String::with_capacity(text.len() + 16);
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied().unwrap_or(' ');
        // Of the rest of ASCII's punctuation none begins anything within a line; nor does an underscore within a word.
        let is_plain = !c.is_ascii_punctuation()
            || "-.,/=?;()%\"'".contains(c)
            || c == '_' && before.is_alphanumeric() && next.is_alphanumeric();
        if is_plain {
            out.push(c);
        } else {
            let _ = write!(out, "&#{};", u32::from(c));
        }
        before = c;
    }
    // What GitHub makes a link of without being told to; with a scheme, its colon is written out.
    out.replace("www.", "www&#46;")
}

/// The same where a line begins, and might be a list's.
fn line(text: &str) -> String {
    let text = escape(text);
    let after = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_list = after.len() < text.len() && after.starts_with(['.', ')']);
    match text.chars().next() {
        Some(first) if is_list || first == '-' || first == '=' || first.is_whitespace() => {
            format!("&#{};{}", u32::from(first), &text[first.len_utf8()..])
        }
        _ => text,
    }
}

/// Lines as they are, in a fence that none of them closes.
fn fenced(language: &str, text: &str) -> String {
    let mut fence = "```".to_owned();
    while text.contains(&fence) {
        fence.push('`');
    }
    format!("{fence}{language}\n{text}\n{fence}")
}
