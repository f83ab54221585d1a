//! What occasions meet, and what the ledger says of it.

use super::*;

#[test]
fn what_a_rule_hits_and_does() {
    let faults = faults(
        1,
        &[
            "dep=payments latency=+200ms",
            "dep=payments:80 op='POST /charge' status=503 set-header=Retry-After:1",
            "dep=ledger refuse",
            "dep=payments dns=slow:1s",
            "dir=in latency=1s",
            "latency=5ms dep=nobody",
        ],
    );
    let expected = [
        Effect::Delay(200_000_000),
        Effect::Status(503),
        Effect::SetHeader("Retry-After".to_owned(), "1".to_owned()),
    ];
    assert_eq!(effects(&faults, &call(&["payments"], "POST", "/charge?x=1")), expected);
    assert_eq!(effects(&faults, &call(&["payments"], "GET", "/charge")), expected[..1]);
    assert_eq!(effects(&faults, &call(&["ledger"], "GET", "/")), []);
    assert_eq!(effects(&faults, &connect(&["ledger", "payments"])), [Effect::Refuse]);
    let lookup = Occasion { kind: Kind::Lookup, method: "A", ..call(&["payments."], "", "") };
    assert_eq!(effects(&faults, &lookup), [Effect::Delay(1_000_000_000)]);
    let request = Occasion { kind: Kind::Request, ..call(&[], "GET", "/") };
    assert_eq!(effects(&faults, &request), [Effect::Delay(1_000_000_000)]);

    let ledger = faults.ledger();
    let counts: Vec<_> = ledger.rules.iter().map(|rule| (rule.reached, rule.fired, rule.observed)).collect();
    assert_eq!(counts, [(2, 2, 0), (1, 1, 0), (1, 1, 0), (1, 1, 0), (1, 1, 0), (0, 0, 0)]);
    let entries: Vec<_> =
        ledger.entries.iter().map(|e| (e.rule, &*e.site, e.occurrence, &*e.action)).collect();
    assert_eq!(
        entries,
        [
            (0, "outbound payments GET /charge", 1, "latency=200ms"),
            (0, "outbound payments POST /charge", 1, "latency=200ms"),
            (1, "outbound payments POST /charge", 1, "status=503"),
            (1, "outbound payments POST /charge", 1, "set-header=Retry-After:1"),
            (2, "connect ledger", 1, "refuse"),
            (3, "dns A payments", 1, "dns=slow:1s"),
            (4, "inbound GET /", 1, "latency=1s"),
        ]
    );
}

#[test]
fn what_is_observed_is_counted_once_and_of_its_run_only() {
    let faults = faults(1, &["dep=a latency=1s status=500"]);
    let fired = faults.decide(&call(&["a"], "GET", "/"));
    assert_eq!(fired.len(), 2);
    for one in &fired {
        faults.observed(one.id, "answered after 1s".to_owned());
        faults.observed(one.id, "again".to_owned());
    }
    let ledger = faults.ledger();
    assert_eq!((ledger.rules[0].fired, ledger.rules[0].observed), (1, 1));
    assert_eq!(ledger.entries[1].observed.as_deref(), Some("answered after 1s"));

    faults.begin(true);
    faults.decide(&call(&["a"], "GET", "/"));
    faults.observed(fired[0].id, "late".to_owned());
    faults.observed(FiredId(u64::MAX), "nobody's".to_owned());
    let ledger = faults.ledger();
    assert_eq!((ledger.rules[0].reached, ledger.rules[0].observed), (1, 0));
    assert_eq!(ledger.entries[0].occurrence, 1, "counted anew");

    faults.begin(false);
    assert_eq!(faults.decide(&call(&["a"], "GET", "/")), []);
    assert_eq!(faults.ledger().rules[0].reached, 0);
}

#[test]
fn retries_fail_so_often_at_each_site() {
    let plain = faults(1, &["dep=a retries=2"]);
    let said = |faults: &Faults, path| effects(faults, &call(&["a"], "GET", path));
    let failed = vec![Effect::Answer { after: 0, status: 503 }];
    let answers: Vec<_> = (0..4).map(|_| said(&plain, "/x")).collect();
    assert_eq!(answers, [failed.clone(), failed.clone(), vec![], vec![]]);
    assert_eq!(said(&plain, "/y"), failed);
    let how = faults(1, &["dep=a retries=1 reset"]);
    assert_eq!((said(&how, "/x"), said(&how, "/x")), (vec![Effect::Reset(None)], vec![]));
}

#[test]
fn who_counts_connects_does_not_count_the_call_of_the_next_one() {
    let open = call(&["a"], "GET", "/");
    let lasting = faults(1, &["dep=a blackhole during=1s", "dep=a down during=1s"]);
    assert_eq!(effects(&lasting, &open), [Effect::Blackhole, Effect::Reset(None)]);
    assert_eq!(effects(&lasting, &connect(&["a"])), [Effect::Blackhole, Effect::Refuse]);
    let once = faults(1, &["dep=a blackhole first=1", "dep=a retries=1 down"]);
    assert_eq!(effects(&once, &open), []);
    assert_eq!(effects(&once, &connect(&["a"])), [Effect::Blackhole, Effect::Refuse]);
    assert_eq!(effects(&once, &connect(&["a"])), []);
    let of_calls = faults(1, &["dep=a op=GET blackhole first=1"]);
    assert_eq!(effects(&of_calls, &open), [Effect::Blackhole]);
}

#[test]
fn ahead_says_what_decide_will() {
    let faults = faults(7, &["dep=a refuse p=0.5", "blackhole every=3"]);
    for _ in 0..3 {
        faults.decide(&connect(&["a"]));
    }
    let ahead = faults.ahead(&connect(&["a"]), 200);
    assert_eq!(faults.ledger().rules[0].reached, 3);
    let then: Vec<_> = (0..200).map(|_| effects(&faults, &connect(&["a"]))).collect();
    assert_eq!(ahead, then);
    let timed =
        self::faults(7, &["dep=a refuse after=1s during=2s", "dep=b reset during=5s", "refuse dep=c"]);
    assert_eq!(timed.changes(), [1_000_000_000, 3_000_000_000, 5_000_000_000]);
}

#[test]
fn what_changes_an_answer_does_not_fire_where_nobody_reads_it() {
    let unread = call(&["a"], "", "");
    let faults = faults(1, &["dep=a status=503", "dep=a set-header=X:1", "dep=a status=503 latency=1ms"]);
    assert_eq!(effects(&faults, &unread)[1..], [Effect::Delay(1_000_000)]);
    assert_eq!(faults.ledger().rules.iter().map(|rule| rule.fired).collect::<Vec<_>>(), [0, 0, 1]);
    assert_eq!(effects(&faults, &call(&["a"], "GET", "/")).len(), 4);
}

#[test]
fn what_must_be_understood_of_a_connection() {
    let faults = faults(
        1,
        &["dep=a:5432 latency=1s", "dep=b op='GET /' reset", "dep=c status=500", "dep=d dns=nxdomain"],
    );
    for (name, port, need) in [
        ("a", 5432, Need::Bytes),
        ("a", 80, Need::Nothing),
        ("b", 80, Need::Messages),
        ("c", 80, Need::Messages),
        ("d", 80, Need::Nothing),
    ] {
        assert_eq!(faults.need(&[name], Some(port)), need, "{name}");
    }
    assert!(faults.concerns(Kind::Lookup) && !faults.concerns(Kind::Connect));
}

#[test]
fn rules_come_and_go_while_it_runs() {
    let faults = Faults::default();
    assert!(faults.is_empty());
    assert_eq!(faults.add(rule("dep=a status=500")), 0);
    assert_eq!(faults.add(rule("dep=a latency=1s")), 1);
    assert_eq!(effects(&faults, &call(&["a"], "GET", "/")).len(), 2);
    assert!(faults.remove(0) && !faults.remove(0) && !faults.remove(7));
    assert_eq!(effects(&faults, &call(&["a"], "GET", "/")), [Effect::Delay(1_000_000_000)]);
    assert_eq!(faults.rules_left(), [(1, rule("dep=a latency=1s"))]);
    assert_eq!(faults.ledger().rules[0].fired, 1, "the ledger keeps it");
    assert!(faults.remove(1) && faults.is_empty());
    // Of what is gone the clock and sites say nothing any more.
    assert_eq!(faults.add(rule("dep=a site='outbound a GET /' status=500 after=1s")), 2);
    assert_eq!((faults.changes(), faults.add(rule("dep=a latency=1s"))), (vec![1_000_000_000], 3));
    assert!(faults.remove(2));
    assert_eq!((faults.changes(), effects(&faults, &call(&["a"], "GET", "/")).len()), (vec![], 1));
}

#[test]
fn memory_is_bounded_however_many_sites() {
    let faults = faults(1, &["dep=* latency=1s"]);
    for at in 0..110_000 {
        let name = format!("host-{at}");
        faults.decide(&call(&[&name], "GET", "/"));
    }
    let ledger = faults.ledger();
    assert_eq!((ledger.rules[0].fired, ledger.entries.len(), ledger.more), (110_000, 100_000, 10_000));
    assert_eq!(ledger.entries.iter().filter(|entry| entry.site == "(others)").count(), 100_000 - 65_536);
}

#[test]
fn what_happens_whatever_the_number_is_known_ahead() {
    let of = |text: &str, at_ns| {
        let occasion = Occasion { at_ns, ..connect(&["a:80"]) };
        let faults = faults(1, &[text]);
        (faults.chooses(&occasion), faults.always(&occasion))
    };
    for text in ["dep=a refuse", "dep=a refuse p=1", "dep=a refuse every=1"] {
        assert_eq!(of(text, 0), (true, vec![Effect::Refuse]), "{text}");
    }
    for text in
        ["dep=a refuse p=0.99", "dep=a refuse at=1-1000", "dep=a refuse first=9", "dep=a refuse after=1s"]
    {
        assert_eq!(of(text, 0), (true, Vec::new()), "{text}");
    }
    assert_eq!(of("dep=a refuse after=1s", 1_000_000_000).1, [Effect::Refuse]);
    assert_eq!(of("dep=b refuse", 0), (false, Vec::new()));
}

#[test]
fn the_dependencies_of_a_rule() {
    let rule = rule("dep=a,b:80 dep=[::1]:443 reset");
    let named: Vec<_> = rule.dependencies().collect();
    assert_eq!(named, [("a", None), ("b", Some(80)), ("::1", Some(443))]);
    for (site, named) in [
        ("connect a:8080", Some(("a", Some(8080)))),
        ("outbound a GET /", Some(("a", None))),
        ("dns A a", None),
    ] {
        let action = if named.is_some() { "blackhole" } else { "dns=nxdomain" };
        let rule = Rule::parse(&format!("site='{site}' {action}")).unwrap();
        assert_eq!(rule.dependencies().next(), named, "{site}");
    }
}

#[test]
fn the_dependency_that_was_likely_meant() {
    let known = ["payments.test", "ledger:8080", "10.0.0.7:5432"];
    for (text, likely) in [
        ("dep=payments reset", Some("payments.test")),
        ("dep=paymnts.test reset", Some("payments.test")),
        ("dep=ledger:80 reset", Some("ledger:8080")),
        ("dep=ledgr reset", Some("ledger")),
        ("dep=elsewhere reset", None),
        ("dep=ledger reset", None),
        ("dep=nobody dep=pay* reset", None),
        ("reset", None),
    ] {
        assert_eq!(rule(text).likely_dependency(&known), likely, "{text}");
    }
}
