use std::os::fd::AsFd;

use super::command::Command;
use super::presence::Presence;
use super::signals::{Received, Signals};
use crate::clock::{self, Nanos};
use crate::incident::Full;
use crate::proxy::Relays;
use crate::target::Scope;

/// The longest wait between two looks at what tells no descriptor, in milliseconds.
const LOOK_AGAIN_MS: u16 = 100;
/// How often the end is looked for while draining.
const LOOK_MS: u16 = 10;
/// Where no process of the target is left, nobody waits for answers: so long a dependency may still take to
/// close its side, and the kernel to send what the target had written, in ns.
pub const DEPARTED_NS: u64 = 1_000_000_000;

/// A process that has ended leaves its cgroup a moment after its parent is told: so long it is waited for, in ns.
const LEAVING_NS: u64 = 30_000_000;
/// The same once `cgroup.procs` has nobody any more, where the dead are left out: only the kernel is late then.
const EMPTYING_NS: u64 = 1_000_000_000;

/// What ends a session, unless a signal does.
pub struct Until<'a> {
    /// Who ends, where there is no CMD.
    pub scope: &'a Scope,
    /// Tells so.
    pub presence: &'a Presence,
    /// When it began.
    pub began: Nanos,
    /// How long it goes on, in ns; for ever if none.
    pub duration_ns: Option<u64>,
    /// There is no more room for what is recorded.
    pub full: Option<&'a Full>,
}

impl Until<'_> {
    /// Waits for that: CMD's or the last process's end, the time, no more room, or a signal, which is returned.
    pub fn wait(&self, command: &mut Option<Command>, signals: &Signals) -> Option<Received> {
        loop {
            let left = self.duration_ns.map(|limit| limit.saturating_sub(clock::now().since(self.began)));
            let gone = match command {
                Some(command) => command.status().is_some(),
                None => self.presence.is_gone(self.scope),
            };
            if gone || left == Some(0) || self.full.is_some_and(Full::is) {
                return None;
            }
            let left_ms = left.map(|ns| u16::try_from(ns.div_ceil(1_000_000)).unwrap_or(u16::MAX));
            let wait_ms = match command {
                Some(_) => left_ms,
                None => Some(left_ms.unwrap_or(LOOK_AGAIN_MS).min(LOOK_AGAIN_MS)),
            };
            let ended = command.as_ref().and_then(Command::ended_fd);
            let full = self.full.map(AsFd::as_fd);
            if let Some(received) = signals.wait(ended.into_iter().chain(full), wait_ms) {
                return Some(received);
            }
        }
    }
}

/// Whether no process of the target is left; with `ended`, the last one may still be about to leave.
pub fn is_departed(presence: &Presence, scope: &Scope, ended: bool) -> bool {
    let began = clock::now();
    while !presence.is_gone(scope) {
        let waited = clock::now().since(began);
        if !ended || waited >= EMPTYING_NS || waited >= LEAVING_NS && !scope.processes().is_empty() {
            return false;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    true
}

/// Relays what is open until it ends, at most `limit_ns`; a second signal, which `pass_on` is given, ends it at
/// once. Returns how many connections were cut.
pub fn drain(
    relays: &Relays,
    limit_ns: u64,
    scope: &Scope,
    presence: &Presence,
    signals: &Signals,
    mut pass_on: impl FnMut(Received),
) -> u64 {
    relays.drain();
    let began = clock::now();
    while !relays.is_finished() {
        let waited = clock::now().since(began);
        let departed = waited >= DEPARTED_NS && presence.is_gone(scope);
        let forced = signals.wait(None, Some(LOOK_MS)).inspect(|received| pass_on(*received));
        if forced.is_some() || departed || waited >= limit_ns {
            let cut = relays.active();
            relays.abandon();
            return cut;
        }
    }
    0
}
