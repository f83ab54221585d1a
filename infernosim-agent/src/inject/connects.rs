//! Tells the kernel half ahead what becomes of connects, which it decides before we hear of them.
//!
//! What cannot be told ahead (a destination that nobody looked up, a rule whose turns are not the first ones) comes to us
//! like all else, and is reset, or left without an answer, after it was accepted.

use std::net::{IpAddr, SocketAddr};

use super::shared::{Shared, connect};
use crate::fault::Effect;
use crate::redirect::{Action, Verdict, VerdictKey};

/// So many connects are looked ahead.
const AHEAD: usize = 256;
/// Ports that are asked about besides those that rules name, and those to which somebody has connected.
const USUAL_PORTS: [u16; 2] = [80, 443];

/// Of those to destinations without a name.
pub fn tell_of_any(shared: &Shared) {
    if let Some(verdict) = verdict(shared, &[], None)
        && verdict.times == 0
    {
        let _ = shared.verdicts().set(VerdictKey::AnyAddress(0), verdict);
    }
}

/// Of those to an address.
pub fn tell_of(shared: &Shared, address: IpAddr) {
    for port in USUAL_PORTS.into_iter().chain(shared.rules.ports()) {
        tell(shared, SocketAddr::new(address, port));
    }
    let candidates = shared.candidates(SocketAddr::new(address, 80));
    let names: Vec<&str> = candidates.iter().map(String::as_str).collect();
    if let Some(verdict) = verdict(shared, &names, None)
        && verdict.times == 0
    {
        // Whatever the port.
        let _ = shared.verdicts().set(VerdictKey::Address(SocketAddr::new(address, 0)), verdict);
    }
}

/// One was made there: what becomes of the next ones.
pub fn connected(shared: &Shared, address: SocketAddr) {
    tell(shared, address);
}

fn tell(shared: &Shared, address: SocketAddr) {
    let candidates = shared.candidates(address);
    let names: Vec<&str> = candidates.iter().map(String::as_str).collect();
    let key = VerdictKey::Address(address);
    // Full maps only make what is refused be reset instead.
    match verdict(shared, &names, Some(address.port())) {
        Some(verdict) => drop(shared.verdicts().set(key, verdict)),
        None if shared.verdicts().left(key).is_some() => {
            drop(shared.verdicts().set(key, Verdict::always(Action::Stub)));
        }
        None => {}
    }
}

fn verdict(shared: &Shared, names: &[&str], port: Option<u16>) -> Option<Verdict> {
    in_a_row(&shared.rules.ahead(&connect(names, port), AHEAD))
}

/// What the kernel half can be told of these: the first so many of them one thing, then the other. None if it has nothing to
/// do, or another order than that.
fn in_a_row(ahead: &[Vec<Effect>]) -> Option<Verdict> {
    let actions: Vec<Action> = ahead.iter().map(|effects| action(effects)).collect();
    let first = *actions.first()?;
    if first == Action::Stub {
        return None;
    }
    let times = actions.iter().take_while(|action| **action == first).count();
    if times == actions.len() {
        return Some(Verdict::always(first));
    }
    Some(Verdict { first, times: u32::try_from(times).ok()?, then: Action::Stub })
}

fn action(effects: &[Effect]) -> Action {
    for effect in effects {
        match effect {
            Effect::Refuse => return Action::Refuse,
            Effect::Blackhole => return Action::Hang,
            _ => {}
        }
    }
    Action::Stub
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ones_are_told_ahead() {
        let (no, yes) = (Vec::new(), vec![Effect::Refuse]);
        let refuse = |times| Verdict { first: Action::Refuse, times, then: Action::Stub };
        assert_eq!(in_a_row(&[]), None);
        assert_eq!(in_a_row(&[no.clone(), yes.clone()]), None);
        assert_eq!(in_a_row(&[yes.clone(), yes.clone(), no.clone(), yes.clone()]), Some(refuse(2)));
        assert_eq!(in_a_row(&[yes.clone(), yes]), Some(Verdict::always(Action::Refuse)));
        let silent = vec![Effect::Delay(1), Effect::Blackhole];
        assert_eq!(in_a_row(&[silent]), Some(Verdict::always(Action::Hang)));
        assert_eq!(in_a_row(&[vec![Effect::Delay(1)], no]), None);
    }
}
