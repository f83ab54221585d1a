//! Recorded calls that stand for live ones that are not quite like them: whoever is more alike may have them.

use std::collections::{BTreeMap, BTreeSet};

use super::Sought;
use super::sites::{Level, Sites};
use crate::replay::script::{CallIndex, ExchangeIndex};

/// A recorded call that is lent.
#[derive(Clone, Debug)]
pub struct Loan {
    /// The live call for which it stands.
    pub id: usize,
    /// How alike they are.
    pub level: Level,
    /// What was sought.
    pub sought: Sought,
}

/// Site, level, key of that level, cause.
type Key = (u32, Level, u64, Option<ExchangeIndex>);

/// All that are lent.
#[derive(Debug, Default)]
pub struct Loans {
    loans: BTreeMap<CallIndex, Loan>,
    /// By what a better one has to be equal to.
    by_key: BTreeMap<Key, BTreeSet<CallIndex>>,
}

impl Loans {
    /// It is lent.
    pub fn lend(&mut self, call: CallIndex, loan: Loan, sites: &Sites) {
        for key in keys(call, &loan, sites) {
            self.by_key.entry(key).or_default().insert(call);
        }
        self.loans.insert(call, loan);
    }

    /// It is lent no more; to whom it was.
    pub fn end(&mut self, call: CallIndex, sites: &Sites) -> Option<Loan> {
        let loan = self.loans.remove(&call)?;
        for key in keys(call, &loan, sites) {
            if let Some(calls) = self.by_key.get_mut(&key) {
                calls.remove(&call);
                if calls.is_empty() {
                    self.by_key.remove(&key);
                }
            }
        }
        Some(loan)
    }

    /// The first one that is lent to a live call that is less alike than this one is.
    pub fn better(&self, sought: &Sought, level: Level) -> Option<CallIndex> {
        let of = |cause| {
            let key = (sought.site, level, level.key(&sought.keys), cause);
            self.by_key.get(&key).and_then(BTreeSet::first).copied()
        };
        match sought.cause {
            Some(cause) => of(Some(cause)).or_else(|| of(None)),
            None => of(None).into_iter().chain(sought.open.iter().filter_map(|cause| of(Some(*cause)))).min(),
        }
    }
}

fn keys(call: CallIndex, loan: &Loan, sites: &Sites) -> Vec<Key> {
    let (recorded, cause) = (sites.keys(call), sites.cause(call));
    let better = Level::ALL.into_iter().filter(|level| *level < loan.level);
    better.map(|level| (loan.sought.site, level, level.key(&recorded), cause)).collect()
}
