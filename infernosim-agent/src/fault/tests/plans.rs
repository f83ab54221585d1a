//! Plans as files, and of ledgers.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn a_plan_of_a_ledger_does_the_same_again(
        rules in prop::collection::vec(some_rule(), 1..5),
        seed in any::<u64>(),
        traffic in traffic(),
    ) {
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        let ledger = play(&faults(seed, &rules), &traffic);
        let plan = ledger.plan().unwrap();
        // Written, read, and with another seed: nothing in it is left to chance.
        let read = Plan::from_toml(&plan.to_toml(), "ours").unwrap();
        prop_assert_eq!(&read, &plan);
        let again = play(&Faults::new(Plan { seed: !seed, ..read }), &traffic);
        prop_assert_eq!(what(&again), what(&ledger));
        prop_assert_eq!(again.entries.len(), ledger.entries.len());
        prop_assert!(again.rules.iter().all(|rule| rule.fired > 0));
        // What is done to one occasion stays in its order.
        let in_order = |ledger: &Ledger| {
            let mut of: std::collections::BTreeMap<(String, u64), Vec<String>> = Default::default();
            let mut entries = ledger.entries.clone();
            entries.sort_by_key(|entry| entry.rule);
            for entry in entries {
                of.entry((entry.site, entry.occurrence)).or_default().push(entry.action);
            }
            of
        };
        prop_assert_eq!(in_order(&again), in_order(&ledger));
    }

    #[test]
    fn a_rule_is_read_back_from_toml(text in some_rule()) {
        let plan = Plan { seed: 1, rules: vec![rule(&text)] };
        prop_assert_eq!(Plan::from_toml(&plan.to_toml(), "ours").unwrap(), plan);
    }

    #[test]
    fn no_plan_makes_it_panic(text in r#"(seed = [0-9a-]{1,3}\n)?(\[\[rule\]\]\n(dep|p|at|rule|latency|status|x) = (1|-1|0\.5|true|false|"a"|\["a", 1\]|\[\]|\{\}|1979-05-27)\n){0,3}"#) {
        let _ = Plan::from_toml(&text, "any");
    }
}

#[test]
fn plans_as_people_write_them() {
    let plan = Plan::from_toml(
        r#"
            seed = 7
            [[rule]]
            dep = ["payments", "ledger:80"]
            p = 0.1
            status = 503
            set-header = ["Retry-After:5", "X:'y z'"]
            [[rule]]
            op = "POST /orders"
            at = [1, "3-5"]
            reset = true
            [[rule]]
            rule = "dep=payments latency=+200ms"
        "#,
        "plan.toml",
    );
    let texts = [
        r#"dep=payments dep=ledger:80 p=0.1 status=503 set-header=Retry-After:5 set-header="X:'y z'""#,
        "op='POST /orders' at=1,3-5 reset",
        "dep=payments latency=200ms",
    ];
    assert_eq!(plan.unwrap(), Plan { seed: 7, rules: texts.map(rule).to_vec() });
    for seed in [0, u64::from(u32::MAX), u64::MAX] {
        let plan = Plan { seed, rules: Vec::new() };
        assert_eq!(Plan::from_toml(&plan.to_toml(), "ours").unwrap(), plan);
    }
    for (text, message, help) in [
        ("sede = 1", "unknown key `sede`", "did you mean `seed`?"),
        ("seed = -1", "no whole number", "2^63"),
        ("x = 1\n[[", "line 2", "[[rule]]"),
        (
            "[[rule]]\nlatncy = '1s'",
            "rule 1 of plan.toml cannot be used: `latncy`",
            "did you mean `latency`?",
        ),
        (
            "[[rule]]\nreset = true\n[[rule]]\nreset = false",
            "rule 2 of plan.toml cannot be used: `reset`",
            "leave the key away",
        ),
        ("[[rule]]\nrule = 'reset'\np = 1", "without other keys", ""),
        ("[[rule]]\ndep = []\nreset = true", "empty", ""),
        ("[[rule]]\nreset = 1979-05-27", "a text, a number", ""),
        ("rule = 1", "no TOML as plans are", "[[rule]]"),
    ] {
        let error = Plan::from_toml(text, "plan.toml").expect_err(text);
        assert!(error.message.contains(message), "{text}: {}", error.message);
        assert!(error.help.as_deref().unwrap_or_default().contains(help), "{text}: {:?}", error.help);
    }
}

#[test]
fn a_ledger_that_does_not_list_all_is_no_plan() {
    let ledger = Ledger { more: 1, ..Ledger::default() };
    assert!(ledger.plan().is_err());
}

#[test]
fn a_command_line_and_a_file_are_one_plan() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plan.toml");
    std::fs::write(&path, "seed = 7\n[[rule]]\nreset = true\n").unwrap();
    let injects = ["dep=a latency=1s".to_owned()];
    let plan = Plan::gather(Some(&path), &injects, None).unwrap();
    assert_eq!(plan, Plan { seed: 7, rules: vec![rule("reset"), rule("dep=a latency=1s")] });
    assert_eq!(Plan::gather(Some(&path), &[], Some(9)).unwrap().seed, 9);
    let drawn = [(); 2].map(|()| Plan::gather(None, &injects, None).unwrap().seed);
    assert_ne!(drawn[0], drawn[1]);
    assert!(Plan::gather(Some(&dir.path().join("none")), &[], None).is_err());
}
