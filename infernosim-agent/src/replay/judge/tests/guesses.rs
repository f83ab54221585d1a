//! Calls of which nothing tells which recorded one each of them is.

use super::*;

/// A recording of which it is not known who made the calls to payments.
fn tape() -> Tape {
    let mut tape = Tape::default();
    tape.calls[1].4 = None;
    tape.calls[5].4 = None;
    tape
}

/// What two calls to payments are asked, where the recording has (50, k1) and (60, k2).
fn charged(run: &mut Run, values: [(&str, &str); 2]) {
    for ((call, recorded), live) in [1, 5].into_iter().zip([("50", "k1"), ("60", "k2")]).zip(values) {
        let amount = (recorded.0 != live.0).then(|| other("body.amount", number(recorded.0), number(live.0)));
        let key = (recorded.1 != live.1).then(|| other("body.key", text(recorded.1), text(live.1)));
        run.calls[call].differences = amount.into_iter().chain(key).collect();
    }
}

#[test]
fn calls_in_each_others_places_are_no_difference_and_teach_nothing() {
    let judgement = ten(&tape(), |number, run| {
        let straight = [("50", "k1"), ("60", "k2")];
        charged(run, if number % 2 == 0 { straight } else { [straight[1], straight[0]] });
    });
    assert_eq!((places(&judgement), judgement.deterministic), (vec![], 10));
    assert_eq!(judgement.volatile.fields().count(), 0);
    // Their ids are others in each run, all else is theirs.
    let judgement = ten(&tape(), |number, run| {
        let (one, two) = (format!("a{number}"), format!("b{number}"));
        let straight = [("50", &*one), ("60", &*two)];
        charged(run, if number % 2 == 0 { straight } else { [straight[1], straight[0]] });
    });
    assert_eq!((places(&judgement), judgement.deterministic), (vec![], 10));
    let fields: Vec<_> = judgement.volatile.fields().map(|it| it.1.to_owned()).collect();
    assert_eq!(fields, ["body.key"]);
    // Told apart by their paths alone.
    let mut tape = tape();
    (tape.calls[2].4, tape.calls[3].4) = (None, None);
    (tape.calls[2].2, tape.calls[3].2) = ("/5a3f0c9e7b12", "/77aa0c9e7b12");
    let judgement = ten(&tape, |number, run| {
        for (call, recorded, live) in
            [(2, "5a3f0c9e7b12", "77aa0c9e7b12"), (3, "77aa0c9e7b12", "5a3f0c9e7b12")]
        {
            if number % 2 == 0 {
                run.calls[call].differences = vec![other("path[0]", text(recorded), text(live))];
            }
        }
    });
    assert_eq!((places(&judgement), judgement.deterministic), (vec![], 10));
    assert_eq!(judgement.volatile.fields().count(), 0);
}

#[test]
fn what_changed_is_told_though_the_runs_pair_it_otherwise() {
    let judgement = ten(&tape(), |number, run| {
        let (one, two) = (("51", "k1"), ("61", "k2"));
        charged(run, if number % 2 == 0 { [one, two] } else { [two, one] });
    });
    assert_eq!(judgement.volatile.fields().count(), 0, "any amount would pass");
    assert_eq!(judgement.outcome, Outcome::FailNonDeterministic);
    assert_eq!(places(&judgement)[0], "outbound 1 request_mismatch");
}

#[test]
fn the_amount_of_one_with_the_key_of_another_is_a_difference() {
    let judgement = ten(&tape(), |_, run| charged(run, [("50", "k2"), ("60", "k1")]));
    assert_eq!(judgement.outcome, Outcome::FailDiverged);
    assert_eq!(places(&judgement), ["outbound 1 request_mismatch", "outbound 5 request_mismatch"]);
}

#[test]
fn of_calls_whose_requests_are_known_each_is_compared_with_its_own() {
    let judgement = ten(&Tape::default(), |_, run| charged(run, [("60", "k2"), ("50", "k1")]));
    assert_eq!(judgement.outcome, Outcome::FailDiverged);
}

#[test]
fn surplus_calls_of_which_it_is_known_now_and_then_whose_they_are_make_no_other_run() {
    let judgement = ten(&Tape::default(), |number, run| {
        let asked = Asked {
            dependency: "stock.test".into(),
            method: "GET".into(),
            target: "/more".into(),
            fields: Fields::new(),
        };
        let mut call = run.calls[2].clone();
        call.counterpart = None;
        call.asked = Some(Box::new(asked));
        call.cause = (number % 2 == 0).then_some(ExchangeIndex(0));
        run.calls.insert(3, call);
    });
    assert_eq!((judgement.outcome, judgement.deterministic), (Outcome::FailDiverged, 10));
}

#[test]
fn a_turn_of_a_protocol_that_is_not_read_is_never_volatile() {
    let mut tape = Tape::default();
    (tape.calls[1].1, tape.calls[1].2) = ("", "tcp");
    let judgement = ten(&tape, |number, run| {
        let nonce = format!("n=a,r={number}");
        run.calls[1].differences = vec![other("body", text("n=a,r=x"), text(&nonce))];
    });
    assert_eq!(judgement.volatile.fields().count(), 0);
    assert_eq!(places(&judgement)[0], "outbound 1 request_mismatch");
}
