use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn line(kind: &str, sequence: u64, more: Value) -> Value {
    let mut line = json!({"id": format!("{sequence:032x}"), "type": kind, "sequence": sequence,
        "timestamp": format!("2026-01-02T03:04:{:02}.5Z", sequence % 60), "protocol": "http/1.1"});
    for (key, value) in more.as_object().unwrap() {
        line[key] = value.clone();
    }
    line
}

fn call(sequence: u64, path: &str, more: Value) -> Value {
    let mut line = line(
        "OutboundCall",
        sequence,
        json!({"service": "api.test", "method": "GET", "url": format!("http://api.test{path}"), "status": 200,
            "headers": {"Host": ["api.test"]}, "responseHeaders": {"Date": ["Wed, 21 Oct 2015 07:28:00 GMT"]},
            "responseBody": "{\"n\":1,\"at\":\"2026-01-02T03:04:05Z\"}", "responseBodySize": 35, "duration": 1000}),
    );
    for (key, value) in more.as_object().unwrap() {
        line[key] = value.clone();
    }
    line
}

fn served(sequence: u64, status: u16) -> [Value; 2] {
    let trace = format!("t{sequence}");
    let asked = json!({"service": "127.0.0.1:8080", "method": "POST", "url": "http://shop.test/orders", "traceId": trace});
    let mut answer = asked.clone();
    answer["status"] = status.into();
    answer["body"] = "ok".into();
    [line("InboundRequest", sequence, asked), line("InboundResponse", sequence + 1, answer)]
}

fn incident(inbound: &[Value], outbound: &[Value]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, lines) in [("inbound.log", inbound), ("outbound.log", outbound)] {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn diff(a: &Path, b: &Path, options: &Options) -> Comparison {
    compare(&Incident::open(a).unwrap(), &Incident::open(b).unwrap(), options).unwrap()
}

fn calls(a: &[Value], b: &[Value]) -> Comparison {
    diff(incident(&[], a).path(), incident(&[], b).path(), &Options::default())
}

fn changes(a: Value, b: Value) -> Vec<(Part, String, Option<String>, Option<String>)> {
    let found = calls(&[call(1, "/", a)], &[call(1, "/", b)]);
    let details = found.differences.into_iter().flat_map(|one| one.details);
    details.map(|it| (it.part, it.at, it.a, it.b)).collect()
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn what_is_volatile_is_no_difference() {
    let a = [call(
        1,
        "/a",
        json!({"local": "127.0.0.1:5", "connection": 1, "headers": {"Host": ["localhost:7001"],
        "Authorization": ["Bearer redacted-5f0c6d1e9b7a4c3d8e2f1a0b"], "X-Request-Id": ["1"]}}),
    )];
    let b = [call(
        9,
        "/a",
        json!({"local": "127.0.0.1:6", "connection": 2, "duration": 900_000_000,
        "headers": {"x-request-id": ["2"], "authorization": ["Bearer redacted-000000000000000000000000"],
            "host": ["localhost:7002"]},
        "responseHeaders": {"Date": ["Thu, 22 Oct 2015 07:28:00 GMT"]},
        "responseBody": "{\"at\":\"2026-01-02T03:04:09.123Z\", \"n\":1}"}),
    )];
    let found = calls(&a, &b);
    assert_eq!((found.equal, found.differences.len()), (1, 0), "{found:?}");
    let slow = diff(
        incident(&[], &a).path(),
        incident(&[], &b).path(),
        &Options { timing: true, ..Options::default() },
    );
    assert_eq!(slow.differences[0].parts, [Part::Duration]);
}

#[test]
fn inbound_exchanges_are_joined_and_know_no_port() {
    let [a, b] = [served(1, 200), served(1, 500)];
    let mut moved = b.clone();
    moved.iter_mut().for_each(|line| line["service"] = "10.0.0.1:9999".into());
    let found = diff(incident(&a, &[]).path(), incident(&moved, &[]).path(), &Options::default());
    assert_eq!(found.exchanges, [1, 1]);
    let one = &found.differences[0];
    assert_eq!((one.kind, one.site.as_str()), (Kind::Changed, "inbound POST /orders"));
    assert_eq!(one.parts, [Part::Outcome]);
    assert_eq!((one.sequence_a, one.sequence_b), (Some(1), Some(1)));
}

#[test]
fn each_part_is_named() {
    use Part::*;
    let none = || json!({});
    for (b, expected) in [
        (json!({"status": 404}), (Outcome, "status", text("200"), text("404"))),
        (json!({"status": null, "errno": "ECONNRESET"}), (Outcome, "errno", None, text("ECONNRESET"))),
        (
            json!({"headers": {"Host": ["b.test"]}}),
            (RequestHeaders, "host", text("api.test"), text("b.test")),
        ),
        (json!({"body": "a\nb"}), (RequestBody, "", None, text("a\nb"))),
        (
            json!({"bodyB64": "/w==", "bodySize": 1}),
            (
                RequestBody,
                "",
                None,
                text("1 bytes, SHA-256 a8100ae6aa1940d0b663bb31cd466142ebbdbd5187131b92d93818987832eb89"),
            ),
        ),
        (json!({"responseHeaders": {"ETag": ["1"]}}), (ResponseHeaders, "etag", None, text("1"))),
        (
            json!({"responseBody": "{\"n\":2,\"at\":\"2026-01-02T03:04:05Z\"}"}),
            (ResponseBody, ".n", text("1"), text("2")),
        ),
        (json!({"responseBody": "{\"n\":1,\"at\":7}"}), (ResponseBody, ".at", text("\"<time>\""), text("7"))),
        (
            json!({"responseBody": "{\"n\":[1],\"at\":\"2026-01-02T03:04:05Z\"}"}),
            (ResponseBody, ".n", text("1"), None),
        ),
    ] {
        let found = changes(none(), b.clone());
        let (part, at, a, b_value) = expected;
        assert!(found.contains(&(part, at.to_owned(), a, b_value)), "{b}: {found:?}");
    }
}

#[test]
fn texts_are_compared_by_lines() {
    let long: String = (0..3000).map(|n| format!("{n}\n")).collect();
    let found = changes(json!({"responseBody": "a\nb\nc\n"}), json!({"responseBody": "a\nx\nc\nd\n"}));
    assert_eq!(
        found,
        [
            (Part::ResponseBody, "line 2".into(), text("b"), text("x")),
            (Part::ResponseBody, "line 4".into(), None, text("d")),
        ]
    );
    let found = changes(json!({"responseBody": "a"}), json!({ "responseBody": long }));
    assert_eq!(found[0].3.as_deref(), Some("3000 lines of text"));
}

#[test]
fn what_is_missing_is_known_by_its_content() {
    let body = |n: u64| json!({ "responseBody": format!("{{\"n\":{n}}}") });
    let a: Vec<_> = (1..=4).map(|n| call(n, "/same", body(n))).collect();
    let b: Vec<_> = [1, 3, 4].into_iter().map(|n| call(n, "/same", body(n))).collect();
    let found = calls(&a, &b);
    assert_eq!((found.equal, found.differences.len()), (3, 1));
    assert_eq!((found.differences[0].kind, found.differences[0].sequence_a), (Kind::OnlyInA, Some(2)));
    let found = calls(&b, &a);
    assert_eq!((found.differences[0].kind, found.differences[0].sequence_b), (Kind::OnlyInB, Some(2)));
}

#[test]
fn ports_of_this_host_are_others_in_each_run() {
    let at = |port: u16| {
        call(
            1,
            "/",
            json!({"service": format!("localhost:{port}"), "url": format!("http://localhost:{port}/")}),
        )
    };
    assert_eq!(calls(&[at(7001)], &[at(40_123)]).differences, []);
    let other = call(1, "/", json!({"service": "api.test:81"}));
    assert_eq!(calls(&[call(1, "/", json!({}))], &[other]).differences.len(), 2);
}

#[test]
fn another_order_is_said() {
    let paths = ["/a", "/b", "/c"];
    let a: Vec<_> = (1..).zip(paths).map(|(n, path)| call(n, path, json!({}))).collect();
    let b: Vec<_> = (1..).zip(["/b", "/c", "/a"]).map(|(n, path)| call(n, path, json!({}))).collect();
    let found = calls(&a, &b);
    let [one] = &found.differences[..] else { panic!("{found:?}") };
    assert_eq!((one.kind, one.site.as_str(), found.equal), (Kind::Moved, "outbound api.test GET /a", 3));
}

#[test]
fn lookups_connections_and_losses() {
    let dns = |sequence, data: &[&str]| {
        let answers: Vec<_> = data
            .iter()
            .map(|data| json!({"name": "x", "type": "A", "ttl": sequence, "data": data}))
            .collect();
        line(
            "Dns",
            sequence,
            json!({"method": "A", "name": "x", "protocol": "dns", "rcode": "NOERROR", "answers": answers}),
        )
    };
    let refused = line(
        "Connection",
        5,
        json!({"service": "db:1", "protocol": "tcp", "url": "tcp://db:1", "errno": "ECONNREFUSED"}),
    );
    let lost = line("Lost", 6, json!({"reason": "buffer", "events": 3}));
    let found = calls(&[dns(1, &["1.1.1.1", "2.2.2.2"]), refused], &[dns(9, &["2.2.2.2", "1.1.1.1"]), lost]);
    assert_eq!((found.equal, found.lost), (1, [0, 3]));
    assert_eq!(found.differences[0].site, "connection db:1");
    let found = calls(&[dns(1, &["1.1.1.1"])], &[dns(1, &["3.3.3.3"])]);
    assert_eq!(found.differences[0].parts, [Part::Answers]);
}

#[test]
fn what_is_ignored_is_no_difference() {
    let a = incident(&[], &[call(1, "/", json!({"responseBody": "{\"id\":1,\"in\":{\"id\":1}}"}))]);
    let b = incident(
        &[],
        &[call(1, "/", json!({"responseBody": "{\"id\":2,\"in\":{\"id\":3}}", "headers": {"Host": ["x"]}}))],
    );
    let ignore = |names: &[&str]| {
        let ignore = names.iter().map(|&name| name.to_owned()).collect();
        diff(a.path(), b.path(), &Options { ignore, timing: false }).differences.len()
    };
    assert_eq!(ignore(&["HOST", ".id", ".in.id"]), 0);
    assert_eq!(ignore(&["host", ".*id"]), 0);
    assert_eq!(ignore(&["host", ".id"]), 1);
}

#[test]
fn details_are_bounded() {
    let many = |value: u64| {
        let body: serde_json::Map<String, Value> =
            (0..200).map(|n| (format!("k{n}"), value.into())).collect();
        json!({ "responseBody": Value::from(body).to_string() })
    };
    let found = calls(&[call(1, "/", many(1))], &[call(1, "/", many(2))]);
    let one = &found.differences[0];
    assert_eq!((one.details.len(), one.more), (50, 150));
    let long = changes(json!({"responseBody": "é".repeat(5000)}), json!({"responseBody": "x"}));
    assert_eq!(long[0].2.as_ref().unwrap().chars().count(), 201);
}

/// One way to change a line so that something is different.
fn mutate(line: &mut Value, how: usize) -> Part {
    match how {
        0 => line["status"] = 503.into(),
        1 => line["headers"]["X-New"] = json!(["1"]),
        2 => line["responseHeaders"]["Content-Type"] = json!(["a/b"]),
        3 => line["responseBody"] = "{\"n\":7,\"at\":\"2026-01-02T03:04:05Z\"}".into(),
        _ => line["body"] = "new".into(),
    }
    [Part::Outcome, Part::RequestHeaders, Part::ResponseHeaders, Part::ResponseBody, Part::RequestBody][how]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_incident_equals_itself_and_one_change_is_found(
        paths in proptest::collection::vec(0_u8..4, 1..12), at: proptest::sample::Index, how in 0_usize..5
    ) {
        let lines: Vec<_> = (1..).zip(&paths).map(|(n, path)| call(n, &format!("/{path}"), json!({}))).collect();
        let a = incident(&served(100, 200), &lines);
        let same = diff(a.path(), a.path(), &Options::default());
        prop_assert!(same.differences.is_empty() && same.equal == lines.len() + 1, "{:?}", same);
        let mut changed = lines.clone();
        let index = at.index(lines.len());
        let part = mutate(&mut changed[index], how);
        let b = incident(&served(100, 200), &changed);
        let found = diff(a.path(), b.path(), &Options::default());
        prop_assert_eq!(found.differences.len(), 1, "{:?}", found);
        let one = &found.differences[0];
        prop_assert_eq!((one.kind, one.sequence_a), (Kind::Changed, Some(index as u64 + 1)));
        prop_assert_eq!(&one.parts, &[part]);
        let mut less = lines.clone();
        less.remove(index);
        let found = diff(a.path(), incident(&served(100, 200), &less).path(), &Options::default());
        prop_assert_eq!((found.count(Kind::OnlyInA), found.differences.len()), (1, 1));
    }
}
