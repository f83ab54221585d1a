use std::process::{Child, Command, Stdio};

use super::{Output, PYTHON, REMOVED, program};

/// A server that is a program of its own, and says `PORT 1234` when it listens; ended when dropped.
pub struct Program {
    child: Child,
    pub port: u16,
    pub stdout: Output,
}

impl Program {
    /// A Python script.
    pub fn python(script: &str, arguments: &[&str]) -> Self {
        Self::start(PYTHON, &[&["-c", script], arguments].concat())
    }

    pub fn start(name: &str, words: &[&str]) -> Self {
        let mut command = Command::new(program(name));
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        for name in REMOVED {
            command.env_remove(name);
        }
        let mut child = command.spawn().unwrap();
        let stdout = Output::of(child.stdout.take().unwrap());
        let line = stdout.line("PORT ");
        Self { child, port: line["PORT ".len()..].trim().parse().unwrap(), stdout }
    }

    /// As `--forward` and URLs name it.
    pub fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
