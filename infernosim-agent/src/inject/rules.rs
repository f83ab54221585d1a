//! The rules in force, which may change while they are.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::answer::Answer;
use crate::clock::{self, Nanos};
use crate::fault::{Effect, Faults, Fired, Ledger, Occasion, Plan, Rule};

/// Answers of one site that are kept for `stale`, sites, and bytes of an answer.
const MOST_EARLIER: usize = 8;
const MOST_SITES: usize = 256;
const MOST_KEPT: usize = 64 << 10;

/// How far two rules' chances are apart: the golden ratio of 2^64, whose multiples are spread widely.
const APART: u64 = 0x9e37_79b9_7f4a_7c15;

/// Rules, each with its own counts.
#[derive(Debug, Default)]
pub struct Rules {
    seed: u64,
    set: RwLock<Set>,
    earlier: Mutex<BTreeMap<String, VecDeque<Answer>>>,
}

#[derive(Debug, Default)]
struct Set {
    /// All there ever were: the ledger names those that were removed, too.
    all: Vec<Arc<One>>,
    removed: Vec<u32>,
}

/// One rule at work.
#[derive(Debug)]
pub struct One {
    /// From 1, never given twice.
    pub number: u32,
    /// As it was written.
    pub text: String,
    faults: Faults,
    since: Nanos,
}

/// An effect to bring about.
#[derive(Clone, Debug)]
pub struct Hit {
    rule: Arc<One>,
    /// What.
    pub fired: Fired,
}

impl Hit {
    /// It came about.
    pub fn observed(&self, what: impl Into<String>) {
        self.rule.faults.observed(self.fired.id, what.into());
    }

    /// What.
    pub const fn effect(&self) -> &Effect {
        &self.fired.effect
    }
}

impl Rules {
    /// None yet.
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// One more, from now on; its number.
    pub fn add(&self, rule: Rule) -> u32 {
        let mut set = self.set.write().unwrap_or_else(PoisonError::into_inner);
        let number = u32::try_from(set.all.len()).unwrap_or(u32::MAX).saturating_add(1);
        // Two rules of one text fall on different occasions.
        let seed = self.seed.wrapping_add(u64::from(number - 1).wrapping_mul(APART));
        let text = rule.text.clone();
        let faults = Faults::new(Plan { seed, rules: vec![rule], ..Plan::default() });
        faults.begin(true);
        set.all.push(Arc::new(One { number, text, faults, since: clock::now() }));
        number
    }

    /// One less; false if it is not in force.
    pub fn remove(&self, number: u32) -> bool {
        let mut set = self.set.write().unwrap_or_else(PoisonError::into_inner);
        let known = set.all.iter().any(|rule| rule.number == number) && !set.removed.contains(&number);
        if known {
            set.removed.push(number);
        }
        known
    }

    /// Those in force.
    pub fn list(&self) -> Vec<Arc<One>> {
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        set.all.iter().filter(|rule| !set.removed.contains(&rule.number)).cloned().collect()
    }

    /// What an occasion meets, in the rules' order. Counts it.
    pub fn decide(&self, occasion: &Occasion<'_>) -> Vec<Hit> {
        let now = clock::now();
        let mut hits = Vec::new();
        for rule in self.list() {
            let occasion = Occasion { at_ns: now.since(rule.since), ..*occasion };
            let fired = rule.faults.decide(&occasion);
            hits.extend(fired.into_iter().map(|fired| Hit { rule: Arc::clone(&rule), fired }));
        }
        hits
    }

    /// What the next `count` occasions like this one would meet.
    pub fn ahead(&self, occasion: &Occasion<'_>, count: usize) -> Vec<Vec<Effect>> {
        let now = clock::now();
        let mut all = vec![Vec::new(); count];
        for rule in self.list() {
            let occasion = Occasion { at_ns: now.since(rule.since), ..*occasion };
            for (at, effects) in rule.faults.ahead(&occasion, count).into_iter().enumerate() {
                if let Some(known) = all.get_mut(at) {
                    known.extend(effects);
                }
            }
        }
        all
    }

    /// Whether answers have to be kept for `stale`.
    pub fn keep_answers(&self) -> bool {
        self.list().iter().any(|rule| rule.text.contains("stale"))
    }

    /// The answer of so many occurrences before the one that is served now.
    pub fn earlier(&self, site: &str, back: u32) -> Option<Answer> {
        let earlier = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
        let place = usize::try_from(back.checked_sub(1)?).ok()?;
        earlier.get(site)?.get(place).cloned()
    }

    /// Keeps an answer as it came, while a rule may want it again and it is not long.
    pub fn keep(&self, site: &str, answer: impl FnOnce() -> Answer) {
        if !self.keep_answers() {
            return;
        }
        let answer = answer();
        let mut earlier = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
        if answer.length() > MOST_KEPT || earlier.len() >= MOST_SITES && !earlier.contains_key(site) {
            return;
        }
        let kept = earlier.entry(site.to_owned()).or_default();
        kept.push_front(answer);
        kept.truncate(MOST_EARLIER);
    }

    /// What became of every rule there was; places count from 0 in the order in which they were added.
    pub fn ledger(&self) -> Ledger {
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        let mut sum = Ledger { seed: self.seed, ..Ledger::default() };
        for (place, rule) in (0..).zip(&set.all) {
            let ledger = rule.faults.ledger();
            sum.rules.extend(ledger.rules);
            sum.entries.extend(ledger.entries.into_iter().map(|mut entry| {
                entry.rule = place;
                entry
            }));
            sum.more += ledger.more;
        }
        sum
    }
}

impl One {
    /// What became of it.
    pub fn ledger(&self) -> Ledger {
        self.faults.ledger()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Kind;

    #[test]
    fn a_number_is_given_once() {
        let rules = Rules::new(1);
        let rule = || Rule::parse("dep=a.test status=503").unwrap();
        assert_eq!((rules.add(rule()), rules.add(rule())), (1, 2));
        assert!(rules.remove(2) && !rules.remove(2) && !rules.remove(9));
        assert_eq!(rules.add(rule()), 3);
        assert_eq!(rules.list().iter().map(|rule| rule.number).collect::<Vec<_>>(), [1, 3]);
        // The ledger knows all of them.
        let call = Occasion {
            kind: Kind::Call,
            names: &["a.test"],
            port: Some(80),
            method: "GET",
            target: "/",
            headers: &[],
            at_ns: 0,
        };
        rules.decide(&call);
        assert!(rules.ledger().rules.len() <= 3);
    }
}
