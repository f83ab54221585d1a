//! Secrets, from the wire to the files.

use std::io::Write as _;

use super::*;
use crate::incident::redact::Policy;

const SECRET: &str = "s3cr3t-value";

fn on() -> Redaction {
    Redaction::with_key(Some(Policy::default()), [5; 32])
}

fn redacted(said: &[(Sender, &[u8])]) -> Recorded {
    record_by(&on(), said, Ending::Closed, LIMITS, 32 << 20)
}

/// Everything that the incident holds but for secrets.json, one after the other.
fn files(it: &Recorded) -> Vec<u8> {
    let bodies = std::fs::read_dir(it.path.join("bodies")).unwrap();
    let mut all = std::fs::read(it.path.join("outbound.log")).unwrap();
    bodies.for_each(|entry| all.extend(std::fs::read(entry.unwrap().path()).unwrap()));
    all
}

fn assert_nowhere(it: &Recorded) {
    assert!(memchr::memmem::find(&files(it), SECRET.as_bytes()).is_none(), "{:#?}", it.events);
}

fn token(it: &Recorded) -> String {
    let secrets = std::fs::read_to_string(it.path.join("secrets.json")).unwrap();
    let lines = secrets.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let line = lines.filter(|line| line["value"] == SECRET).collect::<Vec<_>>();
    assert_eq!(line.len(), 1, "once: {secrets}");
    line[0]["token"].as_str().unwrap().to_owned()
}

fn answer(fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{fields}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes), &mut out).unwrap();
    out
}

#[test]
fn a_secret_is_in_no_part_of_an_exchange() {
    let request = format!(
        "POST http://u:{SECRET}@shop/p?token={SECRET}&x=1 HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer {SECRET}\r\nCookie: sid={SECRET}; a=b\r\n\
         Referer: http://h/?password={SECRET}\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n\
         1f\r\n{{\"a\":1,\"password\":\"{SECRET}\r\n2\r\n\"}}\r\n0\r\nX-Api-Key: {SECRET}\r\n\r\n"
    );
    let answer = format!(
        "HTTP/1.1 103 Hints\r\nSet-Cookie: sid={SECRET}; Path=/\r\n\r\n\
         HTTP/1.1 200 OK\r\nSet-Cookie: sid={SECRET}; Path=/\r\nSet-Cookie: b=\r\nTransfer-Encoding: chunked\r\n\r\n\
         1c\r\nuser=ann&pass%77ord={}\r\n0\r\nX-Auth-Token: {SECRET}\r\n\r\n",
        &SECRET[..8]
    );
    for piece in [1, usize::MAX] {
        let said: Vec<(Sender, &[u8])> = request
            .as_bytes()
            .chunks(piece)
            .map(|piece| (Client, piece))
            .chain(answer.as_bytes().chunks(piece).map(|piece| (Server, piece)))
            .collect();
        let it = redacted(&said);
        assert_nowhere(&it);
        let (event, token) = (&it.events[0], token(&it));
        assert_eq!(event.url, format!("http://u:{token}@shop/p?token={token}&x=1"));
        assert_eq!(event.target.as_deref(), Some(event.url.as_str()));
        assert_eq!(event.service, "shop");
        let line = std::fs::read_to_string(it.path.join("outbound.log")).unwrap();
        for expected in [
            format!("\"Authorization\":[\"Bearer {token}\"]"),
            format!("\"Set-Cookie\":[\"sid={token}; Path=/\",\"b=\"]"),
            format!("\"requestTrailers\":{{\"X-Api-Key\":[\"{token}\"]}}"),
            format!(
                "\"interim\":[{{\"status\":103,\"headers\":{{\"Set-Cookie\":[\"sid={token}; Path=/\"]}}}}]"
            ),
        ] {
            assert!(line.contains(&expected), "{expected} in {line}");
        }
        assert_eq!(event.request_body(), Body::Text(&format!("{{\"a\":1,\"password\":\"{token}\"}}")));
        assert_eq!((event.body_redacted, event.body_truncated, event.body_size), (true, false, Some(33)));
        assert!(it.response(0).starts_with(b"user=ann&pass%77ord=redacted-"));
        assert_eq!((event.response_body_redacted, event.response_body_size), (true, Some(28)));
        assert_eq!((it.totals.replaced.distinct, it.totals.replaced.unstored), (3, 0));
    }
}

/// The same bytes again and again, under one name and another.
#[test]
fn a_body_that_repeats_is_replaced_each_time_and_as_what_it_is() {
    for length in [300, 2000, 40_000] {
        let body = format!("{{\"pad\":\"{}\",\"token\":\"{SECRET}\"}}", "x".repeat(length));
        let json = answer("Content-Type: application/json\r\n", body.as_bytes());
        let picture = answer("Content-Type: image/png\r\n", body.as_bytes());
        let request: (Sender, &[u8]) = (Client, b"GET / HTTP/1.1\r\n\r\n");
        let mut said = vec![];
        for answer in [&json, &json, &picture, &json, &json, &picture] {
            said.extend([request, (Server, answer.as_slice())]);
        }
        let it = redacted(&said);
        let expected = body.replace(SECRET, &token(&it));
        for (index, plain) in [false, false, true, false, false, true].into_iter().enumerate() {
            assert!(
                it.response(index) == if plain { body.as_bytes() } else { expected.as_bytes() },
                "{index}"
            );
            assert_eq!(it.events[index].response_body_redacted, !plain);
            assert_eq!(it.events[index].response_body_size, Some(body.len() as u64));
        }
    }
}

#[test]
fn a_body_too_long_for_memory_is_replaced_on_its_way_to_the_disk() {
    let text = format!("[{}{{\"token\":\"{SECRET}\"}}]", "{\"a\":\"bcdefgh\"}, ".repeat(100_000));
    // What does not compress.
    let mut word = 1_u32;
    let noise: String = std::iter::repeat_with(|| {
        word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        format!("\"{word:x}\",")
    })
    .take(600_000)
    .collect();
    let long = format!("[{noise}{{\"token\":\"{SECRET}\"}}]");
    let json = "Content-Type: application/json\r\n";
    let plain = answer(json, text.as_bytes());
    let coded = answer(&format!("{json}Content-Encoding: gzip\r\n"), &gzip(long.as_bytes()));
    assert!(coded.len() > 2 << 20, "{}", coded.len());
    let untouched = answer("Content-Type: video/mp4\r\n", text.as_bytes());
    let unread = answer(&format!("{json}Content-Encoding: zstd\r\n"), text.as_bytes());
    let request: (Sender, &[u8]) = (Client, b"GET / HTTP/1.1\r\n\r\n");
    let mut said = vec![];
    for answer in [&plain, &coded, &untouched, &unread] {
        said.push(request);
        said.extend(answer.chunks(65_536).map(|piece| (Server, piece)));
    }
    let it = redacted(&said);
    let token = token(&it);
    assert!(it.response(0) == text.replace(SECRET, &token).as_bytes());
    assert!(gunzip(&it.response(1)) == long.replace(SECRET, &token).as_bytes());
    assert!(it.response(2) == text.as_bytes());
    let flags: Vec<_> =
        it.events.iter().map(|event| (event.response_body_redacted, event.response_body_truncated)).collect();
    assert_eq!(flags, [(true, false), (true, false), (false, false), (false, true)]);
    assert_eq!(it.events[3].response_body(), Body::Dropped { size: text.len() as u64 });
    assert_eq!(it.events[0].response_body_size, Some(text.len() as u64));
}

#[test]
fn compressed_bodies_are_read_and_those_that_cannot_be_are_not_kept() {
    let body = format!("{{\"token\":\"{SECRET}\"}}");
    let innocent = gzip(b"{\"a\":1}");
    let answers = [
        answer("Content-Encoding: gzip\r\n", &gzip(body.as_bytes())),
        answer("Content-Encoding: gzip\r\n", &innocent),
        answer("Content-Encoding: zstd\r\n", b"(\xb5/\xfd"),
        answer("Content-Encoding: gzip\r\n", body.as_bytes()),
    ];
    let mut said: Vec<(Sender, &[u8])> = vec![];
    for answer in &answers {
        said.extend([(Client, &b"GET / HTTP/1.1\r\n\r\n"[..]), (Server, answer)]);
    }
    let it = redacted(&said);
    let expected = body.replace(SECRET, &token(&it)).into_bytes();
    assert_eq!(gunzip(&it.response(0)), expected);
    assert_eq!(it.response(1), innocent, "byte for byte");
    assert!(!it.events[1].response_body_redacted);
    assert_eq!(it.events[2].response_body(), Body::Dropped { size: 4 });
    assert_eq!(it.response(3), expected);
}

#[test]
fn bytes_that_look_like_header_fields_are_read_as_such() {
    let hello = format!("HELO\r\nAuthorization: Bearer {SECRET}\r\n\r\n{{\"pwd\":\"{SECRET}\"}}\r\n");
    let it = redacted(&[(Client, hello.as_bytes()), (Server, b"ok")]);
    assert_nowhere(&it);
    assert_eq!(it.events[0].protocol, "tcp");
    assert_eq!(it.events[0].request_body(), Body::Text(&hello.replace(SECRET, &token(&it))));
    assert!(it.events[0].body_redacted);
}

#[test]
fn a_body_that_was_cut_is_replaced_as_far_as_it_came() {
    let body = format!("{{\"token\":\"{SECRET}");
    let text = format!("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{body}");
    let said: [(Sender, &[u8]); 2] = [(Client, b"GET / HTTP/1.1\r\n\r\n"), (Server, text.as_bytes())];
    let it = record_by(&on(), &said, Ending::Broke(Server, Errno::ECONNRESET), LIMITS, 1 << 20);
    assert_nowhere(&it);
    assert!(it.events[0].incomplete && it.response(0).ends_with(token(&it).as_bytes()));
    let limits = Limits { max_body: 20, ..LIMITS };
    let it = record_by(&on(), &said, Ending::Broke(Server, Errno::ECONNRESET), limits, 1 << 20);
    assert!(it.response(0).starts_with(b"{\"token\":\"redacted-"), "{:?}", it.events);
    assert!(it.events[0].response_body_truncated);
}

#[test]
fn no_room_for_the_secrets_costs_the_values_and_nothing_else() {
    // Room for lines, and not for a mebibyte of values.
    let many: String = (0..10_000).map(|number| format!("\"{number}-{}\",", "x".repeat(60))).collect();
    let body = format!("{{\"token\":[{many}\"{SECRET}\"]}}");
    let text = answer("Content-Type: application/json\r\n", body.as_bytes());
    let said: [(Sender, &[u8]); 2] = [(Client, b"GET / HTTP/1.1\r\n\r\n"), (Server, &text)];
    let it = record_by(&on(), &said, Ending::Closed, Limits { inline_body: 1 << 20, ..LIMITS }, 1_600_000);
    assert_nowhere(&it);
    assert_eq!(it.events[0].kind, Kind::OutboundCall);
    assert!(it.totals.replaced.unstored > 0, "{:?}", it.totals.replaced);
}

#[test]
fn without_redaction_nothing_is_replaced_and_no_file_is_made() {
    let text = format!("GET /?token={SECRET} HTTP/1.1\r\nCookie: a={SECRET}\r\n\r\n");
    let it = recorded(&[(Client, text.as_bytes()), (Server, b"HTTP/1.1 204 No\r\n\r\n")], Ending::Closed);
    assert_eq!(it.events[0].url, format!("http://10.0.0.7:80/?token={SECRET}"));
    assert!(!it.path.join("secrets.json").exists());
    let it = redacted(&[(Client, b"GET / HTTP/1.1\r\n\r\n"), (Server, b"HTTP/1.1 204 No\r\n\r\n")]);
    assert!(!it.path.join("secrets.json").exists(), "no secret, no file");
}

/// A page that says what was asked for, in one exchange; in the next the same word is no secret.
#[test]
fn an_answer_that_repeats_a_secret_of_its_request_is_redacted_too() {
    let page = format!("<html><p>You asked for {SECRET}.{}</html>", " ".repeat(300));
    let plain = answer("", page.as_bytes());
    let coded = answer("Content-Encoding: gzip\r\n", &gzip(page.as_bytes()));
    let long = answer("", page.repeat(6000).as_bytes());
    let innocent: (Sender, &[u8]) = (Client, b"GET / HTTP/1.1\r\n\r\n");
    let asked = format!("GET /?token={SECRET} HTTP/1.1\r\n\r\n");
    let body = format!("{{\"password\":\"{SECRET}\",\"x\":\"{}\"}}", "y".repeat(300));
    let posted = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let asked: (Sender, &[u8]) = (Client, asked.as_bytes());
    let posted: (Sender, &[u8]) = (Client, posted.as_bytes());
    let mut said = vec![];
    for (request, answer) in [
        (innocent, &plain),
        (asked, &plain),
        (posted, &plain),
        (posted, &plain),
        (asked, &coded),
        (asked, &long),
        (innocent, &plain),
    ] {
        said.extend([request, (Server, answer.as_slice())]);
    }
    let it = redacted(&said);
    let expected = page.replace(SECRET, &token(&it));
    let stored: Vec<Vec<u8>> = (0..7).map(|index| it.response(index)).collect();
    assert!(stored[1] == expected.as_bytes() && stored[2] == stored[1] && stored[3] == stored[1]);
    assert_eq!(gunzip(&stored[4]), expected.as_bytes());
    assert!(stored[5] == expected.repeat(6000).as_bytes());
    assert!(stored[0] == page.as_bytes() && stored[6] == stored[0]);
    assert!(it.events[1].response_body_redacted && !it.events[6].response_body_redacted);
}
