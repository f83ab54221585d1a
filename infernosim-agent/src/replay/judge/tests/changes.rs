//! Ten changes to a service, each made on purpose: found, at the right index, with the right reason.

use super::*;
use crate::replay::seen::End;

/// A change, what is told of it in order, and the outcome.
type Change = (&'static str, fn(&mut Run), &'static [&'static str], Outcome);

const CHANGES: [Change; 14] = [
    (
        "an extra call between two",
        |run| run.calls.insert(3, surplus(Some(1), 125, "stock.test", "GET", "/new", "")),
        &["outbound 3 unexpected_outbound_call"],
        Outcome::FailDiverged,
    ),
    (
        "an extra call behind the last of its cause",
        |run| run.calls.insert(2, surplus(Some(0), 45, "mail.test", "POST", "/send", "{}")),
        &["outbound 2 unexpected_outbound_call"],
        Outcome::FailDiverged,
    ),
    (
        "a call less",
        |run| drop(run.calls.remove(3)),
        &["outbound 3 missing_outbound_call"],
        Outcome::FailDiverged,
    ),
    ("two calls swapped", |run| run.calls.swap(2, 3), &["outbound 2 order_changed"], Outcome::FailDiverged),
    (
        "another query",
        |run| run.calls[0].differences = vec![other("query.sku", text("7"), text("8"))],
        &["outbound 0 request_mismatch"],
        Outcome::FailDiverged,
    ),
    (
        "another field in a POST",
        |run| run.calls[5].differences = vec![other("body.amount", number("60"), number("61"))],
        &["outbound 5 request_mismatch"],
        Outcome::FailDiverged,
    ),
    (
        "another query, refused since it was to be the same",
        |run| run.calls[0] = surplus(Some(0), 10, "prices.test", "GET", "/price?sku=8", ""),
        &["outbound 0 request_mismatch"],
        Outcome::FailDiverged,
    ),
    (
        "another status",
        |run| {
            run.answers[1].outcome = Came::Answered(500);
            run.answers[1].differences = vec![other("status", number("200"), number("500"))];
        },
        &["inbound 1 response_mismatch"],
        Outcome::FailDiverged,
    ),
    (
        "another body",
        |run| run.answers[2].differences = vec![other("body.total", number("60"), number("70"))],
        &["inbound 2 response_mismatch"],
        Outcome::FailDiverged,
    ),
    (
        "a retry",
        |run| run.calls.insert(3, surplus(Some(1), 125, "stock.test", "GET", "/a", "")),
        &["outbound 3 unexpected_outbound_call"],
        Outcome::FailDiverged,
    ),
    (
        "a retry of the last call",
        |run| {
            run.calls.push(surplus(
                Some(2),
                245,
                "pay.test:8443",
                "POST",
                "/charge",
                r#"{"amount":60,"key":"k2"}"#,
            ))
        },
        &["outbound 6 unexpected_outbound_call"],
        Outcome::FailDiverged,
    ),
    (
        "a crash, after the first call of the second request",
        |run| {
            run.end = End::TargetExited(Some(139));
            run.calls.truncate(3);
            (run.answers[1].outcome, run.answers[1].ended_ns) = (Came::Closed, 61_000_000);
            run.answers[2].outcome = Came::NotSent;
        },
        &["inbound 1 target_exited", "outbound 3 missing_outbound_call"],
        Outcome::FailDiverged,
    ),
    (
        "a handler that dies, in a target that lives on",
        |run| {
            run.calls.truncate(3);
            (run.answers[1].outcome, run.answers[1].ended_ns) = (Came::Closed, 61_000_000);
            run.calls.extend(super::run(&Tape::default()).calls.split_off(4));
        },
        &["inbound 1 response_mismatch", "outbound 3 missing_outbound_call"],
        Outcome::FailDiverged,
    ),
    (
        "a hang",
        |run| {
            run.end = End::Stalled(5_000_000_000);
            run.calls.truncate(2);
            run.answers[1].outcome = Came::Unanswered;
            run.answers[2].outcome = Came::NotSent;
        },
        &["inbound 1 timed_out", "outbound 2 missing_outbound_call", "outbound 3 missing_outbound_call"],
        Outcome::FailStalled,
    ),
];

#[test]
fn each_is_found_where_it_is() {
    for (name, change, expected, outcome) in CHANGES {
        let judgement = ten(&Tape::default(), |_, run| change(run));
        assert_eq!(places(&judgement), expected, "{name}");
        assert_eq!((judgement.outcome, judgement.outcome.exit() as u8), (outcome, 1), "{name}");
        assert_eq!(judgement.told[0].runs, (1..=10).collect::<Vec<_>>(), "{name}");
        assert_eq!(judgement.deterministic, 10, "{name}: the runs are alike");
        assert!(judgement.repeat.is_some() && !judgement.is_clean, "{name}");
    }
}

#[test]
fn no_two_have_the_same_fingerprint() {
    let print = |change: fn(&mut Run)| ten(&Tape::default(), |_, run| change(run)).fingerprint;
    let mut prints: Vec<_> = CHANGES.iter().map(|it| print(it.1)).collect();
    prints.push(print(|_| ()));
    let count = prints.len();
    prints.sort_unstable();
    prints.dedup();
    assert_eq!(prints.len(), count);
}

#[test]
fn one_run_of_ten_is_enough_but_for_values() {
    for (name, change, expected, _) in CHANGES {
        let judgement = ten(&Tape::default(), |number, run| {
            if number == 3 {
                change(run)
            }
        });
        if ["another query", "another field in a POST", "another body"].contains(&name) {
            // Runs that disagree about a value say that it is volatile.
            assert_eq!((judgement.outcome, judgement.volatile.fields().count()), (Outcome::PassStrong, 1));
            continue;
        }
        assert_eq!(places(&judgement), expected, "{name}");
        let is_stall = expected[0].ends_with("timed_out");
        let outcome = if is_stall { Outcome::FailStalled } else { Outcome::FailNonDeterministic };
        assert_eq!((judgement.outcome, judgement.deterministic), (outcome, 9), "{name}");
        assert_eq!(judgement.told[0].runs, [4], "{name}");
    }
}

#[test]
fn what_went_wrong_first_is_told_first() {
    let judgement = ten(&Tape::default(), |_, run| {
        // It asks for a wrong price, gets 502, and answers 500.
        run.calls[4] = surplus(Some(2), 210, "prices.test", "GET", "/preis?sku=9", "");
        run.calls.truncate(5);
        run.answers[2].outcome = Came::Answered(500);
    });
    assert_eq!(
        places(&judgement),
        [
            "outbound 4 unexpected_outbound_call",
            "outbound 4 missing_outbound_call",
            "outbound 5 missing_outbound_call",
            "inbound 2 response_mismatch",
        ]
    );
    assert_eq!(judgement.reason, "unexpected_outbound_call at outbound event index=4");
    let told = &judgement.told[0];
    assert_eq!((told.expected.as_str(), told.actual.as_str()), ("nothing", "prices.test GET /preis?sku=9"));
    let cause = told.cause.as_ref().unwrap();
    assert_eq!((cause.index, cause.asked.as_str(), cause.basis), (2, "POST /orders", Some("thread")));
}

#[test]
fn the_command_sends_what_is_needed() {
    let command = |change: fn(&mut Run), options: &JudgeOptions| {
        ten_with(&Tape::default(), options, |_, run| change(run)).repeat.unwrap()
    };
    let alone = |id: &str| format!("infernosim replay --incident inc --request {id} --runs 1 -- ./app");
    let all = "infernosim replay --incident inc --runs 1 -- ./app";
    let missing = |run: &mut Run| drop(run.calls.remove(3));
    assert_eq!(command(missing, &options()), alone("id-1"));
    let dependent = Repeat { dependent: [ExchangeIndex(1)].into(), ..options().repeat };
    assert_eq!(command(missing, &JudgeOptions { repeat: dependent, ..options() }), all);
    // What was ordered before may be what the answer is about.
    let body = |run: &mut Run| run.answers[2].differences = vec![other("body.total", number("60"), None)];
    assert_eq!(command(body, &options()), all);
    let first = |run: &mut Run| run.answers[0].outcome = Came::Answered(500);
    assert_eq!(command(first, &options()), alone("0af7651916cd43dd8448eb211c80319c"));
    let judgement = ten(&Tape::default(), |number, run| {
        if number == 0 {
            missing(run)
        }
    });
    assert_eq!(judgement.repeat.unwrap(), "infernosim replay --incident inc --runs 10 -- ./app");
    assert_eq!(ten(&Tape::default(), |_, _| ()).repeat, None);
}
