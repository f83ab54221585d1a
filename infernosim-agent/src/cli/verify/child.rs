//! Another of us: `capture` and `replay` as a user runs them, so that what is verified is what users get.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, getegid, geteuid};

use crate::capture::command::Command;
use crate::capture::signals::Signals;
use crate::clock;
use crate::error::{Exit, ExpectedError, Result};
use crate::target::{Identity, Inheritance, Launcher, Streams};

/// The program that runs, even where its file has been replaced meanwhile.
const OURSELVES: &str = "/proc/self/exe";
/// How often it is looked whether a line is there, in ms.
const LOOK_MS: u16 = 5;
/// At most so much of what a child wrote is read, in bytes.
const MOST: u64 = 64 << 20;
/// A child that is told to end takes at most so long, in ns: a capture drains for ten seconds.
const PATIENCE_NS: u64 = 15_000_000_000;

/// A child, which ends when this is dropped, or when we die.
pub struct Child {
    command: Command,
    pid: Pid,
    printed: File,
    said: File,
    /// What it launched dies with it.
    _launcher: Launcher,
}

impl Child {
    /// Starts it. `signals` is the mask that it is to have.
    ///
    /// # Errors
    /// `Exit::Host` if there is no process, descriptor or memory.
    pub fn start(arguments: Vec<OsString>, signals: SigSet) -> Result<Self> {
        let mut command = vec![OsString::from(OURSELVES)];
        command.extend(arguments);
        let (uid, gid) = (geteuid(), getegid());
        let identity = Identity { uid, gid, groups: Vec::new(), account: None, switch: false };
        let open_files = getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| failed(error.into()))?;
        let launcher = Launcher::start(&command, None, &identity, Inheritance { open_files, signals })?;
        let (printed, said) = (file()?, file()?);
        let copy = |file: &File| file.try_clone().map(OwnedFd::from).map_err(failed);
        let input = File::open("/dev/null").map_err(failed)?.into();
        let launched =
            launcher.launch(Streams { input, output: copy(&printed)?, error: copy(&said)? })?.go()?;
        Ok(Self { pid: launched.pid, command: Command::new(launched), printed, said, _launcher: launcher })
    }

    /// Waits until it says a line that begins like this. False if it ended before, or the user wants no more.
    pub fn says(&mut self, beginning: &str, signals: &Signals) -> Result<bool> {
        loop {
            let ended = self.command.status().is_some();
            if self.said()?.lines().any(|line| line.starts_with(beginning)) {
                return Ok(true);
            }
            if ended || signals.wait(self.command.ended_fd(), Some(LOOK_MS)).is_some() {
                return Ok(false);
            }
        }
    }

    /// Waits for its end; its status as a shell gives it.
    ///
    /// # Errors
    /// `Exit::Incident` if the user ended it, and us.
    pub fn wait(&mut self, signals: &Signals) -> Result<i32> {
        let mut interrupted = false;
        loop {
            match self.command.status() {
                Some(_) if interrupted => return Err(super::interrupted()),
                Some(status) => return Ok(status),
                None => {}
            }
            if let Some(received) = signals.wait(self.command.ended_fd(), None) {
                interrupted = true;
                self.command.forward(received);
            }
        }
    }

    /// Tells it to end, and waits for that.
    pub fn end(&mut self, signals: &Signals) -> Result<i32> {
        if self.command.status().is_none() {
            let _ = kill(self.pid, Signal::SIGTERM);
        }
        self.wait(signals)
    }

    /// What it wrote to stdout until now.
    pub fn printed(&self) -> Result<String> {
        read(&self.printed)
    }

    /// What it wrote to stderr until now.
    pub fn said(&self) -> Result<String> {
        read(&self.said)
    }

    /// Why it did not do what it was to do: the error that it told as JSON, or else all that it said.
    pub fn error(&self, status: i32) -> ExpectedError {
        let said = self.said().unwrap_or_default();
        let exit = exit_of(status);
        let Some(told) = said.lines().rev().find_map(told) else {
            let sentence = format!("infernosim itself ended with status {status}: {}", said.trim());
            return ExpectedError::new(exit, sentence);
        };
        ExpectedError { help: told.1, ..ExpectedError::new(exit, told.0) }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let began = clock::now();
        if self.command.status().is_none() {
            let _ = kill(self.pid, Signal::SIGTERM);
        }
        while self.command.status().is_none() && clock::now().since(began) < PATIENCE_NS {
            std::thread::sleep(std::time::Duration::from_millis(LOOK_MS.into()));
        }
        // It is not reaped yet: its number is still its own.
        if self.command.status().is_none() {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
    }
}

/// `{"error": …, "help": …}`.
fn told(line: &str) -> Option<(String, Option<String>)> {
    let told: serde_json::Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| told.get(name)?.as_str().map(str::to_owned);
    Some((text("error")?, text("help")))
}

fn exit_of(status: i32) -> Exit {
    let known = [Exit::Fail, Exit::Usage, Exit::Host, Exit::Incident, Exit::NotExecutable, Exit::NotFound];
    known.into_iter().find(|exit| *exit as i32 == status).unwrap_or(Exit::Bug)
}

/// In memory (memfd_create(2)): on a disk that is full its words would be lost, and we would wait for them for ever.
fn file() -> Result<File> {
    let made = memfd_create(c"infernosim", MFdFlags::MFD_CLOEXEC);
    made.map(File::from).map_err(|error| failed(error.into()))
}

/// From its beginning. Not by read(2): that would move the place where the child writes, which it shares with us.
fn read(file: &File) -> Result<String> {
    let length = file.metadata().map_err(failed)?.len().min(MOST);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    // It only grows.
    file.read_exact_at(&mut bytes, 0).map_err(failed)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn failed(error: std::io::Error) -> ExpectedError {
    ExpectedError::new(Exit::Host, format!("cannot run another infernosim: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_read_as_it_is_told() {
        let line = r#"{"error":"no such thing","help":null,"exit":4}"#;
        assert_eq!(told(line), Some(("no such thing".to_owned(), None)));
        assert_eq!(told("infernosim: replaying x"), None);
        assert_eq!(exit_of(4), Exit::Incident);
        assert_eq!(exit_of(139), Exit::Bug);
    }
}
