use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{INFERNOSIM, Output, PATIENCE, REMOVED, Recording, Wire, eventually};

/// Where our processes run and write; removed when dropped.
pub struct Folder {
    place: TempDir,
}

/// One of our two commands, serving.
pub struct Running {
    child: Child,
    pub stdout: Output,
    pub stderr: Output,
    /// Where it listens, IPv4.
    pub addr: SocketAddr,
}

/// What it came to.
#[derive(Debug)]
pub struct Ended {
    /// As a shell gives it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Folder {
    pub fn new() -> Self {
        Self { place: TempDir::with_prefix("infernosim-test-").unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.place.path()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// `infernosim proxy` in here, on a port of the kernel's choice.
    pub fn proxy(&self, options: &[&str]) -> Running {
        self.start(&[&["proxy", "--listen", ":0"], options].concat())
    }

    /// `infernosim inbound` in here, before `forward`.
    pub fn inbound(&self, forward: impl ToString, options: &[&str]) -> Running {
        let forward = forward.to_string();
        self.start(&[&["inbound", "--listen", ":0", "--forward", &forward], options].concat())
    }

    /// Starts our binary in here, and waits until it is ready.
    pub fn start(&self, words: &[&str]) -> Running {
        self.start_as(INFERNOSIM, words)
    }

    /// Starts a program that becomes our binary in here, and waits until it is ready.
    pub fn start_as(&self, name: &str, words: &[&str]) -> Running {
        let mut child = self.command_as(name, words).spawn().unwrap();
        let stdout = Output::of(child.stdout.take().unwrap());
        let stderr = Output::of(child.stderr.take().unwrap());
        let ready = stderr.line("infernosim: capturing");
        let (_, rest) = ready.split_once("http://").unwrap();
        let addr = rest.split(' ').next().unwrap().parse().unwrap();
        Running { child, stdout, stderr, addr }
    }

    /// Runs our binary in here to its end.
    pub fn run(&self, words: &[&str]) -> Ended {
        let mut child = self.command(words).spawn().unwrap();
        let stdout = Output::of(child.stdout.take().unwrap());
        let stderr = Output::of(child.stderr.take().unwrap());
        Ended { code: wait(&mut child), stdout: lossy(&stdout.all()), stderr: lossy(&stderr.all()) }
    }

    /// Our binary, to be started in here.
    pub fn command(&self, words: &[&str]) -> Command {
        self.command_as(INFERNOSIM, words)
    }

    /// Another program, to be started in here.
    pub fn command_as(&self, name: &str, words: &[&str]) -> Command {
        let mut command = Command::new(name);
        command.args(words).current_dir(self.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in REMOVED {
            command.env_remove(name);
        }
        command
    }

    /// What one of them recorded, which must be whole.
    pub fn recorded(&self, log: &'static str) -> Recording {
        let recording = Recording::of(self.path(), &[log]);
        recording.assert_whole();
        recording
    }

    /// What both recorded, which must be whole.
    pub fn both(&self) -> Recording {
        let recording = Recording::read(self.path());
        recording.assert_whole();
        recording
    }

    /// The log as it is now.
    pub fn text(&self, log: &str) -> String {
        fs::read_to_string(self.join(log)).unwrap_or_default()
    }

    /// Waits until the log has so many whole lines.
    pub fn lines(&self, log: &str, count: usize) -> Vec<serde_json::Value> {
        let text = || self.text(log);
        eventually(&format!("{log} has {count} lines"), || text().matches('\n').count() >= count);
        text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Running {
    /// As a client names it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has run so far, in hundredths of a second (proc_pid_stat(5): utime and stime, the 14th and 15th).
    pub fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2);
        fields.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }

    /// A connection to it.
    pub fn connect(&self) -> Wire {
        let stream = std::net::TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE / 2)).unwrap();
        Wire::new(stream)
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Ends it in order.
    pub fn end(self) -> Ended {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Ends it in order; nothing may have been lost.
    pub fn stop(self) -> String {
        let ended = self.end();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert_eq!(ended.stdout, "");
        ended.stderr
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Ended {
        let code = wait(&mut self.child);
        Ended { code, stdout: lossy(&self.stdout.all()), stderr: lossy(&self.stderr.all()) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait(child: &mut Child) -> i32 {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
        }
        if started.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("infernosim hangs");
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
