//! Changes that are none: values that are others in each run, another order of what went on at the same time, another
//! speed. And that what is masked keeps its presence and its type.

use super::*;
use crate::replay::judge::volatile::{VolatileFile, Why};

fn uuid(number: u32) -> Option<Leaf> {
    text(&format!("6f1c2d3e-0a1b-4c2d-8e3f-0011223344{number:02}"))
}

fn passes(name: &str, tape: &Tape, options: &JudgeOptions, change: impl Fn(u32, &mut Run)) -> Judgement {
    let judgement = ten_with(tape, options, change);
    assert_eq!(places(&judgement), [""; 0], "{name}");
    assert_eq!((judgement.outcome, judgement.deterministic), (Outcome::PassStrong, 10), "{name}");
    assert!(judgement.is_clean && judgement.reason == "NONE", "{name}");
    judgement
}

#[test]
fn values_that_runs_disagree_about() {
    let judgement = passes("a new uuid", &Tape::default(), &options(), |number, run| {
        run.answers[0].differences = vec![other("body.id", text("o-1"), uuid(number))];
        run.calls[1].differences = vec![other("body.key", text("k1"), uuid(number))];
    });
    let fields: Vec<_> = judgement.volatile.fields().collect();
    assert_eq!(
        fields,
        [
            ("inbound POST /orders", "body.id", Why::Runs),
            ("outbound pay.test:8443 POST /charge", "body.key", Why::Runs)
        ]
    );
    // Only one run has it as recorded: they disagree all the same.
    passes("a value that is seldom another", &Tape::default(), &options(), |number, run| {
        if number == 7 {
            run.answers[0].differences = vec![other("body.id", text("o-1"), text("o-3"))];
        }
    });
    passes("an id in a path", &Tape::default(), &options(), |number, run| {
        run.calls[2].differences = vec![other("path[0]", text("a"), uuid(number))];
    });
}

#[test]
fn values_that_all_runs_agree_about_are_divergences() {
    let judgement = ten(&Tape::default(), |_, run| {
        run.answers[0].differences = vec![other("body.id", text("o-1"), uuid(1))];
    });
    assert_eq!(places(&judgement), ["inbound 0 response_mismatch"]);
    assert_eq!(judgement.volatile.fields().count(), 0);
}

#[test]
fn what_is_learned_holds_at_the_site() {
    passes("the same value twice at one place", &Tape::default(), &options(), |number, run| {
        run.answers[0].differences = vec![other("body.id", text("o-1"), uuid(number))];
        run.answers[2].differences = vec![other("body.id", text("o-2"), uuid(0))];
    });
    let judgement = ten(&Tape::default(), |number, run| {
        run.answers[0].differences = vec![other("body.id", text("o-1"), uuid(number))];
        run.answers[1].differences = vec![other("body.id", text("o-2"), uuid(0))];
    });
    assert_eq!(places(&judgement), ["inbound 1 response_mismatch"], "another site");
}

#[test]
fn times_are_known_by_their_shape() {
    let (recorded, live) = (text("2026-01-02T03:04:05Z"), text("2027-05-02T03:04:05Z"));
    let at = |change: Option<Leaf>| {
        let live = change.or_else(|| live.clone());
        vec![other("body.at", recorded.clone(), live)]
    };
    let judgement =
        passes("a date", &Tape::default(), &options(), |_, run| run.answers[0].differences = at(None));
    assert_eq!(
        judgement.volatile.fields().collect::<Vec<_>>(),
        [("inbound POST /orders", "body.at", Why::Time)]
    );
    for no_time in [text("soon"), number("5"), Some(Leaf::Null)] {
        let judgement = ten(&Tape::default(), |_, run| {
            run.answers[0].differences = at(None);
            run.answers[2].differences = at(no_time.clone());
        });
        assert_eq!(places(&judgement), ["inbound 2 response_mismatch"], "{no_time:?}");
    }
    let absent = ten(&Tape::default(), |_, run| {
        run.answers[0].differences = vec![other("body.at", recorded.clone(), None)];
    });
    assert_eq!(places(&absent), ["inbound 0 response_mismatch"]);
}

#[test]
fn what_is_masked_keeps_presence_and_type() {
    for (what, live) in [("gone", None), ("another type", number("17")), ("null", Some(Leaf::Null))] {
        let judgement = ten(&Tape::default(), |number, run| {
            run.answers[0].differences = vec![other("body.id", text("o-1"), uuid(number))];
            run.answers[2].differences = vec![other("body.id", text("o-2"), live.clone())];
        });
        assert_eq!(places(&judgement), ["inbound 2 response_mismatch"], "{what}");
        assert_eq!((judgement.deterministic, judgement.outcome), (10, Outcome::FailDiverged), "{what}");
    }
    // New in each answer, and another each time: nothing to hide, and no disagreement but in values.
    let judgement = ten(&Tape::default(), |number, run| {
        run.answers[0].differences = vec![other("body.trace", None, uuid(number))];
    });
    assert_eq!((judgement.deterministic, judgement.outcome), (10, Outcome::FailDiverged));
    // There in some runs only: that is more than a value.
    let judgement = ten(&Tape::default(), |number, run| {
        let live = if number < 5 { uuid(1) } else { None };
        run.answers[0].differences = vec![other("body.id", text("o-1"), live)];
    });
    assert_eq!((judgement.deterministic, judgement.outcome), (5, Outcome::FailNonDeterministic));
}

#[test]
fn status_is_never_volatile() {
    let said = VolatileFile::parse("[[field]]\nsite = \"*\"\nname = \"*\"\n").unwrap();
    for options in [
        options(),
        JudgeOptions { ignore: vec!["*".into()], ..options() },
        JudgeOptions { volatile: Some(said), ..options() },
    ] {
        let judgement = ten_with(&Tape::default(), &options, |number, run| {
            run.answers[0].outcome = Came::Answered(500 + number as u16);
        });
        assert_eq!(places(&judgement), ["inbound 0 response_mismatch"]);
        assert_eq!(judgement.outcome, Outcome::FailNonDeterministic);
    }
}

#[test]
fn status_is_ignored_by_its_name() {
    let options = JudgeOptions { ignore: vec!["status".into()], ..options() };
    passes("whatever status", &Tape::default(), &options, |number, run| {
        run.answers[0].outcome = Came::Answered(500 + number as u16);
    });
}

#[test]
fn what_is_said_or_ignored() {
    let total = |_: u32, run: &mut Run| {
        run.answers[0].differences = vec![other("body.total", number("50"), number("51"))];
    };
    let gone = |_: u32, run: &mut Run| {
        run.answers[0].differences = vec![other("body.total", number("50"), None)];
    };
    let said = "[[field]]\nsite = \"inbound * /orders\"\nname = \"body.t?tal\"\n";
    let said = JudgeOptions { volatile: Some(VolatileFile::parse(said).unwrap()), ..options() };
    passes("said", &Tape::default(), &said, total);
    assert_eq!(ten_with(&Tape::default(), &said, gone).outcome, Outcome::FailDiverged);
    for (pattern, is_enough) in
        [("body.total", true), ("body", true), ("body.t*", true), ("total", false), ("bod", false)]
    {
        let ignore = JudgeOptions { ignore: vec![pattern.into()], ..options() };
        for change in [total as fn(u32, &mut Run), gone] {
            let outcome = ten_with(&Tape::default(), &ignore, change).outcome;
            assert_eq!(outcome == Outcome::PassStrong, is_enough, "{pattern}");
        }
    }
}

#[test]
fn only_clean_runs_teach() {
    let change = |number: u32, run: &mut Run| {
        run.answers[0].differences = vec![other("body.id", text("o-1"), uuid(number))];
    };
    let options = JudgeOptions { requested: 1, learning: 1..3, injects: true, ..options() };
    let make = |numbers: [u32; 3]| {
        let runs = numbers.map(|number| {
            let mut run = run(&Tape::default());
            change(number, &mut run);
            run
        });
        judge(&Tape::default(), &runs, &options).unwrap()
    };
    let judgement = make([1, 2, 3]);
    assert_eq!((judgement.outcome, judgement.runs.len(), judgement.learning), (Outcome::PassStrong, 1, 2));
    assert_eq!(make([1, 2, 2]).outcome, Outcome::FailDiverged, "the clean ones agree");
    assert_eq!([learning_runs(1, false, false), learning_runs(1, false, true)], [2, 0]);
    assert_eq!([learning_runs(10, true, false), learning_runs(10, false, false)], [2, 0]);
}

#[test]
fn what_overlapped_has_no_order() {
    let mut tape = Tape::default();
    tape.calls[2].6 = 135;
    passes("calls at the same time", &tape, &options(), |number, run| {
        if number % 2 == 0 {
            run.calls.swap(2, 3);
        }
    });
}

#[test]
fn speed_and_reuse_are_nothing() {
    passes("half as fast, and later", &Tape::default(), &options(), |number, run| {
        for answer in &mut run.answers {
            answer.late_ns += u64::from(number) * 1_000_000;
            answer.ended_ns += u64::from(number) * 50_000_000;
        }
        run.wall_ns *= 2;
    });
    // Requests of different causes in another order, as they come when they overlap.
    passes("other causes first", &Tape::default(), &options(), |number, run| {
        if number % 2 == 0 {
            run.calls.rotate_left(2);
        }
    });
}
