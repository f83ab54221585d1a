//! The target of the runs: started, waited for, looked at, ended.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd as _;

use super::{READY_LOOK_MS, Runs};
use crate::capture::setup::follow_all;
use crate::capture::signals::Signals;
use crate::clock;
use crate::error::{Exit, ExpectedError, Result};
use crate::replay::chosen::Chosen;
use crate::replay::driver::Bases;
use crate::replay::ready;
use crate::replay::seen::{Answer, End, Outcome, Run};
use crate::replay::session::{Session, Target, locked};
use crate::target::{Launched, Written};

/// How long a target may take until it listens, in ns.
const READY_NS: u64 = 60_000_000_000;
/// Where the original tool's inbound proxy listened, for recordings that do not tell.
const USUAL_PORT: u16 = 18_080;
/// A CMD that is told to end gets so long, in ns.
const PATIENCE_NS: u64 = 5_000_000_000;

impl Runs<'_, '_> {
    pub fn target_runs(&self) -> bool {
        !self.session.launches() || self.launched.is_some()
    }

    pub fn start_target(&mut self, run: u32) -> Result<()> {
        let Session { target: Some(target), chosen, options, .. } = &mut *self.session else { return Ok(()) };
        let Target { launcher: Some(launcher), output: Some(output), scope, redirect, targets, .. } = target
        else {
            return Ok(());
        };
        if options.base.is_none() {
            ready::check_free(&chosen.ports)?;
            if self.claim.is_empty() {
                self.claim = ready::claim(&chosen.ports)?;
            }
        }
        let (streams, written) = output.begin(&format!("--- run {run}"))?;
        let waiting = launcher.launch(streams)?;
        if scope.is_by_process() {
            let pid = waiting.pid().as_raw().unsigned_abs();
            scope.launched(pid);
            follow_all(scope, None, &mut locked(redirect), targets)?;
        }
        self.launched = Some(waiting.go()?);
        self.written = Some(written);
        Ok(())
    }

    /// Ends CMD, if it is ours; its status.
    pub fn stop_target(&mut self) -> Option<i32> {
        let launched = self.launched.take()?;
        let status = self.session.target.as_ref()?.launcher.as_ref()?.stop(launched, PATIENCE_NS);
        self.written.iter().for_each(Written::wait);
        status
    }

    /// What CMD wrote last to stderr, once it has ended.
    pub fn last_lines(&mut self) -> Vec<String> {
        self.written.take().map(Written::last_lines).unwrap_or_default()
    }

    /// Waits until the target listens. None: the user wants no more.
    pub fn ready(&mut self) -> Result<Option<Bases>> {
        let Self { session, signals, launched, interrupted, .. } = self;
        let base =
            session.options.base.or_else(|| session.target.is_none().then(|| usual_base(&session.chosen)));
        if let Some(base) = base {
            return wait_for_base(base, session, signals, launched.as_ref(), interrupted);
        }
        let target = || session.processes();
        let mut gone = false;
        let ended = launched.as_ref().map(|launched| launched.pidfd.as_fd());
        let mut pause = || {
            if signals.wait([], Some(READY_LOOK_MS)).is_some() {
                *interrupted = true;
            }
            gone = match ended {
                Some(ended) => is_readable(ended),
                None => session.is_gone(),
            };
            !*interrupted && !gone
        };
        let found = ready::wait(&session.chosen.ports, &target, READY_NS, &mut pause)?;
        if gone && found.is_none() {
            return Err(self.never_listened());
        }
        Ok(found.map(|by_port| {
            let default = by_port.values().next().copied();
            let default = default.unwrap_or_else(|| usual_base(&session.chosen));
            Bases { default, by_port }
        }))
    }

    fn never_listened(&mut self) -> ExpectedError {
        let status = self.stop_target();
        let told = status.map_or(String::new(), |status| format!(" with status {status}"));
        let ports: Vec<String> = self.session.chosen.ports.iter().map(ToString::to_string).collect();
        let ports = ports.join(", ");
        let lines = self.last_lines().join("\n  ");
        ExpectedError::new(Exit::Fail, format!("the target ended{told} before it listened on port {ports}"))
            .help(if !self.session.launches() {
                "name its new number once it runs again, or let infernosim start it: infernosim replay … -- CMD"
                    .to_owned()
            } else if !lines.is_empty() {
                lines
            } else if status == Some(0) {
                "a command that puts itself into the background has to be told to stay in the foreground"
                    .to_owned()
            } else {
                "see target.log in the incident".to_owned()
            })
    }

    /// A target that ended under a request has closed its sockets before that end can be seen: only now is it certain to be.
    /// One that had answered all is started again for the next run.
    pub fn look_for_its_end(&mut self, run: &mut Run) {
        if !self.has_ended() {
            return;
        }
        let is_whole = |answer: &Answer| matches!(answer.outcome, Outcome::Answered(_));
        if run.answers.iter().all(is_whole) {
            self.stop_target();
        } else {
            run.end = End::TargetExited(None);
        }
    }

    pub fn has_ended(&self) -> bool {
        match &self.launched {
            Some(launched) => is_readable(launched.pidfd.as_fd()),
            None => self.session.is_gone(),
        }
    }
}

/// Where a target is that was told of our stubs: at the recorded port, on loopback.
fn usual_base(chosen: &Chosen) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, chosen.ports.first().copied().unwrap_or(USUAL_PORT)).into()
}

/// With `--target-base` the target need not be a process that can be looked at: it listens when it can be connected to.
fn wait_for_base(
    base: SocketAddr,
    session: &Session<'_>,
    signals: &Signals,
    launched: Option<&Launched>,
    interrupted: &mut bool,
) -> Result<Option<Bases>> {
    let began = clock::now();
    loop {
        if ready::accepts(base) {
            return Ok(Some(Bases::one(base)));
        }
        if signals.wait([], Some(READY_LOOK_MS)).is_some() {
            *interrupted = true;
            return Ok(None);
        }
        let gone = launched.map_or_else(|| session.is_gone(), |launched| is_readable(launched.pidfd.as_fd()));
        if gone || clock::now().since(began) >= READY_NS {
            return Err(ExpectedError::new(Exit::Fail, format!("the target does not listen on {base}"))
                .help("name where it does with --target-base"));
        }
    }
}

pub fn is_readable(descriptor: std::os::fd::BorrowedFd<'_>) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut looked = [PollFd::new(descriptor, PollFlags::POLLIN)];
    poll(&mut looked, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}
