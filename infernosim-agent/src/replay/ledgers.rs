//! What became of the faults of all runs.

use super::seen::Run;
use crate::fault::{Faults, Ledger};

/// What became of the faults in a run.
#[derive(Clone, Debug)]
pub struct RunLedger {
    /// Its number, from 1, without those for learning.
    pub run: u32,
    /// What became of them.
    pub ledger: Ledger,
}

impl RunLedger {
    /// Of the run with this number, which is over; it is told when they fired.
    pub fn of(number: u32, faults: &Faults, run: &mut Run) -> Self {
        let ledger = faults.ledger();
        run.fired_ns = ledger.entries.iter().map(|it| it.at_ns).collect();
        Self { run: number, ledger }
    }
}

/// The rules that never hit anything, though a run came as far as that they could have.
pub fn unfired(ledgers: &[RunLedger]) -> Vec<String> {
    let Some(first) = ledgers.first() else { return Vec::new() };
    let rules = first.ledger.rules.iter().enumerate();
    let never =
        |at: usize| ledgers.iter().all(|it| it.ledger.rules.get(at).is_none_or(|rule| rule.fired == 0));
    rules.filter(|(at, _)| never(*at)).map(|(_, rule)| rule.rule.clone()).collect()
}
