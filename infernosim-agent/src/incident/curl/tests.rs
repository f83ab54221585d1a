//! The printed commands run in a real shell by the real curl, against a server that keeps what it is sent.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command as Process;
use std::thread;

use proptest::prelude::*;

use super::*;
use crate::incident::event::{Headers, Kind};

/// Answers one request; gives its bytes up to the end that its head announces.
fn serve_once(listener: &TcpListener) -> Vec<u8> {
    let (mut stream, _) = listener.accept().unwrap();
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).unwrap();
        said.extend_from_slice(&buffer[..read]);
        if read == 0 || is_whole(&said) {
            break;
        }
    }
    stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
    said
}

fn split(said: &[u8]) -> Option<(Vec<String>, &[u8])> {
    let end = said.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8(said[..end].to_vec()).unwrap();
    Some((head.split("\r\n").map(str::to_owned).collect(), &said[end + 4..]))
}

fn field<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    head.iter().find_map(|line| {
        let (have, value) = line.split_once(':')?;
        have.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

fn is_whole(said: &[u8]) -> bool {
    let Some((head, body)) = split(said) else { return false };
    if field(&head, "transfer-encoding").is_some() {
        return body.ends_with(b"0\r\n\r\n");
    }
    body.len() >= field(&head, "content-length").map_or(0, |length| length.parse().unwrap())
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return out;
        }
        out.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 4 + size..];
    }
}

/// What arrives when the command for this request runs: the lines of its head but for `Content-Length`, the body.
fn repeat(event: &Event, data: Data<'_>, with_base: bool) -> (Vec<String>, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let base: Option<Base> = with_base.then(|| format!("http://{address}").parse().unwrap());
    let event = Event { url: event.url.replace("HERE", &address), ..event.clone() };
    let made = command(&event, data, base.as_ref()).unwrap();
    let server = thread::spawn(move || serve_once(&listener));
    let script = made.text.replacen("curl ", "curl -q -sS --noproxy '*' --max-time 20 ", 1);
    // As an argument of sh it might be too long.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("script");
    std::fs::write(&path, &script).unwrap();
    let output = Process::new("sh").arg(path).output().unwrap();
    assert!(output.status.success(), "{script}\n{output:?}");
    let said = server.join().unwrap();
    let (mut head, body) = split(&said).unwrap();
    let body = match field(&head, "transfer-encoding") {
        Some(_) => unchunked(body),
        None => body.to_vec(),
    };
    head.retain(|line| !line.to_ascii_lowercase().starts_with("content-length"));
    (head, body)
}

fn expected(event: &Event, target: &str) -> Vec<String> {
    let version = if event.protocol == "http/1.0" { "1.0" } else { "1.1" };
    let mut head = vec![format!("{} {target} HTTP/{version}", event.method)];
    head.extend(event.headers.iter().map(|(name, value)| match value {
        "" => format!("{name}:"),
        value => format!("{name}: {value}"),
    }));
    head.retain(|line| !line.to_ascii_lowercase().starts_with("content-length"));
    head
}

fn event(method: &str, target: &str, fields: &[(&str, &str)]) -> Event {
    let mut headers = Headers::default();
    fields.iter().for_each(|(name, value)| headers.push(name, *value));
    Event {
        kind: Kind::OutboundCall,
        protocol: "http/1.1".into(),
        method: method.into(),
        url: format!("http://HERE{target}"),
        headers,
        ..Event::default()
    }
}

fn check(event: &Event, target: &str, body: &[u8]) {
    let (head, sent) = repeat(event, Data::Bytes(body), true);
    assert_eq!(head, expected(event, target));
    assert_eq!(sent, body);
}

#[test]
fn requests_arrive_as_they_were_recorded() {
    let host = ("Host", "shop.test");
    check(&event("GET", "/", &[host]), "/", b"");
    check(
        &event("GET", "/a?b=c", &[host, ("User-Agent", "x"), ("accept", "*/*"), ("X-Empty", "")]),
        "/a?b=c",
        b"",
    );
    check(&event("HEAD", "/", &[host]), "/", b"");
    check(&event("DELETE", "/x/../y/./z", &[host]), "/x/../y/./z", b"");
    check(&event("POST", "/", &[host, ("Content-Length", "3")]), "/", b"a=1");
    check(
        &event("PUT", "/", &[host, ("Content-Type", "text/plain"), ("Content-Length", "5")]),
        "/",
        b"@file",
    );
    check(&event("POST", "/", &[host, ("Content-Length", "0")]), "/", b"");
    check(&event("GET", "/", &[host, ("content-length", "2")]), "/", b"\n\n");
    check(&event("PATCH", "/", &[host, ("Transfer-Encoding", "chunked")]), "/", b"-\0\xff%s\r\n");
    check(&event("POST", "/", &[host, ("Transfer-Encoding", "chunked")]), "/", b"");
    check(&event("POST", "/", &[host, ("Content-Length", "3000")]), "/", &[b'x'; 3000]);
    check(&event("POST", "/", &[host, ("Content-Length", "200000")]), "/", &[b'y'; 200_000]);
    check(&event("POST", "/", &[host, ("Content-Length", "9000")]), "/", &[0; 9000]);
}

#[test]
fn hosts_stay_where_they_are() {
    check(&event("GET", "/", &[("Accept", "a"), ("host", "x.test"), ("B", "b")]), "/", b"");
    check(&event("GET", "/", &[("HOST", "x.test")]), "/", b"");
    check(&event("GET", "/", &[("Host", "")]), "/", b"");
    check(&event("GET", "/", &[("Host", "a"), ("hOST", "b")]), "/", b"");
    check(&Event { protocol: "http/1.0".into(), ..event("GET", "/", &[]) }, "/", b"");
    // Where the url says it, it need not be said again.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut plain = event("GET", "/", &[("Host", &address)]);
    plain.url = plain.url.replace("HERE", &address);
    let text = command(&plain, Data::Bytes(b""), None).unwrap().text;
    assert_eq!(text, format!("curl -H 'User-Agent:' \\\n  -H 'Accept:' \\\n  'http://{address}/'"));
}

#[test]
fn unusual_targets_arrive_as_they_were() {
    for target in
        ["/a%2f%zz", "/%7Ea/%2e%2e/b", "//a", "/ä?ö", "/[1-3]{a,b}", "/a'b\"c`d$(e)\\f|g", "/-o", "/?q=#frag"]
    {
        check(&event("GET", target, &[("Host", "h")]), target, b"");
    }
    let mut asterisk = event("OPTIONS", "/*", &[("Host", "h")]);
    asterisk.target = Some("*".into());
    check(&asterisk, "*", b"");
}

#[test]
fn a_body_may_be_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("it's a @file\x1b");
    std::fs::write(&path, b"\0\n@x\n").unwrap();
    let path = path.to_str().unwrap();
    let (head, body) = repeat(&event("POST", "/", &[("Host", "h")]), Data::File(path.as_bytes()), true);
    assert_eq!(head, ["POST / HTTP/1.1", "Host: h"]);
    assert_eq!(body, b"\0\n@x\n");
}

#[test]
fn what_no_request_can_have_is_left_out_and_said() {
    let hostile = event(
        "GET",
        "/",
        &[
            ("Host", "h"),
            ("@/etc/passwd", "x"),
            ("X: a\r\nY", "b"),
            ("Z", "a\r\nInjected: 1"),
            ("-H", "c"),
            ("", "d"),
        ],
    );
    let made = command(&hostile, Data::Bytes(b""), None).unwrap();
    assert_eq!(made.notes.len(), 4, "{:?}", made.notes);
    let (head, _) = repeat(&hostile, Data::Bytes(b""), true);
    assert_eq!(head, ["GET / HTTP/1.1", "Host: h", "-H: c"]);
    for (method, protocol) in
        [("", "http/1.1"), ("GET /\r\n", "http/1.1"), ("GET", "h2"), ("", "tls"), ("CONNECT", "http/1.1")]
    {
        let other = Event { protocol: protocol.into(), ..event(method, "/", &[]) };
        command(&other, Data::Bytes(b""), None).unwrap_err();
    }
}

#[test]
fn what_a_proxy_was_asked_is_asked_of_the_dependency() {
    let mut proxied = event("GET", "/a", &[("Host", "h"), ("Proxy-Connection", "keep-alive"), ("X", "y")]);
    proxied.target = Some("http://h/a".into());
    let (head, _) = repeat(&proxied, Data::Bytes(b""), false);
    assert_eq!(head, ["GET /a HTTP/1.1", "Host: h", "X: y"]);
}

#[test]
fn trailers_are_not_sent() {
    let mut with = event("POST", "/", &[("Transfer-Encoding", "chunked")]);
    with.request_trailers.push("Sum", "9");
    assert_eq!(command(&with, Data::Bytes(b"x"), None).unwrap().notes.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_request_arrives_as_it_was_recorded(
        method in "GET|POST|PUT|DELETE|PURGE|[A-Z!#$%&'*+.^_`|~-]{1,9}",
        target in "/[!-~é]{0,30}",
        host in "[a-z]{1,9}|[A-Z ]{1,5}x",
        fields in proptest::collection::vec(("X-[A-Za-z0-9!#$%&'*+.^_`|~-]{0,10}", "([!-~é]([ -~é\t]{0,30}[!-~])?)?"), 0..6),
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            "[-@'\"$\\\\\n ]?.{0,80}\n*".prop_map(String::into_bytes),
        ],
        chunked: bool,
    ) {
        prop_assume!(!["CONNECT", "HEAD"].contains(&method.as_str()));
        let length = body.len().to_string();
        let framing = if chunked { ("Transfer-Encoding", "chunked") } else { ("Content-Length", length.as_str()) };
        let mut given = vec![("Host", host.as_str())];
        // Those of one name stand together in a recording.
        let mut sorted = fields.clone();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        given.extend(sorted.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        given.push(framing);
        check(&event(&method, &target, &given), &target, &body);
    }
}
