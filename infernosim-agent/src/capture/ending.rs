use super::presence::Presence;
use super::signals::{Received, Signals};
use crate::clock;
use crate::proxy::Relays;
use crate::target::Scope;

/// How often the end is looked for while draining.
const LOOK_MS: u16 = 10;
/// Where no process of the target is left, nobody waits for answers: so long a dependency may still take to
/// close its side, and the kernel to send what the target had written, in ns.
pub const DEPARTED_NS: u64 = 1_000_000_000;

/// A process that has ended leaves its cgroup a moment after its parent is told: so long it is waited for, in ns.
const LEAVING_NS: u64 = 30_000_000;

/// Whether no process of the target is left; with `ended`, the last one may still be about to leave.
pub fn is_departed(presence: &Presence, scope: &Scope, ended: bool) -> bool {
    let began = clock::now();
    while !presence.is_gone(scope) {
        if !ended || clock::now().since(began) >= LEAVING_NS {
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
