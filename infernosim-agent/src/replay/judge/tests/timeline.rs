//! Which run is told as a timeline, and what of it.

use super::*;

#[test]
fn the_last_run_is_told_where_none_diverged() {
    let tape = Tape::default();
    let timeline = ten(&tape, |_, _| {}).timeline.unwrap();
    assert_eq!((timeline.run, timeline.more), (10, 0));
    let asked: Vec<_> = timeline.inbound.iter().map(|it| (it.index, &*it.asked, it.status)).collect();
    assert_eq!(asked[..2], [(0, "POST /orders?dry=0", Some(201)), (1, "GET /stock", Some(200))]);
    let first = &timeline.calls[0];
    assert_eq!(
        (first.index, &*first.dependency, &*first.asked),
        (Some(0), "prices.test", "GET /price?sku=7")
    );
    assert_eq!((first.at_ns, first.answered_ns, first.cause), (5_000_000, Some(10_000_000), Some(0)));
}

#[test]
fn the_first_run_that_diverged_is_told_and_not_one_with_other_values_only() {
    let tape = Tape::default();
    let judged = ten(&tape, |number, run| {
        // Each run has another id, which is volatile; from the fourth (3) on there is a call too many.
        let id = format!("o-{number}");
        run.answers[0].differences = vec![other("body.id", text("o-1"), text(&id))];
        if number >= 3 {
            run.calls.push(surplus(Some(1), 150, "new.test", "GET", "/x", ""));
        }
    });
    let timeline = judged.timeline.unwrap();
    assert_eq!(timeline.run, 4);
    let surplus = timeline.calls.iter().find(|it| it.index.is_none()).unwrap();
    assert_eq!((&*surplus.dependency, &*surplus.asked, surplus.cause), ("new.test", "GET /x", Some(1)));
}

#[test]
fn of_too_much_what_diverged_is_kept_first() {
    let tape = Tape::default();
    let judged = ten(&tape, |_, run| {
        let quiet = run.calls[0].clone();
        run.calls.extend((0..3 * MOST_MARKS as u64).map(|at| Call { at_ns: at, ..quiet.clone() }));
        run.answers[2].differences = vec![other("status", number("201"), number("500"))];
        run.answers[2].outcome = Came::Answered(500);
    });
    let timeline = judged.timeline.unwrap();
    assert_eq!(timeline.inbound.len() + timeline.calls.len(), MOST_MARKS);
    assert_eq!(timeline.more, 3 * MOST_MARKS as u64 + 9 - MOST_MARKS as u64);
    assert!(timeline.inbound.iter().any(|it| it.index == 2 && it.status == Some(500)));
    assert_eq!(timeline.calls.iter().filter(|it| it.cause == Some(2)).count(), 2);
}

#[test]
fn of_too_much_what_is_near_to_a_fault_is_kept_and_a_share_of_all() {
    let tape = Tape::default();
    let judged = ten(&tape, |_, run| {
        let quiet = run.calls[0].clone();
        run.calls.extend((0..10 * MOST_MARKS as u64).map(|at| Call { at_ns: at * 1_000, ..quiet.clone() }));
        run.fired_ns = vec![15_000_000];
    });
    let timeline = judged.timeline.unwrap();
    assert_eq!(timeline.inbound.len() + timeline.calls.len(), MOST_MARKS);
    let within = |from, to| timeline.calls.iter().filter(|it| (from..to).contains(&it.at_ns)).count();
    assert_eq!(within(14_600_000, 15_400_000), 801, "each of them, and a recorded one");
    assert!((90..=110).contains(&within(4_000_000, 6_000_000)), "{}", within(4_000_000, 6_000_000));
}

#[test]
fn refusals_have_their_place() {
    let tape = Tape::default();
    let judged = ten(&tape, |_, run| {
        let what = Refused::Lookup("nowhere.test".into());
        run.refusals.push(Refusal { what, cause: Some(ExchangeIndex(0)), at_ns: 3 });
    });
    let timeline = judged.timeline.unwrap();
    assert_eq!((timeline.run, &*timeline.calls[0].asked), (1, "lookup, unknown"));
    assert_eq!(&*timeline.calls[0].dependency, "nowhere.test");
}
