//! Following an incident while it is captured.

use std::io::{self, Write};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::{List, Stop};
use crate::error::{Exit, ExpectedError};
use crate::incident::reader::{Events, Incident};

/// How often the logs are looked at. The writer flushes every 200 ms, so looking more often shows no more.
const INTERVAL_MS: u8 = 100;

/// Prints events as they come, until the manifest says that the capture has ended; the last events are left in
/// `events`. Ctrl-C ends it too, as does a reader that goes away, with `Stop::Unread`.
pub(super) fn to_the_end(
    mut incident: Incident,
    events: &mut Events,
    list: &mut List<'_>,
    out: &mut impl Write,
) -> Result<Incident, Stop> {
    let waiter = Waiter::new()?;
    loop {
        // The manifest first: what it calls closed was written whole before.
        let closed = incident.refresh()?.is_some_and(|manifest| manifest.closed);
        if closed {
            events.stop_following();
            return Ok(incident);
        }
        list.drain(events, out)?;
        out.flush()?;
        if waiter.interrupted()? {
            return Err(Stop::Unread);
        }
    }
}

/// Waits for the next look.
struct Waiter {
    interrupt: SignalFd,
}

impl Waiter {
    /// From here on SIGINT no longer ends the process.
    fn new() -> Result<Self, Stop> {
        let open = || {
            let mut signals = SigSet::empty();
            signals.add(Signal::SIGINT);
            signals.thread_block()?;
            SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        };
        let interrupt = open().map_err(|e| fail(&e))?;
        Ok(Self { interrupt })
    }

    /// Waits an interval. `true`: Ctrl-C came, or nobody reads the output any more.
    fn interrupted(&self) -> Result<bool, Stop> {
        let stdout = io::stdout();
        // No events asked for: of standard output only its errors are told.
        let mut fds = [
            PollFd::new(self.interrupt.as_fd(), PollFlags::POLLIN),
            PollFd::new(stdout.as_fd(), PollFlags::empty()),
        ];
        match poll(&mut fds, PollTimeout::from(INTERVAL_MS)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(fail(&e)),
        }
        Ok(fds.iter().any(|fd| fd.revents().is_some_and(|events| !events.is_empty())))
    }
}

fn fail(e: &Errno) -> Stop {
    ExpectedError::new(Exit::Host, format!("signals cannot be waited for: {}", e.desc())).into()
}
