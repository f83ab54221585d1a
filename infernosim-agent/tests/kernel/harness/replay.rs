use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::capture::{lossy, wait, watch_memory};
use super::{INFERNOSIM, Netns, Output, PATIENCE, REMOVED, program, require_root};

/// An incident to be replayed against a command.
pub struct Replay {
    incident: PathBuf,
    options: Vec<OsString>,
    command: Vec<OsString>,
    prefix: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    verifies: bool,
}

/// A replay that goes on.
pub struct Replaying {
    child: Child,
    pub stdout: Output,
    pub stderr: Output,
    incident: PathBuf,
    peak_rss_kib: Arc<AtomicU64>,
}

/// A replay that has ended.
pub struct Replayed {
    /// As a shell gives it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    /// `replay_result.txt`; "" if there is none.
    pub result: String,
    /// `replay_report.json`; null if there is none.
    pub report: Value,
    pub peak_rss_kib: u64,
}

impl Replay {
    /// Of the incident in this directory.
    pub fn of(incident: &Path) -> Self {
        require_root();
        let (options, command) = (Vec::new(), Vec::new());
        let (prefix, environment) = (Vec::new(), Vec::new());
        Self { incident: incident.to_owned(), options, command, prefix, environment, verifies: false }
    }

    /// Replayed by `infernosim verify`.
    pub fn verified(mut self) -> Self {
        self.verifies = true;
        self
    }

    /// Against this command; its first word is looked for in PATH.
    pub fn against(mut self, command: &[&str]) -> Self {
        self.command = command.iter().map(OsString::from).collect();
        self.command[0] = program(command[0]).into();
        self
    }

    /// An option of `infernosim replay`, with its value.
    pub fn option(mut self, option: &[&str]) -> Self {
        self.options.extend(option.iter().map(OsString::from));
        self
    }

    /// A variable of the environment that infernosim is started in.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Everything happens in this network namespace.
    pub fn within(mut self, netns: &Netns) -> Self {
        self.prefix.extend(netns.prefix().into_iter().map(OsString::from));
        self
    }

    /// Started by this command, of which it is the last argument.
    pub fn through(mut self, command: &[&str]) -> Self {
        self.prefix.extend(command.iter().map(OsString::from));
        self
    }

    /// Runs it to its end.
    pub fn run(self) -> Replayed {
        self.start().finish()
    }

    /// Starts it.
    pub fn start(self) -> Replaying {
        let mut words = self.prefix;
        let verb: &[&str] = if self.verifies { &["verify"] } else { &["replay", "--incident"] };
        words.push(INFERNOSIM.into());
        words.extend(verb.iter().map(OsString::from));
        words.push(self.incident.clone().into());
        words.extend(self.options);
        if !self.command.is_empty() {
            words.push("--".into());
            words.extend(self.command);
        }
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in REMOVED {
            command.env_remove(name);
        }
        command.envs(self.environment);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (stdout, stderr) =
            (Output::of(child.stdout.take().unwrap()), Output::of(child.stderr.take().unwrap()));
        let peak_rss_kib = Arc::new(AtomicU64::new(0));
        let (pid, peak) = (child.id(), Arc::clone(&peak_rss_kib));
        std::thread::spawn(move || watch_memory(pid, &peak));
        Replaying { child, stdout, stderr, incident: self.incident, peak_rss_kib }
    }
}

impl Replaying {
    /// Waits for the line that says that nothing leaves from here on.
    pub fn ready(self) -> Self {
        self.stderr.line("infernosim: replaying");
        self
    }

    /// Sends infernosim a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Waits for the end of it all.
    pub fn finish(mut self) -> Replayed {
        let code = wait(&mut self.child, PATIENCE * 4).unwrap_or_else(|| {
            panic!("the replay hangs:\n{}\n{}", self.stdout.so_far(), self.stderr.so_far())
        });
        let read = |name| std::fs::read_to_string(self.incident.join(name)).unwrap_or_default();
        Replayed {
            code,
            stdout: lossy(&self.stdout.all()),
            stderr: lossy(&self.stderr.all()),
            result: read("replay_result.txt"),
            report: serde_json::from_str(&read("replay_report.json")).unwrap_or_default(),
            peak_rss_kib: self.peak_rss_kib.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Replaying {
    fn drop(&mut self) {
        // It ends its CMD itself.
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
            if wait(&mut self.child, PATIENCE / 8).is_none() {
                let _ = self.child.kill();
            }
        }
        let _ = self.child.wait();
    }
}

impl Replayed {
    /// All that it said, for a failure.
    pub fn all(&self) -> String {
        format!("exit {}\n{}\n{}\n{}", self.code, self.stdout, self.stderr, self.result)
    }

    /// Asserts that it passed, in all of its runs, and gives the fingerprint.
    pub fn assert_passed(&self, runs: u32) -> String {
        assert_eq!(self.code, 0, "{}", self.all());
        let mut lines = self.result.lines();
        assert_eq!(lines.next(), Some("REPLAY: PASS"), "{}", self.all());
        let fingerprint =
            lines.next().and_then(|line| line.strip_prefix("FINGERPRINT: ")).unwrap_or_default();
        let is_hex = fingerprint.len() == 64 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(is_hex, "{}", self.all());
        assert_eq!(lines.next(), Some(&*format!("RUNS: {runs}")), "{}", self.all());
        let all = format!("{runs} / {runs}");
        let deterministic = self.result.lines().find(|line| line.starts_with("Deterministic runs"));
        assert!(deterministic.is_some_and(|line| line.ends_with(&all)), "{}", self.all());
        fingerprint.to_owned()
    }

    /// Asserts that it diverged here for this reason: the two lines as they are printed.
    pub fn assert_diverged(&self, place: &str, reason: &str) {
        assert_eq!(self.code, 1, "{}", self.all());
        let lines: Vec<&str> = self.stdout.lines().map(str::trim).collect();
        let at = lines.iter().position(|line| line.starts_with("DIVERGENCE at "));
        let at = at.unwrap_or_else(|| panic!("no divergence is named:\n{}", self.all()));
        assert_eq!(lines[at], format!("DIVERGENCE at {place}"), "{}", self.all());
        assert_eq!(lines[at + 1], format!("reason={reason}"), "{}", self.all());
        assert!(self.result.starts_with("REPLAY: FAIL\n"), "{}", self.all());
    }
}
