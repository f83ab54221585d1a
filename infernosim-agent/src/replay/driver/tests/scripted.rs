use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use super::harness::*;
use crate::clock;
use crate::error::Exit;
use crate::replay::causes::Live;
use crate::replay::driver::{Bases, Driver, Job, Limits, Moment, Nanos, Pace, Plan, Scripted, Selection};
use crate::replay::recorded::Recorded;
use crate::replay::script::Script;
use crate::replay::seen::{End, Outcome};

/// `/a` twice on one connection, `/b` on another; the second was answered 404.
fn recording() -> Recorded {
    let mut recorded = Recorded::new();
    for (at, (target, connection, status)) in
        [("/a?x=1", 1, 200), ("/b", 2, 404), ("/a?x=1", 1, 200)].iter().enumerate()
    {
        let at_ns = at as u64 * 100 * MS;
        let id = recorded.request(at_ns, "GET", target, json!({"connection": connection}));
        recorded.answer(at_ns + MS, &id, *status, "{\"a\":1}", json!({"duration": MS}));
    }
    recorded
}

fn job(script: &Arc<Script>, exchanges: Scripted, server: &Server, pace: Pace, window_ns: u64) -> Job {
    Job {
        plan: Arc::new(Plan::new(Moment::all(script), &Selection::default(), &pace)),
        bases: Bases::one(server.address),
        limits: Limits { wall_ns: LONG, idle_ns: LONG, window_ns },
        begun: clock::now(),
        exchanges: Box::new(exchanges),
        activity: Box::new(|| Nanos(0)),
        faults: None,
    }
}

#[test]
fn a_recording_is_sent_and_its_answers_are_compared() {
    let server = Server::start(|arrived, stream, _| {
        let (status, body) = match arrived.target() {
            "/b" => (404, "{\"a\":2}"),
            _ => (200, "{ \"a\": 1 }"),
        };
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nContent-Length: {}",
            body.len()
        );
        stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).is_ok()
    });
    let recorded = recording();
    let script = recorded.script().unwrap();
    let exchanges = Scripted::new(Arc::clone(&script), Live::new(None));
    let carried = exchanges.carried();
    let job = job(&script, exchanges, &server, Pace { time_scale: 0.0, ..Pace::default() }, 0);
    let driven = Driver::start(None).unwrap().begin(job).unwrap().wait().unwrap();
    assert_eq!(driven.end, End::Completed);
    let outcomes: Vec<_> = driven.answers.iter().map(|answer| answer.outcome).collect();
    assert_eq!(outcomes, [200, 404, 200].map(Outcome::Answered));
    let differing: Vec<Vec<&str>> = driven
        .answers
        .iter()
        .map(|answer| answer.differences.iter().map(|it| &*it.field).collect())
        .collect();
    assert_eq!(differing, [vec![], vec!["body.a"], vec![]]);
    let arrived = server.arrived();
    let connections: Vec<_> = arrived.iter().map(|arrived| (arrived.target(), arrived.connection)).collect();
    assert_eq!(connections, [("/a?x=1", 0), ("/b", 1), ("/a?x=1", 0)]);
    assert_eq!(arrived[0].text, "GET /a?x=1 HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    let carried = carried.lock().unwrap();
    assert!(carried.unrestored.is_empty() && carried.uncompared.is_none(), "{carried:?}");
}

/// A session of two requests, the second for what the first made: each clone asks for its own.
#[test]
fn what_is_minted_for_a_worker_goes_into_its_requests_alone() {
    let mut recorded = Recorded::new();
    for (at, (method, target, status)) in
        [("POST", "/orders", 201), ("GET", "/orders/17", 200)].iter().enumerate()
    {
        let at_ns = at as u64 * 5 * MS;
        let id = recorded.request(at_ns, method, target, json!({"connection": at, "body": ""}));
        recorded.answer(at_ns + MS, &id, *status, "{\"id\":17}", json!({"duration": MS}));
    }
    let script = recorded.script().unwrap();
    for (time_scale, window_ns) in [(0.0, 0), (1.0, 0), (0.0, 30 * MS)] {
        let minted = AtomicU64::new(100);
        let server = Server::start(move |arrived, stream, _| {
            let id = match arrived.target().strip_prefix("/orders/") {
                Some(id) => id.to_owned(),
                None => minted.fetch_add(1, Ordering::SeqCst).to_string(),
            };
            let body = format!("{{\"id\":{id}}}");
            let length = body.len();
            let head =
                format!("HTTP/1.1 201 X\r\nContent-Type: application/json\r\nContent-Length: {length}");
            stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).is_ok()
        });
        let pace = Pace { time_scale, fanout: 8, ..Pace::default() };
        let exchanges = Scripted::new(Arc::clone(&script), Live::new(None)).for_workers(8);
        let job = job(&script, exchanges, &server, pace, window_ns);
        let driven = Driver::start(None).unwrap().begin(job).unwrap().wait().unwrap();
        assert_eq!((driven.end, driven.sent), (End::Completed, 16 * driven.rounds));
        let mut asked: Vec<u64> = server
            .targets()
            .iter()
            .filter_map(|target| target.strip_prefix("/orders/")?.parse().ok())
            .collect();
        asked.sort_unstable();
        let each_once: Vec<u64> = (100..100 + 8 * driven.rounds).collect();
        assert_eq!(asked, each_once, "{time_scale}");
    }
}

#[test]
fn a_request_is_chosen_by_its_id() {
    let mut recorded = Recorded::new();
    for (id, protocol) in
        [("aabbcc0011", "http/1.1"), ("aabbcc0022", "http/1.1"), ("ddeeff", "tcp"), ("short", "http/1.1")]
    {
        recorded.request(0, "GET", "/", json!({"id": id, "traceId": id, "protocol": protocol}));
    }
    let script = recorded.script().unwrap();
    let chosen = |id: &str| Selection::of_request(&script, id);
    let only = |id: &str| chosen(id).unwrap().only.unwrap().into_iter().map(|it| it.0).collect::<Vec<_>>();
    assert_eq!(only("aabbcc0022"), [1]);
    assert_eq!(only("AABBCC001"), [0]);
    assert_eq!(only("short"), [3], "a whole id may be short");
    let number = script.exchanges()[2].sequence.to_string();
    assert_eq!(script.exchanges().iter().filter(|it| it.sequence.to_string() == number).count(), 1);
    assert_eq!(chosen(&format!("#{number}")).unwrap_err().exit, Exit::Incident, "the third");
    let number = script.exchanges()[1].sequence;
    assert_eq!((only(&number.to_string()), only(&format!("#{number}"))), (vec![1], vec![1]));
    for (id, exit, said) in [
        ("aabbcc00", Exit::Usage, "ambiguous"),
        ("aabbc", Exit::Usage, "too short"),
        ("123456", Exit::Usage, "no inbound request"),
        ("999", Exit::Usage, "no inbound request"),
        ("#aabbcc0011", Exit::Usage, "no inbound request"),
        ("ddeeff", Exit::Incident, "cannot be sent"),
    ] {
        let error = chosen(id).unwrap_err();
        assert_eq!(error.exit, exit, "{id}: {}", error.message);
        assert!(error.message.contains(said), "{id}: {}", error.message);
    }
}
