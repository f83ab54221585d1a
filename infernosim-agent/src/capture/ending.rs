use crate::clock;
use crate::proxy::Relay;
use crate::target::Cgroup;

use super::command::Command;
use super::signals::Signals;

/// How often the end is looked for while draining.
const LOOK_MS: u16 = 10;
/// Where no process of the target is left, nobody waits for answers: so long a dependency may still take to
/// close its side, in ns.
const DEPARTED_NS: u64 = 1_000_000_000;

/// Relays what is open until it ends, at most `limit_ns`; a second signal ends it at once. Returns how many
/// connections were cut.
pub fn drain(relay: &Relay, limit_ns: u64, cgroup: &Cgroup, signals: &Signals, command: &mut Command) -> u64 {
    relay.drain();
    let began = clock::now();
    while !relay.is_finished() {
        let waited = clock::now().since(began);
        let departed = waited >= DEPARTED_NS && cgroup.is_empty();
        let forced = signals.wait(None, Some(LOOK_MS)).inspect(|received| command.forward(*received));
        if forced.is_some() || departed || waited >= limit_ns {
            let cut = relay.active();
            relay.abandon();
            return cut;
        }
    }
    0
}
