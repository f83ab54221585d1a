//! Connects that fail on purpose. The kernel half decides before we know of one, so it is told ahead what becomes of the
//! next ones, by the site they are of; each is counted here once it is told of, accepted or failed.
//!
//! Which connect the kernel half took for which occurrence need not be the order in which we hear of them: the firings are
//! the same, and each failure that we hear of makes one of them observed.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use infernosim_common::{AHEAD, Ahead};

use crate::fault::{Effect, Faults, Fired, FiredId, Kind, Occasion};

/// Series of connects, at most; the kernel half has room for so many.
pub const MOST: usize = 1024;
/// So many places behind those that we have heard of stay as they are: connects that the kernel half has yet to count.
const BEHIND: u64 = 128;
/// So many connects of a series are heard of before its places are filled again.
const OFTEN: u64 = 256;

/// The series of all sites.
#[derive(Debug, Default)]
pub struct Series {
    by_site: BTreeMap<String, u32>,
    by_address: BTreeMap<SocketAddr, u32>,
    all: Vec<One>,
}

#[derive(Debug, Default)]
struct One {
    names: Vec<String>,
    port: u16,
    /// Connects that were told of in this run.
    told: u64,
    filled_at: u64,
    ahead: Ahead,
    /// Firings that were not observed yet, and failures that had none yet.
    owed: VecDeque<FiredId>,
    early: u64,
}

impl Series {
    /// The series of the connects to an address that may be called so; none where there are too many.
    pub fn of(&mut self, address: SocketAddr, names: &[String]) -> Option<u32> {
        let port = address.port();
        let called: Vec<&str> = names.iter().map(String::as_str).collect();
        let site = occasion(&called, port, 0).site();
        let next = u32::try_from(self.all.len()).ok()?;
        if !self.by_site.contains_key(&site) && self.all.len() >= MOST {
            return None;
        }
        let series = *self.by_site.entry(site).or_insert(next);
        if series == next {
            self.all.push(One { names: names.to_vec(), port, ..One::default() });
        }
        self.by_address.insert(address, series);
        Some(series)
    }

    /// A run begins: what becomes of the connects of each series.
    pub fn begin(&mut self, faults: &Faults) -> Vec<(u32, Ahead)> {
        for one in &mut self.all {
            *one = One { names: std::mem::take(&mut one.names), port: one.port, ..One::default() };
        }
        self.fill(faults, 0)
    }

    /// What becomes of the next connects of all series, from this time on.
    pub fn fill(&mut self, faults: &Faults, at_ns: u64) -> Vec<(u32, Ahead)> {
        (0..).zip(&mut self.all).map(|(series, one)| (series, one.fill(faults, at_ns))).collect()
    }

    /// What becomes of the next connects of one, from this time on.
    pub fn fill_one(&mut self, faults: &Faults, series: u32, at_ns: u64) -> Option<Ahead> {
        Some(self.all.get_mut(series as usize)?.fill(faults, at_ns))
    }

    /// A connect to an address was told of; `failed` says how it did on purpose. What becomes of the next ones, where that
    /// is to be said anew.
    pub fn told(
        &mut self,
        faults: &Faults,
        address: SocketAddr,
        failed: Option<&str>,
        at_ns: u64,
    ) -> Option<(u32, Ahead)> {
        let series = *self.by_address.get(&address)?;
        self.told_of(faults, series, failed, at_ns)
    }

    /// As [`Series::told`], of a series.
    pub fn told_of(
        &mut self,
        faults: &Faults,
        series: u32,
        failed: Option<&str>,
        at_ns: u64,
    ) -> Option<(u32, Ahead)> {
        let one = self.all.get_mut(series as usize)?;
        let called: Vec<&str> = one.names.iter().map(String::as_str).collect();
        let fired = faults.decide(&occasion(&called, one.port, at_ns));
        one.told += 1;
        one.settle(faults, &fired, failed);
        (one.told - one.filled_at >= OFTEN).then(|| (series, one.fill(faults, at_ns)))
    }
}

impl One {
    fn settle(&mut self, faults: &Faults, fired: &[Fired], failed: Option<&str>) {
        for Fired { id, effect, .. } in fired {
            match effect {
                Effect::Refuse | Effect::Blackhole if self.early > 0 => {
                    self.early -= 1;
                    faults.observed(*id, "the connect failed".to_owned());
                }
                Effect::Refuse | Effect::Blackhole => self.owed.push_back(*id),
                _ => {}
            }
        }
        let Some(failed) = failed else { return };
        match self.owed.pop_front() {
            Some(id) => faults.observed(id, failed.to_owned()),
            None => self.early += 1,
        }
    }

    fn fill(&mut self, faults: &Faults, at_ns: u64) -> Ahead {
        let called: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let count = AHEAD as u64 - BEHIND;
        let ahead = faults.ahead(&occasion(&called, self.port, at_ns), count as usize);
        for (place, effects) in (self.told..).zip(ahead) {
            let (word, bit) = ((place % AHEAD as u64 / 64) as usize, 1 << (place % 64));
            let first = effects.iter().find(|it| matches!(it, Effect::Refuse | Effect::Blackhole));
            for (words, is_so) in [
                (&mut self.ahead.refused, first == Some(&Effect::Refuse)),
                (&mut self.ahead.hung, first == Some(&Effect::Blackhole)),
            ] {
                words[word] = words[word] & !bit | if is_so { bit } else { 0 };
            }
        }
        self.filled_at = self.told;
        self.ahead
    }
}

fn occasion<'a>(names: &'a [&'a str], port: u16, at_ns: u64) -> Occasion<'a> {
    let (method, target, headers) = ("", "", &[][..]);
    Occasion { kind: Kind::Connect, names, port: Some(port), method, target, headers, at_ns }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Plan, Rule};

    fn faults(rule: &str) -> Faults {
        Faults::new(Plan { seed: 7, rules: vec![Rule::parse(rule).unwrap()] })
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 80))
    }

    /// The kernel half as it counts; whether the next connect is refused.
    fn connect(ahead: &Ahead, seen: &mut u64) -> bool {
        let place = *seen % AHEAD as u64;
        *seen += 1;
        ahead.refused[(place / 64) as usize] & 1 << (place % 64) != 0
    }

    #[test]
    fn each_connect_meets_what_its_number_says_for_as_long_as_it_takes() {
        let faults = faults("dep=stock.test p=0.3 refuse");
        let mut series = Series::default();
        let names = ["stock.test".to_owned()];
        // Two addresses of one name are one series.
        assert_eq!(series.of(address(7), &names), series.of(address(8), &names));
        let mut ahead = series.begin(&faults)[0].1;
        let (mut seen, mut refused, mut late) = (0, Vec::new(), VecDeque::new());
        for number in 1..=5_000_u64 {
            let is_refused = connect(&ahead, &mut seen);
            if is_refused {
                refused.push(number);
            }
            // We hear of them late.
            late.push_back(is_refused);
            if late.len() > 50 {
                let failed = late.pop_front().filter(|failed| *failed).map(|_| "ECONNREFUSED");
                if let Some((_, anew)) = series.told(&faults, address(7 + (number % 2) as u8), failed, 0) {
                    ahead = anew;
                }
            }
        }
        for failed in late {
            series.told(&faults, address(7), failed.then_some("ECONNREFUSED"), 0);
        }
        let ledger = faults.ledger();
        let fired: Vec<u64> = ledger.entries.iter().map(|entry| entry.occurrence).collect();
        assert_eq!(fired, refused);
        assert_eq!((ledger.rules[0].reached, ledger.rules[0].observed), (5_000, refused.len() as u64));
        assert!((1_300..1_700).contains(&refused.len()), "{}", refused.len());
    }

    #[test]
    fn nothing_fails_where_no_rule_says_so() {
        let faults = faults("dep=other.test refuse");
        let mut series = Series::default();
        series.of(address(7), &["stock.test".to_owned()]);
        assert_eq!(series.begin(&faults), [(0, Ahead::default())]);
        assert_eq!(series.told(&faults, address(9), None, 0), None);
    }
}
