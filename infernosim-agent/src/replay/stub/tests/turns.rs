//! Protocols that are not read.

use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::Arc;

use serde_json::{Value, json};

use super::harness::{Running, Wanted, rest, until};
use crate::clock;
use crate::fault::{Faults, Plan, Rule};
use crate::replay::script::CallIndex;

const CACHE: &str = "10.0.0.9:6379";

fn turn(connection: u64, asked: &str, answered: &str) -> Value {
    json!({
        "service": CACHE, "protocol": "tcp", "url": format!("tcp://{CACHE}"), "peer": CACHE,
        "connection": connection, "body": asked, "bodySize": asked.len(),
        "responseBody": answered, "responseBodySize": answered.len(),
    })
}

#[test]
fn turns_are_answered_as_their_bytes_come() {
    let lines = vec![turn(1, "GET a\n", "1\n"), turn(1, "GET b\n", "2\n"), turn(2, "SET c\n", "ok\n")];
    let running = Running::start(lines, Wanted::default());
    let mut second = running.connect(CACHE);
    second.write_all(b"SET").unwrap();
    let mut first = running.connect(CACHE);
    first.write_all(b"GET a\nGET").unwrap();
    assert_eq!(until(&mut first, "\n"), "1\n");
    first.write_all(b" b\n").unwrap();
    assert_eq!(until(&mut first, "\n"), "2\n");
    second.write_all(b" c\n").unwrap();
    assert_eq!(until(&mut second, "\n"), "ok\n");
    drop((first, second));
    let (_, calls) = running.end();
    let counterparts: Vec<_> = calls.iter().map(|call| call.counterpart).collect();
    assert_eq!(counterparts, [0, 1, 2].map(|index| Some(CallIndex(index))));
    assert!(calls.iter().all(|call| call.differences.is_empty() && call.asked.is_none()));
}

#[test]
fn faults_meet_a_connection_whatever_it_speaks() {
    let rules =
        ["latency=+100ms", "reset=3"].map(|action| Rule::parse(&format!("dep=10.0.0.9 {action}")).unwrap());
    let faults = Arc::new(Faults::new(Plan { seed: 7, rules: rules.into() }));
    let lines = vec![turn(1, "GET a\n", "1\n"), turn(1, "GET b\n", "2\n")];
    let running = Running::start(lines, Wanted { faults: Arc::clone(&faults), ..Wanted::default() });
    let mut client = running.connect(CACHE);
    let began = clock::now();
    client.write_all(b"GET a\nGET b\n").unwrap();
    // The second answer is cut.
    assert_eq!(until(&mut client, "1\n2"), "1\n2");
    assert!(clock::now().since(began) >= 200_000_000);
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    running.end();
    let ledger = faults.ledger();
    assert!(
        ledger.rules.iter().all(|rule| (rule.reached, rule.fired, rule.observed) == (1, 1, 1)),
        "{ledger:?}"
    );
}

#[test]
fn a_server_that_speaks_first_does() {
    let lines = vec![turn(1, "", "220 hello\r\n"), turn(1, "QUIT\r\n", "221 bye\r\n")];
    let running = Running::start(lines, Wanted::default());
    let mut client = running.connect(CACHE);
    assert_eq!(until(&mut client, "\n"), "220 hello\r\n");
    client.write_all(b"QUIT\r\n").unwrap();
    assert_eq!(until(&mut client, "\n"), "221 bye\r\n");
}

#[test]
fn other_bytes_are_a_mismatch() {
    let running =
        Running::start(vec![turn(1, "GET a\n", "1\n"), turn(1, "GET b\n", "2\n")], Wanted::default());
    let mut client = running.connect(CACHE);
    client.write_all(b"GET a\nGET x\n").unwrap();
    assert_eq!(rest(&mut client), "1\n");
    let mut other = running.connect(CACHE);
    other.write_all(b"DEL\n").unwrap();
    assert_eq!(rest(&mut other), "");
    let (_, calls) = running.end();
    assert_eq!(calls[1].counterpart, Some(CallIndex(1)));
    assert_eq!(calls[1].differences.len(), 1, "{calls:?}");
    assert!(calls[1].asked.is_some());
    // Connection 1 is used up.
    assert_eq!((calls[2].counterpart, calls.len()), (None, 3));
}

#[test]
fn one_turn_more_than_recorded_is_none_of_them() {
    let running = Running::start(vec![turn(1, "A\n", "1\n")], Wanted::default());
    let mut client = running.connect(CACHE);
    client.write_all(b"A\n").unwrap();
    until(&mut client, "\n");
    client.write_all(b"B\n").unwrap();
    assert_eq!(rest(&mut client), "");
    let (_, calls) = running.end();
    assert_eq!(calls.iter().map(|call| call.counterpart.is_some()).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_turn_that_was_reset_is_reset_behind_the_same_byte() {
    let mut cut = turn(1, "A\n", "12");
    cut["incomplete"] = json!(true);
    cut["errno"] = json!("ECONNRESET");
    cut["error"] = json!("reset by the dependency");
    let running = Running::start(vec![cut], Wanted::default());
    let mut client = running.connect(CACHE);
    client.write_all(b"A\n").unwrap();
    let mut answer = [0; 2];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"12");
    assert_eq!(client.read(&mut answer).unwrap_err().kind(), ErrorKind::ConnectionReset);
}
