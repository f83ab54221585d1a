//! Two replays: what changed between their reports.

use std::io::{self, Write};
use std::path::Path;

use crate::cli::inspect::text::escape;
use crate::error::Result;
use crate::report::diff::ReportDiff;
use crate::report::files::{REPORT, read_report};

/// Whether this names the report of a replay, not an incident or a log.
pub fn is_report(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == REPORT)
        || path.extension().is_some_and(|it| it == "json") && path.is_file()
}

/// Reads and compares.
///
/// # Errors
/// `Exit::Incident` if a report cannot be read.
pub fn compare(a: &Path, b: &Path) -> Result<ReportDiff> {
    Ok(ReportDiff::of(&read_report(a)?, &read_report(b)?))
}

/// For people.
pub fn print(found: &ReportDiff, out: &mut impl Write) -> io::Result<()> {
    let [a, b] = &found.outcome;
    writeln!(out, "outcome: {} → {}", escape(a), escape(b))?;
    writeln!(out, "fingerprint: {}", escape(&found.fingerprint))?;
    for one in &found.changed {
        writeln!(out, "{}: {} → {}", one.what, escape(&one.a), escape(&one.b))?;
    }
    if let Some(percent) = found.rate_percent {
        writeln!(out, "achieved rate: {percent:+.1} %")?;
    }
    for (what, fields) in
        [("newly volatile", &found.newly_volatile), ("no longer volatile", &found.no_longer_volatile)]
    {
        for field in fields {
            writeln!(out, "{what}: {}", escape(field))?;
        }
    }
    for (what, divergences) in [
        ("newly failing", &found.newly_failing),
        ("newly passing", &found.newly_passing),
        ("failing otherwise", &found.failing_otherwise),
    ] {
        for one in divergences {
            writeln!(out, "\n{what}: {}", escape(&one.place()))?;
            writeln!(out, "  expected: {}\n  actual:   {}", escape(&one.expected), escape(&one.actual))?;
            for field in &one.fields {
                for (mark, value) in [('-', &field.recorded), ('+', &field.live)] {
                    if let Some(value) = value {
                        writeln!(out, "  {mark} {}: {}", escape(&field.name), escape(value))?;
                    }
                }
            }
        }
    }
    Ok(())
}
