//! Tells the kernel half ahead what becomes of connects, which it decides before we hear of them.
//!
//! What it can be told is by address and port: a [`Series`] of those that rules are about, of which each connect takes the
//! next place. Where the port is not known (nobody named it, nor connected to it) what becomes of all of them can be told,
//! or of the first ones of whatever port; where chance decides, the first connect there comes to us, and is reset, or left
//! without an answer, after it was accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use infernosim_common::{Fate, Flow};

use super::rules::Hit;
use super::shared::{Shared, connect};
use crate::clock::{self, Nanos};
use crate::fault::{Effect, Faults, Kind, Occasion};
use crate::redirect::{Action, Verdict, VerdictKey, destination, fate};
use crate::replay::stub::Series;

/// Ports that are asked about besides those that rules name, and those to which somebody has connected.
const USUAL_PORTS: [u16; 6] = [80, 443, 3306, 5432, 6379, 8080];
/// Of the latter, so many.
const MOST_PORTS: usize = 32;
/// Of the first connects to a port that is not known yet, so many are told ahead.
const MOST_FIRST: usize = 256;
/// Destinations that are remembered, so that rules that come later are told of them ahead, too.
const MOST_SEEN: usize = 4096;

/// Which connects are of which series.
#[derive(Debug, Default)]
pub struct Connects {
    series: Series,
    /// How many of them the kernel half knows.
    known: u32,
    of: BTreeMap<SocketAddr, Numbered>,
    seen: BTreeSet<SocketAddr>,
    ports: BTreeSet<u16>,
}

/// Connects to an address are of this series: those since then; the ones before that, which may be told of later, are of
/// another or none.
#[derive(Clone, Copy, Debug)]
struct Numbered {
    series: u32,
    since: Nanos,
    before: Option<u32>,
}

/// The rules are others, or other ones hold by the clock: so is what becomes of connects.
pub fn changed(shared: &Shared) {
    shared.verdicts().clear();
    arm(shared, VerdictKey::AnyAddress(0), &[]);
    for address in shared.addresses() {
        tell_of(shared, address);
    }
    let connects = &mut *shared.connects();
    for address in connects.seen.clone() {
        connects.number(shared, address);
    }
    for (series, ahead) in connects.series.fill(shared.rules.faults(), shared.rules.now()) {
        let _ = shared.aheads().set(series, ahead, false);
    }
}

/// What becomes of connects to an address whose name was learned.
pub fn tell_of(shared: &Shared, address: IpAddr) {
    if !shared.rules.concern(Kind::Connect) {
        return;
    }
    let connects = &mut *shared.connects();
    let ports: BTreeSet<u16> =
        USUAL_PORTS.into_iter().chain(shared.rules.ports()).chain(connects.ports.iter().copied()).collect();
    for port in ports {
        connects.number(shared, SocketAddr::new(address, port));
    }
    let candidates = shared.candidates(SocketAddr::new(address, 80));
    let names: Vec<&str> = candidates.iter().map(String::as_str).collect();
    arm(shared, VerdictKey::Address(SocketAddr::new(address, 0)), &names);
}

/// What becomes of connects to what is called so, whatever the port: of all of them, or of the first ones.
fn arm(shared: &Shared, key: VerdictKey, names: &[&str]) {
    if let Some(verdict) = whatever_port(shared.rules.faults(), &shared.rules.timed(&connect(names, None))) {
        // A full map only makes what is refused be reset instead.
        let _ = shared.verdicts().set(key, verdict);
    }
}

fn whatever_port(faults: &Faults, occasion: &Occasion<'_>) -> Option<Verdict> {
    if let Some(action) = action(&faults.always(occasion)) {
        return Some(Verdict::always(action));
    }
    let opening = faults.opening(occasion, MOST_FIRST);
    let first = action(opening.first()?)?;
    let times = opening.iter().take_while(|effects| action(effects) == Some(first)).count();
    Some(Verdict { first, times: u32::try_from(times).unwrap_or(u32::MAX), then: Action::Stub })
}

fn action(effects: &[Effect]) -> Option<Action> {
    effects.iter().find_map(|effect| match effect {
        Effect::Refuse => Some(Action::Refuse),
        Effect::Blackhole => Some(Action::Hang),
        _ => None,
    })
}

/// Whether an accepted connection may have come behind others that failed on purpose and that we have not heard of yet:
/// those are counted first.
pub fn is_behind(shared: &Shared, flow: &Flow) -> bool {
    let address = meant(destination(flow));
    if !shared.rules.concern(Kind::Connect) || shared.connects().has_heard_of(address) {
        return false;
    }
    let candidates = shared.candidates(SocketAddr::new(address.ip(), 80));
    let names: Vec<&str> = candidates.iter().map(String::as_str).collect();
    let occasion = shared.rules.timed(&connect(&names, None));
    whatever_port(shared.rules.faults(), &occasion).is_some_and(|verdict| verdict.times > 0)
}

/// A connection was accepted: what it meets, where the kernel half could not be told ahead. Counts it.
pub fn accepted(shared: &Shared, flow: &Flow) -> Vec<Hit> {
    let address = meant(destination(flow));
    if !shared.rules.concern(Kind::Connect) || told(shared, address, None, Nanos(flow.connected_ns)) {
        see(shared, address);
        return Vec::new();
    }
    let hits = shared.meets_connect(address);
    recount(shared, address);
    see(shared, address);
    hits
}

/// Takes in what the kernel half tells of a connect that did not reach us.
pub fn failed(shared: &Shared, flow: &Flow) {
    let how = match fate(flow) {
        Fate::Refused | Fate::Failed | Fate::RefusedOnPurpose => "ECONNREFUSED",
        Fate::Hung | Fate::HungOnPurpose => "its SYN was swallowed",
        _ => return,
    };
    let address = meant(destination(flow));
    shared.seen.saw(&shared.candidates(address));
    if told(shared, address, Some(how), Nanos(flow.connected_ns)) {
        return;
    }
    for hit in shared.meets_connect(address) {
        if matches!(hit.effect(), Effect::Refuse | Effect::Blackhole) {
            hit.observed(how);
        }
    }
    recount(shared, address);
    see(shared, address);
}

/// A connect was told of; `how` says how it failed on purpose. False where it is of no series.
fn told(shared: &Shared, address: SocketAddr, how: Option<&str>, at: Nanos) -> bool {
    let connects = &mut *shared.connects();
    let Some(it) = connects.of.get(&address) else { return false };
    let Some(series) = (if at >= it.since { Some(it.series) } else { it.before }) else { return false };
    let anew = connects.series.told_of(shared.rules.faults(), series, how, shared.rules.since_began(at));
    if let Some((series, ahead)) = anew {
        let _ = shared.aheads().set(series, ahead, false);
    }
    true
}

/// Somebody connected there: the next ones are told of ahead, to this port of whatever address.
fn see(shared: &Shared, address: SocketAddr) {
    let (is_first, is_news) = {
        let connects = &mut *shared.connects();
        let is_first = connects.seen.len() < MOST_SEEN && connects.seen.insert(address);
        if is_first {
            connects.number(shared, address);
        }
        let is_news = !USUAL_PORTS.contains(&address.port())
            && connects.of.contains_key(&address)
            && connects.ports.len() < MOST_PORTS
            && connects.ports.insert(address.port());
        (is_first, is_news)
    };
    if is_first {
        arm(shared, VerdictKey::AnyAddress(0), &[]);
    }
    if is_news {
        shared.addresses().into_iter().for_each(|address| tell_of(shared, address));
    }
}

/// A connect there was counted that is not of its series: what becomes of the next ones is another.
fn recount(shared: &Shared, address: SocketAddr) {
    let connects = &mut *shared.connects();
    let Some(it) = connects.of.get(&address) else { return };
    if let Some(ahead) = connects.series.fill_one(shared.rules.faults(), it.series, shared.rules.now()) {
        let _ = shared.aheads().set(it.series, ahead, false);
    }
}

impl Connects {
    /// Whether connects there are told of by place, or cannot be.
    fn has_heard_of(&self, address: SocketAddr) -> bool {
        self.of.contains_key(&address) || self.seen.contains(&address) || self.seen.len() >= MOST_SEEN
    }

    /// Gives the connects to an address their series, where a rule is about them.
    fn number(&mut self, shared: &Shared, address: SocketAddr) {
        let candidates = shared.candidates(address);
        let names: Vec<&str> = candidates.iter().map(String::as_str).collect();
        let faults = shared.rules.faults();
        if !faults.chooses(&connect(&names, Some(address.port()))) {
            return;
        }
        let Some(series) = self.series.of(address, &candidates) else { return };
        let before = self.of.get(&address).map(|it| it.series);
        if before == Some(series) {
            return;
        }
        if series >= self.known {
            let ahead = self.series.fill_one(faults, series, shared.rules.now()).unwrap_or_default();
            if shared.aheads().set(series, ahead, true).is_err() {
                return;
            }
            self.known = series + 1;
        }
        // From then on it counts them; what was connected before this moment is not of this series.
        if shared.aheads().number(address, series).is_ok() {
            self.of.insert(address, Numbered { series, since: clock::now(), before });
        }
    }
}

/// The address that connect(2) takes it for.
const fn meant(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip().to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Plan, Rule};

    fn told(rules: &[&str]) -> Option<Verdict> {
        let rules = rules.iter().map(|rule| Rule::parse(rule).unwrap()).collect();
        let faults = Faults::new(Plan { seed: 7, rules });
        faults.begin(true);
        // What was counted at a port says nothing of another.
        faults.decide(&connect(&["a.test:9"], Some(9)));
        whatever_port(&faults, &connect(&["a.test"], None))
    }

    #[test]
    fn of_a_port_that_nobody_knows_the_first_connects_are_told_ahead() {
        let first = |first, times| Some(Verdict { first, times, then: Action::Stub });
        assert_eq!(told(&["dep=a.test refuse first=2"]), first(Action::Refuse, 2));
        assert_eq!(told(&["dep=a.test down at=1-3,5"]), first(Action::Refuse, 3));
        assert_eq!(told(&["blackhole first=1"]), first(Action::Hang, 1));
        assert_eq!(told(&["dep=a.test refuse first=1", "partition at=2"]), first(Action::Refuse, 1));
        assert_eq!(told(&["dep=a.test refuse at=1", "refuse at=2"]), first(Action::Refuse, 2));
        assert_eq!(told(&["dep=a.test refuse"]), Some(Verdict::always(Action::Refuse)));
        assert_eq!(told(&["refuse first=100000"]), first(Action::Refuse, 256));
        for later in [
            "dep=a.test refuse at=2",
            "refuse every=2",
            "dep=b.test refuse first=1",
            "dep=a.test:9 down at=1",
        ] {
            assert_eq!(told(&[later]), None, "{later}");
        }
        // Another one at each port.
        assert_eq!(told(&["dep=a.test refuse p=0.99"]), None);
        assert_eq!(told(&["dep=a.test refuse first=1", "blackhole p=0.5"]), None);
        // Of the port that it says.
        assert_eq!(told(&["dep=a.test site='connect a.test' refuse at=1"]), None);
    }
}
