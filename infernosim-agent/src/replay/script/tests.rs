mod original;

use std::fs;
use std::io::Write as _;
use std::path::Path;

use nix::errno::Errno;
use serde_json::json;

use super::*;
use crate::error::Exit;
use crate::incident::reader::Incident;
use crate::replay::recorded::Recorded;

fn example(name: &str) -> std::sync::Arc<Script> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    Script::load(&Incident::open(&root.join("examples").join(name)).unwrap()).unwrap()
}

fn text(fields: &[(String, Vec<u8>)], name: &str) -> Option<String> {
    let found = fields.iter().find(|(have, _)| have.eq_ignore_ascii_case(name));
    found.map(|(_, value)| String::from_utf8(value.clone()).unwrap())
}

#[test]
fn an_example_is_read() {
    let script = example("shop-node/incident");
    assert_eq!((script.exchanges().len(), script.calls().len()), (7, 14));
    let first = &script.exchanges()[0];
    assert_eq!((&*first.asked, first.status, first.replayable), ("GET /api/demo", Some(200), true));
    assert_eq!(first.listener, Some("10.77.0.1:8080".parse().unwrap()));
    // It passes traceparent on, and its log says nothing of causes yet.
    assert!(script.calls().iter().all(|call| call.basis == Basis::Header), "{:?}", script.calls());
    assert_eq!(&*script.calls()[0].site, "outbound inventory.shop.test GET /stock/apple");
    assert!(script.calls().windows(2).all(|pair| pair[0].after <= pair[1].after));
    let request = script.request(ExchangeIndex(1)).unwrap();
    assert_eq!((&*request.method, &*request.target), ("POST", "/checkout"));
    assert_eq!(&request.body[..], b"{\"count\":2,\"item\":\"apple\"}");
    assert_eq!(request.headers[0].0, "content-type");
    let answer = script.answer(ExchangeIndex(1)).unwrap();
    assert_eq!(answer.fields["body.total"], crate::replay::fields::Leaf::Number("50".into()));
    let reply = script.reply(CallIndex(0)).unwrap();
    assert_eq!((reply.status, reply.chunks, reply.wait_ns), (200, vec![(0, 37)], 171_295));
    let names: Vec<&str> = script.dependencies().iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["inventory.shop.test", "payments.shop.test", "courier.shop.test"]);
    assert_eq!(script.dependencies()[0].addresses, ["10.77.0.3:80".parse().unwrap()]);
    let lookups = &script.lookups()[&("inventory.shop.test".into(), "A".into())];
    assert_eq!(script.lookup(&lookups[0]).unwrap().message.unwrap().len(), 53);
    assert_eq!(script.names_without_lookup(), [""; 0]);
}

#[test]
fn an_incident_of_the_original_tool_is_read() {
    let script = example("incident-v1");
    assert_eq!((script.exchanges().len(), script.calls().len()), (3, 3));
    for (at, call) in script.calls().iter().enumerate() {
        assert_eq!((call.cause, call.basis), (Some(ExchangeIndex(at as u32)), Basis::OnlyOneInFlight));
        assert_eq!((&*call.dependency, call.kind), ("worldtimeapi.org", CallKind::Http));
    }
    let request = script.request(ExchangeIndex(0)).unwrap();
    assert_eq!(
        (&*request.target, text(&request.headers, "host").as_deref()),
        ("/api/demo", Some("localhost:8084"))
    );
    assert_eq!(script.exchanges()[0].listener, Some("127.0.0.1:8084".parse().unwrap()));
    let answer = script.answer(ExchangeIndex(0)).unwrap();
    assert_eq!((answer.status, &answer.headers, &answer.body), (Some(200), &None, &None));
    // Only the status is known, so that only the status is compared.
    let live = |status| {
        crate::replay::fields::of_answer(
            status,
            &[("Location".into(), b"/x".to_vec())],
            crate::replay::fields::Content::Bytes(b"hello"),
        )
    };
    assert_eq!(answer.differences(live(200)), []);
    assert_eq!(answer.differences(live(500)).len(), 1);
    let untested: Vec<String> =
        script.untested().iter().map(|it| format!("{} {}", it.count, it.what)).collect();
    assert_eq!(untested, ["3 bodies and headers of answers", "3 bodies of the answers of worldtimeapi.org"]);
    assert_eq!(script.names_without_lookup(), ["worldtimeapi.org"]);
    assert!(script.notes()[0].contains("does not say which request"));
}

#[test]
fn logs_in_other_shapes_are_read_and_read_again() {
    let mut recorded = Recorded::new();
    let id = recorded.request(0, "GET", "/é?a=1", json!({}));
    recorded.call(1, "GET", "/a", "x", json!({"cause": id, "causeBasis": "header"}));
    recorded.call(2, "GET", "/b", "y", json!({"cause": id, "causeBasis": "header"}));
    recorded.answer(9, &id, 200, "{}", json!({}));
    recorded.written();
    let (inbound, outbound) =
        (recorded.dir.path().join("inbound.log"), recorded.dir.path().join("outbound.log"));
    // Concatenated, over several lines, and torn at the end; under its older name.
    let concatenated = fs::read_to_string(&inbound).unwrap().replace('\n', "");
    fs::write(&inbound, format!(" \n{concatenated}\n{{\"id\":\"to")).unwrap();
    let pretty: String = fs::read_to_string(&outbound)
        .unwrap()
        .lines()
        .map(|line| format!("{:#}\n", serde_json::from_str::<serde_json::Value>(line).unwrap()))
        .collect();
    fs::remove_file(&outbound).unwrap();
    let events = recorded.dir.path().join("events.log");
    fs::write(&events, pretty).unwrap();
    let script = Script::load(&Incident::open(recorded.dir.path()).unwrap()).unwrap();
    let has = |script: &Script, what: &str| script.notes().iter().any(|note| note.contains(what));
    assert!(has(&script, "torn"));
    for closed in [false, true] {
        let manifest = json!({"formatVersion": "1.0", "closed": closed}).to_string();
        fs::write(recorded.dir.path().join("incident.json"), manifest).unwrap();
        let script = Script::load(&Incident::open(recorded.dir.path()).unwrap()).unwrap();
        assert_eq!(has(&script, "is not closed: its capture still runs"), !closed);
    }
    // A log may grow meanwhile.
    fs::OpenOptions::new().append(true).open(&events).unwrap().write_all(b"{}\n").unwrap();
    assert_eq!(script.request(ExchangeIndex(0)).unwrap().target, "/é?a=1");
    assert_eq!(&script.reply(CallIndex(1)).unwrap().body[..], b"y");
    assert_eq!(script.answer(ExchangeIndex(0)).unwrap().status, Some(200));
    // Or be written anew, which is said.
    fs::write(&events, "{}").unwrap();
    assert_eq!(script.reply(CallIndex(1)).unwrap_err().exit, Exit::Incident);
}

#[test]
fn calls_are_in_causal_order() {
    let mut recorded = Recorded::new();
    recorded.call(0, "GET", "/early", "", json!({}));
    let a = recorded.request(10, "GET", "/a", json!({}));
    let b = recorded.request(11, "GET", "/b", json!({}));
    recorded.call(12, "GET", "/b1", "", json!({"cause": b, "causeBasis": "header"}));
    recorded.call(13, "GET", "/a1", "", json!({"cause": a, "causeBasis": "header"}));
    recorded.call(14, "GET", "/nobody", "", json!({"causeBasis": "ambiguous"}));
    recorded.call(15, "GET", "/b2", "", json!({"cause": b, "causeBasis": "header"}));
    recorded.call(16, "GET", "/a2", "", json!({"cause": a, "causeBasis": "header"}));
    recorded.call(17, "GET", "/elsewhere", "", json!({"cause": "f".repeat(32), "causeBasis": "header"}));
    let script = recorded.script().unwrap();
    let order: Vec<&str> = script.calls().iter().map(|call| call.site.rsplit(' ').next().unwrap()).collect();
    assert_eq!(order, ["/early", "/a1", "/a2", "/b1", "/nobody", "/b2", "/elsewhere"]);
    assert_eq!((script.calls()[4].cause, script.calls()[4].basis), (None, Basis::Ambiguous));
    assert_eq!((script.calls()[6].cause, script.calls()[6].basis), (None, Basis::None));
}

/// Of two requests one after the other by the same thread, and then with what breaks that.
#[test]
fn threads_tell_causes_only_where_each_does_one_request_at_a_time() {
    let by_thread = |second_reader: u32, writer: u32, overlapping: bool| {
        let mut recorded = Recorded::new();
        let on = |tid: u32| json!({"pid": 7, "tid": tid});
        let a = recorded.request(0, "GET", "/a", on(70));
        recorded.call(1, "GET", "/x", "", json!({"cause": a, "causeBasis": "thread", "pid": 7, "tid": 70}));
        if !overlapping {
            recorded.answer(2, &a, 200, "", on(writer));
        }
        let b = recorded.request(3, "GET", "/b", on(second_reader));
        recorded.call(4, "GET", "/x", "", json!({"cause": b, "causeBasis": "header", "pid": 7, "tid": 70}));
        recorded.call(5, "GET", "/x", "", json!({"cause": b, "causeBasis": "thread", "pid": 8, "tid": 80}));
        if overlapping {
            recorded.answer(6, &a, 200, "", on(writer));
        }
        recorded.answer(7, &b, 200, "", on(second_reader));
        let script = recorded.script().unwrap();
        let mut bases: Vec<(u64, Basis)> =
            script.calls().iter().map(|call| (call.start_ns, call.basis)).collect();
        bases.sort_unstable();
        bases.into_iter().map(|(_, basis)| basis).collect::<Vec<_>>()
    };
    let (thread, header) = (Basis::Thread, Basis::Header);
    assert_eq!(by_thread(70, 70, false), [thread, header, thread]);
    assert_eq!(by_thread(71, 70, true), [thread, header, thread], "two threads");
    // Of that process only.
    assert_eq!(by_thread(70, 70, true), [Basis::Ambiguous, header, thread]);
    assert_eq!(by_thread(70, 71, false), [Basis::Ambiguous, header, thread]);
}

#[test]
fn causes_that_no_log_tells_are_found_by_headers_and_time() {
    let mut recorded = Recorded::new();
    let with = |id: &str| json!({"headers": {"Host": ["x"], "X-Request-Id": [id]}});
    let a = recorded.request(100, "GET", "/a", with("request-a-1"));
    recorded.call(110, "GET", "/1", "", json!({}));
    let b = recorded.request(120, "GET", "/b", with("request-b-1"));
    recorded.call(130, "GET", "/2", "", json!({}));
    recorded.call(140, "GET", "/3", "", with("request-a-1"));
    recorded.answer(150, &a, 200, "", json!({}));
    recorded.answer(160, &b, 200, "", json!({}));
    recorded.call(170, "GET", "/4", "", json!({}));
    recorded.call(180, "GET", "/5", "", with("request-b-1"));
    let script = recorded.script().unwrap();
    let mut found: Vec<(u64, Option<u32>, Basis)> =
        script.calls().iter().map(|call| (call.start_ns, call.cause.map(|it| it.0), call.basis)).collect();
    found.sort_unstable();
    let expected = [
        (110, Some(0), Basis::OnlyOneInFlight),
        (130, None, Basis::Ambiguous),
        (140, Some(0), Basis::Header),
        (170, None, Basis::None),
        (180, Some(1), Basis::Header),
    ];
    assert_eq!(found, expected);
}

#[test]
fn connects_that_failed_have_their_place() {
    let mut recorded = Recorded::new();
    let id = recorded.request(0, "GET", "/", json!({}));
    recorded.call(10, "GET", "/1", "", json!({"cause": id, "causeBasis": "header"}));
    let failed = |errno: Option<&str>, peer: &str| json!({"service": peer, "protocol": "tcp", "peer": peer, "errno": errno, "error": "x", "cause": id, "causeBasis": "only-one-in-flight", "duration": 5});
    recorded.other("Connection", 20, failed(Some("ECONNREFUSED"), "10.0.0.7:80"));
    recorded.call(30, "GET", "/2", "", json!({"cause": id, "causeBasis": "header"}));
    recorded.other("Connection", 40, failed(Some("ETIMEDOUT"), "10.0.0.7:80"));
    recorded.other("Connection", 50, failed(Some("EWHATEVER"), "[fd00::1]:5432"));
    recorded.other("Connection", 60, failed(None, "10.0.0.9:1"));
    let script = recorded.script().unwrap();
    let it = &script.dependencies()[0];
    let places: Vec<_> = it.failed.iter().map(|it| (it.errno, it.position, it.cause, it.took_ns)).collect();
    let cause = Some(ExchangeIndex(0));
    assert_eq!(
        places,
        [(Errno::ECONNREFUSED, 1, cause, 5), (Errno::ETIMEDOUT, 2, cause, 5)],
        "at the address of a known name"
    );
    assert_eq!(
        (&*script.dependencies()[1].name, script.dependencies()[1].failed[0].errno),
        ("[fd00::1]:5432", Errno::ECONNREFUSED)
    );
    assert!(script.dependencies()[2].failed.is_empty(), "closed before any byte is no failure");
}

#[test]
fn what_cannot_be_replayed_is_listed() {
    let mut recorded = Recorded::new();
    recorded.request(0, "GET", "/", json!({}));
    recorded.request(1, "POST", "/", json!({"bodySize": 9, "bodyTruncated": true}));
    recorded.request(2, "", "", json!({"protocol": "tls", "url": "tls://127.0.0.1:8080"}));
    let up = recorded.request(3, "GET", "/ws", json!({}));
    recorded.answer(4, &up, 101, "", json!({}));
    recorded.request(5, "GET", "/cut", json!({"incomplete": true}));
    recorded.answer(6, "nobody", 200, "", json!({}));
    recorded.call(
        7,
        "",
        "",
        "",
        json!({"protocol": "tls", "service": "pay.test", "url": "tls://pay.test:443"}),
    );
    recorded.call(8, "GET", "/", "ab", json!({"responseBodyTruncated": true, "responseBodySize": 9}));
    recorded.call(
        9,
        "",
        "",
        "pong",
        json!({"protocol": "tcp", "service": "10.0.0.5:7", "url": "tcp://10.0.0.5:7", "body": "ping"}),
    );
    recorded.other("Lost", 9, json!({"reason": "gap", "events": 3}));
    let script = recorded.script().unwrap();
    let sent: Vec<bool> = script.exchanges().iter().map(|it| it.replayable).collect();
    assert_eq!(sent, [true, false, false, false, false]);
    let mut untested: Vec<String> =
        script.untested().iter().map(|it| format!("{} {}", it.count, it.what)).collect();
    untested.sort_unstable();
    assert_eq!(
        untested,
        [
            "1 answers",
            "1 answers of prices.test that were cut",
            "1 answers that were not recorded",
            "1 calls of pay.test (tls)",
            "1 inbound exchanges that are not HTTP/1",
            "1 requests that were cut",
            "1 requests whose bodies were not kept",
            "1 upgrades to another protocol (WebSocket)",
            "3 events that were not recorded",
        ]
    );
    let kinds: Vec<CallKind> = script.calls().iter().map(|call| call.kind).collect();
    assert_eq!(kinds, [CallKind::Unserved, CallKind::Http, CallKind::Turn]);
    let turn = script.turn(CallIndex(2)).unwrap();
    assert_eq!((&turn.asked[..], &turn.reply.body[..]), (&b"ping"[..], &b"pong"[..]));
    assert_eq!((script.dependencies()[0].unserved, &*script.dependencies()[0].protocol), (1, "tls"));
}

#[test]
fn secrets_come_back_and_those_that_cannot_are_named() {
    let mut recorded = Recorded::new();
    let (known, unknown) = ("redacted-f26b540759235a9d2d6decc1", "redacted-000000000000000000000000");
    fs::write(
        recorded.dir.path().join("secrets.json"),
        format!("{{\"version\":1}}\n{{\"token\":\"{known}\",\"value\":\"a b\"}}\n"),
    )
    .unwrap();
    let headers = json!({"Host": ["x"], "Cookie": [format!("sid={known}; t={unknown}")], "Content-Type": ["application/json"]});
    let body = format!("{{\"pin\":\"{known}-number\"}}");
    recorded.request(
        0,
        "POST",
        &format!("/?token={known}"),
        json!({"headers": headers, "body": body, "bodyRedacted": true}),
    );
    let script = recorded.script().unwrap();
    let request = script.request(ExchangeIndex(0)).unwrap();
    assert_eq!(request.target, "/?token=a%20b");
    assert_eq!(text(&request.headers, "cookie").unwrap(), format!("sid=a b; t={unknown}"));
    assert_eq!((&request.body[..], request.unrestored), (&b"{\"pin\":a b}"[..], vec![unknown.to_owned()]));
    assert!(script.untested().iter().any(|it| it.what.contains("tokens") && it.count == 1));
}

#[test]
fn without_anything_to_send_it_is_said() {
    let message = |recorded: &Recorded| recorded.script().unwrap_err();
    let mut recorded = Recorded::new();
    assert!(message(&recorded).message.ends_with("is empty: there is nothing to replay"));
    recorded.call(0, "GET", "/", "", json!({}));
    assert!(message(&recorded).message.contains("1 outbound calls and no inbound request"));
    recorded.request(1, "", "", json!({"protocol": "tcp", "url": "tcp://127.0.0.1:1"}));
    let error = message(&recorded);
    assert!(error.message.contains("none of the 1 inbound exchanges") && error.help.is_some());
    assert_eq!(error.exit, Exit::Incident);
}

#[test]
fn old_logs_without_numbers_are_in_the_order_of_time() {
    let dir = tempfile::tempdir().unwrap();
    let at = |second: u32| format!("2026-01-02T03:04:{second:02}Z");
    let inbound = [
        json!({"type": "InboundRequest", "id": "b", "timestamp": at(5), "method": "GET", "url": "http://h/b"}),
        json!({"type": "InboundRequest", "id": "a", "timestamp": at(1), "method": "GET", "url": "http://h/a"}),
        json!({"type": "InboundResponse", "timestamp": at(3), "method": "GET", "url": "http://h/a", "status": 200}),
    ];
    // Written at its end, dated with its start: out of order.
    let outbound = [
        json!({"type": "OutboundCall", "timestamp": at(5), "method": "GET", "url": "http://d:80/y", "status": 200}),
        json!({"type": "OutboundCall", "timestamp": at(2), "method": "GET", "url": "http://D/x", "status": 200}),
    ];
    let text = |lines: &[serde_json::Value]| lines.iter().map(ToString::to_string).collect::<String>();
    fs::write(dir.path().join("inbound.log"), text(&inbound)).unwrap();
    fs::write(dir.path().join("events.log"), text(&outbound)).unwrap();
    let script = Script::load(&Incident::open(dir.path()).unwrap()).unwrap();
    let ids: Vec<&str> = script.exchanges().iter().map(|it| &*it.id).collect();
    assert_eq!((ids, script.exchanges()[0].status), (vec!["a", "b"], Some(200)), "joined by what was asked");
    let calls: Vec<_> = script.calls().iter().map(|it| (&*it.dependency, it.cause.map(|it| it.0))).collect();
    assert_eq!(calls, [("d", Some(0)), ("d", Some(1))]);
    assert_eq!(script.calls()[1].site.as_ref(), "outbound d:80 GET /y");
}

/// A hundred thousand exchanges and their calls are to be held in some tens of MiB.
#[test]
fn entries_are_small() {
    assert!(size_of::<Exchange>() <= 256, "{}", size_of::<Exchange>());
    assert!(
        size_of::<Call>() + size_of::<MatchedBy>() <= 300,
        "{} {}",
        size_of::<Call>(),
        size_of::<MatchedBy>()
    );
}
