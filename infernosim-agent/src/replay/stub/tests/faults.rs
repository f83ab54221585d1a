//! What a client gets of an answer that faults have met, byte for byte.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::harness::{PATIENCE, Running, STOCK, Wanted, get, request, until};
use crate::clock;
use crate::fault::{Faults, Ledger, Plan, Rule};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 26\r\n\r\n";
const BODY: &str = r#"{"left":7,"prices":[1,2 ]}"#;

fn faults(rules: &[&str]) -> Arc<Faults> {
    let rules = rules.iter().map(|rule| Rule::parse(rule).unwrap()).collect();
    Arc::new(Faults::new(Plan { seed: 7, rules }))
}

fn answer(body: &str) -> serde_json::Value {
    json!({
        "responseHeaders": {"Content-Type": ["application/json"], "Content-Length": [body.len().to_string()]},
        "responseBody": body, "responseBodySize": body.len(),
    })
}

fn running(rules: &[&str], answers: &[&str]) -> (Running, Arc<Faults>) {
    let faults = faults(rules);
    let lines = answers.iter().map(|body| get("/stock", &answer(body))).collect();
    let wanted = Wanted { faults: Arc::clone(&faults), ..Wanted::default() };
    (Running::start(lines, wanted), faults)
}

/// All that comes before the connection breaks, and how it does; one that is to stay open is not waited for any longer
/// than a while, once it sent as much as it is to.
fn to_the_end(client: &mut TcpStream, length: usize, end: Option<ErrorKind>) -> (String, Option<ErrorKind>) {
    let mut all = Vec::new();
    let mut buffer = [0; 65_536];
    loop {
        let is_whole = end == OPEN && all.len() >= length;
        client.set_read_timeout(Some(if is_whole { Duration::from_millis(300) } else { PATIENCE })).unwrap();
        match client.read(&mut buffer) {
            Ok(0) => return (String::from_utf8_lossy(&all).into_owned(), None),
            Ok(read) => all.extend_from_slice(&buffer[..read]),
            Err(error) => return (String::from_utf8_lossy(&all).into_owned(), Some(error.kind())),
        }
    }
}

/// What one request gets, how it ends, and the ledger; it is to get so many bytes and to end like this.
fn asked(rule: &str, length: usize, end: Option<ErrorKind>) -> (String, Option<ErrorKind>, Ledger) {
    let (running, faults) = running(&[rule], &[BODY]);
    let mut client = running.connect(STOCK);
    client.write_all(request("/stock").as_bytes()).unwrap();
    let (told, kind) = to_the_end(&mut client, length, end);
    drop(client);
    running.end();
    (told, kind, faults.ledger())
}

/// What one entry of it says was observed.
fn observed(ledger: &Ledger) -> &str {
    assert_eq!((ledger.rules[0].fired, ledger.entries.len()), (1, 1), "{ledger:?}");
    ledger.entries[0].observed.as_deref().unwrap_or("nothing")
}

const OPEN: Option<ErrorKind> = Some(ErrorKind::WouldBlock);
const RESET: Option<ErrorKind> = Some(ErrorKind::ConnectionReset);

#[test]
fn each_action_is_on_the_wire_what_it_says() {
    let whole = format!("{HEAD}{BODY}");
    let with = |head: &str, body: &str| format!("HTTP/1.1 {head}\r\n\r\n{body}");
    let json = "Content-Type: application/json\r\nContent-Length:";
    for (action, wire, end, said) in [
        ("status=503", with(&format!("503 Service Unavailable\r\n{json} 26"), BODY), OPEN, "status 503"),
        (
            "set-header=X-Odd:1",
            with(&format!("200 OK\r\n{json} 26\r\nX-Odd: 1"), BODY),
            OPEN,
            "header X-Odd set",
        ),
        (
            "drop-header=Content-Type",
            with("200 OK\r\nContent-Length: 26", BODY),
            OPEN,
            "header Content-Type dropped",
        ),
        ("set-body=none", with(&format!("200 OK\r\n{json} 4"), "none"), OPEN, "another body, 4 bytes"),
        (
            "set-json=prices.1:9",
            with(&format!("200 OK\r\n{json} 25"), r#"{"left":7,"prices":[1,9]}"#),
            OPEN,
            "prices.1 was 9",
        ),
        ("set-json=left.right:1", whole.clone(), OPEN, "nothing"),
        ("reset", String::new(), RESET, "reset before any byte"),
        ("reset=10", format!("{HEAD}{}", &BODY[..10]), RESET, "reset after 10 of 26 bytes"),
        ("truncate=10", format!("{HEAD}{}", &BODY[..10]), None, "ended after 10 of 26 bytes"),
        ("truncate=26", whole.clone(), OPEN, "nothing"),
        ("limit-bytes=20", HEAD[..20].to_owned(), None, "ended after 20 bytes of the connection"),
        ("half-close", String::new(), None, "a FIN instead of an answer"),
        ("duplicate-response", format!("{whole}{whole}"), OPEN, "answered twice"),
        ("timeout", String::new(), OPEN, "nothing was answered"),
        ("stale", whole.clone(), OPEN, "nothing"),
        ("slice=5", whole.clone(), OPEN, "26 bytes in pieces"),
        (
            "retries=1",
            with("503 Service Unavailable\r\nContent-Length: 0\r\nX-Infernosim: injected", ""),
            OPEN,
            "503",
        ),
    ] {
        let (told, kind, ledger) = asked(&format!("dep=stock.test {action}"), wire.len(), end);
        assert_eq!((told, kind), (wire, end), "{action}");
        assert!(observed(&ledger).starts_with(said), "{action}: {ledger:?}");
    }
}

#[test]
fn bytes_are_corrupted_the_same_for_the_same_seed() {
    let (first, _, ledger) = asked("dep=stock.test corrupt=3", HEAD.len() + BODY.len(), OPEN);
    let (second, _, _) = asked("dep=stock.test corrupt=3", HEAD.len() + BODY.len(), OPEN);
    assert_eq!(first, second);
    assert!(first.starts_with(HEAD) && !first.ends_with(BODY));
    assert_eq!(observed(&ledger), "3 bytes were others");
}

#[test]
fn waits_are_real_and_at_least_as_long() {
    let (running, faults) = running(&["latency=+100ms", "latency=50ms timeout=50ms at=2"], &[BODY, BODY]);
    let mut client = running.connect(STOCK);
    let began = clock::now();
    client.write_all(request("/stock").as_bytes()).unwrap();
    until(&mut client, BODY);
    assert!(clock::now().since(began) >= 100_000_000);
    let began = clock::now();
    client.write_all(request("/stock").as_bytes()).unwrap();
    let head = until(&mut client, "\r\n\r\n");
    assert!(clock::now().since(began) >= 200_000_000 && head.starts_with("HTTP/1.1 504 "), "{head}");
    running.end();
    let ledger = faults.ledger();
    let observed: Vec<u64> = ledger.rules.iter().map(|rule| rule.observed).collect();
    assert_eq!(observed, [2, 1], "{ledger:?}");
}

#[test]
fn a_target_that_gave_up_has_observed_nothing() {
    let (running, faults) = running(&["dep=stock.test latency=+300ms"], &[BODY]);
    let mut client = running.connect(STOCK);
    client.write_all(request("/stock").as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    drop(client);
    std::thread::sleep(Duration::from_millis(500));
    running.end();
    let ledger = faults.ledger();
    assert_eq!((ledger.rules[0].fired, ledger.rules[0].observed), (1, 0), "{ledger:?}");
}

#[test]
fn the_answer_before_is_the_one_before_of_that_path() {
    let (running, faults) = running(&["dep=stock.test stale"], &["1", "2", "3"]);
    let mut client = running.connect(STOCK);
    let mut said = Vec::new();
    for _ in 0..3 {
        client.write_all(request("/stock").as_bytes()).unwrap();
        until(&mut client, "\r\n\r\n");
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        said.push(byte[0]);
    }
    running.end();
    assert_eq!((said.as_slice(), faults.ledger().rules[0].observed), (&b"112"[..], 2));
}

#[test]
fn a_rate_is_kept() {
    let body = "x".repeat(30_000);
    let (running, faults) = running(&["dep=stock.test bandwidth=60000B/s"], &[&body]);
    let mut client = running.connect(STOCK);
    client.write_all(request("/stock").as_bytes()).unwrap();
    until(&mut client, "\r\n\r\n");
    let began = clock::now();
    let mut read = vec![0; body.len()];
    client.read_exact(&mut read).unwrap();
    // Never faster; how much slower is the machine's.
    assert!(clock::now().since(began) >= 470_000_000);
    running.end();
    assert!(observed(&faults.ledger()).starts_with("30000 bytes in "));
}

#[test]
fn what_the_recording_has_not_is_as_slow() {
    let (running, faults) = running(&["dep=stock.test latency=+100ms"], &[BODY]);
    let mut client = running.connect(STOCK);
    let began = clock::now();
    client.write_all(request("/other").as_bytes()).unwrap();
    let head = until(&mut client, "\r\n\r\n");
    assert!(clock::now().since(began) >= 100_000_000 && head.starts_with("HTTP/1.1 502 "), "{head}");
    running.end();
    assert_eq!(faults.ledger().rules[0].observed, 1);
}

#[test]
fn a_chance_of_none_changes_nothing() {
    let (running, faults) = running(&["dep=stock.test p=0 reset"], &[BODY]);
    let mut client = running.connect(STOCK);
    client.write_all(request("/stock").as_bytes()).unwrap();
    let whole = format!("{HEAD}{BODY}");
    assert_eq!(to_the_end(&mut client, whole.len(), OPEN), (whole, OPEN));
    running.end();
    let ledger = faults.ledger();
    assert_eq!((ledger.rules[0].reached, ledger.rules[0].fired, ledger.entries.len()), (1, 0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_effects_on_any_answer_are_survived(
        actions in prop::collection::vec(0_usize..9, 1..5),
        size in 0_u64..40,
        body in "[a-z{}\":0-9]{0,30}",
    ) {
        use crate::fault::{Effect, Fired, FiredId, Stream};
        use crate::replay::stub::disturbed::Disturbed;
        use crate::replay::stub::replies::Ready;
        let effects = actions.iter().map(|action| match action {
            0 => Effect::Truncate(size),
            1 => Effect::Corrupt { bytes: size, key: size },
            2 => Effect::SetJson("a.0".into(), json!(1)),
            3 => Effect::SetBody("x".repeat(size as usize).into()),
            4 => Effect::Status(200 + size as u16 * 10),
            5 => Effect::Reset(Some(size)),
            6 => Effect::Hang,
            7 => Effect::Answer { after: size, status: 504 },
            _ => Effect::Stale(1),
        });
        let met: Vec<Fired> = effects
            .map(|effect| Fired { id: FiredId(0), rule: 0, effect, stream: Stream::Downstream })
            .collect();
        let response = hyper::Response::new(bytes::Bytes::from(body));
        let ready = Ready::own(response, &crate::replay::stub::spelling::Spellings::default());
        let disturbed = Disturbed::of(Arc::new(ready), &met, |_| None);
        prop_assert!(disturbed.applied.len() <= met.len());
        prop_assert!(disturbed.before_head || disturbed.ready.head.is_some());
    }
}
