//! HTTP/1 as recorded.

use std::io::Write as _;
use std::net::TcpListener;

use serde_json::json;

use super::harness::{Running, STOCK, Wanted, get, open, request, rest, until};
use crate::replay::matcher::OnUnmatched;
use crate::replay::stub::LiveRule;

#[test]
fn an_answer_is_as_it_was_byte_for_byte() {
    let headers = json!({
        "server": ["a/1"], "X-ODD-name": ["1", "2"], "Content-Length": ["4"], "ETag": ["\"x\""],
        "content-TYPE": ["text/plain"],
    });
    let response =
        json!({"status": 203, "responseHeaders": headers, "responseBody": "body", "responseBodySize": 4});
    let running = Running::start(vec![get("/a?b=%20c", &response)], Wanted::default());
    let expected = "HTTP/1.1 203 Non Authoritative Information\r\nserver: a/1\r\nX-ODD-name: 1\r\nX-ODD-name: 2\r\n\
                    Content-Length: 4\r\nETag: \"x\"\r\ncontent-TYPE: text/plain\r\n\r\nbody";
    assert_eq!(running.ask(STOCK, &request("/a?b=%20c")), expected);
    let (_, calls) = running.end();
    assert_eq!(calls.len(), 1);
    assert!(calls[0].counterpart.is_some() && calls[0].differences.is_empty(), "{calls:?}");
    assert!(calls[0].answered_ns.is_some());
}

#[test]
fn a_kept_connection_has_one_answer_for_each_request_pipelined_or_not() {
    let lines = (0..3).map(|number| {
        let body = format!("body {number}");
        get(
            &format!("/{number}"),
            &json!({
                "responseHeaders": {"Content-Length": ["6"]}, "responseBody": body, "responseBodySize": 6,
            }),
        )
    });
    let running = Running::start(lines.collect(), Wanted::default());
    let mut client = running.connect(STOCK);
    client.write_all(request("/0").as_bytes()).unwrap();
    assert!(until(&mut client, "body 0").starts_with("HTTP/1.1 200 OK\r\n"));
    client.write_all((request("/1") + &request("/2")).as_bytes()).unwrap();
    until(&mut client, "body 1");
    until(&mut client, "body 2");
    let (_, calls) = running.end();
    let counterparts: Vec<_> = calls.iter().map(|call| call.counterpart.map(|index| index.0)).collect();
    assert_eq!(counterparts, [Some(0), Some(1), Some(2)]);
    // It outlives the run, and serves the next.
    running.begin();
    client.write_all(request("/0").as_bytes()).unwrap();
    until(&mut client, "body 0");
    assert_eq!(running.end().1.len(), 1);
}

#[test]
fn framing_is_as_recorded() {
    let chunked = json!({
        "responseHeaders": {"Transfer-Encoding": ["chunked"]}, "responseBody": "abcdef", "responseBodySize": 6,
    });
    let closed =
        json!({"responseHeaders": {"Connection": ["close"]}, "responseBody": "abc", "responseBodySize": 3});
    let none = json!({"status": 304, "responseHeaders": {"ETag": ["1"], "Content-Length": ["9"]}});
    let lines = vec![get("/chunked", &chunked), get("/closed", &closed), get("/none", &none)];
    let running = Running::start(lines, Wanted::default());
    let answer = running.ask(STOCK, &request("/chunked"));
    let expected = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n";
    assert_eq!(answer, expected);
    let mut client = running.connect(STOCK);
    client.write_all(request("/closed").as_bytes()).unwrap();
    assert!(rest(&mut client).ends_with("\r\nConnection: close\r\n\r\nabc"));
    let answer = running.ask(STOCK, &request("/none"));
    assert_eq!(answer, "HTTP/1.1 304 Not Modified\r\nETag: 1\r\nContent-Length: 9\r\n\r\n");
}

#[test]
fn head_and_interim_responses() {
    let mut head = get("/h", &json!({"responseHeaders": {"Content-Length": ["42"]}}));
    head["method"] = json!("HEAD");
    let early = json!({
        "interim": [{"status": 103, "headers": {"Link": ["</a.css>"]}}],
        "responseHeaders": {"Content-Length": ["2"]}, "responseBody": "ok", "responseBodySize": 2,
    });
    let running = Running::start(vec![head, get("/early", &early)], Wanted::default());
    let answer = running.ask(STOCK, "HEAD /h HTTP/1.1\r\nHost: stock.test\r\n\r\n");
    assert_eq!(answer, "HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n");
    let answer = running.ask(STOCK, &request("/early"));
    let expected =
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    assert_eq!(answer, expected);
}

#[test]
fn a_client_that_expects_it_is_told_to_continue() {
    let mut put = get("/put", &json!({"status": 204}));
    for (name, value) in [("method", json!("PUT")), ("body", json!("hello")), ("bodySize", json!(5))] {
        put[name] = value;
    }
    let running = Running::start(vec![put], Wanted::default());
    let mut client = running.connect(STOCK);
    let head = "PUT /put HTTP/1.1\r\nHost: stock.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    client.write_all(head.as_bytes()).unwrap();
    until(&mut client, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"hello").unwrap();
    assert!(until(&mut client, "\r\n\r\n").starts_with("HTTP/1.1 204 No Content\r\n"));
    let (_, calls) = running.end();
    assert!(calls[0].differences.is_empty(), "{calls:?}");
}

#[test]
fn what_was_not_recorded_is_refused_and_explained() {
    let running = Running::start(vec![get("/known", &json!({}))], Wanted::default());
    let answer = running.ask(STOCK, &request("/unknown"));
    assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{answer}");
    assert!(answer.contains("\r\nX-InfernoSIM: unmatched\r\n"), "{answer}");
    assert!(answer.contains("/unknown"), "{answer}");
    let (_, calls) = running.end();
    assert_eq!(calls[0].counterpart, None);
}

#[test]
fn recorded_waits_are_kept_and_scaled() {
    let response = json!({
        "responseHeaders": {"Transfer-Encoding": ["chunked"]}, "responseBody": "abcd", "responseBodySize": 4,
        "responseChunks": [[200_000_000, 2], [400_000_000, 2]], "duration": 400_000_000,
    });
    let took = |time_scale| {
        let running =
            Running::start(vec![get("/slow", &response)], Wanted { time_scale, ..Wanted::default() });
        let mut client = running.connect(STOCK);
        let begun = crate::clock::now();
        client.write_all(request("/slow").as_bytes()).unwrap();
        until(&mut client, "2\r\nab\r\n");
        let since = || crate::clock::now().since(begun) / 1_000_000;
        let first = since();
        // While it waits for the recording's sake it is not idle.
        assert!(running.stub().idle_since().since(begun) / 1_000_000 >= first);
        until(&mut client, "2\r\ncd\r\n0\r\n\r\n");
        (first, since())
    };
    let (first, whole) = took(1.0);
    assert!(first >= 199 && whole >= 399, "{first:?} {whole:?}");
    // On a busy machine anything may take longer, but not always.
    let is_shorter = |_| {
        let half = took(0.5);
        assert!(half.0 >= 99 && half.1 >= 199, "{half:?}");
        half.1 < whole
    };
    assert!((0..10).any(is_shorter), "{whole:?}");
}

#[test]
fn connections_that_the_kernel_half_did_not_send_are_reset() {
    let running = Running::start(vec![get("/known", &json!({}))], Wanted::default());
    let mut client = open(running.redirected);
    let error = std::io::Read::read(&mut client, &mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

/// A server that answers every connection once, with what it was asked.
fn echo() -> (std::net::SocketAddr, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let asked = until(&mut client, "\r\n\r\n");
        client.write_all(b"HTTP/1.1 200 OK\r\nX-Live: yes\r\ncontent-length: 4\r\n\r\nlive").unwrap();
        asked
    });
    (address, asked)
}

#[test]
fn what_has_no_counterpart_passes_where_the_user_says_so() {
    let (address, asked) = echo();
    let wanted = Wanted { on_unmatched: OnUnmatched::Passthrough, ..Wanted::default() };
    let running = Running::start(vec![get("/known", &json!({}))], wanted);
    let answer = running.ask(&address.to_string(), "GET /x HTTP/1.1\r\nHost: a.test\r\nX-Odd: 1\r\n\r\n");
    assert_eq!(answer, "HTTP/1.1 200 OK\r\nX-Live: yes\r\ncontent-length: 4\r\n\r\nlive");
    assert_eq!(asked.join().unwrap(), "GET /x HTTP/1.1\r\nHost: a.test\r\nX-Odd: 1\r\n\r\n");
    assert_eq!(running.end().0.passed, [("a.test".to_owned(), 1)].into());
}

#[test]
fn live_dependencies_meet_faults_too() {
    let (address, asked) = echo();
    let live = vec![LiveRule { dependency: "stock.test".to_owned(), to: Some(address.to_string()) }];
    let rule = crate::fault::Rule::parse("dep=stock.test status=503 truncate=2").unwrap();
    let faults = crate::fault::Faults::new(crate::fault::Plan { seed: 7, rules: vec![rule] });
    let faults = std::sync::Arc::new(faults);
    let wanted = Wanted { live, faults: std::sync::Arc::clone(&faults), ..Wanted::default() };
    let running = Running::start(vec![get("/known", &json!({}))], wanted);
    let answer = running.ask(STOCK, &request("/live"));
    assert_eq!(answer, "HTTP/1.1 503 Service Unavailable\r\nX-Live: yes\r\ncontent-length: 4\r\n\r\nli");
    assert!(asked.join().unwrap().starts_with("GET /live HTTP/1.1\r\n"));
    running.end();
    let rule = &faults.ledger().rules[0];
    assert_eq!((rule.fired, rule.observed), (1, 1));
}

#[test]
fn live_dependencies_are_relayed() {
    let (address, asked) = echo();
    let live = vec![LiveRule { dependency: "stock.test".to_owned(), to: Some(address.to_string()) }];
    let running = Running::start(vec![get("/known", &json!({}))], Wanted { live, ..Wanted::default() });
    assert!(running.ask(STOCK, &request("/known")).ends_with("\r\n\r\nlive"));
    assert_eq!(asked.join().unwrap(), request("/known"));
    let (seen, calls) = running.end();
    assert_eq!((seen.passed, calls.len()), ([("stock.test".to_owned(), 1)].into(), 0));
}
