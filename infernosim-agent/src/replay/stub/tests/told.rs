//! Clients that were told of us.

use std::io::Write as _;

use serde_json::{Value, json};

use super::harness::{Running, Wanted, get, open, request, rest, until};

fn ok(body: &str) -> Value {
    json!({
        "responseHeaders": {"Content-Length": [body.len().to_string()]},
        "responseBody": body, "responseBodySize": body.len(),
    })
}

fn running() -> Running {
    let mut tls = get("/", &json!({}));
    for (name, value) in [
        ("service", "pay.test:443"),
        ("url", "tls://pay.test:443"),
        ("protocol", "tls"),
        ("peer", "10.0.0.9:443"),
    ] {
        tls[name] = json!(value);
    }
    for name in ["method", "headers", "status"] {
        tls.as_object_mut().unwrap().remove(name);
    }
    Running::start(vec![get("/a", &ok("ok")), get("/b", &ok("b")), tls], Wanted::default())
}

#[test]
fn a_server_goes_by_the_host() {
    let running = running();
    let mut client = open(running.server);
    client.write_all(request("/a").as_bytes()).unwrap();
    until(&mut client, "ok");
    client.write_all(b"GET http://stock.test/b HTTP/1.1\r\nHost: other.test\r\n\r\n").unwrap();
    until(&mut client, "\r\n\r\nb");
}

#[test]
fn a_proxy_takes_absolute_targets_and_tunnels() {
    let running = running();
    let mut client = open(running.proxy);
    client.write_all(b"GET http://stock.test:80/a HTTP/1.1\r\nHost: stock.test\r\n\r\n").unwrap();
    until(&mut client, "ok");
    let mut client = open(running.proxy);
    let tunnel = "CONNECT stock.test:80 HTTP/1.1\r\nHost: stock.test:80\r\n\r\n";
    client.write_all(tunnel.as_bytes()).unwrap();
    assert_eq!(until(&mut client, "\r\n\r\n"), "HTTP/1.1 200 Connection established\r\n\r\n");
    client.write_all(request("/b").as_bytes()).unwrap();
    until(&mut client, "\r\n\r\nb");
    let (_, calls) = running.end();
    assert!(calls.iter().all(|call| call.counterpart.is_some()), "{calls:?}");
    assert_eq!(calls.len(), 2);
}

#[test]
fn tunnels_that_cannot_be_served_are_refused_with_the_reason() {
    let running = running();
    let ask = |authority: &str| {
        let mut client = open(running.proxy);
        write!(client, "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").unwrap();
        rest(&mut client)
    };
    let answer = ask("pay.test:443");
    assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n") && answer.contains("tls"), "{answer}");
    let answer = ask("nobody.test:443");
    assert!(answer.contains("X-InfernoSIM: unmatched") && answer.contains("nobody.test:443"), "{answer}");
}
