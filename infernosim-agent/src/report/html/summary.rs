//! The verdict with its numbers, and what else there is to say.

use std::fmt::{self, Write as _};

use super::{code, escape};
use crate::report::document::Report;
use crate::report::people::{self, count, duration};

/// So many lines of a list are shown.
const MOST_LISTED: usize = 200;

/// Verdict, reason and numbers.
pub fn header(report: &Report, out: &mut String) -> fmt::Result {
    let class = match (report.exit, report.outcome.as_str()) {
        (0, "PASS_STRONG") => "pass",
        (1, _) => "fail",
        _ => "weak",
    };
    writeln!(out, "<header class=\"card {class}\">")?;
    writeln!(
        out,
        "<h1><span class=\"word\">{}</span> Replay of {}</h1>",
        escape(&report.outcome),
        escape(&report.incident)
    )?;
    if report.reason != "NONE" {
        writeln!(out, "<p>{}</p>", escape(&report.reason))?;
    }
    writeln!(out, "<dl class=\"facts\">")?;
    for (name, value) in facts(report) {
        writeln!(out, "<div><dt>{name}</dt><dd>{value}</dd></div>")?;
    }
    let long = [
        (
            "Limiting factor",
            report.limiting.as_ref().map(|it| {
                let evidence =
                    if it.evidence.is_empty() { String::new() } else { format!(" ({})", it.evidence) };
                escape(&(it.factor.clone() + &evidence))
            }),
        ),
        ("Fingerprint", Some(code(&report.fingerprint))),
    ];
    for (name, value) in long {
        if let Some(value) = value {
            writeln!(out, "<div class=\"wide\"><dt>{name}</dt><dd>{value}</dd></div>")?;
        }
    }
    writeln!(out, "</dl>")?;
    if let Some(repeat) = &report.repeat {
        writeln!(
            out,
            "<p class=\"quiet\">To see it again:</p>\n<pre tabindex=\"0\">{}</pre>",
            escape(repeat)
        )?;
    }
    writeln!(out, "</header>")
}

fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let (runs, rates) = (&report.runs, &report.rates);
    let rate = |rate: Option<f64>| rate.map_or("none".to_owned(), |it| format!("{it:.2} req/s"));
    let [p50, p99] = [rates.latency_p50_ns, rates.latency_p99_ns].map(duration);
    let mut facts = vec![
        ("Ended", escape(&report.at)),
        ("Runs", format!("{} of {} whole, {} alike", runs.completed, runs.requested, runs.deterministic)),
        ("Inbound", format!("{} of {} answered", report.inbound.observed, report.inbound.expected)),
        ("Outbound", format!("{} of {} calls", report.outbound.observed, report.outbound.expected)),
        ("Answers", format!("p50 {p50}, p99 {p99}")),
        ("Rate", format!("{} (target {})", rate(rates.achieved()), rate(rates.target()))),
        (
            "Sent late",
            format!("p99 {}, at most {}", duration(rates.late_p99_ns), duration(rates.late_max_ns)),
        ),
        ("Time scale", format!("{:.3}", report.time_scale)),
    ];
    if report.fanout > 1 {
        facts.push(("Fan-out", report.fanout.to_string()));
    }
    facts.extend(report.slo.iter().map(|it| {
        let met = if it.met { "met" } else { "<span class=\"tag\">missed</span>" };
        ("Objective", format!("{}: {met}, {}", code(&it.objective), escape(&it.measured)))
    }));
    let amplified = report.calls.iter().filter(|it| it.made > it.expected).take(MOST_LISTED);
    facts.extend(amplified.map(|it| {
        let (whom, calls) = (escape(&it.dependency), count(it.made, "call"));
        ("Retry amplification", format!("{whom}: {calls} for {}", it.expected))
    }));
    facts.extend(report.seed.map(|seed| ("Seed", seed.to_string())));
    if let Some(it) = &report.change {
        let fingerprint = escape(&it.fingerprint);
        facts.push(("Last replay", format!("{}, fingerprint {fingerprint}", escape(&it.previous_outcome))));
    }
    if let Some(it) = &report.envelope {
        let p99 = duration(it.latency_p99_ns);
        let told = format!("{:.2} req/s, {} at once, p99 {p99}", it.per_second, it.most_open);
        facts.push(("Sustainable envelope (observed)", told));
    }
    facts
}

/// What was not tested, what is volatile, what was dropped, what the target wrote.
pub fn lists(report: &Report, out: &mut String) -> fmt::Result {
    let untested = report.untested.iter().map(|it| {
        let count = if it.count > 0 { format!("{} ", it.count) } else { String::new() };
        let why = if it.why.is_empty() { String::new() } else { format!(": {}", it.why) };
        format!("{count}{}{why}", it.what)
    });
    list("What this run did not test", untested, out)?;
    list("What else is to be known", report.problems.iter().cloned(), out)?;
    let measured = report.limiting.iter().flat_map(|it| &it.measured);
    list("Measured", measured.map(|(what, value)| format!("{what}: {value}")), out)?;
    let leaked = report.leaked.iter().map(|(kind, packets)| count(*packets, &format!("{kind} packet")));
    list("Left the target and was dropped", leaked, out)?;
    if let Some(it) = &report.change {
        list("Newly failing since the last replay", it.newly_failing.iter().cloned(), out)?;
        list("Newly passing since the last replay", it.newly_passing.iter().cloned(), out)?;
    }
    let volatile = report.volatile.iter().map(|it| format!("{} {} ({})", it.site, it.name, it.why));
    let ignored = report.ignored.iter().map(|it| format!("{it} (--ignore)"));
    list("Volatile fields", volatile.chain(ignored), out)?;
    let substituted = report.substituted.iter().map(|it| {
        let (field, by, place, used) = (&it.field, it.minted_by, &it.place, it.used_in);
        format!("{field} of exchange {by}'s answer is {place} of exchange {used}'s request")
    });
    list("Substituted values", substituted, out)?;
    if report.stderr.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = report.stderr.iter().map(|it| escape(it)).collect();
    writeln!(out, "<section><h2>The target's last lines on standard error</h2>")?;
    writeln!(out, "<pre tabindex=\"0\">{}</pre></section>", lines.join("\n"))
}

fn list(title: &str, lines: impl Iterator<Item = String>, out: &mut String) -> fmt::Result {
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "<section><h2>{title}</h2>\n<ul>")?;
    for line in lines.iter().take(MOST_LISTED) {
        writeln!(out, "<li>{}</li>", escape(line))?;
    }
    let more = lines.len().saturating_sub(MOST_LISTED);
    if more > 0 {
        writeln!(out, "<li class=\"quiet\">and {}</li>", people::count(more as u64, "more line"))?;
    }
    writeln!(out, "</ul></section>")
}
