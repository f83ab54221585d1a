//! What is alike has the same fingerprint, and what is not has another.

use super::*;
use crate::replay::judge::condensed::Condensed;

#[test]
fn it_is_what_the_document_says() {
    let judgement = ten(&Tape::default(), |_, _| ());
    let sha = |text: &str| canonical::hex(&<sha2::Sha256 as sha2::Digest>::digest(text));
    let answers = [
        "body.id=\"o-1\"\nbody.total=50\nheader.content-type=\"application/json\"\n",
        "body[0].left=3\nbody[0].sku=7\nheader.content-type=\"application/json\"\n",
        "body.id=\"o-2\"\nbody.total=60\nheader.content-type=\"application/json\"\n",
    ];
    let mut lines = "infernosim fingerprint 1\n".to_owned();
    for (index, answer) in answers.iter().enumerate() {
        let status = if index == 1 { 200 } else { 201 };
        lines += &format!("in {index} {} {status} {}\n", EXCHANGES[index].0, sha(answer));
    }
    for (line, fields) in [
        ("out 0 0 GET /price", "query.sku=\"7\"\n"),
        ("out 1 0 POST /charge", "body.amount=50\nbody.key=\"k1\"\n"),
        ("out 2 1 GET /a", ""),
        ("out 3 1 GET /b", ""),
        ("out 4 2 GET /price", "query.sku=\"9\"\n"),
        ("out 5 2 POST /charge", "body.amount=60\nbody.key=\"k2\"\n"),
    ] {
        lines += &format!("{line} {}\n", sha(fields));
    }
    lines += &format!("extras {}\n", sha(""));
    assert_eq!(judgement.fingerprint, sha(&lines));
    assert_eq!(judgement.volatile_set, sha(""));
}

#[test]
fn host_and_port_are_no_part_of_it() {
    let mut tape = Tape::default();
    for call in &mut tape.calls {
        call.0 = "127.0.0.1:40123";
    }
    assert_eq!(ten(&tape, |_, _| ()).fingerprint, ten(&Tape::default(), |_, _| ()).fingerprint);
}

#[test]
fn the_volatile_are_their_types() {
    let with = |tape: &Tape, first: &'static str| {
        ten(tape, move |number, run| {
            let live = if number == 0 { first.to_owned() } else { format!("o-{}", number + 70) };
            run.answers[0].differences = vec![other("body.id", text("o-1"), text(&live))];
        })
    };
    let (a, b) = (with(&Tape::default(), "x"), with(&Tape::default(), "y"));
    assert_eq!((&a.fingerprint, &a.volatile_set), (&b.fingerprint, &b.volatile_set));
    assert_ne!(a.fingerprint, ten(&Tape::default(), |_, _| ()).fingerprint, "under another set");
}

#[test]
fn of_a_crash_only_what_came_before_counts() {
    let crash = |sent: bool| {
        move |run: &mut Run| {
            run.end = crate::replay::seen::End::TargetExited(Some(1));
            run.answers[1].outcome = Came::Closed;
            run.answers[2].outcome = if sent { Came::Closed } else { Came::NotSent };
            run.calls.truncate(if sent { 5 } else { 4 });
            if sent {
                run.calls.push(surplus(Some(2), 230, "x.test", "GET", "/", ""));
            }
        }
    };
    let judgement = ten(&Tape::default(), |number, run| crash(number % 2 == 0)(run));
    assert_eq!((judgement.deterministic, judgement.outcome), (10, Outcome::FailDiverged));
    assert_eq!(places(&judgement)[0], "inbound 1 target_exited");
}

#[test]
fn values_of_what_is_unexpected_do_not_count() {
    let judgement = ten(&Tape::default(), |number, run| {
        let (path, body) = (format!("/t/{number}7?x={number}"), format!("{{\"id\":{number}}}"));
        run.calls.push(surplus(Some(2), 245, "new.test", "POST", &path, &body));
    });
    assert_eq!((judgement.deterministic, judgement.outcome), (10, Outcome::FailDiverged));
    let judgement = ten(&Tape::default(), |number, run| {
        let body = if number == 0 { "{\"id\":1}" } else { "{\"id\":\"1\"}" };
        run.calls.push(surplus(Some(2), 245, "new.test", "POST", "/", body));
    });
    assert_eq!(judgement.deterministic, 9, "but their types do");
}

#[test]
fn a_run_as_recorded_leaves_nothing() {
    let (tape, options) = (Tape::default(), options());
    let condensed = Condensed::of(&tape, &run(&tape), &options, false).unwrap();
    assert_eq!((condensed.notes.len(), condensed.absent.len(), condensed.divergences.len()), (0, 0, 0));
    assert_eq!((condensed.undue.len(), condensed.undue_calls.len()), (0, 0));
}
