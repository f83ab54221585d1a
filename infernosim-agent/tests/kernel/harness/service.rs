use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::{Output, PYTHON, eventually, program, require_root};

const SCRIPT: &str = include_str!("service.py");
const STORM: &str = include_str!("storm.py");

/// A Python program that runs before it is captured, and while; ended when dropped, with all its processes.
pub struct Service {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Output,
    /// Its processes by name, as they number themselves.
    pub pids: BTreeMap<String, u32>,
}

/// What one of its processes came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    /// Who asked, as it numbers itself.
    pub pid: u32,
    /// The body of the answer, or the error.
    pub text: String,
}

impl Service {
    /// The one that does as it is told; see `service.py`.
    pub fn start() -> Self {
        Self::through(&[])
    }

    /// The same, started by a command that takes a command and execs it.
    pub fn through(prefix: &[&str]) -> Self {
        Self::run(prefix, &[PYTHON, "-c", SCRIPT])
    }

    /// One whose processes ask without end for `{base}/{worker}/{number}`; see `storm.py`.
    pub fn storm(base: &str, workers: &[&str]) -> Self {
        let mut words = vec![PYTHON, "-c", STORM, base];
        words.extend(workers);
        Self::run(&[], &words)
    }

    /// A program that prints `READY` and pairs `name=pid` when it is ready.
    pub fn run(prefix: &[&str], words: &[&str]) -> Self {
        require_root();
        let mut words = prefix.iter().chain(words);
        let mut command = Command::new(program(words.next().unwrap()));
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), Output::of(child.stdout.take().unwrap()));
        let ready = stdout.line("READY");
        let pairs = ready.split(' ').skip(1).filter_map(|pair| pair.split_once('='));
        let pids = pairs.map(|(name, pid)| (name.to_owned(), pid.parse().unwrap())).collect();
        Self { child, stdin, stdout, pids }
    }

    /// Its first process, as we number it; not where its prefix forks.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// As an argument.
    pub fn pid_text(&self, who: &str) -> String {
        self.pids[who].to_string()
    }

    /// One process asks in one way.
    pub fn ask(&mut self, who: &str, verb: &str, url: &str) -> Said {
        let answer = self.line(&format!("{who} {verb} {url}"), "");
        let (pid, text) = answer.split_once(' ').unwrap_or_else(|| panic!("{who} {verb} {url}: {answer:?}"));
        Said { pid: pid.parse().unwrap(), text: text.to_owned() }
    }

    /// Writes a line and gives the next one of its own that begins with `start`.
    pub fn line(&mut self, line: &str, start: &str) -> String {
        self.say(line);
        self.stdout.line(start)
    }

    /// The next line of its own that begins with `start`.
    pub fn next(&self, start: &str) -> String {
        self.stdout.line(start)
    }

    /// Writes a line.
    pub fn say(&mut self, line: &str) {
        self.stdin.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Ends its standard input, which ends it, and waits for that.
    pub fn end(&mut self) {
        drop(self.stdin.take());
        eventually("the service ends", || self.child.try_wait().unwrap().is_some());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether there is such a process, dead ones that nobody has waited for excepted.
pub fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}
