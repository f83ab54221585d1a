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

/// What the kernel half refused of the connects to an address. It counts down before we hear of it, and a connection that it
/// let through may be accepted before those refusals are told: they come first all the same.
#[derive(Debug, Default)]
pub struct Refusals {
    /// The countdown that it was given last; 0 where that is over.
    countdown: u32,
    /// Those that had been counted by then.
    before: u64,
    /// Those that were counted, and those that were told of.
    counted: u64,
    told: u64,
}

/// Addresses of which that is kept.
const MOST_ADDRESSES: usize = 1 << 16;

/// What the kernel half was told is so no more.
pub fn untell(shared: &Shared) {
    shared.refusals().values_mut().for_each(|it| it.countdown = 0);
    shared.verdicts().clear();
}

/// A connection was accepted, and is to be counted behind what was refused before.
pub fn before_accepted(shared: &Shared, address: SocketAddr) {
    let (news, _) = catch_up(shared, address, false);
    (0..news).for_each(|_| shared.count_refused(address));
}

/// One was made there, and counted: what becomes of the next ones.
pub fn accepted(shared: &Shared, address: SocketAddr) {
    if shared.refusals().get(&address).is_none_or(|it| it.countdown == 0) {
        tell(shared, address);
    }
}

/// One was refused there.
pub fn refused(shared: &Shared, address: SocketAddr) {
    let (news, is_over) = catch_up(shared, address, true);
    (0..news).for_each(|_| shared.count_refused(address));
    if is_over {
        tell(shared, address);
    }
}

/// How many refusals are to be counted now, and whether no countdown is under way.
fn catch_up(shared: &Shared, address: SocketAddr, told: bool) -> (u64, bool) {
    let mut all = shared.refusals();
    if all.len() >= MOST_ADDRESSES && !all.contains_key(&address) {
        return (u64::from(told), true);
    }
    let it = all.entry(address).or_default();
    let counted = it.counted;
    it.told += u64::from(told);
    if it.countdown > 0 {
        let left = shared.verdicts().left(VerdictKey::Address(address)).unwrap_or(0);
        it.counted = it.counted.max(it.before + u64::from(it.countdown.saturating_sub(left)));
        if left == 0 {
            it.countdown = 0;
        }
    }
    it.counted = it.counted.max(it.told);
    (it.counted - counted, it.countdown == 0)
}

fn tell(shared: &Shared, address: SocketAddr) {
    let candidates = shared.candidates(address);
    let names: Vec<&str> = candidates.iter().map(String::as_str).collect();
    let key = VerdictKey::Address(address);
    // Full maps only make what is refused be reset instead.
    match verdict(shared, &names, Some(address.port())) {
        Some(verdict) => {
            if let Some(it) = shared.refusals().get_mut(&address) {
                (it.countdown, it.before) = (verdict.times, it.counted);
            } else if verdict.times > 0 {
                let it = Refusals { countdown: verdict.times, ..Refusals::default() };
                shared.refusals().insert(address, it);
            }
            drop(shared.verdicts().set(key, verdict));
        }
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
