use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;

use super::super::order::Order;
use super::super::pace::{Moment, Pace, Plan, Selection};
use super::harness::{MS, moment, on};
use crate::replay::script::ExchangeIndex;

fn dues(moments: &[Moment], pace: &Pace) -> Vec<u64> {
    let plan = Plan::new(moments.to_vec(), &Selection::default(), pace);
    plan.steps.iter().map(|step| step.due_ns / MS).collect()
}

#[test]
fn gaps_are_scaled_and_not_too_small() {
    // 100 ms, then two that overlap 1 ms apart, then one 1 ms after both, then 50 ms.
    let moments = [
        moment(0, 10, 20),
        moment(1, 110, 113),
        moment(2, 111, 112),
        moment(3, 112, 114),
        moment(4, 162, 163),
    ];
    let pace = |time_scale, density| Pace { time_scale, density, ..Pace::default() };
    assert_eq!(dues(&moments, &pace(1.0, 1.0)), [0, 100, 101, 103, 153]);
    assert_eq!(dues(&moments, &pace(2.0, 1.0)), [0, 200, 202, 204, 304]);
    assert_eq!(dues(&moments, &pace(1.0, 10.0)), [0, 10, 10, 12, 17]);
    assert_eq!(dues(&moments, &pace(0.0, 1.0)), [0; 5]);
    let wide = Pace { min_gap_ns: 300 * MS, ..Pace::default() };
    assert_eq!(dues(&moments, &wide), [0, 300, 301, 601, 901]);
}

#[test]
fn a_recording_in_which_all_have_one_time_is_paced_by_the_least_gap() {
    let moments: Vec<_> = (0..4).map(|at| moment(at, 0, 0)).collect();
    assert_eq!(dues(&moments, &Pace::default()), [0, 2, 4, 6]);
}

#[test]
fn who_followed_an_answer_waits_for_it() {
    let from = |last: u8, moment: Moment| Moment { client: Some(IpAddr::from([10, 0, 0, last])), ..moment };
    let after = |moments: &[Moment]| -> Vec<Option<u32>> {
        let plan = Plan::new(moments.to_vec(), &Selection::default(), &Pace::default());
        plan.steps.iter().map(|step| step.after).collect()
    };
    // 10 ms after the answer, 11 ms after it, before it.
    assert_eq!(after(&[moment(0, 0, 5), moment(1, 15, 16), moment(2, 27, 28)]), [None, Some(0), None]);
    assert_eq!(after(&[moment(0, 0, 5), moment(1, 4, 16)]), [None, None]);
    // The last answer counts, to the same client.
    let two = [
        from(1, moment(0, 0, 5)),
        from(1, moment(1, 0, 6)),
        from(2, moment(2, 0, 7)),
        from(1, moment(3, 8, 9)),
    ];
    assert_eq!(after(&two), [None, None, None, Some(1)]);
}

fn any_moments() -> impl Strategy<Value = Vec<Moment>> {
    let one = (0_u64..60, prop::option::weighted(0.9, 0_u64..20), prop::option::of(0_u64..4), 0_u8..3);
    prop::collection::vec(one, 0..40).prop_map(|all| {
        let build =
            |(at, (start, took, connection, client)): (usize, (u64, Option<u64>, Option<u64>, u8))| Moment {
                end_ns: took.map(|took| (start + took) * MS),
                answered: took.is_some(),
                connection,
                client: (client > 0).then(|| IpAddr::from([10, 0, 0, client])),
                ..moment(at as u32, start, 0)
            };
        all.into_iter().enumerate().map(build).collect()
    })
}

fn by_exchange(moments: &[Moment]) -> BTreeMap<ExchangeIndex, Moment> {
    moments.iter().map(|moment| (moment.exchange, *moment)).collect()
}

proptest! {
    #[test]
    fn the_formula_holds_between_neighbours(
        moments in any_moments(), time_scale in 0.0_f64..4.0, density in 0.1_f64..8.0, least in 0_u64..10,
    ) {
        let pace = Pace { time_scale, density, min_gap_ns: least * MS, fanout: 1 };
        let plan = Plan::new(moments.clone(), &Selection::default(), &pace);
        let of = by_exchange(&moments);
        prop_assert_eq!(plan.steps.len(), moments.len());
        for pair in plan.steps.windows(2) {
            let (before, now) = (of[&pair[0].exchange], of[&pair[1].exchange]);
            let recorded = (now.start_ns - before.start_ns) as f64 * time_scale / density;
            let overlapped = before.end_ns.is_none_or(|end| end > now.start_ns);
            let expected = if overlapped || time_scale == 0.0 { recorded } else { recorded.max((least * MS) as f64) };
            let gap = (pair[1].due_ns - pair[0].due_ns) as f64;
            prop_assert!((gap - expected).abs() <= 1.0, "{gap} {expected}");
        }
        prop_assert!(plan.round_ns >= plan.paced_ns());
    }

    #[test]
    fn a_step_waits_only_for_what_its_client_had_seen(moments in any_moments()) {
        let plan = Plan::new(moments.clone(), &Selection::default(), &Pace::default());
        let of = by_exchange(&moments);
        let mut lanes: BTreeMap<u32, Vec<&super::super::pace::Step>> = BTreeMap::new();
        for (at, step) in plan.steps.iter().enumerate() {
            lanes.entry(step.lane).or_default().push(step);
            let Some(after) = step.after else { continue };
            prop_assert!((after as usize) < at, "nobody waits for later ones, so that none waits for ever");
            let (first, then) = (of[&plan.steps[after as usize].exchange], of[&step.exchange]);
            prop_assert_eq!(first.client, then.client);
            let thought_ns = then.start_ns - first.end_ns.unwrap();
            prop_assert!(thought_ns <= 10 * MS);
        }
        for lane in lanes.values() {
            let connections: Vec<_> = lane.iter().map(|step| of[&step.exchange].connection).collect();
            prop_assert!(connections.iter().all(|it| it.is_some() && *it == connections[0]) || lane.len() == 1);
            prop_assert_eq!(lane.iter().filter(|step| step.last).count(), 1);
            prop_assert!(lane.last().unwrap().last);
        }
    }

    /// Without gaps: whatever order the answers come in, nothing is sent before what had been answered before it began, and
    /// all is sent in the end.
    #[test]
    fn the_order_of_the_recording_is_kept(moments in any_moments(), seed in any::<u64>()) {
        let pace = Pace { time_scale: 0.0, ..Pace::default() };
        let plan = Plan::new(moments.clone(), &Selection::default(), &pace);
        let of = by_exchange(&moments);
        let mut order = Order::new(&plan);
        let (mut next, mut open, mut over, mut seed) = (0, Vec::new(), Vec::new(), seed);
        while next < plan.steps.len() || open.iter().any(|at: &usize| of[&plan.steps[*at].exchange].end_ns.is_some()) {
            if next < plan.steps.len() && order.may_begin(&plan.steps[next]) {
                let begins = of[&plan.steps[next].exchange];
                let missing = moments.iter().filter(|it| it.end_ns.is_some_and(|end| end < begins.start_ns));
                for it in missing {
                    prop_assert!(over.contains(&it.exchange), "{:?} before {:?}", begins, it);
                }
                open.push(next);
                next += 1;
                continue;
            }
            // Any of the open ones ends, of those that ended in the recording.
            let ended: Vec<_> =
                open.iter().copied().filter(|at| of[&plan.steps[*at].exchange].end_ns.is_some()).collect();
            prop_assert!(!ended.is_empty(), "nothing can go on");
            let chosen = ended[(seed % ended.len() as u64) as usize];
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            open.retain(|at| *at != chosen);
            prop_assert!(!order.is_over(chosen as u32));
            prop_assert!(order.over(chosen as u32, &plan.steps[chosen]));
            prop_assert!(!order.over(chosen as u32, &plan.steps[chosen]), "once");
            over.push(plan.steps[chosen].exchange);
        }
        for at in open {
            order.over(at as u32, &plan.steps[at]);
        }
        prop_assert!(order.is_finished());
    }
}

#[test]
fn a_connection_that_was_used_again_is_one() {
    let moments = [on(5, moment(0, 0, 1)), moment(1, 2, 3), on(5, moment(2, 4, 5)), on(6, moment(3, 6, 7))];
    let plan = Plan::new(moments, &Selection::default(), &Pace::default());
    let lanes: Vec<_> = plan.steps.iter().map(|step| (step.lane, step.last)).collect();
    assert_eq!(lanes, [(0, false), (1, true), (0, true), (2, true)]);
}
