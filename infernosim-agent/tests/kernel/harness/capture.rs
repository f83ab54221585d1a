use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::output::Output;
use super::{INFERNOSIM, Netns, PATIENCE, REMOVED, Recording, program, require_root};

/// A command to be run, under capture or as it is.
pub struct Capture {
    command: Vec<OsString>,
    options: Vec<OsString>,
    prefix: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    stdin: Vec<u8>,
    place: TempDir,
    incident: PathBuf,
}

/// What a process came to, without us.
#[derive(Debug, PartialEq, Eq)]
pub struct Native {
    /// As a shell gives it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A capture that has ended.
pub struct Finished {
    /// As a shell gives it.
    pub code: i32,
    pub stdout: String,
    /// Of CMD and of infernosim.
    pub stderr: String,
    /// The most memory that infernosim held, without the tap's ring.
    pub peak_rss_kib: u64,
    pub incident: PathBuf,
    place: Arc<TempDir>,
}

/// A capture that goes on.
pub struct Running {
    child: Child,
    pub stdin: Option<ChildStdin>,
    pub stdout: Output,
    pub stderr: Output,
    pub incident: PathBuf,
    peak_rss_kib: Arc<AtomicU64>,
    place: Option<TempDir>,
}

impl Capture {
    /// Of this command; its first word is looked for in PATH.
    pub fn of(command: &[&str]) -> Self {
        require_root();
        let mut command: Vec<OsString> = command.iter().map(OsString::from).collect();
        command[0] = program(command[0].to_str().unwrap()).into();
        Self::exactly(command)
    }

    /// Of this command, which need not exist.
    pub fn exactly(command: Vec<OsString>) -> Self {
        let place = TempDir::with_prefix("infernosim-test-").unwrap();
        let incident = place.path().join("incident");
        Self {
            command,
            options: Vec::new(),
            prefix: Vec::new(),
            environment: Vec::new(),
            stdin: Vec::new(),
            place,
            incident,
        }
    }

    /// Of what runs already, named by options: `--pid` and its like.
    pub fn attached(target: &[&str]) -> Self {
        require_root();
        Self::exactly(Vec::new()).option(target)
    }

    /// Of a Python program.
    pub fn python(script: &str, arguments: &[&str]) -> Self {
        let mut command = vec![super::PYTHON, "-c", script];
        command.extend(arguments);
        Self::of(&command)
    }

    /// An option of `infernosim capture`, with its value.
    pub fn option(mut self, option: &[&str]) -> Self {
        self.options.extend(option.iter().map(OsString::from));
        self
    }

    /// A variable of the environment that infernosim is started in.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// What stands on standard input, then its end.
    pub fn stdin(mut self, bytes: &[u8]) -> Self {
        self.stdin = bytes.to_vec();
        self
    }

    /// Everything happens in this network namespace.
    pub fn within(self, netns: &Netns) -> Self {
        let net = format!("--net={}", netns.path());
        self.through(&[program("nsenter").to_str().unwrap(), &net, "--"])
    }

    /// Started by a command that takes a command and execs it.
    pub fn through(mut self, prefix: &[&str]) -> Self {
        self.prefix.extend(prefix.iter().map(OsString::from));
        self
    }

    /// Where the incident goes.
    pub fn into(mut self, incident: &Path) -> Self {
        self.incident = incident.to_owned();
        self
    }

    /// The same command, started the same way, without us.
    pub fn native(&self) -> Native {
        let mut child = self.start_command(&self.command);
        let mut stdin = child.stdin.take().unwrap();
        let _ = stdin.write_all(&self.stdin);
        drop(stdin);
        let (out, err) = (Output::of(child.stdout.take().unwrap()), Output::of(child.stderr.take().unwrap()));
        let code = wait(&mut child, PATIENCE).unwrap_or_else(|| {
            let _ = child.kill();
            panic!("{:?} hangs without us:\n{}{}", self.command, out.so_far(), err.so_far())
        });
        Native { code, stdout: lossy(&out.all()), stderr: lossy(&err.all()) }
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Finished {
        let stdin = std::mem::take(&mut self.stdin);
        let mut running = self.start();
        let mut pipe = running.stdin.take().unwrap();
        // CMD may end without having read it.
        let _ = pipe.write_all(&stdin);
        drop(pipe);
        running.finish()
    }

    /// Runs it, expects CMD to end with 0 and nothing to be lost, and gives what was recorded.
    pub fn record(self) -> Recording {
        let finished = self.run();
        assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
        finished.recording()
    }

    /// Starts it; standard input stays open.
    pub fn start(self) -> Running {
        let mut words: Vec<OsString> = vec![INFERNOSIM.into(), "capture".into(), "--incident".into()];
        words.push(self.incident.clone().into());
        words.extend(self.options.iter().cloned());
        if !self.command.is_empty() {
            words.push("--".into());
            words.extend(self.command.iter().cloned());
        }
        let mut child = self.start_command(&words);
        let stdin = child.stdin.take();
        let stdout = Output::of(child.stdout.take().unwrap());
        let stderr = Output::of(child.stderr.take().unwrap());
        let peak_rss_kib = Arc::new(AtomicU64::new(0));
        let (pid, peak) = (child.id(), Arc::clone(&peak_rss_kib));
        std::thread::spawn(move || watch_memory(pid, &peak));
        let (incident, place) = (self.incident, Some(self.place));
        Running { child, stdin, stdout, stderr, incident, peak_rss_kib, place }
    }

    fn start_command(&self, words: &[OsString]) -> Child {
        let mut words = self.prefix.iter().chain(words);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in REMOVED {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.place.path());
        command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }
}

impl Finished {
    /// What was recorded, which must be whole.
    pub fn recording(&self) -> Recording {
        let recording = Recording::read(&self.incident).keeping(&self.place);
        recording.assert_whole();
        recording
    }
}

impl Running {
    /// The process id of infernosim.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the line that says that nothing is missed from here on.
    pub fn ready(self) -> Self {
        self.stderr.line("infernosim: capturing");
        self
    }

    /// The process id of CMD.
    pub fn target_pid(&self) -> u32 {
        let manifest = Recording::read_manifest(&self.incident);
        u32::try_from(manifest["target"]["pid"].as_u64().unwrap()).unwrap()
    }

    /// Writes a line to CMD.
    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Writes a line to CMD and gives the next one of its own that begins with `start`.
    pub fn ask(&mut self, line: &str, start: &str) -> String {
        self.say(line);
        self.stdout.line(start)
    }

    /// Sends infernosim a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Waits for infernosim alone, which died of a signal; CMD may live on.
    pub fn wait_for_death(&mut self) -> i32 {
        wait(&mut self.child, PATIENCE).expect("infernosim outlived a signal")
    }

    /// Ends standard input and waits for the end of it all.
    pub fn finish(mut self) -> Finished {
        drop(self.stdin.take());
        self.wait_for_end()
    }

    /// Waits for the end of it all; standard input stays open.
    pub fn wait_for_end(mut self) -> Finished {
        let patience = if super::long() { PATIENCE * 8 } else { PATIENCE * 2 };
        let code = wait(&mut self.child, patience).unwrap_or_else(|| {
            panic!("the capture hangs:\n{}\n{}", self.stdout.so_far(), self.stderr.so_far())
        });
        Finished {
            code,
            stdout: lossy(&self.stdout.all()),
            stderr: lossy(&self.stderr.all()),
            peak_rss_kib: self.peak_rss_kib.load(Ordering::Relaxed),
            incident: self.incident.clone(),
            place: Arc::new(self.place.take().unwrap()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // CMD first: it outlives infernosim, and its process id is its own while its cgroup says so.
        let manifest = std::fs::read_to_string(self.incident.join("incident.json")).unwrap_or_default();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap_or_default();
        if let Some(pid) = manifest["target"]["pid"].as_i64() {
            let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            if cgroup.contains(&format!("infernosim-{}", self.child.id())) {
                let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The exit status as a shell gives it, if it comes in time.
pub(super) fn wait(child: &mut Child, patience: Duration) -> Option<i32> {
    let started = Instant::now();
    while started.elapsed() < patience {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.code().unwrap_or_else(|| 128 + status.signal().unwrap()));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    None
}

/// RssAnon: the pages of the tap's ring, which are mapped, are the kernel's and of a size that the user chose. What was
/// held for less than the time between two looks is missed.
pub(super) fn watch_memory(pid: u32, peak: &AtomicU64) {
    while let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) {
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let Some(kib) = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()) else { return };
        peak.fetch_max(kib, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
