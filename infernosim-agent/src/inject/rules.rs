//! The rules in force, which may change while they are, and what they need to know of earlier answers.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::earlier::Earlier;
use crate::clock::{self, Nanos};
use crate::error::{Exit, ExpectedError, Result};
use crate::fault::{Effect, Faults, Fired, Kind, Ledger, Occasion, Plan, Rule};

/// Whether a rule can hit anything here.
///
/// # Errors
/// `Exit::Usage` where it is of requests to the target, which are not in our hands.
pub fn check(rule: &Rule) -> Result<()> {
    if !rule.is_inbound() {
        return Ok(());
    }
    let message = format!(
        "`infernosim inject` is not in the way of requests to the target, and `{}` is of those",
        rule.text
    );
    Err(ExpectedError::new(Exit::Usage, message)
        .help("record them, and replay them with that rule: `infernosim replay --inject`"))
}

/// Rules at work.
#[derive(Debug)]
pub struct Rules {
    faults: Arc<Faults>,
    began: Nanos,
    earlier: Mutex<Earlier>,
    over: AtomicBool,
}

/// An effect to bring about.
#[derive(Clone, Debug)]
pub struct Hit {
    faults: Arc<Faults>,
    /// What.
    pub fired: Fired,
}

impl Hit {
    /// It came about.
    pub fn observed(&self, what: impl Into<String>) {
        self.faults.observed(self.fired.id, what.into());
    }

    /// What.
    pub const fn effect(&self) -> &Effect {
        &self.fired.effect
    }
}

impl Rules {
    /// Those of a plan, from now on.
    pub fn new(plan: Plan) -> Self {
        let faults = Faults::new(plan);
        faults.begin(true);
        Self {
            faults: Arc::new(faults),
            began: clock::now(),
            earlier: Mutex::default(),
            over: AtomicBool::new(false),
        }
    }

    /// One more; its number, from 1.
    pub fn add(&self, rule: Rule) -> u32 {
        self.faults.add(rule).saturating_add(1)
    }

    /// One less; false if it is not in force.
    pub fn remove(&self, number: u32) -> bool {
        number.checked_sub(1).is_some_and(|number| self.faults.remove(number))
    }

    /// Those in force, by their numbers.
    pub fn list(&self) -> Vec<(u32, Rule)> {
        self.faults.rules_left().into_iter().map(|(number, rule)| (number.saturating_add(1), rule)).collect()
    }

    /// Whether any could hit occasions of this kind.
    pub fn concern(&self, kind: Kind) -> bool {
        self.faults.concerns(kind)
    }

    /// What an occasion meets, in the rules' order. Counts it.
    pub fn decide(&self, occasion: &Occasion<'_>) -> Vec<Hit> {
        // Connects that the kernel half refused before are told of after the end.
        if occasion.kind != Kind::Connect && self.over.load(Ordering::Relaxed) {
            return Vec::new();
        }
        self.hits(self.faults.decide(&self.timed(occasion)))
    }

    /// None of them is in force any more; what the kernel half did before is still counted.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    fn hits(&self, fired: Vec<Fired>) -> Vec<Hit> {
        fired.into_iter().map(|fired| Hit { faults: Arc::clone(&self.faults), fired }).collect()
    }

    /// As [`Faults::standing`].
    pub fn standing(&self, occasion: &Occasion<'_>) -> Vec<u32> {
        if self.over.load(Ordering::Relaxed) {
            return Vec::new();
        }
        self.faults.standing(&self.timed(occasion))
    }

    /// As [`Faults::stands`], now.
    pub fn stands(&self, rule: u32) -> bool {
        !self.over.load(Ordering::Relaxed) && self.faults.stands(rule, self.now())
    }

    /// As [`Faults::cuts`].
    pub fn cuts(&self, rule: u32) -> bool {
        self.faults.cuts(rule)
    }

    /// As [`Faults::strike`].
    pub fn strike(&self, rule: u32, occasion: &Occasion<'_>) -> Vec<Hit> {
        self.hits(self.faults.strike(rule, &self.timed(occasion)))
    }

    /// The rules at work, for who tells the kernel half of them.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// An occasion as of now.
    pub fn timed<'a>(&self, occasion: &Occasion<'a>) -> Occasion<'a> {
        Occasion { at_ns: self.now(), ..*occasion }
    }

    /// How many of the times at which rules begin or end to hit by the clock have come.
    pub fn turns(&self) -> usize {
        let now = self.now();
        self.faults.changes().iter().filter(|at| **at <= now).count()
    }

    /// What became of every rule there was.
    pub fn ledger(&self) -> Ledger {
        self.faults.ledger()
    }

    /// The ports that rules name.
    pub fn ports(&self) -> Vec<u16> {
        self.dependencies(None).into_iter().filter_map(|(_, port)| port).collect()
    }

    /// The addresses of dependencies that a rule of this number, or any without one, names in full: asks the resolver, and
    /// may take its time.
    pub fn resolve(&self, number: Option<u32>) -> Vec<(String, IpAddr)> {
        let mut found = Vec::new();
        let named = self.dependencies(number).into_iter().map(|(host, _)| host);
        let hosts: BTreeSet<String> = named.filter(|host| !host.contains(['*', '?'])).collect();
        for host in hosts {
            let addresses = (host.as_str(), 0_u16).to_socket_addrs().into_iter().flatten();
            found.extend(addresses.map(|address: SocketAddr| (host.clone(), address.ip())));
        }
        found
    }

    /// Those that a rule of this number, or any without one, names, each a pattern and a port where it says one.
    fn dependencies(&self, number: Option<u32>) -> Vec<(String, Option<u16>)> {
        let of =
            |rule: &Rule| rule.dependencies().map(|(host, port)| (host.to_owned(), port)).collect::<Vec<_>>();
        let rules = self.list();
        let rules = rules.iter().filter(|(of, _)| number.is_none_or(|number| *of == number));
        rules.flat_map(|(_, rule)| of(rule)).collect()
    }

    /// Whether answers have to be kept for `stale`.
    pub fn keep_answers(&self) -> bool {
        self.list().iter().any(|(_, rule)| rule.text.contains("stale"))
    }

    /// Earlier answers.
    pub fn earlier(&self) -> MutexGuard<'_, Earlier> {
        self.earlier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Now, in ns since they came into force.
    pub fn now(&self) -> u64 {
        self.since_began(clock::now())
    }

    /// A moment, in ns since then.
    pub fn since_began(&self, at: Nanos) -> u64 {
        at.since(self.began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_come_and_go() {
        let rules = Rules::new(Plan::default());
        let rule = |text: &str| Rule::parse(text).unwrap();
        assert!(!rules.concern(Kind::Call));
        assert_eq!(
            (rules.add(rule("dep=a.test status=503")), rules.add(rule("dep=[::1]:81 refuse"))),
            (1, 2)
        );
        assert!(rules.concern(Kind::Call) && !rules.remove(0) && !rules.remove(9));
        assert_eq!(rules.ports(), [81]);
        let loopback = [("::1".to_owned(), "::1".parse().unwrap())];
        assert_eq!(rules.resolve(Some(2)), loopback, "of that rule alone, whatever others name");
        assert_eq!(rules.resolve(None)[..1], loopback);
        let call = Occasion {
            kind: Kind::Call,
            names: &["a.test"],
            port: Some(80),
            method: "GET",
            target: "/",
            headers: &[],
            at_ns: 0,
        };
        let hits = rules.decide(&call);
        assert_eq!(hits.iter().map(Hit::effect).collect::<Vec<_>>(), [&Effect::Status(503)]);
        hits[0].observed("status 503");
        assert!(rules.remove(1) && !rules.remove(1) && rules.decide(&call).is_empty());
        assert_eq!(rules.list().len(), 1);
        let ledger = rules.ledger();
        assert_eq!((ledger.rules[0].fired, ledger.rules[0].observed, ledger.rules.len()), (1, 1, 2));
    }
}
