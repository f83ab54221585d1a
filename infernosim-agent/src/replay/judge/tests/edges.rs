//! Ends of runs, refusals, leaks, selections, and what passes only weakly.

use super::*;
use crate::replay::seen::End;

#[test]
fn what_was_refused_lies_where_its_cause_went_on() {
    let address = "10.9.9.9:25".parse().unwrap();
    let refused = |what, cause: Option<u32>, at_ms: u64| Refusal {
        what,
        cause: cause.map(ExchangeIndex),
        at_ns: at_ms * 500_000,
    };
    let judgement = ten(&Tape::default(), |_, run| {
        run.refusals = vec![
            refused(Refused::Lookup("mail.test".into()), Some(1), 125),
            refused(Refused::Lookup("mail.test".into()), Some(1), 126),
            refused(Refused::Connect(address), None, 215),
        ];
    });
    assert_eq!(
        places(&judgement),
        ["outbound 3 unexpected_outbound_call", "outbound 5 unexpected_outbound_call"]
    );
    let [lookup, connect] = &judgement.told[..] else { panic!() };
    assert_eq!((lookup.actual.as_str(), lookup.count), ("a lookup of mail.test", 2));
    assert_eq!(connect.actual, "a connect to 10.9.9.9:25");
    assert_eq!(connect.cause, None);
}

#[test]
fn leaks_are_divergences_unless_they_were_recorded() {
    let leak = |_: u32, run: &mut Run| {
        run.leaked = [("udp".to_owned(), 3), ("ipv6".to_owned(), 0)].into();
    };
    let judgement = ten(&Tape::default(), leak);
    assert_eq!(places(&judgement), ["outbound 6 unexpected_outbound_call"]);
    assert_eq!(judgement.told[0].actual, "3 packets of udp, dropped");
    let options = JudgeOptions { unmediated: [("udp".to_owned(), 9)].into(), ..options() };
    assert_eq!(ten_with(&Tape::default(), &options, leak).outcome, Outcome::PassStrong);
}

#[test]
fn recorded_failures_are_missed() {
    let failed = vec![(Some(ExchangeIndex(0)), Basis::Thread), (Some(ExchangeIndex(1)), Basis::Thread)];
    let tape = Tape { failed: [("db:5432".to_owned(), failed)].into(), ..Tape::default() };
    let judgement = ten(&tape, |_, run| run.missing_failures = vec![("db:5432".into(), 1)]);
    assert_eq!(places(&judgement), ["outbound 4 missing_outbound_call"]);
    assert_eq!(judgement.told[0].expected, "1 connect to db:5432 that fail");
}

#[test]
fn what_no_stub_answers_is_not_due() {
    let mut tape = Tape::default();
    tape.calls[3].0 = "tls.test";
    assert_eq!(ten(&tape, |_, _| ()).outcome, Outcome::PassStrong);
    let live = JudgeOptions { live: vec!["stock.*".into()], ..options() };
    let judgement = ten_with(&Tape::default(), &live, |_, run| drop(run.calls.drain(2..4)));
    assert_eq!((judgement.outcome, judgement.counts.outbound_expected), (Outcome::PassStrong, 40));
}

#[test]
fn one_request_alone() {
    let mut tape = Tape::default();
    tape.calls[3].4 = None;
    let options = JudgeOptions { request: Some("id-1".into()), ..options() };
    let alone = |_: u32, run: &mut Run| {
        run.answers.retain(|it| it.exchange.0 == 1);
        run.calls.retain(|it| it.counterpart == Some(CallIndex(2)));
    };
    let judgement = ten_with(&tape, &options, alone);
    assert_eq!((judgement.outcome, judgement.counts.due), (Outcome::PassStrong, 10));
    let judgement = ten_with(&tape, &options, |number, run| {
        alone(number, run);
        run.calls.clear();
    });
    assert_eq!(places(&judgement), ["outbound 2 missing_outbound_call"]);
    let repeat = "infernosim replay --incident inc --request id-1 --runs 1 -- ./app";
    assert_eq!(judgement.repeat.unwrap(), repeat);
}

#[test]
fn without_an_answer_in_the_recording_nothing_is_expected() {
    let tape = Tape { statuses: [Some(201), None, Some(201)], ..Tape::default() };
    for outcome in [Came::Answered(200), Came::Answered(500), Came::Closed, Came::Unanswered] {
        let judgement = ten(&tape, |_, run| run.answers[1].outcome = outcome);
        assert_eq!((judgement.outcome, judgement.deterministic), (Outcome::PassStrong, 10), "{outcome:?}");
    }
}

#[test]
fn the_end_of_the_target() {
    let exits = |status, change: fn(&mut Run)| {
        ten(&Tape::default(), move |_, run| {
            run.end = End::TargetExited(status);
            change(run);
        })
    };
    let judgement = exits(Some(0), |_| ());
    assert_eq!(places(&judgement), [""; 0], "it was done, as it may be");
    let judgement = exits(Some(139), |_| ());
    assert_eq!(places(&judgement), ["inbound 3 target_exited"]);
    assert_eq!(judgement.told[0].actual, "signal 11 ended the target");
    assert_eq!(judgement.repeat.unwrap(), "infernosim replay --incident inc --runs 1 -- ./app");
    // One connection broke long before, while the target lived.
    let judgement = exits(Some(1), |run| {
        (run.answers[0].outcome, run.answers[0].ended_ns) = (Came::Closed, 1000);
        run.answers[2].outcome = Came::Closed;
        run.calls.truncate(4);
    });
    assert_eq!(
        places(&judgement)[..2],
        ["inbound 0 response_mismatch", "inbound 2 target_exited"],
        "{:?}",
        places(&judgement)
    );
}

#[test]
fn partial_runs_are_inconclusive_unless_they_diverged() {
    let interrupted = |_: u32, run: &mut Run| {
        run.end = End::Interrupted;
        run.answers[2].outcome = Came::NotSent;
        run.calls.truncate(4);
    };
    let judgement = ten(&Tape::default(), interrupted);
    assert_eq!((judgement.outcome, judgement.outcome.exit() as u8), (Outcome::Inconclusive, 4));
    let judgement = ten(&Tape::default(), |number, run| {
        interrupted(number, run);
        run.calls.remove(0);
    });
    assert_eq!(judgement.outcome.exit() as u8, 1);
    let judgement = judge(&Tape::default(), &[run(&Tape::default())], &options()).unwrap();
    assert_eq!(judgement.outcome, Outcome::Inconclusive, "one of ten");
    // The last one was ended, wherever it was: the others are alike.
    for (came, calls) in [(Came::NotSent, 4), (Came::NotSent, 0), (Came::Unanswered, 4)] {
        let judgement = ten(&Tape::default(), |number, run| {
            if number == 9 {
                run.end = End::Interrupted;
                let from = if calls == 0 { 0 } else { 2 };
                run.answers[from..].iter_mut().for_each(|answer| answer.outcome = came);
                run.calls.truncate(calls);
            }
        });
        assert_eq!(judgement.outcome, Outcome::Inconclusive, "{came:?} {:?}", places(&judgement));
        assert_eq!((judgement.completed(), judgement.deterministic), (9, 9));
        assert!(places(&judgement).is_empty(), "{came:?} {:?}", places(&judgement));
    }
    // As many as were asked for.
    let judgement = ten(&Tape::default(), |number, run| {
        interrupted(number, run);
        run.end = End::EnoughEvents;
    });
    assert_eq!(judgement.outcome, Outcome::PassStrong);
}

/// The first `whole` runs came to their end, the next one was ended behind its first exchange.
fn ended_in_run(whole: usize, change: impl Fn(u32, &mut Run)) -> Judgement {
    let tape = Tape::default();
    let runs: Vec<Run> = (0..=whole)
        .map(|at| {
            let mut run = run(&tape);
            if at == whole {
                run.end = End::Interrupted;
                (run.answers[1].outcome, run.answers[2].outcome) = (Came::Closed, Came::NotSent);
                run.calls.truncate(2);
                run.missing_failures = vec![("db:5432".into(), 1)];
            }
            change(at as u32, &mut run);
            run
        })
        .collect();
    let slo = Slo::parse("errors<1%").unwrap();
    judge(&tape, &runs, &JudgeOptions { interrupted: true, slo, ..options() }).unwrap()
}

#[test]
fn where_the_user_ended_a_run_says_nothing_of_the_target() {
    for whole in [0, 1, 3] {
        let judgement = ended_in_run(whole, |_, _| ());
        assert_eq!(judgement.outcome, Outcome::Inconclusive, "{whole}: {:?}", judgement.told);
        assert_eq!(judgement.deterministic as usize, whole.max(1));
        assert!(!judgement.is_clean, "moods that it did not come to see would be divergences from now on");
    }
}

#[test]
fn values_of_which_too_few_runs_tell_are_left_open_where_the_user_ended_them() {
    let id = |number: u32, run: &mut Run, at: usize, live: &str| {
        if number == 0 || at == 0 {
            run.answers[at].differences = vec![other("body.id", text("o-1"), text(live))];
        }
    };
    // One run came to the second exchange, or to any.
    let seen_once = |number, run: &mut Run| id(number, run, 1, "o-9");
    let first_only = ended_in_run(0, |number, run| id(number, run, 0, "o-9"));
    for judgement in [ended_in_run(1, seen_once), first_only] {
        assert_eq!((judgement.outcome, judgement.found), (Outcome::Inconclusive, 0), "{:?}", judgement.told);
        assert!(judgement.reason.contains("; 1 value unlike the recorded"), "{}", judgement.reason);
    }
    // Two that say the same, and what is no mood in any case.
    let judgement = ended_in_run(1, |number, run| id(number, run, 0, "o-9"));
    assert_eq!(places(&judgement), ["inbound 0 response_mismatch"]);
    let judgement = ended_in_run(0, |_, run| run.answers[0].outcome = Came::Answered(500));
    assert_eq!((judgement.outcome, judgement.outcome.exit() as u8), (Outcome::FailDiverged, 1));
}

#[test]
fn what_the_target_does_of_itself_is_not_too_much_where_not_all_is_sent() {
    let mut tape = Tape::default();
    // A call that nothing tells the cause of, and one that the target makes before the request that made it.
    tape.calls[3].4 = None;
    let last = tape.calls.len() - 1;
    tape.calls[last].4 = Some(2);
    for (end, request) in [(End::EnoughEvents, None), (End::Completed, Some("id-1".to_owned()))] {
        let options = JudgeOptions { request, ..options() };
        let judgement = ten_with(&tape, &options, |_, run| {
            run.end = end.clone();
            run.answers[2].outcome = Came::NotSent;
            let again = run.calls[3].clone();
            run.calls.push(again);
            for call in &mut run.calls {
                call.cause = call.cause.filter(|cause| cause.0 != 2);
            }
        });
        let counts = &judgement.counts;
        assert_eq!(counts.outbound_expected, counts.outbound_observed, "{end:?}: {:?}", places(&judgement));
        assert_eq!(counts.outbound_observed, counts.matched);
        assert_eq!(judgement.load.retries().0, 0, "{:?}", judgement.load.calls);
    }
    // One that was made twice where all was sent is one too many.
    let judgement = ten(&tape, |_, run| run.calls.push(run.calls[3].clone()));
    assert_eq!(judgement.load.retries().0, 10);
}

#[test]
fn weak_and_empty() {
    let tape = Tape { calls: Vec::new(), ..Tape::default() };
    let judgement = ten(&tape, |_, _| ());
    assert_eq!(judgement.outcome, Outcome::PassWeak);
    assert!(judgement.reason.starts_with("nothing outbound"), "{}", judgement.reason);
    let judgement = ten(&Tape::default(), |number, run| run.calls[0].ambiguous = number == 1);
    assert_eq!(judgement.outcome, Outcome::PassWeak);
    assert!(judgement.reason.starts_with("1 call could not be told"), "{}", judgement.reason);
    let tape = Tape { calls: Vec::new(), statuses: [None; 3], ..Tape::default() };
    let judgement = ten(&tape, |_, _| ());
    assert_eq!(judgement.outcome, Outcome::FailNoCoverage);
    assert!(judgement.reason.starts_with("nothing was compared"), "{}", judgement.reason);
    let judgement = ten(&Tape::default(), |_, run| *run = Run::default());
    assert_eq!((judgement.outcome, judgement.outcome.exit() as u8), (Outcome::FailNoCoverage, 4));
    let unfit = JudgeOptions { environment: Some("port 80 is taken".into()), ..options() };
    let judgement = judge(&Tape::default(), &[], &unfit).unwrap();
    assert_eq!((judgement.outcome, judgement.reason.as_str()), (Outcome::FailInvalidEnv, "port 80 is taken"));
    assert_eq!(judgement.fingerprint, "0".repeat(64));
}

#[test]
fn each_request_several_times_at_once() {
    let judgement = ten(&Tape::default(), |_, run| {
        run.answers = run.answers.iter().flat_map(|it| [it.clone(), it.clone()]).collect();
        run.calls = run.calls.iter().flat_map(|it| [it.clone(), it.clone()]).collect();
    });
    assert_eq!(judgement.outcome, Outcome::PassStrong);
    let judgement = ten(&Tape::default(), |_, run| {
        let mut again = run.answers[1].clone();
        again.outcome = Came::Answered(503);
        run.answers.insert(2, again);
        run.calls.extend([run.calls[2].clone(), run.calls[3].clone()]);
    });
    assert_eq!(places(&judgement), ["inbound 1 response_mismatch"], "one of them is enough");
}

/// Nothing tells which worker did not make it, but that one did not.
#[test]
fn a_call_that_one_of_several_workers_does_not_make_is_missing() {
    let twice = |run: &mut Run| {
        run.answers = run.answers.iter().flat_map(|it| [it.clone(), it.clone()]).collect();
        run.calls = run.calls.iter().flat_map(|it| [it.clone(), it.clone()]).collect();
    };
    let judgement = ten(&Tape::default(), |_, run| {
        twice(run);
        run.calls.remove(6);
    });
    assert_eq!(places(&judgement), ["outbound 3 missing_outbound_call"]);
    let counts = judgement.counts;
    assert_eq!((counts.outbound_observed, counts.outbound_expected, counts.inbound_expected), (110, 120, 60));
    // Of several of a kind it does not matter which of them stood for which.
    let judgement = ten(&Tape::default(), |_, run| {
        twice(run);
        run.calls[6].counterpart = run.calls[4].counterpart;
    });
    assert_eq!(judgement.outcome, Outcome::PassStrong, "{:?}", judgement.told);
    // A request that a fault sent a second time has its calls once.
    let judgement = ten(&Tape::default(), |_, run| {
        run.answers.insert(1, Answer { is_second: true, ..run.answers[0].clone() });
    });
    assert_eq!(judgement.outcome, Outcome::PassStrong, "{:?}", judgement.told);
    assert_eq!(judgement.counts.outbound_expected, 60);
}

/// Of a run in which each is sent twice, and one call to whom is charged is made three times for two.
#[test]
fn calls_that_are_made_again_show_beside_those_that_are_due() {
    let tape = Tape::default();
    let judgement = ten(&tape, |_, run| {
        let mut copies = run.answers.clone();
        run.answers.append(&mut copies);
        let mut copies = run.calls.clone();
        run.calls.append(&mut copies);
        run.calls.push(surplus(Some(0), 45, "pay.test:8443", "POST", "/charge", "{}"));
        // Nothing is known of one that is not kept, and what was cancelled is not due.
        run.calls.push(Call { asked: None, ..surplus(Some(0), 46, "x", "GET", "/", "") });
        run.answers.push(Answer { outcome: Came::Cancelled, ..run.answers[0].clone() });
    });
    let calls = &judgement.load.calls;
    let of = |name: &str| (calls[name].made, calls[name].expected);
    assert_eq!((of("pay.test:8443"), of("prices.test"), of("stock.test")), ((50, 40), (40, 40), (40, 40)));
    assert_eq!((judgement.load.retries(), judgement.load.sent), ((10, 120), 60));
}

#[test]
fn a_run_can_be_right_and_yet_miss() {
    let tape = Tape::default();
    // Answers took 45 ms, and 10 ms is what it takes at the least.
    let slow = |slo: &str| {
        let options = JudgeOptions { slo: Slo::parse(slo).unwrap(), ..options() };
        ten_with(&tape, &options, |_, _| {})
    };
    let missed = slow("p99<40ms,errors<1%");
    assert_eq!((missed.outcome, missed.told.len()), (Outcome::FailSloMissed, 0));
    assert_eq!(missed.reason, "p99<40ms was missed: 45.00ms");
    assert!(missed.is_clean, "what was learned of values is right all the same");
    assert!(missed.repeat.unwrap().ends_with("--runs 10 -- ./app"));
    let kept = slow("p99<60ms,errors<1%,rate>1/s");
    assert_eq!((kept.outcome, kept.slo.len()), (Outcome::PassStrong, 3));
}

#[test]
fn of_a_request_whose_client_gave_up_nothing_is_expected() {
    let tape = Tape::default();
    let judgement = ten(&tape, |number, run| {
        run.answers[0].outcome = Came::Cancelled;
        // How far the target got differs from run to run.
        if number % 2 == 0 {
            run.calls.remove(1);
        }
    });
    assert_eq!(
        (judgement.outcome, judgement.deterministic),
        (Outcome::PassStrong, 10),
        "{:?}",
        judgement.told
    );
}
