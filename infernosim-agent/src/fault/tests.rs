//! The room as a whole: rules as text, occasions, ledgers.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::action::ENTRIES;
use super::selector::SELECTORS;
use super::when::WHENS;
use super::*;

fn rule(text: &str) -> Rule {
    Rule::parse(text).unwrap_or_else(|error| panic!("{text}: {error} {:?}", error.help))
}

fn faults(seed: u64, rules: &[&str]) -> Faults {
    Faults::new(Plan { seed, rules: rules.iter().map(|text| rule(text)).collect() })
}

fn call<'a>(names: &'a [&'a str], method: &'a str, target: &'a str) -> Occasion<'a> {
    Occasion { kind: Kind::Call, names, port: Some(80), method, target, headers: &[], at_ns: 0 }
}

fn connect<'a>(names: &'a [&'a str]) -> Occasion<'a> {
    Occasion { kind: Kind::Connect, method: "", target: "", ..call(names, "", "") }
}

fn effects(faults: &Faults, occasion: &Occasion<'_>) -> Vec<Effect> {
    faults.decide(occasion).into_iter().map(|fired| fired.effect).collect()
}

#[test]
fn each_entry_and_term_has_an_example_that_is_understood() {
    let mut words = BTreeSet::new();
    for entry in ENTRIES {
        let example = rule(entry.example);
        assert!(example.actions.iter().any(|action| action.entry.word == entry.word), "{}", entry.word);
        assert!(words.insert(entry.word), "{} is there twice", entry.word);
        for alias in entry.aliases {
            let other = rule(&entry.example.replace(&format!("{}=", entry.word), &format!("{alias}=")));
            assert_eq!(other, example, "{alias}");
            assert!(words.insert(alias), "{alias} is there twice");
        }
    }
    for term in SELECTORS.iter().chain(&WHENS) {
        assert!(words.insert(term.word), "{} is there twice", term.word);
        let action = if term.example.starts_with("dir=in") { "cancel" } else { "latency=1s" };
        rule(&format!("{} {action}", term.example));
    }
}

#[test]
fn mistakes_are_named_and_the_near_word_is_said() {
    for (text, message, help) in [
        ("dep=payments latncy=+200ms", "`latncy`", "did you mean `latency`?"),
        ("dpe=payments reset", "`dpe`", "did you mean `dep`?"),
        ("dep=payments delay=1s", "`delay`", "did you mean `latency`?"),
        ("dep=payments toxicity=0.1 reset", "`toxicity`", "did you mean `p`?"),
        ("dep=payments dns=nxdomian", "`nxdomian`", "did you mean `nxdomain`?"),
        ("dir=inn cancel", "`inn`", "did you mean `in`?"),
        ("stream=upsteam reset", "`upsteam`", "did you mean `upstream`?"),
        ("latency=1s~1s:parto", "`parto`", "did you mean `pareto`?"),
        ("dep=payments p=10% reset", "from 0 to 1", "10 % is `p=0.1`"),
        ("dep=payments latency=200", "a time needs a unit", ""),
        ("dep=payments", "no action", "add what is to happen"),
        ("", "no action", "add what is to happen"),
        ("dep=payments latency", "needs a value", "write `latency="),
        ("dep= latency=1s", "needs a value", "write `dep=PATTERN[:PORT]`"),
        ("dep=payments refuse=1", "takes no value", "for example"),
        ("path=/a path=/b reset", "there twice", ""),
        ("status=500 status=501", "there twice", ""),
        ("p=0.1 at=2 reset", "`at` says which occurrences", "leave one of the two away"),
        ("dir=in dns=nxdomain", "inbound requests", "leave `dir=in` away"),
        ("dir=in truncate=1", "inbound requests", "leave `dir=in` away"),
        ("dep=payments cancel", "inbound requests", "leave `dep` away"),
        ("dir=in dep=payments latency=1s", "inbound requests", ""),
        ("latency=1s cancel", "inbound requests", "`dir=in`"),
        ("op='GET /' refuse", "no method", "leave `op`"),
        ("stream=upstream dns=nxdomain", "no bytes", "leave `stream` away"),
        ("stream=upstream status=500", "answers", "leave `stream=upstream` away"),
        ("dep=payments:80 dns=nxdomain", "no port", "leave the port"),
        ("site='connect a' latency=1s", "`site` is something else", ""),
        ("dep='payments reset", "a quote ' is not closed", ""),
        ("bandwidth=64KiB", "no rate", "write `64KiB/s`"),
        ("status=99", "no status", "from 200 to 599"),
    ] {
        let error = Rule::parse(text).expect_err(text);
        assert_eq!(error.exit, crate::error::Exit::Usage);
        assert!(error.message.contains(message), "{text}: {}", error.message);
        assert!(error.help.as_deref().unwrap_or_default().contains(help), "{text}: {:?}", error.help);
    }
}

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

/// Rules of which some are left to chance.
fn some_rule() -> impl Strategy<Value = String> {
    let selector = prop_oneof![
        Just(""),
        Just("dep=a "),
        Just("dep=b dep=c:80 "),
        Just("op='GET /x*' "),
        Just("path=/y header='X-Tenant:a b' "),
        Just("dir=out "),
    ];
    let when = prop_oneof![
        Just(""),
        Just("p=0.5 "),
        Just("p=0.25 first=9 "),
        Just("at=2,4-6 "),
        Just("every=3 "),
        Just("after=1s during=1.5s "),
    ];
    let action = prop_oneof![
        Just("latency=+10ms~5ms"),
        Just("latency=10ms~5ms:pareto"),
        Just("corrupt=3"),
        Just("slice=64~16,10ms status=503"),
        Just(r#"set-json='a.b:"it'\''s"' set-body='x y'"#),
        Just("retries=2"),
        Just("reset_peer=1s bandwidth=100"),
        Just("timeout=2s"),
        Just("fail=504 drop-header=X"),
    ];
    (selector, when, action)
        .prop_map(|(selector, when, action)| format!("{selector}{when}{action}"))
        .prop_filter("retries say which", |text| Rule::parse(text).is_ok())
}

fn traffic() -> impl Strategy<Value = Vec<(usize, usize)>> {
    prop::collection::vec((0..3_usize, 0..3_usize), 0..60)
}

fn play(faults: &Faults, traffic: &[(usize, usize)]) -> Ledger {
    let headers = [("x-tenant".to_owned(), b"a b".to_vec())];
    for (number, (name, path)) in traffic.iter().enumerate() {
        let (names, target) = (["a", "b", "c"], ["/x/1", "/y", "/x/2"]);
        let names = &names[*name..=*name];
        let headers = if number % 2 == 0 { &headers[..] } else { &[] };
        faults.decide(&Occasion { headers, at_ns: 1_500_000_000, ..call(names, "GET", target[*path]) });
    }
    faults.ledger()
}

fn what(ledger: &Ledger) -> BTreeSet<(String, u64, String)> {
    ledger.entries.iter().map(|entry| (entry.site.clone(), entry.occurrence, entry.action.clone())).collect()
}

proptest! {
    #[test]
    fn a_rule_is_read_back_as_it_is_printed(text in some_rule()) {
        let read = rule(&text);
        let again = rule(&read.to_string());
        prop_assert_eq!(again.to_string(), read.to_string());
        prop_assert_eq!(&again, &read);
    }

    #[test]
    fn no_text_makes_it_panic(text in r#"((dep|p|at|latency|slice|dns|corrupt|reset|op|every|xyz)(=[a0-9~:@,.'"%* -]{0,8})? ?){0,5}"#) {
        let _ = Rule::parse(&text);
    }

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
