//! One load on one side: run, watched, counted.

use super::captured;
use super::load::{self, Load, Said};
use super::process::{self, Used, Watch};
use super::recorded::Recorded;
use super::server::Server;
use super::side::Side;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// One load on one side, once.
#[derive(Debug, Clone)]
pub struct Measurement {
    /// Counted from 0.
    pub round: usize,
    /// What was measured.
    pub side: Side,
    /// Requests before the measurement. They count for CPU and for the recording.
    pub warm_up: Said,
    /// What wrk measured.
    pub measured: Said,
    /// What the process in the middle used; none where there is none.
    pub used: Option<Used>,
    /// Only of a capture.
    pub recorded: Option<Recorded>,
}

impl Measurement {
    /// Whole answers a second.
    pub fn requests_per_second(&self) -> f64 {
        self.measured.requests as f64 * 1e6 / self.measured.duration_us.max(1) as f64
    }

    /// All that was asked, warm-up included.
    pub fn requests(&self) -> u64 {
        self.warm_up.requests + self.measured.requests
    }

    /// CPU seconds of the process in the middle for each 10,000 requests.
    pub fn cpu_per_10k(&self) -> Option<f64> {
        Some(self.used.as_ref()?.cpu_seconds() * 1e4 / self.requests().max(1) as f64)
    }
}

/// Where things are.
#[derive(Debug)]
pub struct Bench {
    /// For what only lives as long as the benchmark.
    pub directory: PathBuf,
    /// A file with [`load::SCRIPT`].
    pub script: PathBuf,
    /// This program, built for speed.
    pub xtask: PathBuf,
    /// What is measured.
    pub infernosim: PathBuf,
    /// None: there is none here.
    pub haproxy: Option<PathBuf>,
    /// Who answers.
    pub origin: Server,
}

impl Bench {
    /// Measures once.
    ///
    /// # Errors
    /// When something does not run, or wrk got no answers.
    pub fn measure(&self, load: &Load, side: Side, round: usize, seconds: u64) -> Result<Measurement> {
        let (output, used, recorded) = if side.captured().is_some() {
            let outcome = captured::run(self, load, side, seconds, None)?;
            (outcome.output, outcome.used, Some(outcome.recorded))
        } else {
            let (output, used) = self.uncaptured(load, side, seconds)?;
            (output, used, None)
        };
        let [warm_up, measured] = load::parse(&String::from_utf8_lossy(&output))
            .with_context(|| format!("{} on {}", load.name, side.name()))?;
        if measured.requests == 0 {
            bail!("{} on {}: no answer at all", load.name, side.name());
        }
        Ok(Measurement { round, side, warm_up, measured, used, recorded })
    }

    /// What wrk wrote, and what a relay used.
    fn uncaptured(&self, load: &Load, side: Side, seconds: u64) -> Result<(Vec<u8>, Option<Used>)> {
        let (upstream, directory) = (self.origin.address, &self.directory);
        let server = match (side, &self.haproxy) {
            (Side::Relay, _) => Some(Server::relay(&self.xtask, upstream, directory)?),
            (Side::Haproxy, Some(haproxy)) => Some(Server::haproxy(haproxy, upstream, directory)?),
            (Side::Haproxy, None) => bail!("there is no haproxy here"),
            (Side::Service, _) => Some(Server::service(upstream, directory)?),
            _ => None,
        };
        let address = server.as_ref().map_or(upstream, |server| server.address);
        let url = format!("http://{address}{}", load.path());
        let mut wrk = load::command(load, &url, &self.script, seconds);
        let child = wrk.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot run wrk")?;
        // The service is no part of what is measured, only the way to it.
        let watched = server.as_ref().filter(|_| side != Side::Service);
        let watch = watched.map(|server| Watch::begin(server.pid())).transpose()?;
        let used = process::watch_until_end(&child, watch)?;
        Ok((child.wait_with_output()?.stdout, used))
    }

    /// One capture under perf; its record goes to `record`.
    ///
    /// # Errors
    /// When something does not run.
    pub fn profile(&self, load: &Load, side: Side, seconds: u64, record: &Path) -> Result<()> {
        captured::run(self, load, side, seconds, Some(record))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_second_of_the_measurement_and_cpu_per_request_of_all() {
        let said = |requests| Said { requests, duration_us: 500_000, failed: 0, p50_us: 1, p99_us: 2 };
        let used = Used { user_seconds: 0.5, system_seconds: 1.0, ..Used::default() };
        let measurement = Measurement {
            round: 0,
            side: Side::Relay,
            warm_up: said(10_000),
            measured: said(20_000),
            used: Some(used),
            recorded: None,
        };
        assert_eq!(measurement.requests_per_second(), 40_000.0);
        assert_eq!(measurement.cpu_per_10k(), Some(0.5));
    }
}
