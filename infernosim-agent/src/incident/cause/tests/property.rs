//! Targets of which it is known what causes what.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What a target does next, by the number of one of its requests.
#[derive(Clone, Debug)]
enum Step {
    Asked,
    Read(usize, u32),
    Call(usize),
    Answer(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Asked),
        3 => (0..8_usize, 0..4_u32).prop_map(|(which, thread)| Step::Read(which, thread)),
        4 => (0..8_usize).prop_map(Step::Call),
        3 => (0..8_usize).prop_map(Step::Answer),
    ]
}

/// A request as the target has it.
struct Open {
    request: u32,
    ticket: Ticket,
    reader: Option<u32>,
}

/// Runs a target whose threads read one request at a time, or do as they like; gives each call's true cause and the
/// one that was found.
fn run(steps: &[Step], orderly: bool, named: bool) -> Vec<(u32, Found<u32>)> {
    let mut target = Target::default();
    let mut open: Vec<Open> = Vec::new();
    let mut last_read: BTreeMap<u32, u32> = BTreeMap::new();
    let mut found = Vec::new();
    let mut next = 0;
    let name =
        |request: u32| if named { called(&format!("request-{request:06}")) } else { Identifiers::default() };
    for step in steps {
        let pick = |which: usize| (!open.is_empty()).then(|| which % open.len());
        match *step {
            Step::Asked => {
                next += 1;
                let ticket = target.asks(next, &name(next));
                open.push(Open { request: next, ticket, reader: None });
            }
            Step::Read(which, tid) => {
                let Some(which) = pick(which) else { continue };
                let busy = open.iter().any(|it| it.reader == Some(tid));
                if open[which].reader.is_some() || (orderly && busy) {
                    continue;
                }
                open[which].reader = Some(tid);
                last_read.insert(tid, open[which].request);
                target.touch_in(open[which].request, Who { pid: 1, tid: tid + 1 }, true, false);
            }
            Step::Call(which) => {
                let Some(which) = pick(which) else { continue };
                let Open { request, reader: Some(tid), .. } = open[which] else { continue };
                let at = target.tick();
                let who = Some(Who { pid: 1, tid: tid + 1 });
                found.push((request, target.called_at(at, &name(request), who)));
            }
            Step::Answer(which) => {
                let Some(which) = pick(which) else { continue };
                let Some(tid) = open[which].reader else { continue };
                let Open { request, ticket, .. } = open.remove(which);
                let strays = last_read.get(&tid) != Some(&request);
                target.touch_in(request, Who { pid: 1, tid: tid + 1 }, false, strays);
                target.answered(ticket);
            }
        }
    }
    found
}

proptest! {
    #[test]
    fn one_request_a_thread_is_found_by_the_thread(steps in prop::collection::vec(step(), 0..200)) {
        for (truth, found) in run(&steps, true, false) {
            prop_assert_eq!(found, known(truth, Basis::Thread));
        }
    }

    #[test]
    fn a_thread_that_does_as_it_likes_never_makes_a_wrong_cause(steps in prop::collection::vec(step(), 0..200)) {
        for (truth, found) in run(&steps, false, false) {
            prop_assert!(found.cause.is_none_or(|cause| cause == truth), "{truth}: {found:?}");
            prop_assert!(found.basis.is_some());
        }
    }

    #[test]
    fn identifiers_find_whatever_threads_do(steps in prop::collection::vec(step(), 0..200)) {
        for (truth, found) in run(&steps, false, true) {
            prop_assert_eq!(found, known(truth, Basis::Header));
        }
    }

    #[test]
    fn whatever_a_head_holds_is_read(fields in prop::collection::vec(
        ("(?i)traceparent|b3|x-request-id|x-amzn-trace-id|uber-trace-id|other", prop::collection::vec(any::<u8>(), 0..80)),
        0..20,
    )) {
        let found = identifiers(fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
        prop_assert!(found.iter().all(|it| it.len() >= 8 && it.is_ascii()));
    }
}
