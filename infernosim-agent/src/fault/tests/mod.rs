//! The room as a whole: rules as text, occasions, ledgers.

mod chances;
mod decisions;
mod grammar;
mod page;
mod plans;

use std::collections::BTreeSet;

use proptest::prelude::*;

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
