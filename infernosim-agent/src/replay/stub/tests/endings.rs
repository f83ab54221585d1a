//! Answers that were not whole.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{Running, STOCK, Wanted, get, request, until};
use crate::redirect::{Action, Verdict, VerdictKey};

/// All that comes before the connection breaks, and how it does.
fn to_the_break(client: &mut TcpStream) -> (String, Option<ErrorKind>) {
    let mut all = Vec::new();
    let mut buffer = [0; 65_536];
    loop {
        match client.read(&mut buffer) {
            Ok(0) => return (String::from_utf8(all).unwrap(), None),
            Ok(read) => all.extend_from_slice(&buffer[..read]),
            Err(error) => return (String::from_utf8(all).unwrap(), Some(error.kind())),
        }
    }
}

fn cut(response: &Value) -> (String, Option<ErrorKind>) {
    let running = Running::start(vec![get("/cut", response)], Wanted::default());
    let mut client = running.connect(STOCK);
    client.write_all(request("/cut").as_bytes()).unwrap();
    to_the_break(&mut client)
}

#[test]
fn a_reset_comes_behind_the_same_byte() {
    let body = "x".repeat(300_000);
    let response = json!({
        "incomplete": true, "errno": "ECONNRESET", "error": "reset by the dependency",
        "responseHeaders": {"Content-Length": ["900000"]}, "responseBody": body, "responseBodySize": 300_000,
    });
    let (answer, kind) = cut(&response);
    assert_eq!(kind, Some(ErrorKind::ConnectionReset));
    assert_eq!(answer.split_once("\r\n\r\n").unwrap().1.len(), 300_000);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n"));
}

#[test]
fn a_reset_or_a_close_before_the_status_line() {
    let response = json!({"incomplete": true, "errno": "ECONNRESET", "error": "reset", "status": null});
    assert_eq!(cut(&response), (String::new(), Some(ErrorKind::ConnectionReset)));
    let response = json!({"incomplete": true, "error": "closed by the dependency", "status": null});
    assert_eq!(cut(&response), (String::new(), None));
}

#[test]
fn a_close_within_the_body_is_a_fin() {
    let response = json!({
        "incomplete": true, "error": "closed by the dependency",
        "responseHeaders": {"Transfer-Encoding": ["chunked"]}, "responseBody": "abc", "responseBodySize": 3,
    });
    let expected = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    assert_eq!(cut(&response), (expected.to_owned(), None));
}

#[test]
fn what_never_came_does_not_come_and_is_no_idleness() {
    let response = json!({"incomplete": true, "error": "the target gave up", "status": null});
    let running = Running::start(vec![get("/never", &response)], Wanted::default());
    let mut client = running.connect(STOCK);
    client.write_all(request("/never").as_bytes()).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    let now = crate::clock::now();
    assert!(running.stub().idle_since() >= now);
    let (_, calls) = running.end();
    assert!(calls[0].counterpart.is_some(), "{calls:?}");
    assert_ne!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn the_end_of_a_run_resets_what_is_under_way_keeps_what_is_idle_and_holds_what_comes() {
    let response = json!({
        "responseHeaders": {"Content-Length": ["2"]}, "responseBody": "ok", "responseBodySize": 2,
        "responseChunks": [[60_000_000_000_u64, 2]], "duration": 60_000_000_000_u64,
    });
    let quick =
        json!({"responseHeaders": {"Content-Length": ["2"]}, "responseBody": "ok", "responseBodySize": 2});
    let lines = vec![get("/slow", &response), get("/quick", &quick)];
    let running = Running::start(lines, Wanted { time_scale: 1.0, ..Wanted::default() });
    let mut slow = running.connect(STOCK);
    slow.write_all(request("/slow").as_bytes()).unwrap();
    let mut idle = running.connect(STOCK);
    idle.write_all(request("/quick").as_bytes()).unwrap();
    until(&mut idle, "ok");
    running.end();
    assert_eq!(to_the_break(&mut slow), (String::new(), Some(ErrorKind::ConnectionReset)));
    let mut next = running.connect(STOCK);
    for client in [&mut idle, &mut next] {
        client.write_all(request("/quick").as_bytes()).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    running.begin();
    for client in [&mut idle, &mut next] {
        client.set_read_timeout(Some(super::harness::PATIENCE)).unwrap();
        until(client, "\r\n\r\n");
    }
    assert_eq!(running.end().1.len(), 2);
}

#[test]
fn failed_connects_are_told_to_the_kernel_half_where_they_were() {
    let failed = |errno: &str| {
        json!({
            "type": "Connection", "service": "stock.test", "protocol": "tcp", "url": "tcp://10.0.0.7:80",
            "peer": "10.0.0.7:80", "errno": errno, "error": "failed",
        })
    };
    let ok =
        json!({"responseHeaders": {"Content-Length": ["2"]}, "responseBody": "ok", "responseBodySize": 2});
    let lines = vec![failed("ECONNREFUSED"), get("/a", &ok), failed("ECONNRESET"), failed("ETIMEDOUT")];
    let running = Running::start(lines, Wanted::default());
    let verdict = || running.kernel.verdicts.lock().unwrap()[&VerdictKey::Address(STOCK.parse().unwrap())];
    assert_eq!(verdict(), Verdict { first: Action::Refuse, times: 1, then: Action::Stub });
    let to: std::net::SocketAddr = STOCK.parse().unwrap();
    let refused = infernosim_common::Flow {
        destination: to.ip().into(),
        port: 80,
        fate: infernosim_common::Fate::Refused as u16,
        ..Default::default()
    };
    running.stub().refused(&refused);
    assert_eq!(verdict(), Verdict::always(Action::Stub));
    assert!(running.ask(STOCK, &request("/a")).ends_with("ok"));
    // The next one broke before any byte; behind it comes one that nobody answers.
    let mut client = running.connect(STOCK);
    assert_eq!(to_the_break(&mut client), (String::new(), Some(ErrorKind::ConnectionReset)));
    assert_eq!(verdict().first, Action::Hang);
    let (seen, _) = running.end();
    assert_eq!(seen.missing_failures, [("stock.test".to_owned(), 1)]);
    assert!(seen.refusals.is_empty(), "{seen:?}");
    running.begin();
    assert_eq!(verdict().first, Action::Refuse);
}
