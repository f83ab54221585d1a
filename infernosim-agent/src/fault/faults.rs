//! A plan at work.

use super::{Effect, FiredId, Ledger, Occasion, Plan, Stream};

/// A plan at work: told of every occasion, from any thread.
#[derive(Debug, Default)]
pub struct Faults {
    plan: Plan,
}

/// An effect to bring about.
#[derive(Clone, Debug, PartialEq)]
pub struct Fired {
    /// For [`Faults::observed`].
    pub id: FiredId,
    /// What.
    pub effect: Effect,
    /// Which direction of the bytes it concerns; only effects of bytes concern the one to the dependency.
    pub stream: Stream,
}

impl Faults {
    /// Of a plan.
    pub fn new(plan: Plan) -> Self {
        Self { plan }
    }

    /// Whether there is nothing to go wrong: then nobody need ask.
    pub fn is_empty(&self) -> bool {
        self.plan.rules.is_empty()
    }

    /// A run begins: occurrences are counted anew. With `active` false nothing fires (runs that learn what is volatile).
    pub fn begin(&self, active: bool) {
        let _ = active;
    }

    /// What an occasion meets, in the order in which it is to be applied. Counts it.
    pub fn decide(&self, occasion: &Occasion<'_>) -> Vec<Fired> {
        let _ = occasion;
        Vec::new()
    }

    /// What the next `count` occasions like this one would meet, without counting them: for connects, which the kernel
    /// half decides.
    pub fn ahead(&self, occasion: &Occasion<'_>, count: usize) -> Vec<Vec<Effect>> {
        let _ = (occasion, count);
        Vec::new()
    }

    /// What came of it: `answered after 213.4ms`.
    pub fn observed(&self, id: FiredId, what: String) {
        let _ = (id, what);
    }

    /// What became of the plan since [`Faults::begin`].
    pub fn ledger(&self) -> Ledger {
        Ledger { seed: self.plan.seed, ..Ledger::default() }
    }
}
