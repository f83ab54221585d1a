use super::presence::Presence;
use super::recorder::Busy;
use super::signals::{Received, Signals};
use crate::clock;
use crate::proxy::Relays;
use crate::target::Scope;

/// How often the end is looked for while draining.
const LOOK_MS: u16 = 10;
/// Where no process of the target is left, nobody waits for answers: so long a dependency may still take to
/// close its side, in ns.
const DEPARTED_NS: u64 = 1_000_000_000;

/// The sockets of a process that has ended go on sending what it gave them. Waits until all that clients were being
/// answered is there, at most `limit_ns`; a signal ends that, too.
pub fn await_answers(busy: &Busy, limit_ns: u64, signals: &Signals) {
    let began = clock::now();
    while busy.connections() > 0 && clock::now().since(began) < limit_ns {
        if signals.wait(None, Some(LOOK_MS)).is_some() {
            return;
        }
    }
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
