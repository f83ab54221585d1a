//! Whether the faults of all runs were the same: their counts, and which occurrence of which site each rule hit with what.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::fault::{Entry, Ledger, RuleLedger};
use crate::replay::RunLedger;

/// So many runs are listed.
const MOST_RUNS: usize = 100;

/// The counts of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FaultyRun {
    /// Its number, from 1.
    pub run: u32,
    /// Of each rule: reached, fired, observed.
    pub rules: Vec<[u64; 3]>,
}

/// A run whose faults were not those of the first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unlike {
    /// Its number, from 1: the first that is so.
    pub run: u32,
    /// That of the run beside which it is.
    pub beside: u32,
    /// What is not the same first, in both: `rule 1: reached 4, fired 2, observed 2; in run 1: …`.
    pub what: String,
}

/// The counts of each run, of the first hundred.
pub fn each(runs: &[RunLedger]) -> Vec<FaultyRun> {
    let counts =
        |it: &RunLedger| FaultyRun { run: it.run, rules: it.ledger.rules.iter().map(counts).collect() };
    runs.iter().take(MOST_RUNS).map(counts).collect()
}

/// The first run that is unlike the first; none where all are the same.
pub fn first_unlike(runs: &[RunLedger]) -> Option<Unlike> {
    let (first, others) = runs.split_first()?;
    others.iter().find_map(|it| {
        let what = difference(&first.ledger, &it.ledger, first.run)?;
        Some(Unlike { run: it.run, beside: first.run, what })
    })
}

/// What is not the same first; none if nothing is.
fn difference(first: &Ledger, other: &Ledger, run: u32) -> Option<String> {
    let mut rules = first.rules.iter().zip(&other.rules).enumerate();
    if let Some((at, (a, b))) = rules.find(|(_, (a, b))| counts(a) != counts(b)) {
        return Some(format!("rule {}: {}; in run {run}: {}", at + 1, in_words(b), in_words(a)));
    }
    let (mut a, mut b) = (first.entries.iter().peekable(), other.entries.iter().peekable());
    loop {
        // Both are in order; of one that only one of them has the other has the next already.
        let (here, there) = (a.peek(), b.peek());
        let order = match (here, there) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => key(a).cmp(&key(b)),
        };
        let nothing = || "nothing".to_owned();
        let told = |it: Option<&&Entry>| it.map_or_else(nothing, |it| it.action.clone());
        let (place, was, is) = match order {
            Ordering::Less => (here?, told(here), nothing()),
            Ordering::Greater => (there?, nothing(), told(there)),
            Ordering::Equal if told(here) != told(there) => (here?, told(here), told(there)),
            Ordering::Equal => {
                a.next();
                b.next();
                continue;
            }
        };
        let Entry { rule, site, occurrence, .. } = place;
        return Some(format!("rule {}, {site} #{occurrence}: {is}; in run {run}: {was}", rule + 1));
    }
}

fn key(entry: &Entry) -> (u32, &str, u64) {
    (entry.rule, &entry.site, entry.occurrence)
}

const fn counts(rule: &RuleLedger) -> [u64; 3] {
    [rule.reached, rule.fired, rule.observed]
}

fn in_words(rule: &RuleLedger) -> String {
    format!("reached {}, fired {}, observed {}", rule.reached, rule.fired, rule.observed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(run: u32, fired: &[(&str, u64, &str)]) -> RunLedger {
        let entry = |(site, occurrence, action): &(&str, u64, &str)| Entry {
            site: (*site).to_owned(),
            occurrence: *occurrence,
            action: (*action).to_owned(),
            // Neither when nor what came of it need be the same.
            observed: Some(format!("answered after {run}ms")),
            at_ns: u64::from(run),
            ..Entry::default()
        };
        let n = fired.len() as u64;
        let rule = RuleLedger { rule: "latency=1ms".into(), reached: 4, fired: n, observed: n };
        let entries = fired.iter().map(entry).collect();
        RunLedger { run, ledger: Ledger { rules: vec![rule], entries, ..Ledger::default() } }
    }

    #[test]
    fn the_first_run_that_is_unlike_the_first_is_named() {
        let usual = [("a", 1, "x"), ("a", 2, "x")];
        let all =
            |third: &[(&str, u64, &str)]| first_unlike(&[run(1, &usual), run(2, &usual), run(3, third)]);
        assert_eq!(all(&usual), None);
        let found = all(&usual[..1]).unwrap();
        assert_eq!((found.run, found.beside), (3, 1));
        assert_eq!(
            found.what,
            "rule 1: reached 4, fired 1, observed 1; in run 1: reached 4, fired 2, observed 2"
        );
        for (third, what) in [
            ([("a", 1, "x"), ("a", 2, "y")], "rule 1, a #2: y; in run 1: x"),
            ([("a", 1, "x"), ("a", 3, "x")], "rule 1, a #2: nothing; in run 1: x"),
            ([("A", 1, "x"), ("a", 1, "x")], "rule 1, A #1: x; in run 1: nothing"),
        ] {
            assert_eq!(all(&third).unwrap().what, what);
        }
        assert_eq!(first_unlike(&[]), None);
        let listed = each(&vec![run(1, &usual); 200]);
        assert_eq!((listed.len(), &listed[0].rules), (MOST_RUNS, &vec![[4, 2, 2]]));
    }
}
