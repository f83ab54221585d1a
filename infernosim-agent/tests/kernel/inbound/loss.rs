//! When the agent cannot keep up: clients notice nothing, what is lost is counted, and no half of an exchange passes
//! for a whole one. With `--strict-capture` nothing is lost, and TCP waits.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use nix::sys::signal::Signal;
use socket2::SockRef;

use super::{connect, service};
use crate::harness::{Capture, Recording, Running, Server, Stopped, Wire, eventually, sha256};

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

/// Whether the server's end of a connection is established (state 01 in /proc/net/tcp, proc(5)).
fn is_established(server: SocketAddr, client: SocketAddr) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let port = |field: &str| u16::from_str_radix(field.split(':').nth(1).unwrap(), 16).unwrap();
        (port(fields[1]), port(fields[2]), fields[3]) == (server.port(), client.port(), "01")
    })
}

/// A reset is sent once: if it waited for room in the ring, the target would serve a client that is gone for ever.
#[test]
fn strict_and_full_resets_arrive() {
    let server = service();
    let capture = Capture::attached(&["--pid", &server.pid_text()])
        .option(&["--tap-buffer", "64KiB", "--strict-capture"])
        .start()
        .ready();
    let idle: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(server.addr).unwrap()).collect();
    let still = Stopped::thread(capture.pid(), "recorder");
    // The smallest records, so that less than one of them is left.
    let mut filler = TcpStream::connect(server.addr).unwrap();
    filler.set_nodelay(true).unwrap();
    filler.write_all(b"GET /").unwrap();
    for _ in 0..1000 {
        filler.write_all(b"x").unwrap();
        // Or TCP would put several into a packet.
        std::thread::sleep(Duration::from_micros(100));
    }
    let clients: Vec<SocketAddr> = idle.iter().map(|stream| stream.local_addr().unwrap()).collect();
    assert!(clients.iter().all(|client| is_established(server.addr, *client)));
    for stream in idle {
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    eventually("the target hears of each reset", || {
        !clients.iter().any(|client| is_established(server.addr, *client))
    });
    drop(still);
    capture.signal(Signal::SIGINT);
    let finished = capture.wait_for_end();
    assert!(finished.stderr.contains("held back by --strict-capture"), "{}", finished.stderr);
    Recording::read(&finished.incident).assert_closed();
}
