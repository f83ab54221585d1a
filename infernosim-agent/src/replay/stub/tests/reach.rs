//! Faults where somebody else's half of a connection counts: of clients that were told of us, of what a target sends, of
//! dependencies that are live.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;

use super::harness::{Running, STOCK, Wanted, get, open, request, rest, until};
use crate::clock;
use crate::fault::{Faults, Plan, Rule};
use crate::replay::stub::LiveRule;

fn faults(rule: &str) -> Arc<Faults> {
    Arc::new(Faults::new(Plan { seed: 7, rules: vec![Rule::parse(rule).unwrap()] }))
}

/// A stub that has two answers of 26 bytes for `/stock`.
fn running(rule: &str, live: Vec<LiveRule>) -> (Running, Arc<Faults>) {
    let faults = faults(rule);
    let body = "a body of twenty-six bytes";
    let answer =
        json!({"responseHeaders": {"Content-Length": ["26"]}, "responseBody": body, "responseBodySize": 26});
    let wanted = Wanted { faults: Arc::clone(&faults), live, ..Wanted::default() };
    (Running::start(vec![get("/stock", &answer), get("/stock", &answer)], wanted), faults)
}

/// Site, occurrence and what was observed, of each firing.
fn fired(faults: &Faults) -> Vec<(String, u64, String)> {
    let entries = faults.ledger().entries.into_iter();
    entries.map(|it| (it.site, it.occurrence, it.observed.unwrap_or_default())).collect()
}

fn is_silent(client: &mut TcpStream) -> bool {
    client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    client.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

const ABSOLUTE: &str = "GET http://stock.test/stock HTTP/1.1\r\nHost: stock.test\r\n\r\n";

#[test]
fn a_proxy_that_is_refused_says_so_of_each_request() {
    let (running, faults) = running("dep=stock.test at=2 refuse", Vec::new());
    let mut client = open(running.proxy);
    client.write_all(ABSOLUTE.as_bytes()).unwrap();
    assert!(until(&mut client, "twenty-six bytes").starts_with("HTTP/1.1 200 "));
    client.write_all(ABSOLUTE.as_bytes()).unwrap();
    let refused = until(&mut client, "\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 502 ") && refused.contains("injected"), "{refused}");
    drop(client);
    let (_, calls) = running.end();
    // It was asked for, and that is compared.
    assert!(calls.len() == 2 && calls.iter().all(|call| call.counterpart.is_some()), "{calls:?}");
    let fired = fired(&faults);
    assert_eq!((fired[0].0.as_str(), fired[0].1), ("connect stock.test", 2));
    assert!(fired.len() == 1 && fired[0].2.starts_with("502 after "), "{fired:?}");
}

#[test]
fn a_tunnel_is_refused_or_hangs() {
    let connect = "CONNECT stock.test:443 HTTP/1.1\r\nHost: stock.test:443\r\n\r\n";
    let (refusing, ledger) = running("dep=stock.test:443 refuse", Vec::new());
    let mut client = open(refusing.proxy);
    client.write_all(connect.as_bytes()).unwrap();
    let said = rest(&mut client);
    assert!(said.starts_with("HTTP/1.1 502 ") && said.contains("a fault refuses the connect"), "{said}");
    refusing.end();
    let observed = "502 instead of a tunnel".to_owned();
    assert_eq!(fired(&ledger), [("connect stock.test".to_owned(), 1, observed)]);
    let (hanging, ledger) = running("dep=stock.test dep=other.test partition", Vec::new());
    let mut client = open(hanging.proxy);
    client.write_all(connect.as_bytes()).unwrap();
    assert!(is_silent(&mut client));
    let mut asking = open(hanging.proxy);
    asking.write_all(ABSOLUTE.as_bytes()).unwrap();
    assert!(is_silent(&mut asking));
    drop((client, asking));
    hanging.end();
    assert_eq!(fired(&ledger).len(), 2, "{ledger:?}");
}

#[test]
fn who_takes_us_for_the_dependency_is_reset() {
    let (running, faults) = running("dep=stock.test refuse", Vec::new());
    let mut client = open(running.server);
    client.write_all(request("/stock").as_bytes()).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    running.end();
    assert_eq!(fired(&faults)[0].2, "reset before any byte");
}

#[test]
fn a_request_is_as_slow_as_its_bytes_and_one_that_is_cut_is_not_answered() {
    let asking = request("/stock");
    let (slow, ledger) = running("dep=stock.test stream=upstream bandwidth=200B/s", Vec::new());
    let mut client = slow.connect(STOCK);
    let began = clock::now();
    client.write_all(asking.as_bytes()).unwrap();
    until(&mut client, "twenty-six bytes");
    assert!(clock::now().since(began) >= asking.len() as u64 * 5_000_000);
    slow.end();
    assert!(fired(&ledger)[0].2.starts_with("answered after "));
    let rule = format!("dep=stock.test stream=upstream limit-bytes={}", asking.len());
    let (limited, ledger) = running(&rule, Vec::new());
    let mut client = limited.connect(STOCK);
    client.write_all(asking.as_bytes()).unwrap();
    until(&mut client, "twenty-six bytes");
    client.write_all(asking.as_bytes()).unwrap();
    assert_eq!(rest(&mut client), "");
    limited.end();
    assert_eq!(fired(&ledger)[1].2, "a FIN instead of an answer");
}

/// A dependency that answers one request with this head, and then does as it is told.
fn dependency(
    head: String,
    then: impl FnOnce(&mut TcpStream) + Send + 'static,
) -> (Vec<LiveRule>, SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        until(&mut client, "\r\n\r\n");
        client.write_all(head.as_bytes()).unwrap();
        then(&mut client);
    });
    (vec![LiveRule { dependency: "stock.test".to_owned(), to: Some(address.to_string()) }], address, thread)
}

#[test]
fn a_live_answer_is_passed_on_as_it_comes() {
    let (goes_on, may) = mpsc::channel();
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc".to_owned();
    let (live, _, thread) = dependency(head, move |client| {
        may.recv_timeout(Duration::from_secs(20)).expect("the first half went through");
        client.write_all(b"def").unwrap();
    });
    let (running, ledger) = running("dep=stock.test latency=+20ms bandwidth=1MB/s set-header=X-Odd:1", live);
    // As clients do that were told of us, too.
    let mut client = open(running.proxy);
    client.write_all(ABSOLUTE.as_bytes()).unwrap();
    assert!(until(&mut client, "\r\n\r\n").contains("X-Odd: 1\r\n"));
    assert_eq!(until(&mut client, "abc"), "abc");
    goes_on.send(()).unwrap();
    assert_eq!(until(&mut client, "def"), "def");
    drop(client);
    thread.join().unwrap();
    running.end();
    let fired = fired(&ledger);
    assert!(fired.len() == 3 && fired.iter().all(|it| !it.2.is_empty()), "{fired:?}");
}

#[test]
fn a_live_answer_of_any_length_is_disturbed() {
    const LENGTH: usize = 70 << 20;
    for (action, wanted) in [("slice=1MiB", LENGTH), ("truncate=66MiB", 66 << 20)] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\nConnection: close\r\n\r\n");
        let (live, _, thread) = dependency(head, |client| {
            let piece = vec![b'x'; 1 << 20];
            for _ in 0..LENGTH / piece.len() {
                if client.write_all(&piece).is_err() {
                    return;
                }
            }
        });
        let (running, ledger) = running(&format!("dep=stock.test {action}"), live);
        let mut client = running.connect(STOCK);
        client.write_all(request("/stock").as_bytes()).unwrap();
        until(&mut client, "\r\n\r\n");
        assert_eq!(rest(&mut client).len(), wanted, "{action}");
        drop(client);
        thread.join().unwrap();
        let (seen, _) = running.end();
        assert!(seen.problems.is_empty(), "{:?}", seen.problems);
        let said = fired(&ledger)[0].2.clone();
        assert!(said.contains(&wanted.to_string()), "{action}: {said}");
    }
}

#[test]
fn a_live_dependency_is_not_asked_where_it_cannot_be_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let to = Some(listener.local_addr().unwrap().to_string());
    let live = vec![LiveRule { dependency: "stock.test".to_owned(), to }];
    let (running, _) = running("dep=stock.test fail=500", live);
    let mut client = running.connect(STOCK);
    client.write_all(request("/stock").as_bytes()).unwrap();
    assert!(until(&mut client, "\r\n\r\n").starts_with("HTTP/1.1 500 "));
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// Asks the proxy for a tunnel; what it answers.
fn tunnelled(running: &Running) -> (TcpStream, String) {
    let mut client = open(running.proxy);
    client.write_all(b"CONNECT stock.test:443 HTTP/1.1\r\nHost: stock.test:443\r\n\r\n").unwrap();
    let answer = until(&mut client, "\r\n\r\n");
    (client, answer)
}

#[test]
fn bytes_of_a_live_dependency_are_disturbed_within_a_tunnel_too() {
    // No HTTP: a client hello, as far as anybody looks.
    const HELLO: &[u8] = b"\x16\x03\x01\x00\x02\x01\x00";
    for (action, wanted, observed) in [
        ("limit-bytes=10", 10, "10"),
        ("bandwidth=1kB/s", 100, "100"),
        ("slice=30,1ms", 100, "100"),
        ("latency=100ms", 100, "100"),
        ("corrupt=3", 100, "3"),
        ("reset=20", 20, "20"),
        // Nobody reads what it would change: it is not said to have fired.
        ("status=503", 100, ""),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = Some(listener.local_addr().unwrap().to_string());
        let thread = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            client.read_exact(&mut [0; HELLO.len()]).unwrap();
            let _ = client.write_all(&[b'x'; 100]);
            client
        });
        let live = vec![LiveRule { dependency: "stock.test".to_owned(), to }];
        let (running, ledger) = running(&format!("dep=stock.test:443 {action}"), live);
        let (mut client, granted) = tunnelled(&running);
        assert!(granted.starts_with("HTTP/1.1 200 "), "{granted}");
        let began = clock::now();
        client.write_all(HELLO).unwrap();
        let mut got = vec![0; wanted];
        client.read_exact(&mut got).unwrap();
        let took = clock::now().since(began);
        assert_eq!(got == vec![b'x'; wanted], action != "corrupt=3", "{action}");
        if action.starts_with("bandwidth") || action.starts_with("latency") {
            assert!(took >= 90_000_000, "{action}: {took}");
        }
        if wanted < 100 {
            let end = client.read(&mut [0]);
            let is_reset = end.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
            assert!(matches!(end, Ok(0)) || is_reset, "{action}: {end:?}");
        }
        drop((client, thread.join().unwrap()));
        let (seen, _) = running.end();
        assert!(seen.problems.is_empty(), "{:?}", seen.problems);
        let fired = fired(&ledger);
        assert_eq!(fired.len(), usize::from(!observed.is_empty()), "{action}: {fired:?}");
        assert!(fired.iter().all(|it| it.2.contains(observed)), "{action}: {fired:?}");
    }
}

#[test]
fn a_tunnel_to_a_live_dependency_that_is_gone_is_refused() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let live = vec![LiveRule { dependency: "stock.test".to_owned(), to: Some(gone.to_string()) }];
    let (running, _) = running("dep=stock.test latency=1ms", live);
    let (mut client, refused) = tunnelled(&running);
    assert!(refused.starts_with("HTTP/1.1 502 "), "{refused}");
    assert!(rest(&mut client).contains(&format!("{gone} cannot be reached")));
}

#[test]
fn how_many_tunnels_there_are_is_not_compared() {
    let body =
        json!({"responseHeaders": {"Content-Length": ["2"]}, "responseBody": "ok", "responseBodySize": 2});
    let mut tunnel = get("/", &json!({"method": "CONNECT", "url": "stock.test:80"}));
    tunnel["responseHeaders"] = json!({});
    let recorded = vec![tunnel, get("/stock", &body), get("/stock", &body)];
    let running = Running::start(recorded, Wanted::default());
    for _ in 0..2 {
        let mut client = open(running.proxy);
        client.write_all(b"CONNECT stock.test:80 HTTP/1.1\r\nHost: stock.test:80\r\n\r\n").unwrap();
        assert!(until(&mut client, "\r\n\r\n").starts_with("HTTP/1.1 200 "));
        client.write_all(request("/stock").as_bytes()).unwrap();
        assert!(until(&mut client, "ok").starts_with("HTTP/1.1 200 "));
    }
    let (_, calls) = running.end();
    assert!(calls.len() == 2 && calls.iter().all(|call| call.counterpart.is_some()), "{calls:?}");
}
