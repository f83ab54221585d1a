//! `infernosim verify`: capture and replay, checked by each other.

mod checks;
mod child;

use std::ffi::OsString;
use std::io::{Read as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use nix::sys::signal::SigSet;
use serde::Serialize;
use tempfile::TempDir;

use self::checks::{Check, Content, Verdict};
use self::child::Child;
use crate::capture::Voice;
use crate::capture::signals::Signals;
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::Directory;
use crate::incident::reader::Incident;
use crate::replay::judge::volatile::FILE_NAME as VOLATILE;
use crate::replay::script::{CallKind, Script};
use crate::report::{self, Report};
use crate::target::{Cgroup, Identity};

/// Check that an incident replays on this host: captured, deterministic, isolated and at the recorded pace.
///
/// The incident's requests are sent to CMD, its dependencies answered from the incident, while a capture that knows
/// nothing of that copies what CMD really receives and sends. What was captured is then replayed twice. It passes only
/// if each check was made: the capture is complete and counts what the replay counted, both fingerprints are equal,
/// the leak counter is zero, and requests came when they were due. Needs root.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Verify {
    /// The incident.
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    incident: PathBuf,
    /// Keep what is captured in this directory.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    keep: Option<PathBuf>,
    /// What recorded waits are multiplied by.
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = super::replay::scale)]
    time_scale: f64,
    /// Do not compare this field: status, query.NAME, header.NAME, body.PATH; * and ? match.
    #[arg(long, value_name = "PATH")]
    ignore: Vec<String>,
    /// Print the checks as JSON.
    #[arg(long)]
    json: bool,
    /// Pass on what capture and replay say, even if all is well.
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
    /// Print results and errors only.
    #[arg(short, long)]
    quiet: bool,
    /// Run CMD as this user [default: who called sudo].
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Username)]
    user: Option<String>,
    /// The command that runs the service, and its arguments.
    #[arg(last = true, required = true, value_name = "CMD", value_hint = ValueHint::CommandName)]
    command: Vec<OsString>,
}

const EXAMPLES: &str = "Examples:
  sudo infernosim verify ./checkout-bug -- ./app
  sudo infernosim verify ./checkout-bug --keep ./again -- python3 app.py
  sudo infernosim verify ./checkout-bug --time-scale 0.1 --json -- ./app

Exit status: 0 all checks pass; 1 one does not; 2 usage; 3 this host cannot; 4 the incident is unusable, or a check \
could not be made.";

/// The last line.
#[derive(Serialize)]
struct Outcome<'a> {
    verify: &'static str,
    exit: u8,
    checks: &'a [Check],
}

/// What it takes while it lasts.
struct Verifying<'a> {
    options: &'a Verify,
    signals: Signals,
    blocked: SigSet,
    voice: Voice,
    /// Where the capture writes.
    captured: PathBuf,
    cgroup: Cgroup,
}

impl Verify {
    /// Checks; returns the status to exit with.
    pub fn run(self, out: &mut impl Write) -> Result<i32> {
        let (signals, blocked) = Signals::block()?;
        let identity = Identity::of_caller(self.user.as_deref())?;
        let recorded = content(&self.incident)?;
        let place = place(&identity)?;
        let captured = self.keep.clone().unwrap_or_else(|| place.path().join("incident"));
        let cgroup = Cgroup::create()?;
        let voice = Voice { quiet: self.quiet, json: self.json };
        let verifying = Verifying { options: &self, signals, blocked, voice, captured, cgroup };
        let checks = verifying.check(&recorded)?;
        let outcome = Outcome::of(&checks);
        let text = if self.json { outcome.json() } else { outcome.text() };
        out.write_all(text.as_bytes()).or_else(super::quiet_if_pipe_broke)?;
        Ok(outcome.exit.into())
    }
}

impl Verifying<'_> {
    fn check(&self, recorded: &Content) -> Result<Vec<Check>> {
        let (first, seen) = self.capture()?;
        let mut checks = vec![checks::replayed(&first), checks::captured(&seen, recorded, &first)];
        if checks.iter().any(|check| check.verdict != Verdict::Passed) {
            const WHY: &str = "what was captured is not what is recorded";
            checks.push(Check::not_made("deterministic", WHY));
            checks.push(match checks::isolated([&first]) {
                leaked if leaked.verdict == Verdict::Failed => leaked,
                _ => Check::not_made("isolated", WHY),
            });
            checks.push(Check::not_made("time-controlled", WHY));
            return Ok(checks);
        }
        self.take_over_volatile()?;
        let second = self.replay(&self.captured, &["--runs", "2", "--fresh"])?;
        checks.push(checks::deterministic(&second));
        checks.push(checks::isolated([&first, &second]));
        checks.push(checks::time_controlled(&first, &seen, &second));
        Ok(checks)
    }

    /// Replays the incident while a capture looks on, which was there first: programs of one cgroup run in the order in which
    /// they were attached, so it sees whom CMD means before the replay sends it elsewhere.
    fn capture(&self) -> Result<(Report, Content)> {
        let cgroup = self.cgroup.path().display().to_string();
        let mut arguments = words(&["capture", "--json", "--via", "tap", "--cgroup", &cgroup, "--incident"]);
        arguments.push(self.captured.clone().into());
        self.add_user(&mut arguments);
        let mut capture = Child::start(arguments, self.blocked)?;
        if !capture.says("infernosim: capturing", &self.signals)? {
            let status = capture.end(&self.signals)?;
            return Err(if status == 0 { interrupted() } else { capture.error(status) });
        }
        let scale = self.options.time_scale.to_string();
        let once = ["--runs", "1", "--into", &cgroup, "--time-scale", &scale];
        let report = self.replay(&self.options.incident, &once)?;
        // It ends with the last process in the cgroup, or now.
        let status = capture.end(&self.signals)?;
        self.pass_on(&capture.said()?, status != 0);
        if ![Exit::Pass as i32, Exit::Incident as i32].contains(&status) {
            return Err(capture.error(status));
        }
        Ok((report, content(&self.captured)?))
    }

    /// One replay; the report that it printed.
    fn replay(&self, incident: &Path, options: &[&str]) -> Result<Report> {
        self.voice.say(|| format!("infernosim: replaying {}", incident.display()));
        let mut arguments = words(&["replay", "--json", "--incident"]);
        arguments.push(incident.into());
        arguments.extend(words(options));
        self.options.ignore.iter().for_each(|path| arguments.extend(words(&["--ignore", path])));
        self.add_user(&mut arguments);
        arguments.push("--".into());
        arguments.extend(self.options.command.iter().cloned());
        let mut replay = Child::start(arguments, self.blocked)?;
        let status = replay.wait(&self.signals)?;
        let Ok(report) = serde_json::from_str::<Report>(&replay.printed()?) else {
            return Err(replay.error(status));
        };
        let said = replay.said()? + &report::text(&report);
        self.pass_on(&said, status != 0);
        Ok(report)
    }

    fn add_user(&self, arguments: &mut Vec<OsString>) {
        if let Some(user) = &self.options.user {
            arguments.extend(words(&["--user", user]));
        }
    }

    fn pass_on(&self, said: &str, failed: bool) {
        if (failed || self.options.verbose) && !said.is_empty() {
            super::report::say(said.trim_end());
        }
    }

    /// What is known to be volatile of the service is so in what was captured, too.
    fn take_over_volatile(&self) -> Result<()> {
        let mut text = Vec::new();
        let Ok(file) = Directory::at(&self.options.incident).and_then(|it| it.open(VOLATILE.as_ref())) else {
            return Ok(());
        };
        let copied = file.take(4 << 20).read_to_end(&mut text);
        let copied = copied.and_then(|_| Directory::at(&self.captured)?.replace(VOLATILE, &text));
        copied.map_err(|error| {
            ExpectedError::new(Exit::Incident, format!("{VOLATILE} cannot be copied: {error}"))
        })
    }
}

impl<'a> Outcome<'a> {
    fn of(checks: &'a [Check]) -> Self {
        let any = |verdict| checks.iter().any(|check| check.verdict == verdict);
        let (verify, exit) = match (any(Verdict::Failed), any(Verdict::NotChecked)) {
            (true, _) => ("FAIL", Exit::Fail),
            (false, true) => ("INCONCLUSIVE", Exit::Incident),
            (false, false) => ("PASS", Exit::Pass),
        };
        Self { verify, exit: exit as u8, checks }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for Check { name, verdict, detail } in self.checks {
            let word = match verdict {
                Verdict::Passed => "",
                Verdict::Failed => "FAILED: ",
                Verdict::NotChecked => "not checked: ",
            };
            text.push_str(&format!("{name}: {word}{detail}\n"));
        }
        let named = |verdict| {
            let names = self.checks.iter().filter(move |check| check.verdict == verdict);
            names.map(|check| check.name).collect::<Vec<_>>().join(", ")
        };
        let why = match self.verify {
            "PASS" => "deterministic, isolated, time-controlled".to_owned(),
            "FAIL" => named(Verdict::Failed),
            _ => format!("not checked: {}", named(Verdict::NotChecked)),
        };
        text + &format!("VERIFY: {} ({why})\n", self.verify)
    }

    fn json(&self) -> String {
        // Plain text in a plain struct always serialises.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }
}

/// How much is in an incident.
fn content(dir: &Path) -> Result<Content> {
    let incident = Incident::open(dir)?;
    let script = Script::load(&incident)?;
    let manifest = incident.manifest();
    let calls = script.calls().iter().filter(|it| matches!(it.kind, CallKind::Http | CallKind::Turn));
    Ok(Content {
        requests: script.exchanges().iter().filter(|it| it.replayable).map(|it| it.start_ns).collect(),
        calls: calls.count(),
        events: manifest.map_or(0, |it| it.counts.values().sum()),
        lost: manifest.map_or(0, |it| it.lost.events),
        is_closed: manifest.is_some_and(|it| it.closed),
    })
}

/// Where the capture may write as who it belongs to, and nobody else.
fn place(owner: &Identity) -> Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    let made = builder
        .prefix("infernosim-verify-")
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir()
        .and_then(|made| {
            std::os::unix::fs::chown(made.path(), Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))?;
            Ok(made)
        });
    made.map_err(|error| {
        ExpectedError::new(Exit::Host, format!("no temporary directory can be made: {error}"))
            .help("name one with TMPDIR")
    })
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// The user wants no more.
fn interrupted() -> ExpectedError {
    ExpectedError::new(Exit::Incident, "interrupted: not all was checked")
}

#[cfg(test)]
mod tests;
