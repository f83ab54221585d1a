//! What is left to chance: how often, and that nothing else shifts it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[test]
fn a_chance_is_hit_as_often_as_it_says() {
    let one = faults(11, &["p=0.1 reset", "p=0.1 reset"]);
    let site = call(&["a"], "GET", "/");
    (0..10_000).for_each(|_| drop(one.decide(&site)));
    let ledger = one.ledger();
    // The deviation is 30.
    assert!(ledger.rules.iter().all(|rule| rule.fired.abs_diff(1000) < 150), "{:?}", ledger.rules);
    let of =
        |rule| ledger.entries.iter().filter(move |entry| entry.rule == rule).map(|entry| entry.occurrence);
    let (first, second): (BTreeSet<u64>, BTreeSet<u64>) = (of(0).collect(), of(1).collect());
    let both = first.intersection(&second).count();
    assert!((50..200).contains(&both), "two equal rules are independent: {both}");
}

#[test]
fn another_seed_site_or_text_has_other_chances() {
    let hits = |seed, text: &str, name: &str| -> Vec<u64> {
        let faults = faults(seed, &[text]);
        (0..200).for_each(|_| drop(faults.decide(&call(&[name], "GET", "/"))));
        faults.ledger().entries.iter().map(|entry| entry.occurrence).collect()
    };
    let one = hits(1, "p=0.5 reset", "a");
    assert!((60..140).contains(&one.len()), "{one:?}");
    assert_eq!(one, hits(1, "p=0.50  reset", "a"), "the text as it is printed counts");
    for other in [hits(2, "p=0.5 reset", "a"), hits(1, "p=0.5 reset", "b"), hits(1, "p=0.5 timeout", "a")] {
        assert_ne!(one, other);
    }
    // A rule before it changes nothing.
    let faults = faults(1, &["timeout", "p=0.5 reset"]);
    (0..200).for_each(|_| drop(faults.decide(&call(&["a"], "GET", "/"))));
    let second = faults.ledger().entries.into_iter().filter(|entry| entry.rule == 1);
    assert_eq!(one, second.map(|entry| entry.occurrence).collect::<Vec<_>>());
}

#[test]
fn the_same_ledger_at_any_concurrency() {
    let rules = ["dep=a p=0.3 latency=10ms~5ms", "p=0.2 corrupt", "every=7 status=500"];
    let ledgers = [1, 4, 32].map(|threads| {
        let faults = faults(5, &rules);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for _ in 0..960 / threads {
                        faults.decide(&call(&["a"], "GET", "/x"));
                        faults.decide(&call(&["b"], "GET", "/y"));
                    }
                });
            }
        });
        faults.ledger()
    });
    assert_eq!(ledgers[0], ledgers[1]);
    assert_eq!(ledgers[0], ledgers[2]);
    assert!(ledgers[0].entries.len() > 500);
}

proptest! {
    #[test]
    fn what_came_first_does_not_matter(rules in prop::collection::vec(some_rule(), 1..4), order in traffic().prop_shuffle()) {
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        // Headers alternate by the place in the traffic, so that only rules without them are the same in any order.
        let rules: Vec<&str> = rules.into_iter().filter(|rule| !rule.contains("header=")).collect();
        let one = play(&faults(3, &rules), &order);
        let other = play(&faults(3, &rules), &sorted);
        prop_assert_eq!(one, other);
    }

    #[test]
    fn one_occasion_more_elsewhere_shifts_nothing(text in some_rule(), traffic in traffic(), at in 0..60_usize) {
        let without: Vec<_> = traffic.iter().copied().filter(|(name, _)| *name != 0).collect();
        let mut with = without.clone();
        let at = at.min(with.len());
        with.insert(at, (0, 1));
        prop_assume!(!text.contains("header="));
        let of_others = |ledger: Ledger| {
            what(&ledger).into_iter().filter(|(site, ..)| !site.starts_with("outbound a ")).collect::<Vec<_>>()
        };
        prop_assert_eq!(of_others(play(&faults(3, &[&text]), &with)), of_others(play(&faults(3, &[&text]), &without)));
    }

    #[test]
    fn chances_of_none_and_one(seed in any::<u64>(), traffic in traffic()) {
        let ledger = play(&faults(seed, &["p=0 reset", "p=1 reset"]), &traffic);
        prop_assert_eq!((ledger.rules[0].fired, ledger.rules[1].fired), (0, traffic.len() as u64));
        prop_assert_eq!(ledger.rules[0].reached, traffic.len() as u64);
    }
}
