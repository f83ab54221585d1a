use std::os::fd::{AsFd as _, BorrowedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::error::{Exit, ExpectedError, Result};

const ENDING: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// The signals that end a capture, read in order instead of interrupting anything.
pub struct Signals {
    descriptor: SignalFd,
}

/// A signal that was sent to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Which.
    pub signal: Signal,
    /// Whether a process sent it to us alone. What a terminal sends (Ctrl-C) has reached CMD already.
    pub from_process: bool,
}

impl Signals {
    /// Blocks them for this thread and those it starts; returns the mask as it was, too. To be called before
    /// any other thread exists, or that one would be interrupted.
    pub fn block() -> Result<(Self, SigSet)> {
        let mask: SigSet = ENDING.into_iter().collect();
        let cannot = |error| ExpectedError::new(Exit::Host, format!("signals cannot be waited for: {error}"));
        let before = SigSet::thread_get_mask().map_err(cannot)?;
        mask.thread_block().map_err(cannot)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let descriptor = SignalFd::with_flags(&mask, flags).map_err(cannot)?;
        Ok((Self { descriptor }, before))
    }

    /// Waits at most `milliseconds` (for ever if `None`) for a signal, or until one of `others` is
    /// readable.
    pub fn wait<'a>(
        &self,
        others: impl IntoIterator<Item = BorrowedFd<'a>>,
        milliseconds: Option<u16>,
    ) -> Option<Received> {
        let mut waiting = vec![PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN)];
        waiting.extend(others.into_iter().map(|other| PollFd::new(other, PollFlags::POLLIN)));
        // An interrupted or failed wait is looked at like one that ended.
        let _ = poll(&mut waiting, milliseconds.map_or(PollTimeout::NONE, PollTimeout::from));
        let info = self.descriptor.read_signal().ok()??;
        let signal = i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok())?;
        // si_code(sigaction(2)): positive for the kernel, zero and below for kill(2) and its kin.
        Some(Received { signal, from_process: info.ssi_code <= 0 })
    }
}
