//! `--profile`: where a capture spends its time, by thread and function, as perf sees it.

use crate::command;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Samples a second, not a divisor of the kernel's tick.
const FREQUENCY: &str = "997";

/// Functions with less of the time are left out.
const LEAST_PERCENT: &str = "1";

/// Starts perf on a running process; it ends with it.
///
/// # Errors
/// When perf cannot be run.
pub fn begin(pid: u32, record: &Path) -> Result<Child> {
    let mut perf = command::as_root("perf")?;
    perf.args(["record", "-q", "-F", FREQUENCY, "-p", &pid.to_string(), "-o"]).arg(record);
    perf.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    perf.spawn().context("cannot run perf")
}

/// The table of a record: percent, thread, program or library, function.
///
/// # Errors
/// When perf cannot read it.
pub fn table(record: &Path) -> Result<String> {
    let mut perf = if command::is_root() { Command::new("perf") } else { command::as_root("perf")? };
    perf.args([
        "report",
        "--stdio",
        "-F",
        "overhead,comm,dso,symbol",
        "--percent-limit",
        LEAST_PERCENT,
        "-i",
    ]);
    let text = command::output(perf.arg(record))?;
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    Ok(lines.map(|line| format!("{}\n", line.trim_end())).collect())
}
