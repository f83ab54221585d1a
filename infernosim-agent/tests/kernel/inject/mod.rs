//! `infernosim inject`: real clients, real servers, and faults between them.

mod chances;
mod clients;
mod connects;
mod ledgers;
mod older;
mod open;
mod running;
mod streams;
mod surroundings;
mod toxiproxy;

use std::path::Path;
use std::process::{Child, Command, Output as Ended, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Daemon, INFERNOSIM, Output, program, require_root};

/// `infernosim inject` with these options against a command.
fn inject(options: &[&str], command: &[&str]) -> Ended {
    require_root();
    let mut inject = Command::new(INFERNOSIM);
    inject.arg("inject").args(options);
    if !options.contains(&"--seed") {
        inject.args(["--seed", "7"]);
    }
    if !command.is_empty() {
        inject.arg("--").arg(program(command[0])).args(&command[1..]);
    }
    inject.stdin(Stdio::null()).output().unwrap()
}

/// A server that keeps its data in this directory.
fn redis(dir: &Path) -> Daemon {
    let dir = dir.to_str().unwrap().to_owned();
    Daemon::start("redis-server", |port| {
        let port = port.to_string();
        ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--dir", &dir].map(str::to_owned).to_vec()
    })
}

fn out(ended: &Ended) -> String {
    String::from_utf8_lossy(&ended.stdout).into_owned()
}

fn err(ended: &Ended) -> String {
    String::from_utf8_lossy(&ended.stderr).into_owned()
}

/// A session that goes on; it is ended with this.
struct Session {
    child: Child,
    stdin: Option<std::process::ChildStdin>,
    stdout: Output,
    stderr: Output,
}

impl Session {
    fn start(options: &[&str], command: &[&str]) -> Self {
        let mut inject = Command::new(INFERNOSIM);
        inject.args(["inject", "--seed", "7"]).args(options);
        if !command.is_empty() {
            inject.arg("--").arg(program(command[0])).args(&command[1..]);
        }
        Self::of(inject)
    }

    /// Of a command line.
    fn of(mut inject: Command) -> Self {
        inject.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = inject.spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = Output::of(child.stdout.take().unwrap());
        let stderr = Output::of(child.stderr.take().unwrap());
        let session = Self { child, stdin, stdout, stderr };
        session.stderr.line("infernosim: injecting");
        session
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    fn end(mut self) -> (i32, String) {
        drop(self.stdin.take());
        self.signal(Signal::SIGTERM);
        let status = self.child.wait().unwrap();
        (status.code().unwrap_or(-1), String::from_utf8_lossy(&self.stderr.all()).into_owned())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
