//! Requests that faults befall.

use std::io::Write as _;
use std::sync::Arc;

use super::harness::*;
use crate::fault::{Faults, Plan, Rule};
use crate::replay::seen::{End, Outcome};

fn faults(rules: &[&str]) -> Arc<Faults> {
    let rules = rules.iter().map(|rule| Rule::parse(rule).unwrap()).collect();
    Arc::new(Faults::new(Plan { seed: 1, rules }))
}

/// What the ledger says of the first rule: reached, fired, observed, and what was observed.
fn ledger(faults: &Faults) -> (u64, u64, u64, Vec<String>) {
    let ledger = faults.ledger();
    let rule = &ledger.rules[0];
    let observed = ledger.entries.iter().filter_map(|entry| entry.observed.clone());
    (rule.reached, rule.fired, rule.observed, observed.collect())
}

/// Six requests, one after the other on connections of their own, by so many workers.
fn setup(rules: &[&str], time_scale: f64, workers: u32) -> (Setup, Arc<Faults>) {
    let faults = faults(rules);
    let moments = (0..6).map(|at| moment(at, u64::from(at) * 20, u64::from(at) * 20 + 1)).collect();
    let mut setup = Setup::new(moments, (0..6).map(|at| get(&format!("/page{at}"))).collect());
    (setup.pace.time_scale, setup.pace.fanout) = (time_scale, workers);
    setup.faults = Some(Arc::clone(&faults));
    (setup, faults)
}

#[test]
fn a_client_gives_up_and_is_gone() {
    // The server sees the end of the connection, and answers the one that follows.
    let server = Server::start(|arrived, stream, _| {
        if arrived.target() != "/page2" {
            return stream.write_all(OK.as_bytes()).is_ok();
        }
        let mut byte = [0];
        assert_eq!(std::io::Read::read(stream, &mut byte).unwrap_or(0), 0, "nothing more comes");
        false
    });
    let (setup, faults) = setup(&["dir=in path=/page2 cancel=30ms"], 0.0, 2);
    let (driven, told) = setup.run(server.address);
    assert_eq!((driven.end, driven.sent), (End::Completed, 12));
    let of = |exchange: u32| driven.answers.iter().filter(move |it| it.exchange.0 == exchange);
    assert!(of(2).all(|it| it.outcome == Outcome::Cancelled && it.differences.is_empty()));
    assert!(of(2).all(|it| it.ended_ns - it.sent_ns >= 30 * MS));
    assert!(of(3).chain(of(5)).all(|it| it.outcome == Outcome::Answered(200)));
    assert_eq!(told.answers[&2], [None, None]);
    let (reached, fired, observed, what) = ledger(&faults);
    assert_eq!((reached, fired, observed), (2, 2, 2));
    assert!(what.iter().all(|what| what == "gave up after 30.0ms"), "{what:?}");
}

#[test]
fn who_is_answered_in_time_does_not_give_up() {
    let (setup, faults) = setup(&["dir=in cancel=60s"], 0.0, 1);
    let (driven, _) = setup.run(Server::plain().address);
    assert!(driven.answers.iter().all(|it| it.outcome == Outcome::Answered(200)));
    assert_eq!(ledger(&faults), (6, 6, 0, Vec::new()), "it fired, and did not come about");
}

#[test]
fn a_request_is_sent_twice_and_the_second_answer_counts_by_its_status() {
    let server = Server::plain();
    let (setup, faults) = setup(&["dir=in path=/page1 duplicate"], 0.0, 1);
    let (driven, told) = setup.run(server.address);
    assert_eq!((driven.end, driven.sent), (End::Completed, 7));
    let connections: Vec<usize> =
        server.arrived().iter().filter(|it| it.target() == "/page1").map(|it| it.connection).collect();
    assert!(connections.len() == 2 && connections[0] != connections[1], "{connections:?}");
    let twice: Vec<_> = driven.answers.iter().filter(|it| it.exchange.0 == 1).collect();
    assert!(twice.len() == 2 && twice.iter().all(|it| it.outcome == Outcome::Answered(200)));
    assert_eq!(told.answers[&1].iter().filter(|answer| answer.is_some()).count(), 1, "one is compared");
    assert_eq!(ledger(&faults).3, ["asked twice, the second answered 200"]);
}

#[test]
fn a_request_comes_behind_those_that_follow_it() {
    for (time_scale, rule, order) in [
        (0.0, "dir=in path=/page1 reorder=2", [0, 2, 3, 1, 4, 5]),
        (1.0, "dir=in path=/page1 reorder=2", [0, 2, 3, 1, 4, 5]),
        (0.0, "dir=in path=/page4 reorder=3", [0, 1, 2, 3, 5, 4]),
    ] {
        let server = Server::plain();
        let (setup, faults) = setup(&[rule], time_scale, 1);
        let (driven, _) = setup.run(server.address);
        assert_eq!((driven.end, driven.sent), (End::Completed, 6), "{rule}");
        // As it was sent: on connections of their own, which of two arrives first is the server's affair.
        let mut sent: Vec<_> = driven.answers.iter().map(|it| (it.sent_ns, it.exchange.0)).collect();
        sent.sort_unstable();
        assert_eq!(sent.iter().map(|it| it.1).collect::<Vec<_>>(), order, "{rule} {time_scale}");
        let (_, fired, observed, what) = ledger(&faults);
        assert_eq!((fired, observed), (1, 1));
        assert!(what[0].ends_with("that came after it"), "{what:?}");
    }
}

/// The last has nobody behind it, and a request that repeats a value cannot come before the answer that brings it.
#[test]
fn what_cannot_be_reordered_is_not() {
    for (rule, needs) in
        [("dir=in path=/page5 reorder=1", None), ("dir=in path=/page2 reorder=3", Some((3, 2)))]
    {
        let server = Server::plain();
        let (mut setup, faults) = setup(&[rule], 0.0, 1);
        setup.fake.needs.extend(needs);
        let (driven, _) = setup.run(server.address);
        assert_eq!((driven.end, driven.sent), (End::Completed, 6), "{rule}");
        assert_eq!(server.targets(), [0, 1, 2, 3, 4, 5].map(|at| format!("/page{at}")), "{rule}");
        assert_eq!(ledger(&faults), (1, 1, 0, Vec::new()), "{rule}");
    }
}

#[test]
fn a_request_is_late_on_purpose_and_not_by_ours() {
    let (setup, faults) = setup(&["dir=in path=/page3 latency=+80ms"], 1.0, 1);
    let (driven, _) = setup.run(Server::plain().address);
    let sent = |at: usize| driven.answers[at].sent_ns;
    assert!(sent(3) >= (60 + 80) * MS, "{}", sent(3));
    assert!(sent(4) < sent(3), "it is open-loop: the others are not held up");
    assert!(ledger(&faults).3[0].starts_with("sent "));
}

/// Chances are of the site and the occurrence: whatever order workers get there in, the ledger is the same.
#[test]
fn the_ledger_is_the_same_at_any_concurrency() {
    let ledger = |workers| {
        let (setup, faults) = setup(&["dir=in p=0.4 cancel=60s", "dir=in p=0.3 duplicate"], 0.0, workers);
        let (driven, _) = setup.run(Server::plain().address);
        assert_eq!(driven.end, End::Completed);
        let entries = faults.ledger().entries;
        entries
            .iter()
            .map(|it| (it.rule, it.site.clone(), it.occurrence, it.action.clone()))
            .collect::<Vec<_>>()
    };
    let first = ledger(16);
    assert!(first.len() > 20, "{first:?}");
    for _ in 0..5 {
        assert_eq!(ledger(16), first);
    }
}
