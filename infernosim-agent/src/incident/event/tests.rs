use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Event {
    serde_json::from_str(text).unwrap()
}

/// A line as the Go InfernoSIM wrote them: no protocol, no service, `null` for an empty map, nanoseconds.
const OLD: &str = r#"{"id":"7","type":"OutboundCall","timestamp":"2024-03-01T08:30:43.5Z","method":"GET","url":"http://prices.test/v1?q=a","status":200,"duration":123,"headers":{"A":["b","c"],"D":"e"},"responseHeaders":null,"body":"text","injectionApplied":"latency"}"#;

#[test]
fn old_lines_read() {
    let event = read(OLD);
    assert_eq!(event.kind, Kind::OutboundCall);
    assert_eq!(event.dependency(), "prices.test");
    assert_eq!(event.path_and_query(), "/v1?q=a");
    assert_eq!((event.status, event.duration, event.sequence), (Some(200), Some(123), None));
    assert_eq!(event.headers.iter().collect::<Vec<_>>(), [("A", "b"), ("A", "c"), ("D", "e")]);
    assert!(event.response_headers.is_empty());
    assert_eq!(event.request_body(), Body::Text("text"));
    assert_eq!(event.request_size(), Some(4));
    assert_eq!(event.time().unwrap().as_nanosecond(), 1_709_281_843_500_000_000);
    assert_eq!((event.outcome(), event.failed()), (Outcome::Answered, false));
}

#[test]
fn a_line_of_every_field_reads_and_is_written_back_as_it_was() {
    let line = concat!(
        r#"{"id":"00112233445566778899aabbccddeeff","type":"OutboundCall","timestamp":"2026-01-02T03:04:05.000000006Z","#,
        r#""sequence":5,"offsetNs":6,"service":"api.test","protocol":"http/1.1","method":"POST","#,
        r#""url":"http://api.test/x","target":"http://api.test/x","status":502,"errno":"ECONNRESET","error":"cut","incomplete":true,"#,
        r#""duration":7,"headers":{"Host":["api.test"],"b":["1","2"],"A":[]},"requestTrailers":{"T":["u"]},"#,
        r#""bodyB64":"AP8=","bodySize":2,"bodySha256":"aa","bodyTruncated":true,"bodyRedacted":true,"interim":[{"status":103,"headers":{"Link":["x"]}}],"#,
        r#""responseHeaders":{"C":["d"]},"responseTrailers":{"E":["f"]},"responseBody":"ok","responseBodySize":2,"#,
        r#""responseBodySha256":"bb","responseBodyTruncated":true,"responseBodyRedacted":true,"responseChunks":[[1,2],[3,4]],"traceId":"t","cause":"c","#,
        r#""causeBasis":"thread","connection":8,"pid":9,"tid":10,"comm":"curl","local":"[::1]:81","peer":"[::1]:80","#,
        r#""sni":"api.test","alpn":["h2","http/1.1"]}"#,
    );
    let event = read(line);
    assert_eq!(serde_json::to_string(&event).unwrap(), line);
    assert_eq!(event.request_body(), Body::Base64(&[0, 255]));
    assert_eq!(event.response_chunks, [(1, 2), (3, 4)]);
    assert_eq!(event.headers.get("HOST"), Some("api.test"));
    assert_eq!(event.headers.get("a"), None, "a name without a value");

    let lost = r#"{"id":"","type":"Lost","reason":"buffer","events":3,"bytes":4}"#;
    assert_eq!(serde_json::to_string(&read(lost)).unwrap(), lost);
}

#[test]
fn nothing_unknown_is_an_error() {
    let event = read(
        r#"{"type":"Weather","sun":[1,{"a":null}],"comm":null,"interim":null,"responseChunks":null,"status":0}"#,
    );
    assert_eq!(event, Event { kind: Kind::Other("Weather".into()), ..Event::default() });
}

#[test]
fn a_known_field_of_an_impossible_value_is_an_error() {
    for line in [
        r#"{"type":"Dns","sequence":-1}"#,
        r#"{"type":"Dns","status":"200"}"#,
        r#"{"type":"Dns","bodyB64":"A"}"#,
        r#"{"type":"Dns","bodyB64":"AP8"}"#,
        r#"{"type":"Dns","headers":["a"]}"#,
        r#"{"type":"Dns","headers":{"a":[1]}}"#,
        r#"{"type":"Dns","responseChunks":[[1]]}"#,
    ] {
        serde_json::from_str::<Event>(line).expect_err(line);
    }
}

#[test]
fn a_header_name_given_twice_means_both() {
    let event = read(r#"{"headers":{"A":"1","b":"2","A":["3"]}}"#);
    assert_eq!(event.headers.iter().collect::<Vec<_>>(), [("A", "1"), ("A", "3"), ("b", "2")]);
}

#[test]
fn bodies_say_what_was_kept() {
    let sha = "0".repeat(64);
    let case = |fields: &str| read(&format!("{{{fields}}}"));
    assert_eq!(case("").response_body(), Body::Empty);
    assert_eq!(case(r#""responseBody":"""#).response_body(), Body::Empty);
    assert_eq!(
        case(&format!(r#""responseBodySize":0,"responseBodySha256":"{sha}""#)).response_body(),
        Body::Empty
    );
    assert_eq!(case(r#""responseBodySize":9"#).response_body(), Body::Dropped { size: 9 });
    assert_eq!(case(r#""responseBodyTruncated":true"#).response_body(), Body::Dropped { size: 0 });
    let file = case(&format!(r#""responseBodySize":9,"responseBodySha256":"{sha}""#));
    assert_eq!(file.response_body(), Body::File { sha256: &sha, size: 9 });
    let inline = case(&format!(r#""responseBody":"é","responseBodySha256":"{sha}""#));
    assert_eq!((inline.response_body(), inline.response_size()), (Body::Text("é"), Some(2)));
    assert_eq!(inline.request_body(), Body::Empty, "the sides do not mix");
}

#[test]
fn outcomes_are_derived() {
    let case = |fields: &str| {
        let event = read(&format!(r#"{{"type":"OutboundCall","protocol":"http/1.1",{fields}}}"#));
        (event.outcome(), event.failed())
    };
    assert_eq!(case(r#""status":404"#), (Outcome::Answered, false));
    assert_eq!(case(r#""status":500"#), (Outcome::Answered, true));
    assert_eq!(case(r#""status":200,"incomplete":true"#), (Outcome::Closed, true));
    assert_eq!(case(r#""errno":"ECONNRESET""#), (Outcome::Closed, true));
    assert_eq!(case(r#""error":"gone""#), (Outcome::Closed, true));
    assert_eq!(case(r#""incomplete":true"#), (Outcome::Unanswered, true));
    assert_eq!(case(r#""pid":1"#), (Outcome::Unanswered, true));
    let idle = read(r#"{"type":"Connection","error":"closed before any byte"}"#);
    assert_eq!((idle.outcome(), idle.failed()), (Outcome::Closed, false));
    let refused = read(r#"{"type":"Connection","error":"connection refused","errno":"ECONNREFUSED"}"#);
    assert_eq!((refused.outcome(), refused.failed()), (Outcome::Closed, true));
    let tcp = read(r#"{"type":"OutboundCall","protocol":"tcp","body":"one way"}"#);
    assert_eq!((tcp.outcome(), tcp.failed()), (Outcome::Unanswered, false));
    let tcp = read(r#"{"type":"OutboundCall","protocol":"tcp","responseBody":"pong"}"#);
    assert_eq!((tcp.outcome(), tcp.failed()), (Outcome::Answered, false));
}

#[test]
fn urls_split() {
    assert_eq!(split_url("http://[::1]:80/a/b?c"), ("[::1]:80", "/a/b?c"));
    assert_eq!(split_url("tcp://10.0.0.7:9999"), ("10.0.0.7:9999", ""));
    assert_eq!(split_url("http://h?q=://"), ("h", "?q=://"));
    assert_eq!(split_url("*"), ("", "*"));
}

fn headers() -> impl Strategy<Value = Headers> {
    prop::collection::vec(("[A-Za-z-]{1,3}", any::<String>()), 0..5).prop_map(|fields| {
        let mut headers = Headers::default();
        for (name, value) in fields {
            headers.push(&name, value);
        }
        headers
    })
}

prop_compose! {
    fn event()(
        id in any::<String>(),
        kind in prop::sample::select([&Kind::KNOWN[..], &[Kind::Other("Later".into())]].concat()),
        (timestamp, service, method, url) in any::<(String, String, String, String)>(),
        (sequence, offset_ns, duration) in any::<(Option<u64>, Option<u64>, Option<u64>)>(),
        status in prop::option::of(1u16..),
        (errno, error, target) in any::<(Option<String>, Option<String>, Option<String>)>(),
        (incomplete, body_truncated, response_body_truncated) in any::<(bool, bool, bool)>(),
        (body_redacted, response_body_redacted) in any::<(bool, bool)>(),
        (headers, response_headers, response_trailers) in (headers(), headers(), headers()),
        (body, body_size) in any::<(Option<String>, Option<u64>)>(),
        bytes in any::<Option<Vec<u8>>>(),
        response_chunks in any::<Vec<(u64, u64)>>(),
        (connection, pid, alpn) in any::<(Option<u64>, Option<u32>, Vec<String>)>(),
        interim in prop::collection::vec((any::<u16>(), headers()), 0..3),
    ) -> Event {
        let interim = interim.into_iter().map(|(status, headers)| Interim { status, headers }).collect();
        Event {
            id, kind, timestamp, service, method, url, sequence, offset_ns, duration, status, errno, error, target,
            incomplete, body_truncated, response_body_truncated, body_redacted, response_body_redacted, headers, response_headers, response_trailers, body,
            body_size, response_body_b64: bytes.map(Base64), response_chunks, connection, pid, alpn, interim,
            ..Event::default()
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(event in event()) {
        let line = serde_json::to_string(&event).unwrap();
        prop_assert!(!line.contains('\n'));
        prop_assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    }
}

/// Every key of the documented examples is one we know, and says there what it says here.
#[test]
fn the_examples_of_the_documentation_are_true() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/format.md");
    let text = std::fs::read_to_string(path).unwrap();
    let examples: Vec<&str> = text.lines().filter(|line| line.starts_with("{\"")).collect();
    let events = examples.iter().filter(|line| line.starts_with("{\"id\""));
    for line in events.clone() {
        let documented: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_value(read(line)).unwrap(), documented);
        assert!(!matches!(read(line).kind, Kind::Other(_)));
    }
    let manifest: Vec<_> = examples.iter().filter(|line| line.starts_with("{\"formatVersion\"")).collect();
    assert_eq!((events.count(), manifest.len()), (7, 2));
    for text in manifest {
        let read: crate::incident::manifest::Manifest = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), **text);
    }
}

#[test]
fn a_lookup_reads_back_and_fails_where_the_resolver_did() {
    let line = r#"{"type":"Dns","transport":"udp","name":"shop.test","rcode":"NOERROR","truncated":true,
        "answers":[{"name":"shop.test","type":"A","ttl":300,"data":"10.0.0.7"},{"type":"TYPE9"}],"responseBodySize":45}"#;
    let event: Event = serde_json::from_str(line).unwrap();
    assert_eq!((event.transport.as_str(), event.name.as_deref()), ("udp", Some("shop.test")));
    assert_eq!((event.rcode.as_deref(), event.truncated), (Some("NOERROR"), true));
    let first = Answer { name: "shop.test".into(), kind: "A".into(), ttl: 300, data: "10.0.0.7".into() };
    assert_eq!(event.answers, [first, Answer { kind: "TYPE9".into(), ..Answer::default() }]);
    let again: Event = serde_json::from_str(&serde_json::to_string(&event).unwrap()).unwrap();
    assert_eq!(again, event);
    assert_eq!((event.outcome(), event.failed()), (Outcome::Answered, false));
    for (rcode, failed) in [("NXDOMAIN", false), ("SERVFAIL", true), ("REFUSED", true)] {
        assert_eq!(Event { rcode: Some(rcode.into()), ..event.clone() }.failed(), failed, "{rcode}");
    }
}
