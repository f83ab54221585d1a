//! However a server sends, and however the kernel cuts what it is given into packets: bodies are those that arrived.

use std::net::{SocketAddr, TcpStream};

use serde_json::json;

use super::{attached, connect, detach};
use crate::harness::programs;
use crate::harness::{Daemon, Lab, PYTHON, Place, Service, Wire, sha256};

const SCRIPT: &str = include_str!("../harness/senders.py");

/// Way and size; large ones are many times what the kernel sends at once.
const WAYS: [(&str, usize); 9] = [
    ("sendfile", 3_000_001),
    ("splice", 3_000_001),
    ("zerocopy", 3_000_001),
    ("large", 8 << 20),
    ("large", 1),
    ("vectored", 2_000_003),
    ("bytewise", 3000),
    ("more", 70_000),
    ("sendfile", 10),
];

/// Each way once on one connection, with a body of its own on the way in; what arrived is what is recorded.
fn all_ways(pid: u32, mut wire: Wire, ways: &[(&str, usize)]) {
    let capture = attached(&pid.to_string());
    let mut seen = Vec::new();
    for (number, (way, size)) in ways.iter().enumerate() {
        let body: Vec<u8> = (0..number * 150_000).map(|at| (at % 251) as u8).collect();
        let length = body.len();
        wire.send(format!("POST /{way}/{size} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
        wire.send(&body);
        let answer = wire.response().unwrap().1;
        assert_eq!(answer.len(), *size, "the test is wrong: {way}");
        seen.push((format!("POST /{way}/{size}"), sha256(&body), sha256(&answer)));
    }
    let recording = detach(capture).recording();
    let exchanges = recording.exchanges();
    exchanges.iter().for_each(|exchange| exchange.assert_whole());
    let recorded: Vec<_> = exchanges
        .iter()
        .zip(recording.asked())
        .map(|(exchange, asked)| {
            (asked, sha256(&exchange.sent(&recording)), sha256(&exchange.answer(&recording)))
        })
        .collect();
    assert_eq!(recorded, seen);
}

#[test]
fn over_loopback() {
    let service = Service::run(&[], &[PYTHON, "-c", SCRIPT, "127.0.0.1"]);
    let addr = SocketAddr::from(([127, 0, 0, 1], service.pids["port"] as u16));
    all_ways(service.pids["main"], connect(addr), &WAYS);
}

/// From another host, in packets of the cable's size. Zero-copy sends leave their host as references to the sender's
/// memory, and are copied where they arrive.
#[test]
fn over_a_cable() {
    let lab = Lab::new();
    for v6 in [false, true] {
        let ip = Lab::server_address(v6);
        let prefix = lab.server.prefix();
        let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
        let service = Service::run(&prefix, &[PYTHON, "-c", SCRIPT, &ip.to_string()]);
        let addr = SocketAddr::new(ip, service.pids["port"] as u16);
        let wire = lab.client.enter(move || Wire::new(TcpStream::connect(addr).unwrap()));
        all_ways(service.pids["main"], wire, &WAYS);
        // The kernel says of each when it is done with the memory, which it says of no other.
        let done: usize = service.next("ZEROCOPY").split(' ').nth(1).unwrap().parse().unwrap();
        assert!(done > 10, "the test is wrong: {done} zero-copy sends");
    }
}

#[test]
fn by_io_uring() {
    let lab = Lab::new();
    for place in [Place::loopback(), Place::within(&lab.server, Lab::server_address(false))] {
        let server = Daemon::at(&place, "env", |addr| programs::words("uring", &json!({ "addr": addr })));
        let addr = server.addr;
        let wire = match place.netns {
            Some(_) => lab.client.enter(move || Wire::new(TcpStream::connect(addr).unwrap())),
            None => connect(addr),
        };
        let ways = [("send", 10), ("send", 1 << 20), ("zerocopy", 3_000_001), ("send", 5)];
        all_ways(server.pid(), wire, &ways);
        // It really went through a ring (fdinfo of io_uring, fs/io_uring's io_uring_show_fdinfo).
        let files = std::fs::read_dir(format!("/proc/{}/fdinfo", server.pid())).unwrap();
        let texts = files.flatten().map(|file| std::fs::read_to_string(file.path()).unwrap_or_default());
        let submitted = texts.flat_map(|text| {
            let tail = text.lines().find_map(|line| line.strip_prefix("SqTail:")?.trim().parse::<u32>().ok());
            tail.into_iter().collect::<Vec<_>>()
        });
        assert!(submitted.sum::<u32>() > 10, "the test is wrong: nothing went through a ring");
    }
}
