use std::os::fd::AsFd as _;

use nix::sys::signal::kill;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::signals::{Received, Signals};
use crate::target::Launched;

/// A launched CMD and what became of it.
pub struct Command {
    launched: Launched,
    status: Option<i32>,
}

impl Command {
    /// A running one.
    pub const fn new(launched: Launched) -> Self {
        Self { launched, status: None }
    }

    /// Readable once it has ended.
    pub fn ended_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.status.is_none().then(|| self.launched.pidfd.as_fd())
    }

    /// Its status as a shell gives it (128 and the signal's number), once it has ended.
    pub fn status(&mut self) -> Option<i32> {
        if self.status.is_none() {
            self.status = match waitpid(self.launched.pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, code)) => Some(code),
                Ok(WaitStatus::Signaled(_, signal, _)) => Some(128 + signal as i32),
                // Somebody else reaped it, which only a bug could.
                Err(nix::errno::Errno::ECHILD) => Some(1),
                _ => None,
            };
        }
        self.status
    }

    /// Waits until it has ended: the end of a session does not end it. Or until another signal comes, which it gets. Its
    /// status, or that of the last signal.
    pub fn outlive(mut self, signals: &Signals, mut signal: Option<Received>) -> i32 {
        while self.status().is_none() {
            if let Some(again) = signals.wait(self.ended_fd(), None) {
                self.forward(again);
                signal = Some(again);
                break;
            }
        }
        self.status().or(signal.map(|received| 128 + received.signal as i32)).unwrap_or(1)
    }

    /// Passes on a signal that only we got.
    pub fn forward(&mut self, received: Received) {
        if received.from_process && self.status().is_none() {
            let _ = kill(self.launched.pid, received.signal);
        }
    }
}
