//! Archives become incidents: those of browsers, of proxies, our own, and hostile ones.

use std::sync::Arc;

use nix::unistd::{Gid, Uid};

use super::*;
use crate::clock::Nanos;
use crate::incident::redact::{Policy, Redaction};
use crate::incident::{Budget, Direction, Limits, Lines, Ownership, Shelf, Writer};
use crate::seed::Ids;

struct Made {
    dir: tempfile::TempDir,
    done: Imported,
    /// The lines of both logs, in order.
    lines: Vec<Value>,
}

impl Made {
    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("incident")
    }
}

fn import_as(har: &[u8], direction: Direction, redact: bool) -> Made {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("incident");
    let owner = Ownership { uid: Uid::effective(), gid: Gid::effective() };
    let redaction = Redaction::with_key(redact.then(Policy::default), [7; 32]);
    let budget = Arc::new(Budget::new(64 << 20));
    let shelf = Shelf::create(&path, owner, false, None).unwrap();
    let (writer, outbox) = Writer::start(shelf, Arc::clone(&budget)).unwrap();
    let limits = Limits { inline_body: 64 << 10, max_body: u64::MAX };
    let mut lines =
        Lines::new(outbox, Arc::clone(&budget), limits, &redaction, Ids::from_key([1, 2]), Nanos(0));
    let document = Document::parse(har).unwrap();
    let done = Import { direction, service: None }.tell(&document, &mut lines).unwrap();
    let totals = lines.finish();
    let (mut shelf, written) = writer.join().unwrap();
    shelf.close(&totals, &written);
    assert!(totals.lost.is_empty(), "{:?}", totals.lost);
    assert_eq!(budget.held(), 0, "all memory is given back");
    let events = Incident::open(&path).unwrap().events().unwrap();
    let lines: Vec<Value> = events.map(|it| serde_json::from_str(&it.unwrap().text).unwrap()).collect();
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(line["sequence"], index + 1);
    }
    Made { dir, done, lines }
}

fn import(har: &Value) -> Made {
    import_as(har.to_string().as_bytes(), Direction::Inbound, true)
}

fn archive(entries: &[Value]) -> Value {
    json!({"log": {"version": "1.2", "creator": {"name": "test", "version": "1"}, "entries": entries}})
}

fn entry(began: &str, url: &str, more: Value) -> Value {
    let mut entry = json!({"startedDateTime": began, "time": 10, "cache": {},
        "request": {"method": "GET", "url": url, "httpVersion": "HTTP/1.1", "headers": [], "headersSize": -1, "bodySize": 0},
        "response": {"status": 200, "headers": [], "content": {"size": 2, "text": "ok"}},
        "timings": {"send": 1, "wait": 6, "receive": 3}});
    for (path, value) in more.as_object().unwrap() {
        *entry.pointer_mut(path).unwrap() = value.clone();
    }
    entry
}

#[test]
fn times_and_their_order_are_kept() {
    let made = import(&archive(&[
        entry("2020-01-02T03:04:05.010Z", "http://a.test/second", json!({"/time": 30})),
        entry("2020-01-02T03:04:05+00:00", "http://a.test/first", json!({"/time": 25})),
    ]));
    let said: Vec<_> = made
        .lines
        .iter()
        .map(|line| {
            (
                line["type"].as_str().unwrap(),
                line["url"].as_str().unwrap(),
                line["timestamp"].as_str().unwrap(),
            )
        })
        .collect();
    let (asked, answered) = ("InboundRequest", "InboundResponse");
    assert_eq!(
        said,
        [
            (asked, "http://a.test/first", "2020-01-02T03:04:05.000000000Z"),
            (asked, "http://a.test/second", "2020-01-02T03:04:05.010000000Z"),
            (answered, "http://a.test/first", "2020-01-02T03:04:05.025000000Z"),
            (answered, "http://a.test/second", "2020-01-02T03:04:05.040000000Z"),
        ]
    );
    let [first, second, answer, _] = &made.lines[..] else { panic!() };
    assert_eq!((first["offsetNs"].clone(), second["offsetNs"].clone()), (json!(0), json!(10_000_000)));
    assert_eq!(
        (first["duration"].clone(), answer["duration"].clone()),
        (json!(1_000_000), json!(25_000_000))
    );
    assert_eq!(answer["responseChunks"], json!([[7_000_000, 2]]));
    assert_eq!(first["traceId"], answer["traceId"]);
    assert_eq!(first["service"], "a.test:80");
}

/// As Chrome writes it.
#[test]
fn http_2_pseudo_headers_joined_values_and_decoded_content() {
    let har = archive(&[entry(
        "2020-01-02T03:04:05Z",
        "https://shop.test/x?y#z",
        json!({"/request/httpVersion": "h2", "/request/headers": [
                {"name": ":authority", "value": "shop.test"}, {"name": ":path", "value": "/x?y"},
                {"name": "cookie", "value": "sid=secret-value"}],
            "/response/headers": [{"name": "content-encoding", "value": "gzip"}, {"name": "content-length", "value": "999"},
                {"name": "set-cookie", "value": "a=1; Path=/\nb=2"}],
            "/response/content": {"size": 5, "compression": -994, "mimeType": "text/plain", "text": "aGVsbG8=", "encoding": "base64"}}),
    )]);
    let made = import_as(har.to_string().as_bytes(), Direction::Outbound, true);
    let [call] = &made.lines[..] else { panic!() };
    assert_eq!(
        (call["url"].clone(), call["service"].clone()),
        (json!("https://shop.test/x?y"), json!("shop.test"))
    );
    assert_eq!(call["headers"]["Host"], json!(["shop.test"]));
    assert_eq!(call["headers"].as_object().unwrap().len(), 2, "{}", call["headers"]);
    assert!(!call.to_string().contains("secret-value"), "{call}");
    assert_eq!(call["responseBody"], "hello");
    assert_eq!(call["responseHeaders"]["content-length"], json!(["5"]));
    assert!(call["responseHeaders"]["content-encoding"].is_null());
    assert_eq!(call["responseHeaders"]["set-cookie"].as_array().unwrap().len(), 2);
    assert_eq!(made.done.notes.len(), 2, "{:?}", made.done.notes);
    assert!(call["target"].is_null(), "a client sends no absolute target");
}

#[test]
fn what_is_not_in_it_is_said_to_be_missing() {
    let made = import(&archive(&[
        entry("2020-01-02T03:04:05Z", "http://a.test/cached", json!({"/response/content": {"size": 1234}})),
        entry("2020-01-02T03:04:06Z", "http://a.test/blocked", json!({"/response/status": 0})),
        entry("2020-01-02T03:04:07Z", "http://a.test/upload", json!({"/request/bodySize": 99})),
    ]));
    let answers: Vec<_> = made.lines.iter().filter(|line| line["type"] == "InboundResponse").collect();
    assert_eq!(
        (answers[0]["bodySize"].clone(), answers[0]["bodyTruncated"].clone()),
        (json!(1234), json!(true))
    );
    assert!(answers[0]["bodySha256"].is_null());
    assert!(answers[1]["status"].is_null() && answers[1]["incomplete"] == true);
    let upload = &made.lines[4];
    assert_eq!((upload["bodySize"].clone(), upload["bodyTruncated"].clone()), (json!(99), json!(true)));
    assert_eq!(made.done.notes.values().sum::<u64>(), 2, "{:?}", made.done.notes);
}

#[test]
fn forms_and_websockets() {
    let mut socket = entry("2020-01-02T03:04:06Z", "wss://a.test/ws", json!({"/response/status": 101}));
    socket["_webSocketMessages"] = json!([{"type": "send", "data": "x"}]);
    let mut form = entry("2020-01-02T03:04:05Z", "http://a.test/", json!({"/request/method": "POST"}));
    form["request"]["postData"] = json!({"mimeType": "application/x-www-form-urlencoded",
        "params": [{"name": "a b", "value": "c&d"}, {"name": "e", "value": "%20"}]});
    let made = import(&archive(&[form, socket]));
    assert_eq!(made.lines[0]["body"], "a+b=c%26d&e=%20");
    assert!(made.lines[2]["url"].as_str().unwrap().starts_with("https://a.test"));
    assert_eq!(made.done.notes["with messages of a WebSocket, which were left out"], 1);
}

#[test]
fn what_is_wrong_with_one_entry_costs_that_entry() {
    let at = "2020-01-02T03:04:05Z";
    let wrong = [
        json!(7),
        json!({}),
        json!([[[]]]),
        entry("never", "http://a.test/", json!({})),
        entry(at, "data:text/plain,x", json!({})),
        entry(at, "http:///x", json!({})),
        entry(at, "http://a.test/\r\nX: y", json!({})),
        entry(at, "http://a.test/", json!({"/request/method": "GET / HTTP/1.1\r\n"})),
        entry(at, "http://a.test/", json!({"/request/method": "CONNECT"})),
        entry(at, "http://a.test/", json!({"/request/method": 7})),
        entry(at, "http://a.test/", json!({"/response/status": 70})),
        entry(at, "http://a.test/", json!({"/response/status": "200"})),
        entry(at, "http://a.test/", json!({"/response/content": {"text": "%%%", "encoding": "base64"}})),
        entry(at, "http://a.test/", json!({"/request/headers": {"a": "b"}})),
    ];
    let good = entry(at, "http://a.test/good", json!({}));
    let made = import(&archive(&[&wrong[..], &[good]].concat()));
    assert_eq!((made.done.skipped, made.done.exchanges, made.lines.len()), (wrong.len() as u64, 1, 2));
    assert_eq!(made.done.reasons.len(), 5);
    assert!(made.done.reasons[0].starts_with("entry 1: "), "{:?}", made.done.reasons);
}

/// A log without what two recordings of the same thing need not have in common.
fn without_ids(mut entries: Vec<Value>) -> Vec<Value> {
    for entry in &mut entries {
        for name in ["id", "sequence", "pid", "cause"] {
            entry["_infernosim"].as_object_mut().unwrap().remove(name);
        }
        entry.as_object_mut().unwrap().remove("connection");
        let began: jiff::Timestamp = entry["startedDateTime"].as_str().unwrap().parse().unwrap();
        entry["startedDateTime"] = began.to_string().into();
    }
    entries
}

fn export_again(har: &[u8]) -> Vec<u8> {
    export(&import_as(har, Direction::Outbound, false).path())
}

#[test]
fn what_was_exported_comes_back() {
    let refused = concat!(
        r#"{"id":"c1","type":"OutboundCall","timestamp":"2026-01-02T03:04:06Z","sequence":7,"service":"api.test:8080","protocol":"http/1.0","method":"PUT","url":"http://api.test:8080/p?q=1","headers":{"Host":["api.test:8080"],"X-A":["1","2"]},"bodyB64":"/wA=","bodySize":2,"status":502,"errno":"ECONNREFUSED","error":"connection refused","responseHeaders":{"Content-Type":["text/plain"]},"responseBody":"no","responseBodySize":2,"responseChunks":[[1500,2]],"duration":2500}"#,
        "\n"
    );
    let unanswered = concat!(
        r#"{"id":"a8","type":"InboundResponse","timestamp":"2026-01-02T03:04:05.8Z","sequence":8,"service":"127.0.0.1:80","protocol":"http/1.1","method":"GET","url":"http://shop.test/cut","incomplete":true,"error":"the client closed the connection before it was answered","duration":200000000,"traceId":"t2"}"#,
        "\n"
    );
    let dir = incident(&(INBOUND.to_owned() + unanswered), &(OUTBOUND.to_owned() + refused));
    let first = export(dir.path());
    let second = export_again(&first);
    assert_eq!(without_ids(entries(&second)), without_ids(entries(&first)));
}

#[test]
fn large_bodies_come_through() {
    let text = "0123456789".repeat(300_000);
    let har = archive(&[entry(
        "2020-01-02T03:04:05Z",
        "http://a.test/",
        json!({"/response/content": {"size": text.len(), "text": text}}),
    )]);
    let made = import(&har);
    let incident = Incident::open(&made.path()).unwrap();
    assert_eq!(incident.read_body(made.lines[1]["bodySha256"].as_str().unwrap()).unwrap(), text.as_bytes());
}

fn hostile() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|it| json!(it)),
        ".{0,12}".prop_map(Value::from),
        Just(json!("http://a.test/x")),
        Just(json!("2020-01-02T03:04:05Z")),
        Just(json!("base64")),
        Just(json!("GET")),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let key = "startedDateTime|time|timings|request|response|content|text|encoding|status|headers|method|url|name|value|_infernosim|postData|size|bodySize|connection";
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(key, inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_archive_does_harm(odd in proptest::collection::vec(hostile(), 0..6), parts in proptest::collection::vec((0_usize..9, hostile()), 0..6)) {
        let mut usual = entry("2020-01-02T03:04:05Z", "http://a.test/", json!({}));
        for (which, value) in parts {
            let place = ["/time", "/request/headers", "/request/url", "/response/content", "/response/status", "/timings", "/request/method", "/response/headers", "/request"][which];
            if let Some(at) = usual.pointer_mut(place) {
                *at = value;
            }
        }
        let made = import(&archive(&[&odd[..], &[usual]].concat()));
        prop_assert_eq!(made.done.skipped + made.done.exchanges, odd.len() as u64 + 1);
        export(&made.path());
    }

    #[test]
    fn a_second_round_changes_nothing(
        method in "GET|POST|PUT|X-[A-Z]{3}", path in "/[a-z0-9%&=?]{0,20}", body in ".{0,40}", answer in proptest::collection::vec(any::<u8>(), 0..60),
        fields in proptest::collection::vec(("[A-Za-z-]{1,9}", "[!-~]([ -~]{0,20}[!-~])?"), 0..5), took in 0_u32..5_000_000, status in 200_u16..600
    ) {
        let base64 = base64_simd::STANDARD.encode_to_string(&answer);
        let fields: Vec<_> = fields.into_iter().map(|(name, value)| json!({"name": format!("X{name}"), "value": value})).collect();
        let asked = [&[json!({"name": "Host", "value": "a.test"})], &fields[..]].concat();
        let mut one = entry("2020-01-02T03:04:05.000000001Z", &format!("http://a.test{path}"), json!({"/request/method": method,
            "/request/headers": asked, "/time": f64::from(took) / 1e6,
            "/timings": {"send": 0, "wait": f64::from(took) / 2e6, "receive": f64::from(took) / 2e6},
            "/response/headers": fields, "/response/status": status, "/response/content": {"text": base64, "encoding": "base64"}}));
        one["request"]["postData"] = json!({"mimeType": "", "text": body});
        let first = export_again(archive(&[one]).to_string().as_bytes());
        let second = export_again(&first);
        prop_assert_eq!(without_ids(entries(&second)), without_ids(entries(&first)));
    }
}
