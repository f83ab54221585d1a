//! A plan at work.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::action::Draw;
use super::journal::Journal;
use super::occasion::Kinds;
use super::{Effect, FiredId, Kind, Ledger, Need, Occasion, Plan, Rule, RuleLedger, Stream};
use crate::seed::Dice;

/// Of so many sites a rule counts the occurrences one by one; those beyond are counted together.
const MOST_SITES: usize = 1 << 16;
/// The site of those.
pub(super) const OTHERS: &str = "(others)";

/// A plan at work: told of every occasion, from any thread.
#[derive(Debug)]
pub struct Faults {
    seed: u64,
    rules: RwLock<Arc<Rules>>,
    /// Rules that were not removed, so that nobody takes a lock where there are none.
    left: AtomicUsize,
    active: AtomicBool,
    journal: Mutex<Journal>,
}

impl Default for Faults {
    fn default() -> Self {
        Self::new(Plan::default())
    }
}

/// An effect to bring about.
#[derive(Clone, Debug, PartialEq)]
pub struct Fired {
    /// For [`Faults::observed`].
    pub id: FiredId,
    /// The number of the rule that says so.
    pub rule: u32,
    /// What.
    pub effect: Effect,
    /// Which direction of the bytes it concerns; only effects of bytes concern the one to the dependency.
    pub stream: Stream,
}

/// The rules, and which of them a site can be of: a plan that a ledger made has one for each of many.
#[derive(Clone, Debug, Default)]
struct Rules {
    all: Vec<Arc<Working>>,
    anywhere: Vec<usize>,
    by_site: BTreeMap<String, Vec<usize>>,
    /// How often there is a rule of the same text.
    equals: BTreeMap<String, u64>,
}

/// A rule at work.
#[derive(Debug)]
struct Working {
    rule: Rule,
    /// What its chances follow from, beside seed and site: its text, and which of its equals it is.
    key: String,
    removed: AtomicBool,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    reached: u64,
    fired: u64,
    /// By site: its dice, and how often it was there.
    sites: BTreeMap<String, (Dice, u64)>,
}

impl Faults {
    /// Of a plan.
    pub fn new(plan: Plan) -> Self {
        let faults = Self {
            seed: plan.seed,
            rules: RwLock::default(),
            left: AtomicUsize::new(0),
            active: AtomicBool::new(true),
            journal: Mutex::default(),
        };
        let mut rules = Rules::default();
        for rule in plan.rules {
            rules.add(rule);
        }
        faults.put(rules);
        faults
    }

    /// What all chances follow from.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether there is nothing to go wrong: then nobody need ask.
    pub fn is_empty(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    /// A run begins: occurrences are counted anew. With `active` false nothing fires (runs that learn what is volatile).
    pub fn begin(&self, active: bool) {
        self.active.store(active, Ordering::Relaxed);
        for working in &self.rules().all {
            *locked(&working.counts) = Counts::default();
        }
        locked(&self.journal).begin();
    }

    /// One more rule, behind those there are; its number, from 0, that the ledger has, too.
    pub fn add(&self, rule: Rule) -> u32 {
        let mut place = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        let mut rules = Rules::clone(&place);
        let number = rules.add(rule);
        *place = Arc::new(rules);
        self.left.fetch_add(1, Ordering::Relaxed);
        number
    }

    /// A rule hits nothing from now on; false where there is none of this number any more. The ledger keeps it.
    pub fn remove(&self, number: u32) -> bool {
        let rules = self.rules();
        let working = rules.all.get(number as usize);
        let is = working.is_some_and(|working| !working.removed.swap(true, Ordering::Relaxed));
        if is {
            self.left.fetch_sub(1, Ordering::Relaxed);
            let mut place = self.rules.write().unwrap_or_else(PoisonError::into_inner);
            let mut rules = Rules::clone(&place);
            rules.forget(number as usize);
            *place = Arc::new(rules);
        }
        is
    }

    /// The rules that were not removed, by their numbers.
    pub fn rules_left(&self) -> Vec<(u32, Rule)> {
        let rules = self.rules();
        let all = (0..).zip(&rules.all).filter(|(_, working)| !working.is_removed());
        all.map(|(number, working)| (number, working.rule.clone())).collect()
    }

    /// What must be understood of connections to a dependency that may be called so, for the rules that could hit them:
    /// nothing, their bytes, or their messages. Whether it is connects or calls that they hit does not matter.
    pub fn need(&self, names: &[&str], port: Option<u16>) -> Need {
        if self.is_empty() {
            return Need::Nothing;
        }
        let rules = self.rules();
        let out = Kinds::CALL.and(Kinds::CONNECT);
        let could = rules.all.iter().filter(|working| {
            let rule = &working.rule;
            !working.is_removed()
                && !rule.kinds().within(out).is_none()
                && rule.selectors.choose_dependency(names, port)
        });
        could.map(|working| working.rule.need()).max().unwrap_or_default()
    }

    /// Whether some rule could hit an occasion of this kind.
    pub fn concerns(&self, kind: Kind) -> bool {
        !self.is_empty()
            && self.rules().all.iter().any(|working| !working.is_removed() && working.rule.kinds().has(kind))
    }

    /// Whether some rule is about such an occasion, whichever of them it hits, and when.
    pub fn chooses(&self, occasion: &Occasion<'_>) -> bool {
        let mut chosen = false;
        self.each(occasion, |_, _, _| chosen = true);
        chosen
    }

    /// What every such occasion meets now, whatever its number.
    pub fn always(&self, occasion: &Occasion<'_>) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.each(occasion, |_, working, site| {
            let when = &working.rule.when;
            if when.is_always() && when.window().contains(&occasion.at_ns) {
                effects.extend(working.effects(occasion.kind, working.dice(self.seed, site), 1));
            }
        });
        effects
    }

    /// What the first `count` such occasions would meet at a site where there was none yet, whichever it is; empty where
    /// chance has a say, which is another one at each.
    pub fn opening(&self, occasion: &Occasion<'_>, count: usize) -> Vec<Vec<Effect>> {
        let (mut opening, mut by_chance) = (vec![Vec::new(); count], false);
        self.each(occasion, |_, working, site| {
            if working.rule.selectors.site.is_some() {
                return;
            }
            by_chance |= working.rule.when.is_by_chance();
            let dice = working.dice(self.seed, site);
            for (occurrence, effects) in (1..).zip(&mut opening) {
                if working.hits(dice, occurrence, occasion) {
                    effects.extend(working.effects(occasion.kind, dice, occurrence));
                }
            }
        });
        if by_chance { Vec::new() } else { opening }
    }

    /// Whether a rule resets what is open when it begins to hold.
    pub fn cuts(&self, rule: u32) -> bool {
        let rules = self.rules();
        let Some(working) = rules.all.get(rule as usize) else { return false };
        let effects = working.effects(Kind::Call, working.dice(self.seed, ""), 1);
        working.rule.is_standing() && effects.contains(&Effect::Reset(None))
    }

    /// When rules begin and end to hit by the clock, in ns since the run began, in order: what [`Faults::ahead`] said
    /// before is not so any more.
    pub fn changes(&self) -> Vec<u64> {
        let rules = self.rules();
        let left = rules.all.iter().filter(|working| !working.is_removed());
        let windows = left.map(|working| working.rule.when.window());
        let mut times: Vec<u64> = windows.flat_map(|window| [window.start, window.end]).collect();
        times.retain(|at| ![0, u64::MAX].contains(at));
        times.sort_unstable();
        times.dedup();
        times
    }

    /// What an occasion meets, in the order in which it is to be applied. Counts it.
    pub fn decide(&self, occasion: &Occasion<'_>) -> Vec<Fired> {
        self.fire(occasion, |_| true)
    }

    /// Those that hold now of the rules that hit what is open for as long as they do (`blackhole`, `partition`, `down`) and
    /// are about this connection.
    pub fn standing(&self, occasion: &Occasion<'_>) -> Vec<u32> {
        let mut standing = Vec::new();
        self.each(occasion, |place, Working { rule, .. }, _| {
            if rule.is_standing() && rule.when.window().contains(&occasion.at_ns) {
                standing.push(place);
            }
        });
        standing
    }

    /// Whether a rule is one of those, and holds at this time, in ns since the run began.
    pub fn stands(&self, rule: u32, at_ns: u64) -> bool {
        self.rules().all.get(rule as usize).is_some_and(|working| {
            let Working { rule, .. } = &**working;
            !working.is_removed() && rule.is_standing() && rule.when.window().contains(&at_ns)
        })
    }

    /// One of those has begun to hit an open connection. Counts it.
    pub fn strike(&self, rule: u32, occasion: &Occasion<'_>) -> Vec<Fired> {
        self.fire(occasion, |place| place == rule)
    }

    fn fire(&self, occasion: &Occasion<'_>, by: impl Fn(u32) -> bool) -> Vec<Fired> {
        let mut fired = Vec::new();
        self.each(occasion, |place, working, site| {
            if !by(place) {
                return;
            }
            let (site, dice, occurrence, hit) = working.count(self.seed, occasion, site);
            if !hit {
                return;
            }
            let effects = working.effects(occasion.kind, dice, occurrence);
            let ids = locked(&self.journal).write(place, &site, occurrence, &effects, occasion);
            let stream = working.rule.stream();
            let with = |(id, effect)| Fired { id, rule: place, effect, stream };
            fired.extend(ids.into_iter().zip(effects).map(with));
        });
        fired
    }

    /// What the next `count` occasions like this one would meet, without counting them: for connects, which the kernel
    /// half decides.
    pub fn ahead(&self, occasion: &Occasion<'_>, count: usize) -> Vec<Vec<Effect>> {
        let mut ahead = vec![Vec::new(); count];
        self.each(occasion, |_, working, site| {
            let (dice, seen) = match locked(&working.counts).sites.get(site) {
                Some((dice, seen)) => (*dice, *seen),
                None => (working.dice(self.seed, site), 0),
            };
            for (occurrence, effects) in (seen + 1..).zip(&mut ahead) {
                if working.hits(dice, occurrence, occasion) {
                    effects.extend(working.effects(occasion.kind, dice, occurrence));
                }
            }
        });
        ahead
    }

    /// What came of it: `answered after 213.4ms`.
    pub fn observed(&self, id: FiredId, what: String) {
        locked(&self.journal).observed(id, what);
    }

    /// What became of the plan since [`Faults::begin`].
    pub fn ledger(&self) -> Ledger {
        let rules = self.rules();
        let journal = locked(&self.journal);
        let rules = (0..).zip(&rules.all).map(|(place, working)| {
            let counts = locked(&working.counts);
            RuleLedger {
                rule: working.rule.text.clone(),
                reached: counts.reached,
                fired: counts.fired,
                observed: journal.observed_of(place),
            }
        });
        Ledger { seed: self.seed, rules: rules.collect(), entries: journal.entries(), more: journal.more() }
    }

    /// Hands each rule that chooses an occasion its place, and the occasion's site.
    fn each(&self, occasion: &Occasion<'_>, mut hand: impl FnMut(u32, &Working, &str)) {
        if self.is_empty() || !self.active.load(Ordering::Relaxed) {
            return;
        }
        let rules = self.rules();
        let mut site = None;
        let mut try_one = |place: usize, known: Option<&str>| {
            let working = &rules.all[place];
            if working.is_removed() || !working.rule.chooses(occasion) {
                return;
            }
            let site = known.unwrap_or_else(|| site.get_or_insert_with(|| occasion.site()));
            hand(u32::try_from(place).unwrap_or(u32::MAX), working, site);
        };
        if rules.by_site.is_empty() {
            rules.anywhere.iter().for_each(|place| try_one(*place, None));
            return;
        }
        let site = occasion.site();
        let there = rules.by_site.get(&site).map_or(&[][..], Vec::as_slice);
        let mut places: Vec<usize> = rules.anywhere.iter().chain(there).copied().collect();
        places.sort_unstable();
        places.iter().for_each(|place| try_one(*place, Some(&site)));
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, rules: Rules) {
        self.left.store(rules.all.len(), Ordering::Relaxed);
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }
}

impl Rules {
    fn add(&mut self, rule: Rule) -> u32 {
        let text = rule.to_string();
        // Not its place, so that a rule that is added before it changes nothing of it.
        let equals = self.equals.entry(text.clone()).or_default();
        let key = format!("{equals} {text}");
        *equals += 1;
        let place = self.all.len();
        match &rule.selectors.site {
            Some(site) => self.by_site.entry(site.clone()).or_default().push(place),
            None => self.anywhere.push(place),
        }
        let (removed, counts) = (AtomicBool::new(false), Mutex::default());
        self.all.push(Arc::new(Working { rule, key, removed, counts }));
        u32::try_from(place).unwrap_or(u32::MAX)
    }

    /// No occasion is held against it any more: a thousand that came and went cost nothing.
    fn forget(&mut self, place: usize) {
        self.anywhere.retain(|other| *other != place);
        self.by_site.values_mut().for_each(|places| places.retain(|other| *other != place));
        self.by_site.retain(|_, places| !places.is_empty());
    }
}

impl Working {
    fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Relaxed)
    }

    fn dice(&self, seed: u64, site: &str) -> Dice {
        Dice::of(&[&seed.to_le_bytes(), self.key.as_bytes(), site.as_bytes()])
    }

    /// Counts an occasion: as which site and occurrence, and whether it is hit.
    fn count(&self, seed: u64, occasion: &Occasion<'_>, site: &str) -> (String, Dice, u64, bool) {
        let mut counts = locked(&self.counts);
        let counts = &mut *counts;
        counts.reached += 1;
        let site =
            if counts.sites.len() < MOST_SITES || counts.sites.contains_key(site) { site } else { OTHERS };
        if !counts.sites.contains_key(site) {
            counts.sites.insert(site.to_owned(), (self.dice(seed, site), 0));
        }
        let Some((dice, seen)) = counts.sites.get_mut(site) else { unreachable!("it was put there above") };
        *seen += 1;
        let hit = self.hits(*dice, *seen, occasion);
        counts.fired += u64::from(hit);
        (site.to_owned(), *dice, *seen, hit)
    }

    fn hits(&self, dice: Dice, occurrence: u64, occasion: &Occasion<'_>) -> bool {
        self.rule.when.hits(occurrence, occasion.at_ns, || dice.chance(occurrence, 0))
    }

    fn effects(&self, kind: Kind, dice: Dice, occurrence: u64) -> Vec<Effect> {
        let actions = self.rule.actions(kind);
        let effects =
            actions.flat_map(|(at, action)| action.effects(kind, &mut Draw::new(dice, occurrence, at)));
        effects.collect()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
