//! One load on one side: run, watched, counted.

use super::load::{self, Load, Said};
use super::process::{self, Used, Watch};
use super::profile;
use super::recorded::Recorded;
use super::server::Server;
use crate::command;
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

/// What stands between wrk and the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Nothing.
    Direct,
    /// The bare relay.
    Relay,
    /// HAProxy, passing TCP on.
    Haproxy,
    /// `infernosim capture`, recording everything.
    Capture,
}

impl Side {
    /// For people, and for the JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relay => "bare relay",
            Self::Haproxy => "haproxy tcp",
            Self::Capture => "capture",
        }
    }
}

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
    /// What the process in the middle used; none on the side [`Side::Direct`].
    pub used: Option<Used>,
    /// Only on the side [`Side::Capture`].
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
        let (upstream, directory) = (self.origin.address, &self.directory);
        let server = match (side, &self.haproxy) {
            (Side::Relay, _) => Some(Server::relay(&self.xtask, upstream, directory)?),
            (Side::Haproxy, Some(haproxy)) => Some(Server::haproxy(haproxy, upstream, directory)?),
            (Side::Haproxy, None) => bail!("there is no haproxy here"),
            (Side::Direct | Side::Capture, _) => None,
        };
        let address = server.as_ref().map_or(upstream, |server| server.address);
        let url = format!("http://{address}{}", load.path());
        let wrk = load::command(load, &url, &self.script, seconds);
        let (output, used, recorded) = if side == Side::Capture {
            let (output, used, recorded) = self.capture(&wrk, None)?;
            (output, used, Some(recorded))
        } else {
            let mut wrk = wrk;
            let child = wrk.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot run wrk")?;
            let watch = server.as_ref().map(|server| Watch::begin(server.pid())).transpose()?;
            let used = process::watch_until_end(&child, watch)?;
            (child.wait_with_output()?.stdout, used, None)
        };
        let [warm_up, measured] = load::parse(&String::from_utf8_lossy(&output))
            .with_context(|| format!("{} on {}", load.name, side.name()))?;
        if measured.requests == 0 {
            bail!("{} on {}: no answer at all", load.name, side.name());
        }
        Ok(Measurement { round, side, warm_up, measured, used, recorded })
    }

    /// One capture under perf; its record goes to `record`.
    ///
    /// # Errors
    /// When something does not run.
    pub fn profile(&self, load: &Load, seconds: u64, record: &Path) -> Result<()> {
        let url = format!("http://{}{}", self.origin.address, load.path());
        self.capture(&load::command(load, &url, &self.script, seconds), Some(record))?;
        Ok(())
    }

    /// Captures `wrk`, and takes the recording away again.
    fn capture(&self, wrk: &Command, profile: Option<&Path>) -> Result<(Vec<u8>, Option<Used>, Recorded)> {
        let incident = self.directory.join("incident");
        let mut capture = command::as_root(&self.infernosim)?;
        capture.args(["capture", "--force", "--incident"]).arg(&incident).arg("--");
        capture.arg(wrk.get_program()).args(wrk.get_args());
        capture.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = capture.spawn().context("cannot run infernosim")?;
        let said = match until_ready(&mut child) {
            Ok(said) => said,
            Err(error) => {
                let status = child.wait()?;
                return Err(error.context(format!("infernosim capture ended with {status}")));
            }
        };
        let agent = process::find_descendant(child.id(), "infernosim").context("infernosim is gone")?;
        let watch = Watch::begin(agent)?;
        let perf = profile.map(|record| profile::begin(agent, record)).transpose()?;
        let used = process::watch_until_end(&child, Some(watch))?;
        let output = child.wait_with_output()?;
        let said = said.join().unwrap_or_default();
        perf.map(|mut perf| perf.wait()).transpose()?;
        // 4: recorded, but not all of it. The counts will say so.
        if ![Some(0), Some(4)].contains(&output.status.code()) {
            bail!("infernosim capture ended with {}: {}", output.status, said.trim());
        }
        let recorded = Recorded::read(&incident)?;
        fs::remove_dir_all(&incident).context("cannot remove the recording")?;
        Ok((output.stdout, used, recorded))
    }
}

/// Waits for the ready line, and reads on in a thread that gives all that was said.
fn until_ready(child: &mut Child) -> Result<std::thread::JoinHandle<String>> {
    let stderr = child.stderr.take().context("its messages were asked for")?;
    let (ready, is_ready) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let (mut said, mut ready) = (String::new(), Some(ready));
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if line.starts_with("infernosim: capturing")
                && let Some(ready) = ready.take()
            {
                let _ = ready.send(());
            }
            said.push_str(&line);
            said.push('\n');
        }
        said
    });
    // The sender is gone without a word when the messages end before.
    if is_ready.recv().is_err() {
        bail!("{}", reader.join().unwrap_or_default().trim().to_owned());
    }
    Ok(reader)
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
