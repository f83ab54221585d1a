//! When the agent cannot keep up: clients notice nothing, what is lost is counted, and no half of an exchange passes
//! for a whole one. With `--strict-capture` nothing is lost, and TCP waits.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::{connect, service};
use crate::harness::{Capture, Recording, Running, Server, Wire, sha256};

fn small(server: &Server, options: &[&str]) -> Running {
    let capture = Capture::attached(&["--pid", &server.pid_text()]);
    capture.option(&["--tap-buffer", "256KiB"]).option(options).start().ready()
}

/// Downloads and uploads, one after the other on one connection; each answer is what it must be.
fn exchange(wire: &mut Wire, number: usize) {
    let size = 200_000 + number;
    wire.send(format!("GET /bytes/{size} HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(wire.response().expect("an answer was cut").1.len(), size);
    let body = vec![b'a' + (number % 26) as u8; 100_000 + number];
    let length = body.len();
    wire.send(format!("POST /echo?{number} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
    wire.send(&body);
    let answer = wire.response().expect("an upload was cut").1;
    assert_eq!(answer, format!("{length} {}\n", sha256(&body)).as_bytes());
}

/// A small exchange; its path is noted.
fn ask(wire: &mut Wire, path: &str, noted: &mut Vec<String>) {
    wire.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(wire.response().unwrap().1, path.split('?').next().unwrap().as_bytes());
    noted.push(path.to_owned());
}

/// How many exchanges are whole; each of those must be so indeed.
fn assert_true(recording: &Recording) -> usize {
    let exchanges = recording.exchanges();
    let whole: Vec<_> = exchanges.iter().filter(|exchange| exchange.is_whole()).collect();
    for exchange in &whole {
        let answer = exchange.answer(recording);
        if let Some(size) = exchange.path().strip_prefix("/bytes/") {
            assert_eq!(answer.len(), size.parse::<usize>().unwrap(), "{exchange:#?}");
        } else if exchange.path().starts_with("/late/") {
            assert_eq!(answer, exchange.path().split('?').next().unwrap().as_bytes());
        } else {
            let number: usize = exchange.path().strip_prefix("/echo?").unwrap().parse().unwrap();
            let body = exchange.sent(recording);
            assert_eq!(body, vec![b'a' + (number % 26) as u8; 100_000 + number]);
            assert_eq!(answer, format!("{} {}\n", body.len(), sha256(&body)).as_bytes());
        }
    }
    let mut paths: Vec<_> = whole.iter().map(|exchange| exchange.path()).collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), whole.len(), "stored twice");
    whole.len()
}

#[test]
fn what_finds_no_room_is_counted_and_what_follows_is_recorded() {
    let server = service();
    let capture = small(&server, &[]);
    let mut wires = vec![connect(server.addr), connect(server.addr)];
    // Small, as those at the end: a ring of this size may overflow between two looks.
    let mut late = Vec::new();
    ask(&mut wires[0], "/late/0?before", &mut late);
    std::thread::sleep(Duration::from_millis(300));
    capture.signal(Signal::SIGSTOP);
    let before = std::time::Instant::now();
    for number in 1..40 {
        exchange(&mut wires[number % 2], number);
    }
    // A connection that begins and ends unseen.
    exchange(&mut connect(server.addr), 40);
    assert!(before.elapsed() < Duration::from_secs(20), "somebody waited");
    capture.signal(Signal::SIGCONT);
    std::thread::sleep(Duration::from_millis(500));
    // On connections that have holes, and on a new one.
    wires.push(connect(server.addr));
    for (number, wire) in wires.iter_mut().enumerate() {
        for request in 0..5 {
            ask(wire, &format!("/late/{number}?{request}"), &mut late);
        }
    }
    capture.signal(Signal::SIGINT);
    let finished = capture.wait_for_end();
    assert_eq!(finished.code, 4, "{}", finished.stderr);
    let recording = Recording::read(&finished.incident);
    recording.assert_closed();
    assert_true(&recording);
    let exchanges = recording.exchanges();
    let whole: Vec<&str> =
        exchanges.iter().filter(|exchange| exchange.is_whole()).map(|exchange| exchange.path()).collect();
    for path in late {
        assert!(whole.contains(&&*path), "{path} of {whole:?}");
    }
    let lost = &recording.manifest["lost"];
    assert!(lost["events"].as_u64().unwrap() > 0 && lost["bytes"].as_u64().unwrap() > 5_000_000, "{lost:#}");
}

#[test]
fn strict_nothing_is_lost_and_nobody_fails() {
    let server = service();
    let capture = small(&server, &["--strict-capture"]);
    let mut wires = [connect(server.addr), connect(server.addr)];
    for number in 0..20 {
        exchange(&mut wires[number % 2], number);
    }
    capture.signal(Signal::SIGINT);
    let finished = capture.wait_for_end();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert_eq!(assert_true(&finished.recording()), 40);
}

/// Nobody reads the ring: TCP waits no longer than an agent that is alive may take.
#[test]
fn strict_and_stopped_the_traffic_goes_on() {
    let server = service();
    let capture = small(&server, &["--strict-capture"]);
    let mut wire = connect(server.addr);
    exchange(&mut wire, 0);
    capture.signal(Signal::SIGSTOP);
    let before = std::time::Instant::now();
    for number in 1..30 {
        exchange(&mut wire, number);
    }
    assert!(before.elapsed() < Duration::from_secs(15), "it waits for ever: {:?}", before.elapsed());
    capture.signal(Signal::SIGCONT);
    capture.signal(Signal::SIGINT);
    let finished = capture.wait_for_end();
    let recording = Recording::read(&finished.incident);
    recording.assert_closed();
    assert!(assert_true(&recording) >= 2);
    let lost = recording.manifest["lost"]["events"].as_u64().unwrap();
    assert_eq!(finished.code, if lost > 0 { 4 } else { 0 }, "{}", finished.stderr);
    assert!(lost > 0, "the test is wrong: there was room");
}
