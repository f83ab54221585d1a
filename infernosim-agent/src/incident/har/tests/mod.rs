//! What is exported, as another reader of HAR sees it.

mod import;

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::incident::Join;

pub(super) const INBOUND: &str = concat!(
    r#"{"id":"a1","type":"InboundRequest","timestamp":"2026-01-02T03:04:05.5Z","sequence":1,"service":"127.0.0.1:80","protocol":"http/1.1","method":"POST","url":"http://shop.test/orders?a=1","headers":{"Host":["shop.test"],"Cookie":["sid=redacted-1; x=y"],"Content-Type":["application/json"]},"body":"{\"n\":1}","bodySize":7,"duration":1500000,"traceId":"t1","connection":7,"pid":42,"local":"127.0.0.1:80","peer":"127.0.0.1:5000"}"#,
    "\n",
    r#"{"id":"a3","type":"InboundRequest","timestamp":"2026-01-02T03:04:05.6Z","sequence":3,"service":"127.0.0.1:80","protocol":"http/1.1","method":"GET","url":"http://shop.test/cut","headers":{"Host":["shop.test"]},"duration":1,"traceId":"t2","local":"127.0.0.1:80"}"#,
    "\n",
    r#"{"id":"a4","type":"InboundResponse","timestamp":"2026-01-02T03:04:05.7Z","sequence":4,"service":"127.0.0.1:80","protocol":"http/1.1","method":"POST","url":"http://shop.test/orders?a=1","status":302,"headers":{"Location":["/x"],"Set-Cookie":["a=b; HttpOnly"]},"bodyB64":"AAH/","bodySize":3,"responseChunks":[[5000000,1],[7000000,2]],"duration":8000000,"traceId":"t1"}"#,
    "\n",
);
/// A call that began before all else and ended after it, and what is no HTTP.
pub(super) const OUTBOUND: &str = concat!(
    r#"{"id":"b5","type":"Dns","timestamp":"2026-01-02T03:04:05Z","sequence":2,"protocol":"dns","method":"A","url":"dns://10.0.0.2/x?type=A"}"#,
    "\n",
    r#"{"id":"b6","type":"OutboundCall","timestamp":"2026-01-02T03:04:05Z","sequence":5,"service":"api.test","protocol":"http/1.1","method":"GET","url":"http://api.test/","headers":{"Host":["api.test"]},"errno":"ECONNRESET","error":"the dependency's connection broke","incomplete":true,"duration":900000000,"cause":"a1","peer":"10.0.0.7:80"}"#,
    "\n",
    r#"{"id":"b7","type":"OutboundCall","timestamp":"2026-01-02T03:04:05Z","sequence":6,"protocol":"tcp","method":"","url":"tcp://10.0.0.9:1"}"#,
    "\n",
);

pub(super) fn incident(inbound: &str, outbound: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("inbound.log"), inbound).unwrap();
    fs::write(dir.path().join("outbound.log"), outbound).unwrap();
    dir
}

pub(super) fn export(dir: &Path) -> Vec<u8> {
    let incident = Incident::open(dir).unwrap();
    let (mut archive, mut join) = (Archive::new().unwrap(), Join::default());
    let events = incident.events().unwrap().map(Result::unwrap).filter(|record| is_http(&record.event));
    let mut whole: Vec<Joined> =
        events.flat_map(|record| join.add(record.event, record.text.len())).collect();
    whole.extend(std::iter::from_fn(|| join.oldest()));
    whole.iter().for_each(|joined| archive.add(joined, &incident).unwrap());
    let mut out = Vec::new();
    archive.write(&mut out).unwrap();
    out
}

pub(super) fn entries(har: &[u8]) -> Vec<Value> {
    let mut har: Value = serde_json::from_slice(har).unwrap();
    har["log"]["entries"].take().as_array().unwrap().clone()
}

#[test]
fn another_reader_understands_it() {
    let dir = incident(INBOUND, OUTBOUND);
    let text = export(dir.path());
    let har::Spec::V1_2(log) = har::from_slice(&text).unwrap().log else { panic!("not 1.2") };
    assert_eq!((log.creator.name.as_str(), log.entries.len()), ("infernosim", 3));
    let [call, order, cut] = &log.entries[..] else { panic!() };
    assert_eq!(call.started_date_time, "2026-01-02T03:04:05Z", "in the order in which they began");
    assert_eq!((call.response.status, call.time), (0, 900.0));
    assert_eq!(call.server_ip_address.as_deref(), Some("10.0.0.7"));
    assert_eq!((order.request.method.as_str(), order.response.status), ("POST", 302));
    assert_eq!(order.request.post_data.as_ref().unwrap().text.as_deref(), Some("{\"n\":1}"));
    assert_eq!(order.request.cookies.len(), 2);
    assert_eq!(order.response.redirect_url.as_deref(), Some("/x"));
    let content = &order.response.content;
    assert_eq!((content.text.as_deref(), content.encoding.as_deref()), (Some("AAH/"), Some("base64")));
    let timings = &order.timings;
    assert_eq!((timings.send, timings.wait, timings.receive, order.time), (1.5, 3.5, 3.0, 8.0));
    assert_eq!(order.connection.as_deref(), Some("7"));
    assert_eq!((cut.response.status, cut.time), (0, 0.0));
}

#[test]
fn what_har_has_no_word_for_is_said_beside() {
    let dir = incident(INBOUND, OUTBOUND);
    let entries = entries(&export(dir.path()));
    assert_eq!(
        entries[0]["_infernosim"],
        json!({"id": "b6", "sequence": 5, "type": "OutboundCall", "direction": "outbound", "service": "api.test",
            "peer": "10.0.0.7:80", "incomplete": true, "errno": "ECONNRESET",
            "error": "the dependency's connection broke", "cause": "a1"})
    );
    assert_eq!(entries[1]["_infernosim"]["pid"], 42);
    assert_eq!(entries[1]["request"]["queryString"], json!([{"name": "a", "value": "1"}]));
    assert_eq!(entries[0]["timings"]["dns"], -1);
}

#[test]
fn an_answer_alone_is_an_entry() {
    let answer = INBOUND.lines().last().unwrap();
    let dir = incident(answer, "");
    let entries = entries(&export(dir.path()));
    assert_eq!(entries[0]["startedDateTime"], "2026-01-02T03:04:05.692Z", "when its request began");
    assert_eq!(entries[0]["response"]["status"], 302);
    assert_eq!(entries[0]["request"]["headers"], json!([]), "the fields of the line are the answer's");
}

fn call(coding: &str, body: &[u8]) -> String {
    let body = base64_simd::STANDARD.encode_to_string(body);
    format!(
        r#"{{"type":"OutboundCall","method":"GET","url":"http://a.test/","status":200,"responseHeaders":{{"Content-Encoding":["{coding}"],"Content-Type":["text/plain"]}},"responseBodyB64":"{body}"}}"#
    )
}

fn content(coding: &str, body: &[u8]) -> Value {
    let dir = incident("", &call(coding, body));
    entries(&export(dir.path()))[0]["response"]["content"].take()
}

#[test]
fn content_is_decoded() {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    let text = "né".repeat(40_000).into_bytes();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    let mut raw = DeflateEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&text).unwrap();
    zlib.write_all(&text).unwrap();
    raw.write_all(&text).unwrap();
    let codings = [
        ("gzip", gzip.finish().unwrap()),
        ("deflate", zlib.finish().unwrap()),
        ("deflate", raw.finish().unwrap()),
    ];
    for (coding, body) in &codings {
        let content = content(coding, body);
        assert_eq!(content["text"].as_str().unwrap().as_bytes(), text, "{coding}");
        assert_eq!(content["size"], text.len());
        assert_eq!(content["compression"], text.len() - body.len());
        // A torn one stays what it is.
        let torn = &body[..body.len() / 2];
        let content = self::content(coding, torn);
        assert_eq!(content["text"], base64_simd::STANDARD.encode_to_string(torn), "{coding}");
        assert_eq!(
            (content["size"].clone(), content["encoding"].clone()),
            (json!(torn.len()), json!("base64"))
        );
    }
    assert_eq!(content("br", b"\x0b\x02\x80hello\x03")["text"], "hello");
    assert_eq!(content("gzip", b"not gzip")["text"], "not gzip");
}

/// Ten bytes of it are ten thousand decoded.
#[test]
fn what_unpacks_to_too_much_stays_packed() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&vec![0; 20 << 20]).unwrap();
    let bomb = gzip.finish().unwrap();
    assert_eq!(content("gzip", &bomb)["size"], bomb.len());
}

#[test]
fn a_missing_body_is_an_error() {
    let line = format!(
        r#"{{"type":"OutboundCall","method":"GET","url":"http://a/","responseBodySha256":"{}","responseBodySize":9}}"#,
        "0".repeat(64)
    );
    let dir = incident("", &line);
    let incident = Incident::open(dir.path()).unwrap();
    let event = serde_json::from_str(&line).unwrap();
    let error = Archive::new().unwrap().add(&Joined::of(event), &incident).unwrap_err();
    assert_eq!(error.exit, Exit::Incident);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_body_comes_through(text in ".{0,50}", bytes in proptest::collection::vec(any::<u8>(), 0..50), repeat in 1_usize..4000) {
        for body in [text.repeat(repeat).into_bytes(), bytes.repeat(repeat), [text.repeat(repeat).as_bytes(), &bytes].concat()] {
            let content = content("identity", &body);
            let text = content["text"].as_str().unwrap_or_default();
            let found = match content["encoding"].as_str() {
                Some(_) => base64_simd::STANDARD.decode_to_vec(text).unwrap(),
                None => text.as_bytes().to_vec(),
            };
            prop_assert_eq!(content["encoding"].is_null(), std::str::from_utf8(&body).is_ok());
            prop_assert_eq!(found, body);
        }
    }
}
