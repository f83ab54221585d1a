//! What fired, as it is written down while it does.

use std::collections::BTreeMap;

use super::{Effect, Entry, FiredId, Occasion};

/// So many firings are listed, the others counted.
const MOST_ENTRIES: usize = 100_000;
/// An observation's text is cut behind so many bytes.
const LONGEST_OBSERVED: usize = 1000;

/// The firings of a run.
#[derive(Debug, Default)]
pub struct Journal {
    /// Which run: what is observed of an earlier one is late.
    run: u32,
    entries: Vec<Entry>,
    /// To which occasion, by number, an entry belongs.
    occasions: Vec<u64>,
    next_occasion: u64,
    more: u64,
    observed: BTreeMap<u32, Observed>,
}

/// The occasions of a rule of which some effect came about.
#[derive(Debug, Default)]
struct Observed {
    count: u64,
    occasions: std::collections::BTreeSet<u64>,
}

/// A number that has an entry's place, or the rule of one that has none, and the run.
#[derive(Clone, Copy)]
enum Place {
    Entry(usize),
    Unlisted(u32),
}

/// Of an occasion's further effects, where they are not listed: the first stands for it.
const NOBODY: FiredId = FiredId(u64::MAX);
const RUN_BITS: u32 = 16;
const UNLISTED: u64 = 1 << 47;

impl Journal {
    /// A run begins.
    pub fn begin(&mut self) {
        *self = Self { run: self.run.wrapping_add(1), ..Self::default() };
    }

    /// The effects of a rule on an occasion, and what each is known by.
    pub fn write(
        &mut self,
        rule: u32,
        site: &str,
        occurrence: u64,
        effects: &[Effect],
        occasion: &Occasion<'_>,
    ) -> Vec<FiredId> {
        let number = self.next_occasion;
        self.next_occasion += 1;
        let ids = effects.iter().enumerate().map(|(at, effect)| {
            if self.entries.len() >= MOST_ENTRIES {
                self.more += 1;
                return if at == 0 { self.id(Place::Unlisted(rule)) } else { NOBODY };
            }
            self.entries.push(Entry {
                rule,
                site: site.to_owned(),
                occurrence,
                action: effect.action(occasion.kind),
                observed: None,
                at_ns: occasion.at_ns,
            });
            self.occasions.push(number);
            self.id(Place::Entry(self.entries.len() - 1))
        });
        ids.collect()
    }

    /// What came of one; the first that is said holds.
    pub fn observed(&mut self, id: FiredId, mut what: String) {
        match self.place(id) {
            Some(Place::Entry(at)) => {
                let Some(entry) = self.entries.get_mut(at).filter(|entry| entry.observed.is_none()) else {
                    return;
                };
                what.truncate(what.floor_char_boundary(LONGEST_OBSERVED));
                entry.observed = Some(what);
                let of = self.observed.entry(entry.rule).or_default();
                of.count += u64::from(of.occasions.insert(self.occasions[at]));
            }
            Some(Place::Unlisted(rule)) => self.observed.entry(rule).or_default().count += 1,
            None => {}
        }
    }

    /// Of a rule.
    pub fn observed_of(&self, rule: u32) -> u64 {
        self.observed.get(&rule).map_or(0, |of| of.count)
    }

    /// All that are listed, in an order that does not depend on what happened at once.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = self.entries.clone();
        entries.sort_by(|a, b| (a.rule, &a.site, a.occurrence).cmp(&(b.rule, &b.site, b.occurrence)));
        entries
    }

    /// Those that are not.
    pub const fn more(&self) -> u64 {
        self.more
    }

    fn id(&self, place: Place) -> FiredId {
        let place = match place {
            Place::Entry(at) => at as u64,
            Place::Unlisted(rule) => UNLISTED | u64::from(rule),
        };
        FiredId(place << RUN_BITS | u64::from(self.run) & ((1 << RUN_BITS) - 1))
    }

    fn place(&self, FiredId(id): FiredId) -> Option<Place> {
        let place = id >> RUN_BITS;
        if FiredId(id) == NOBODY || self.id(Place::Entry(0)).0 != id & ((1 << RUN_BITS) - 1) {
            return None;
        }
        Some(match u32::try_from(place & !UNLISTED) {
            Ok(rule) if place & UNLISTED != 0 => Place::Unlisted(rule),
            _ => Place::Entry(usize::try_from(place).ok()?),
        })
    }
}
