//! The loads, and wrk, which makes them.

use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// One way of asking.
#[derive(Debug, PartialEq, Eq)]
pub struct Load {
    /// As `--loads` takes it.
    pub name: &'static str,
    /// For people.
    pub about: &'static str,
    /// Open at the same time.
    pub connections: u64,
    /// Bytes of an answer's body.
    pub size: usize,
    /// A connection carries one request.
    pub new_connections: bool,
    /// Length of one measurement, not counting the warm-up. Large answers fill the disk: they get less.
    pub seconds: u64,
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// All of them.
pub const LOADS: [Load; 6] = [
    Load::keep_alive("c1", "keep-alive, 1 connection, 1 KiB", 1, KIB, 2),
    Load::keep_alive("c16", "keep-alive, 16 connections, 1 KiB", 16, KIB, 2),
    Load::keep_alive("c64", "keep-alive, 64 connections, 1 KiB", 64, KIB, 2),
    Load {
        new_connections: true,
        ..Load::keep_alive("new16", "a new connection for each request, 16 at a time, 1 KiB", 16, KIB, 2)
    },
    Load::keep_alive("64k", "keep-alive, 16 connections, 64 KiB", 16, 64 * KIB, 1),
    Load::keep_alive("1m", "keep-alive, 4 connections, 1 MiB", 4, MIB, 1),
];

impl Load {
    const fn keep_alive(
        name: &'static str,
        about: &'static str,
        connections: u64,
        size: usize,
        seconds: u64,
    ) -> Self {
        Self { name, about, connections, size, new_connections: false, seconds }
    }

    /// The path of the file that is asked for.
    pub fn path(&self) -> String {
        format!("/{}", self.size)
    }
}

/// Run by each wrk at its end, since its own summary rounds, and changes unit with the number.
pub const SCRIPT: &str = r#"done = function(summary, latency, requests)
  local e = summary.errors
  local failed = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format("bench %d %d %d %d %d\n", summary.requests, summary.duration, failed,
    latency:percentile(50), latency:percentile(99)))
end
"#;

/// What one wrk says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// Whole answers.
    pub requests: u64,
    /// Microseconds.
    pub duration_us: u64,
    /// Connections and requests that failed, answers with a status of 400 and more.
    pub failed: u64,
    /// Microseconds.
    pub p50_us: u64,
    /// Microseconds.
    pub p99_us: u64,
}

/// A shell that warms up for 0.3 s, measures, and stays for a moment: what a capture then still has to write is
/// written while it can be watched. `script` is a file with [`SCRIPT`] in it.
pub fn command(load: &Load, url: &str, script: &Path, seconds: u64) -> Command {
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "timeout -s INT 0.3 wrk -d 10s \"$@\"; wrk -d \"$0\" \"$@\" || exit 1; sleep 0.15",
        &format!("{seconds}s"),
        "-t1",
        &format!("-c{}", load.connections),
        "-s",
    ]);
    shell.arg(script);
    if load.new_connections {
        shell.args(["-H", "Connection: close"]);
    }
    shell.arg(url);
    shell
}

/// Reads what both wrks of [`command`] wrote: the warm-up, the measurement.
///
/// # Errors
/// When one of them said nothing, or not what [`SCRIPT`] says.
pub fn parse(output: &str) -> Result<[Said; 2]> {
    let mut said = output.lines().filter_map(|line| line.strip_prefix("bench ")).map(|line| {
        let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
        let [requests, duration_us, failed, p50_us, p99_us] = numbers[..] else { return None };
        Some(Said { requests, duration_us, failed, p50_us, p99_us })
    });
    let mut next =
        || said.next().flatten().with_context(|| format!("wrk did not say how it went:\n{output}"));
    Ok([next()?, next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_runs_are_read_and_a_missing_one_is_an_error() {
        let output = "Running 10s\nbench 10 300000 0 50 900\n  stats\nbench 20 2000000 3 51 901\n";
        let [warm_up, measured] = parse(output).unwrap();
        assert_eq!((warm_up.requests, warm_up.duration_us, warm_up.failed), (10, 300_000, 0));
        let expected = Said { requests: 20, duration_us: 2_000_000, failed: 3, p50_us: 51, p99_us: 901 };
        assert_eq!(measured, expected);
        assert!(parse("bench 10 300000 0 50 900\n").is_err());
        assert!(parse("bench 10 300000 0 50 900\nbench 1 2 3 4\n").is_err());
    }

    #[test]
    fn names_are_unique() {
        for (at, load) in LOADS.iter().enumerate() {
            assert!(LOADS[at + 1..].iter().all(|other| other.name != load.name), "{}", load.name);
        }
    }
}
