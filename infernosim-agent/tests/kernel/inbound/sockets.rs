//! Whoever listens, whoever accepts and whoever serves: a request to the target is recorded once, with its client.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, TcpStream};

use super::{attached, connect, detach};
use crate::harness::{Cgroup, Netns, PYTHON, Recording, Service, Wire, text};

pub const LISTENERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernel/harness/listeners.py");

/// A listener, and where clients find it.
const KINDS: [(&str, &str); 13] = [
    ("127.0.0.1 none thread", "127.0.0.1"),
    ("0.0.0.0 none thread", "127.0.0.1"),
    ("::1 none thread", "::1"),
    (":: dual thread", "::1"),
    (":: dual thread", "127.0.0.1"),
    (":: dual,defer thread", "127.0.0.1"),
    ("127.0.0.1 defer thread", "127.0.0.1"),
    ("::1 defer thread", "::1"),
    ("127.0.0.1 none fork", "127.0.0.1"),
    ("127.0.0.1 none exec", "127.0.0.1"),
    ("127.0.0.1 none child", "127.0.0.1"),
    ("127.0.0.1 none workers", "127.0.0.1"),
    ("127.0.0.1 none passed", "127.0.0.1"),
];

/// A request that was answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    path: String,
    client: SocketAddr,
    server: SocketAddr,
}

/// A service whose children end with the cgroup, however many they are.
fn within(cgroup: &Cgroup, words: &[&str]) -> Service {
    let prefix = cgroup.prefix();
    Service::run(&prefix.iter().map(String::as_str).collect::<Vec<_>>(), words)
}

/// Has it open a listener; the port.
pub fn listener(service: &mut Service, what: &str) -> u16 {
    service.line(what, "PORT").strip_prefix("PORT ").unwrap().parse().unwrap()
}

/// Three requests on each of some connections; the answers name the client as the server sees it.
fn ask(number: usize, server: SocketAddr, connections: usize) -> BTreeSet<Asked> {
    let mut asked = BTreeSet::new();
    for connection in 0..connections {
        let mut wire = connect(server);
        let client = wire.stream.local_addr().unwrap();
        for request in 0..3 {
            let path = format!("/{number}/{connection}/{request}");
            wire.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let answer = String::from_utf8(wire.response().unwrap().1).unwrap();
            let words: Vec<&str> = answer.split(' ').collect();
            let seen: IpAddr = words[2].parse().unwrap();
            assert_eq!((words[0], seen.to_canonical()), (&*path, client.ip()), "the test is wrong");
            asked.insert(Asked { path, client, server });
        }
    }
    asked
}

fn recorded(recording: &Recording) -> BTreeSet<Asked> {
    let exchanges = recording.exchanges();
    let asked: BTreeSet<_> = exchanges
        .iter()
        .map(|exchange| {
            exchange.assert_whole();
            assert!(exchange.answer(recording).starts_with(exchange.path().as_bytes()), "{exchange:#?}");
            let server = text(&exchange.request["local"]).parse().unwrap();
            Asked { path: exchange.path().to_owned(), client: exchange.client(), server }
        })
        .collect();
    assert_eq!(asked.len(), exchanges.len(), "twice: {exchanges:#?}");
    asked
}

/// All kinds in one target, before it is attached to and afterwards.
fn every_kind(attached_first: bool) {
    let cgroup = Cgroup::new();
    let mut service = within(&cgroup, &[PYTHON, LISTENERS]);
    let main = service.pid_text("main");
    let mut capture = attached_first.then(|| attached(&main));
    let ports: Vec<u16> = KINDS.iter().map(|(what, _)| listener(&mut service, what)).collect();
    let capture = capture.take().unwrap_or_else(|| attached(&main));
    let mut expected = BTreeSet::new();
    for (number, ((_, address), port)) in KINDS.iter().zip(ports).enumerate() {
        expected.extend(ask(number, SocketAddr::new(address.parse().unwrap(), port), 6));
    }
    let recording = detach(capture).recording();
    assert_eq!(recorded(&recording), expected);
    assert_eq!(recording.events.len(), 2 * expected.len());
}

#[test]
fn every_kind_of_listener_that_is_older_than_the_capture() {
    every_kind(false);
}

#[test]
fn every_kind_of_listener_that_is_opened_later() {
    every_kind(true);
}

/// Sends with its SYN what it has to say (TCP Fast Open, RFC 7413), from its second connection on.
const FAST: &str = r#"
import socket, sys
for number in range(6):
    s = socket.socket()
    s.sendto(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number, 0x20000000, ("127.0.0.1", int(sys.argv[1])))
    assert b" 200 " in s.recv(1000)
    print(number, s.getsockname()[1], flush=True)
    s.close()
"#;

#[test]
fn requests_that_come_with_the_syn() {
    let netns = Netns::new();
    netns.sysctl("net/ipv4/tcp_fastopen", "3");
    let prefix = netns.prefix();
    let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
    let mut service = Service::run(&prefix, &[PYTHON, LISTENERS]);
    let port = listener(&mut service, "127.0.0.1 fastopen thread");
    let capture = attached(&service.pid_text("main"));
    let output = std::process::Command::new(prefix[0])
        .args(&prefix[1..])
        .args([PYTHON, "-c", FAST, &port.to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let fast = netns.enter(|| {
        let text = std::fs::read_to_string("/proc/thread-self/net/netstat").unwrap();
        let lines: Vec<Vec<&str>> = text.lines().take(2).map(|line| line.split(' ').collect()).collect();
        let at = lines[0].iter().position(|name| *name == "TCPFastOpenPassive").unwrap();
        lines[1][at].parse::<u32>().unwrap()
    });
    assert!(fast >= 5, "the test is wrong: {fast} of 6 connections were fast");
    let said = String::from_utf8(output.stdout).unwrap();
    let expected: BTreeSet<(String, u16)> = said
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(number, port)| (format!("/{number}"), port.parse().unwrap()))
        .collect();
    let recording = detach(capture).recording();
    let found = recorded(&recording);
    assert_eq!(found.into_iter().map(|one| (one.path, one.client.port())).collect::<BTreeSet<_>>(), expected);
}

/// The parent and its child accept from one listener; the child alone is the target.
const SHARED: &str = r#"
import os, select, socket, sys, threading
listener = socket.create_server(("127.0.0.1", 0))
listener.setblocking(False)
reading, writing = os.pipe()
child = os.fork()
me = os.getpid()
if child:
    print(f"READY main={me} child={child} port={listener.getsockname()[1]}", flush=True)
def serve():
    while True:
        # The one with the byte may accept next.
        os.read(reading, 1)
        select.select([listener], [], [])
        stream, _ = listener.accept()
        os.write(writing, b"x")
        stream.recv(1000)
        body = str(me).encode()
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        stream.close()
if child == 0:
    serve()
os.write(writing, b"x")
threading.Thread(target=serve, daemon=True).start()
sys.stdin.read()
"#;

#[test]
fn of_a_listener_shared_with_strangers_what_the_target_accepts() {
    let cgroup = Cgroup::new();
    let service = within(&cgroup, &[PYTHON, "-c", SHARED]);
    let capture = attached(&service.pid_text("child"));
    let addr = SocketAddr::from(([127, 0, 0, 1], service.pids["port"] as u16));
    let mut by_process: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    // Both must have had their turn.
    for number in 0..400 {
        let mut wire = Wire::new(TcpStream::connect(addr).unwrap());
        wire.send(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let pid = String::from_utf8(wire.response().unwrap().1).unwrap().parse().unwrap();
        by_process.entry(pid).or_default().insert(format!("/{number}"));
        if number >= 20 && by_process.values().filter(|paths| paths.len() >= 5).count() == 2 {
            break;
        }
    }
    assert_eq!(by_process.len(), 2, "the test is wrong: one process had all");
    let recording = detach(capture).recording();
    let child = service.pids["child"];
    let exchanges = recording.exchanges();
    for exchange in &exchanges {
        exchange.assert_whole();
        assert_eq!(exchange.answer(&recording), child.to_string().as_bytes());
    }
    let paths: BTreeSet<String> = exchanges.iter().map(|exchange| exchange.path().to_owned()).collect();
    assert_eq!((&paths, exchanges.len()), (&by_process[&child], paths.len()));
}
