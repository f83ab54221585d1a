//! Whatever a run did, it is judged.

use proptest::prelude::*;

use super::*;
use crate::replay::seen::End;

fn ends() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Completed),
        proptest::option::of(any::<i32>()).prop_map(End::TargetExited),
        any::<u64>().prop_map(End::Stalled),
        any::<u64>().prop_map(End::OutOfTime),
        Just(End::EnoughEvents),
        Just(End::Interrupted),
    ]
}

fn outcomes() -> impl Strategy<Value = Came> {
    prop_oneof![
        any::<u16>().prop_map(Came::Answered),
        Just(Came::Closed),
        Just(Came::Unanswered),
        Just(Came::NotSent)
    ]
}

prop_compose! {
    fn answers()(exchange in 0_u32..5, outcome in outcomes(), sent_ns: u64, late_ns: u64, ended_ns: u64) -> Answer {
        let exchange = ExchangeIndex(exchange);
        Answer { exchange, outcome, differences: Vec::new(), sent_ns, late_ns, ended_ns, is_second: false }
    }
}

prop_compose! {
    fn calls()(
        counterpart in proptest::option::of(0_u32..8), cause in proptest::option::of(0_u32..5), at_ms in 0_u64..300,
        is_kept: bool, path in "/[a-b]?"
    ) -> Call {
        let made = surplus(cause, at_ms, "stock.test", "GET", &path, "");
        let asked = made.asked.clone().filter(|_| is_kept);
        Call { counterpart: counterpart.map(CallIndex), asked, ..made }
    }
}

prop_compose! {
    fn any_run()(
        answers in proptest::collection::vec(answers(), 0..6), calls in proptest::collection::vec(calls(), 0..12),
        end in ends(), wall_ns: u64, leaked in proptest::collection::btree_map("[a-z]{1,3}", 0_u64..3, 0..2)
    ) -> Run {
        Run { answers, calls, end, wall_ns, leaked, ..Run::default() }
    }
}

proptest! {
    #[test]
    fn anything_is_judged(runs in proptest::collection::vec(any_run(), 0..4)) {
        let judgement = judge(&Tape::default(), &runs, &options()).unwrap();
        prop_assert_eq!(judgement.runs.len(), runs.len());
        // Nothing passes that has a divergence, and nothing fails at exit 1 without a reason.
        let passes = judgement.outcome.word() == Word::Pass;
        prop_assert!(!passes || judgement.told.is_empty());
        prop_assert_eq!(judgement.told.is_empty(), judgement.found == 0);
        prop_assert!(!judgement.reason.is_empty());
        let again = judge(&Tape::default(), &runs, &options()).unwrap();
        prop_assert_eq!(judgement.fingerprint, again.fingerprint);
    }

    #[test]
    fn any_call_less_is_missed_and_any_more_is_found(at in 0_usize..6, more in 0_usize..6) {
        let less = ten(&Tape::default(), |_, run| drop(run.calls.remove(at)));
        prop_assert_eq!(places(&less), [format!("outbound {at} missing_outbound_call")]);
        let extra = ten(&Tape::default(), |_, run| {
            let before = run.calls[more].clone();
            let at_ms = before.at_ns / 500_000 + 5;
            run.calls.insert(more + 1, surplus(before.cause.map(|it| it.0), at_ms, "new.test", "GET", "/", ""));
        });
        prop_assert_eq!(places(&extra), [format!("outbound {} unexpected_outbound_call", more + 1)]);
    }

    #[test]
    fn interleaving_of_causes_is_nothing(keys in proptest::collection::vec(any::<u32>(), 3)) {
        let judgement = ten(&Tape::default(), |number, run| {
            run.calls.sort_by_key(|it| it.cause.map_or(0, |it| keys[it.0 as usize].rotate_left(number)));
        });
        prop_assert_eq!(judgement.outcome, Outcome::PassStrong);
        prop_assert_eq!(judgement.fingerprint, ten(&Tape::default(), |_, _| ()).fingerprint);
    }
}
