//! The second half of a demo: the incident is replayed, against the shop as it was, against a broken one, and with
//! dependencies that fail.

use super::ended;
use super::parts::{Mood, Parts};
use crate::{command, workspace};
use anyhow::{Context, Result, anyhow, bail};
use std::path::Path;
use std::process::{ExitCode, ExitStatus};

/// What `infernosim replay` ends with where the target does something else than recorded.
const DIVERGED: i32 = 1;
/// So often the incident is sent where it is to pass; what `infernosim replay` does when it is not told.
const RUNS: u32 = 10;

/// What goes wrong in the end: each thing that the shop asks for fails once.
const RULE: &str = "first=1 fail=503";
/// The report of that, beside the incident.
const PAGE: &str = "replay.html";

/// What is replayed, and against whom.
pub struct Scene<'a> {
    /// Who plays.
    pub parts: &'a Parts,
    /// The binary.
    pub infernosim: &'a Path,
    /// What was captured.
    pub incident: &'a Path,
    /// Where the shop listened.
    pub port: u16,
    /// Where its dependencies were, which have ended.
    pub dependencies: &'a [String],
}

impl Scene<'_> {
    /// The shop as it was passes, the broken one is found out, and so is what a fault does to it.
    ///
    /// # Errors
    /// When nothing can be started, a replay that is to pass does not, or the fault is not found.
    pub fn play(&self) -> Result<ExitCode> {
        println!(
            "\nWhat the shop calls has ended. The same requests again, {RUNS} times; InfernoSIM answers for the dependencies."
        );
        let status = self.replay(Mood::Stays, &[])?;
        if !status.success() {
            return Ok(ended("replay", status));
        }
        let result = self.result()?;
        if !(result.starts_with("REPLAY: PASS\n") && result.contains(&format!("\nRUNS: {RUNS}\n"))) {
            bail!("the replay passed, and replay_result.txt does not say so");
        }

        println!("\nThe shop, broken on purpose: {}.", self.parts.fault());
        let status = self.replay(Mood::Broken, &["--runs", "2"])?;
        if status.code() != Some(DIVERGED) {
            println!("`infernosim replay` was to find what is broken, and did not");
            return Ok(ended("replay", status));
        }
        let result = self.result()?;
        if !(result.starts_with("REPLAY: FAIL\n") && result.contains("\nDIVERGENCE at outbound event index="))
        {
            bail!("the replay failed, and replay_result.txt names no divergence");
        }
        println!(
            "\nIt was found: status 1. The dependencies were not there, and nothing has left this machine."
        );
        self.fail_once()
    }

    /// What the shop as it was makes of dependencies that fail.
    fn fail_once(&self) -> Result<ExitCode> {
        println!("\nThe shop as it was, and each thing that it asks for fails once.");
        let page = self.incident.join(PAGE);
        let report = format!("html={}", page.display());
        let options = ["--runs", "2", "--inject", RULE, "--report", &report];
        let status = self.replay(Mood::Stays, &options)?;
        if status.code() != Some(DIVERGED) {
            println!("`infernosim replay` was to tell what the shop does then, and did not");
            return Ok(ended("replay", status));
        }
        let result = self.result()?;
        let page = workspace::relative(&page);
        if !result.contains(&format!("- 1: `{RULE}`: reached ")) || !page.exists() {
            bail!("replay_result.txt does not tell of the faults, or {} is missing", page.display());
        }
        println!("\nWhat the shop did is above; the same as a page for a browser: {}", page.display());
        Ok(ExitCode::SUCCESS)
    }

    fn replay(&self, mood: Mood, options: &[&str]) -> Result<ExitStatus> {
        let mut replay = command::as_root(self.infernosim)?;
        replay.args(["replay", "--incident"]).arg(self.incident);
        replay.args(options).arg("--");
        replay
            .args(self.parts.target(self.port, self.dependencies, mood).map_err(|missing| anyhow!(missing))?);
        // Not through a proxy, for all is on this machine.
        command::status(replay.env_remove("HTTP_PROXY").env_remove("http_proxy"))
    }

    fn result(&self) -> Result<String> {
        let path = self.incident.join("replay_result.txt");
        std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", workspace::relative(&path).display()))
    }
}
