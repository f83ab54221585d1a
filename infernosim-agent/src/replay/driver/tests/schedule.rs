use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::harness::*;
use crate::replay::script::ExchangeIndex;
use crate::replay::seen::{End, Outcome};

/// A server that notes how many requests it had at a time.
fn counting(hold: impl Fn(&Arrived, &Seen) + Send + Sync + 'static) -> (Server, Arc<AtomicUsize>) {
    let (open, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let told = Arc::clone(&most);
    let server = Server::start(move |arrived, stream, seen| {
        let now = open.fetch_add(1, Ordering::SeqCst) + 1;
        told.fetch_max(now, Ordering::SeqCst);
        hold(arrived, seen);
        open.fetch_sub(1, Ordering::SeqCst);
        stream.write_all(OK.as_bytes()).is_ok()
    });
    (server, most)
}

fn gets(count: u32) -> Vec<crate::replay::script::Request> {
    (0..count).map(|at| get(&format!("/{at}"))).collect()
}

#[test]
fn without_gaps_the_recorded_order_holds() {
    let (server, most) = counting(|_, _| std::thread::sleep(std::time::Duration::from_millis(1)));
    let moments = (0..30).map(|at| moment(at, u64::from(at) * 1000, u64::from(at) * 1000 + 1)).collect();
    let (driven, _) = Setup::new(moments, gets(30)).run(server.address);
    assert_eq!(driven.end, End::Completed);
    assert_eq!(most.load(Ordering::SeqCst), 1, "in the recording each was answered before the next");
    let expected: Vec<_> = (0..30).map(|at| format!("/{at}")).collect();
    assert_eq!(server.targets(), expected);
    assert_eq!((driven.paced_ns, driven.most_in_flight), (0, 1));
}

#[test]
fn without_gaps_what_overlapped_overlaps() {
    // None is answered before all eight are there; the ninth came when three had been answered.
    let (server, _) = counting(|arrived, seen| {
        let number: usize = arrived.target()[1..].parse().unwrap();
        seen.wait_for(if number < 8 { 8 } else { 9 });
    });
    let mut moments: Vec<_> = (0..8).map(|at| moment(at, u64::from(at), 100 + u64::from(at))).collect();
    moments.push(moment(8, 103, 200));
    let (driven, _) = Setup::new(moments, gets(9)).run(server.address);
    assert_eq!((driven.end, driven.rounds), (End::Completed, 1));
    assert_eq!(server.targets()[8], "/8");
    assert!(driven.most_in_flight >= 8, "{}", driven.most_in_flight);
    assert!(driven.answers.iter().all(|answer| answer.outcome == Outcome::Answered(200)));
}

/// A source that does not wait for answers is not made one that does: the first is answered when the second is there.
#[test]
fn what_is_due_is_sent_though_earlier_ones_are_not_answered() {
    let (server, _) = counting(|_, seen| seen.wait_for(3));
    let moments = vec![moment(0, 0, 5), moment(1, 50, 55), moment(2, 100, 105)];
    let mut setup = Setup::new(moments, gets(3));
    setup.pace.time_scale = 1.0;
    let (driven, _) = setup.run(server.address);
    assert_eq!((driven.end, driven.held, driven.most_in_flight), (End::Completed, 0, 3));
}

/// One that asked within 10 ms of an answer waited for it.
#[test]
fn a_client_that_waited_for_answers_waits_for_them() {
    let (server, most) = counting(|_, _| std::thread::sleep(std::time::Duration::from_millis(30)));
    let moments = (0..4).map(|at| moment(at, u64::from(at) * 10, u64::from(at) * 10 + 5)).collect();
    let mut setup = Setup::new(moments, gets(4));
    setup.pace.time_scale = 1.0;
    let (driven, _) = setup.run(server.address);
    assert_eq!(driven.end, End::Completed);
    assert_eq!(most.load(Ordering::SeqCst), 1);
    assert_eq!(driven.held, 3);
    assert!(driven.lateness.most_ns > 0, "and that shows in the lateness");
}

#[test]
fn a_value_that_an_answer_brings_is_waited_for() {
    let (server, most) = counting(|_, _| std::thread::sleep(std::time::Duration::from_millis(60)));
    let moments = vec![moment(0, 0, 5), moment(1, 30, 35)];
    let mut setup = Setup::new(moments, gets(2));
    setup.pace.time_scale = 1.0;
    setup.fake.needs.insert(1, 0);
    // One that comes later cannot be waited for.
    setup.fake.needs.insert(0, 1);
    let (driven, _) = setup.run(server.address);
    assert_eq!((driven.end, driven.held), (End::Completed, 1));
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[test]
fn one_connection_carries_one_at_a_time() {
    let (server, most) = counting(|_, _| std::thread::sleep(std::time::Duration::from_millis(5)));
    // Pipelined in the recording.
    let moments = (0..5).map(|at| on(1, moment(at, 0, 100))).collect();
    let (driven, _) = Setup::new(moments, gets(5)).run(server.address);
    assert_eq!(driven.end, End::Completed);
    assert_eq!(most.load(Ordering::SeqCst), 1);
    assert_eq!(server.targets(), ["/0", "/1", "/2", "/3", "/4"]);
}

#[test]
fn nothing_is_sent_before_it_is_due() {
    let server = Server::plain();
    let moments: Vec<_> = (0..4).map(|at| moment(at, u64::from(at) * 100, u64::from(at) * 100 + 5)).collect();
    for time_scale in [0.5, 2.0] {
        let mut setup = Setup::new(moments.clone(), gets(4));
        setup.pace.time_scale = time_scale;
        let (driven, _) = setup.run(server.address);
        let due = |at: usize| (at as f64 * 100.0 * time_scale) as u64 * MS;
        for (at, answer) in driven.answers.iter().enumerate() {
            assert_eq!(answer.sent_ns - due(at), answer.late_ns, "{time_scale} {at}");
        }
        let mut late: Vec<_> = driven.answers.iter().map(|answer| answer.late_ns).collect();
        late.sort_unstable();
        let lateness = driven.lateness;
        assert_eq!((lateness.median_ns, lateness.p99_ns, lateness.most_ns), (late[1], late[3], late[3]));
        assert_eq!(driven.paced_ns, due(3));
    }
}

#[test]
fn a_window_is_filled_with_rounds() {
    let server = Server::plain();
    let mut setup = Setup::new(in_turn(3), gets(3));
    setup.limits.window_ns = 200 * MS;
    let (driven, told) = setup.run(server.address);
    assert_eq!(driven.end, End::Completed);
    assert!(driven.rounds > 1 && driven.wall_ns >= 200 * MS, "{} {}", driven.rounds, driven.wall_ns);
    assert_eq!(u64::from(told.rounds) + 1, driven.rounds);
    assert_eq!(driven.sent, 3 * driven.rounds);
    let targets = server.targets();
    assert!(targets.chunks(3).all(|round| round == ["/0", "/1", "/2"]), "{targets:?}");
}

/// Of two, one is not answered until the other is a request ahead.
#[test]
fn workers_do_not_wait_for_each_other() {
    for time_scale in [0.0, 0.01] {
        let (server, _) = counting(|arrived, seen| {
            if arrived.connection == 0 && arrived.target() == "/0" {
                seen.wait_for(3);
            }
        });
        let mut setup = Setup::new(in_turn(3), gets(3));
        (setup.pace.fanout, setup.pace.time_scale) = (2, time_scale);
        let (driven, _) = setup.run(server.address);
        assert_eq!((driven.end, driven.sent), (End::Completed, 6));
        for connection in [0, 1] {
            let of = |it: &Arrived| (it.connection == connection).then(|| it.target().to_owned());
            let targets: Vec<String> = server.arrived().iter().filter_map(of).collect();
            assert_eq!(targets, ["/0", "/1", "/2"], "each keeps its order");
        }
    }
}

#[test]
fn some_are_chosen() {
    let server = Server::plain();
    let mut setup = Setup::new(in_turn(5), gets(5));
    setup.selection.only = Some(BTreeSet::from([ExchangeIndex(3)]));
    let (driven, _) = setup.run(server.address);
    assert_eq!((driven.end, driven.answers.len()), (End::Completed, 1));
    assert_eq!(server.targets(), ["/3"]);
    let mut setup = Setup::new(in_turn(5), gets(5));
    setup.selection.most = 2;
    let (driven, _) = setup.run(server.address);
    assert_eq!((driven.end, driven.answers.len()), (End::EnoughEvents, 2));
    let (driven, _) = Setup::new(Vec::new(), Vec::new()).run(server.address);
    assert_eq!((driven.end, driven.sent), (End::Completed, 0));
}

#[test]
fn a_request_that_cannot_be_read_is_not_sent() {
    let server = Server::plain();
    let (driven, _) = Setup::new(in_turn(3), gets(2)).run(server.address);
    assert_eq!((driven.end, driven.sent), (End::Completed, 2));
    assert_eq!(driven.answers[2].outcome, Outcome::NotSent);
    assert_eq!(driven.unreadable.unwrap().message, "no such line");
}
