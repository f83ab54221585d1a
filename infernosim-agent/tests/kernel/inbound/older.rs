//! Connections that are older than the capture: picked up at their next request, and never half an exchange as whole.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{attached, connect, detach, service};
use crate::harness::{Kind, Lab, Place, Recording, Server, Wire, sha256};

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn ask(wire: &mut Wire, path: &str) -> Vec<u8> {
    wire.send(get(path));
    wire.response().unwrap().1
}

/// The paths of the exchanges that are stored as whole, whose answers must be `/PATH`s own.
fn whole(recording: &Recording) -> Vec<String> {
    let exchanges = recording.exchanges();
    let whole = exchanges.iter().filter(|exchange| exchange.is_whole());
    whole.map(|exchange| exchange.path().to_owned()).collect()
}

#[test]
fn they_are_picked_up_at_their_next_request() {
    let lab = Lab::new();
    for (place, kind) in [
        (Place::loopback(), Kind::Rust),
        (Place::loopback(), Kind::Nginx),
        (Place::within(&lab.server, Lab::server_address(true)), Kind::Node),
    ] {
        let server = Server::start(kind, &place);
        let addr = server.addr;
        let dial = move || (0..5).map(|_| Wire::new(TcpStream::connect(addr).unwrap())).collect::<Vec<_>>();
        let mut wires = match place.netns {
            Some(_) => lab.client.enter(dial),
            None => dial(),
        };
        // Three of them were used before; of these one, and one of the others, never again.
        for wire in &mut wires[..3] {
            assert_eq!(ask(wire, "/n/1?before"), b"1\n");
        }
        let capture = attached(&server.pid_text());
        let mut expected = BTreeSet::new();
        for (number, wire) in wires.iter_mut().enumerate().skip(1).take(3) {
            for round in 0..3 {
                let path = format!("/n/{round}?{number}");
                assert_eq!(ask(wire, &path), format!("{round}\n").as_bytes());
                expected.insert((path, wire.stream.local_addr().unwrap()));
            }
        }
        let recording = detach(capture).recording();
        let exchanges = recording.exchanges();
        exchanges.iter().for_each(|exchange| exchange.assert_whole());
        let recorded: BTreeSet<_> =
            exchanges.iter().map(|exchange| (exchange.path().to_owned(), exchange.client())).collect();
        assert_eq!((recorded, exchanges.len()), (expected, 9), "{kind:?}");
        for exchange in &exchanges {
            assert_eq!(exchange.request["local"], addr.to_string());
            assert_eq!(exchange.answer(&recording)[0], exchange.path().as_bytes()[3]);
        }
        drop(wires);
    }
}

/// What began before is not ours to tell; the next exchange on the same connection is.
#[test]
fn attached_in_the_middle_of_a_download() {
    let server = service();
    let mut wire = connect(server.addr);
    wire.send(get("/paced/30"));
    wire.head().unwrap();
    wire.exactly(2 << 20).unwrap();
    let capture = attached(&server.pid_text());
    wire.exactly(28 << 20).expect("the download was cut");
    assert_eq!(ask(&mut wire, "/n/1"), b"1\n");
    assert_eq!(ask(&mut wire, "/bytes/100000").len(), 100_000);
    let finished = detach(capture);
    let recording = Recording::read(&finished.incident);
    recording.assert_closed();
    assert_eq!(whole(&recording), ["/n/1", "/bytes/100000"]);
    assert_eq!(recording.manifest["lost"]["events"], 0, "it began before: nothing was lost");
}

#[test]
fn attached_in_the_middle_of_an_upload() {
    let server = service();
    // Whatever the second half begins with, a body is no request.
    for second in
        ["x".repeat(300_000), "\r\n\r\nPOST this\r\n\r\n".repeat(20_000), "{\"a\": [1, 2]}\n".repeat(9)]
    {
        let mut wire = connect(server.addr);
        let length = 1000 + second.len();
        wire.send(format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
        wire.send("y".repeat(1000));
        std::thread::sleep(Duration::from_millis(50));
        let capture = attached(&server.pid_text());
        wire.send(&second);
        let all = format!("{}{second}", "y".repeat(1000));
        let answer = format!("{length} {}\n", sha256(all.as_bytes()));
        assert_eq!(wire.response().unwrap().1, answer.as_bytes());
        assert_eq!(ask(&mut wire, "/n/1"), b"1\n");
        wire.send(format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{all}"));
        assert_eq!(wire.response().unwrap().1, answer.as_bytes());
        let recording = detach(capture).recording();
        assert_eq!(whole(&recording), ["/n/1", "/echo"], "{second:.20}");
        let exchanges = recording.exchanges();
        let last = exchanges.last().unwrap();
        assert_eq!(last.sent(&recording), all.as_bytes());
        assert_eq!(last.answer(&recording), answer.as_bytes());
    }
}

/// The answer to what was asked before is not taken for the answer to what is asked next.
#[test]
fn attached_while_an_answer_is_awaited() {
    let server = service();
    let mut wire = connect(server.addr);
    wire.send(get("/late/1500"));
    std::thread::sleep(Duration::from_millis(100));
    let capture = attached(&server.pid_text());
    assert_eq!(wire.response().unwrap().1, b"/late/1500");
    assert_eq!(ask(&mut wire, "/n/3"), b"3\n");
    let recording = detach(capture).recording();
    assert_eq!(whole(&recording), ["/n/3"]);
    assert_eq!(recording.exchanges().last().unwrap().answer(&recording), b"3\n");
}

/// Connections that the server has not accepted when we come, for it stands still: also with requests in them.
#[test]
fn connections_that_wait_to_be_accepted() {
    for v6 in [false, true] {
        let ip = if v6 { std::net::Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
        let server = Server::start(Kind::Rust, &Place { ip, ..Place::loopback() });
        let pid = Pid::from_raw(server.pid() as i32);
        kill(pid, Signal::SIGSTOP).unwrap();
        let mut wires: Vec<Wire> = (0..20).map(|_| connect(server.addr)).collect();
        for (number, wire) in wires.iter_mut().enumerate().skip(15) {
            wire.send(get(&format!("/n/{number}?before")));
        }
        let capture = attached(&server.pid_text());
        for (number, wire) in wires.iter_mut().enumerate().take(10) {
            wire.send(get(&format!("/n/{number}?stopped")));
        }
        let late = connect(server.addr);
        wires.push(late);
        wires[20].send(get("/n/20?stopped"));
        kill(pid, Signal::SIGCONT).unwrap();
        for (number, wire) in wires.iter_mut().enumerate() {
            if (10..15).contains(&number) {
                continue;
            }
            assert_eq!(wire.response().unwrap().1, format!("{number}\n").as_bytes());
        }
        let mut expected: BTreeSet<String> = (0..10).map(|number| format!("/n/{number}?stopped")).collect();
        expected.insert("/n/20?stopped".to_owned());
        for (number, wire) in wires.iter_mut().enumerate() {
            let path = format!("/n/{number}?after");
            assert_eq!(ask(wire, &path), format!("{number}\n").as_bytes());
            expected.insert(path);
        }
        let recording = detach(capture).recording();
        // What was asked before may be there, but then once and with its own answer.
        let recorded: Vec<String> =
            whole(&recording).into_iter().filter(|path| !path.ends_with("before")).collect();
        assert_eq!(recorded.len(), expected.len());
        assert_eq!(recorded.into_iter().collect::<BTreeSet<_>>(), expected);
        for exchange in recording.exchanges().iter().filter(|exchange| exchange.is_whole()) {
            let number = exchange.path()[3..].split('?').next().unwrap();
            assert_eq!(exchange.answer(&recording), format!("{number}\n").as_bytes());
        }
    }
}
