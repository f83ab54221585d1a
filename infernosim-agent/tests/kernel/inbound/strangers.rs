//! Whose connection it is: not the port says so, nor the addresses, and one connection is never taken for another.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use super::sockets::{LISTENERS, listener};
use super::{attached, connect, detach, service};
use crate::harness::{Capture, Cgroup, Netns, PYTHON, Recording, Service, Wire, membership};

fn ask(wire: &mut Wire, path: &str) -> Vec<u8> {
    wire.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    wire.response().unwrap().1
}

fn paths(recording: &Recording) -> Vec<String> {
    let exchanges = recording.exchanges();
    exchanges.iter().for_each(|exchange| exchange.assert_whole());
    exchanges.iter().map(|exchange| exchange.path().to_owned()).collect()
}

/// Another server in the same cgroup, asked by the same client, is none of ours; nor is one below a target's parent.
#[test]
fn strangers_in_the_same_cgroup_are_not_recorded() {
    let (target, stranger) = (service(), service());
    assert_eq!(membership(target.pid()), membership(stranger.pid()), "the test needs one cgroup");
    let mut older = [connect(target.addr), connect(stranger.addr)];
    let capture = attached(&target.pid_text());
    for number in 0..5 {
        for server in [&target, &stranger] {
            ask(&mut connect(server.addr), &format!("/n/{number}?{}", server.addr.port()));
        }
    }
    for (wire, server) in older.iter_mut().zip([&target, &stranger]) {
        ask(wire, &format!("/n/5?{}", server.addr.port()));
    }
    let recording = detach(capture).recording();
    let expected: Vec<String> = (0..6).map(|number| format!("/n/{number}?{}", target.addr.port())).collect();
    assert_eq!(paths(&recording), expected);
    assert_eq!(recording.events.len(), 12);
}

/// A port belongs to whoever listens: to the target, then to a stranger, then to the target again.
#[test]
fn a_port_that_changes_hands() {
    let cgroup = Cgroup::new();
    let [mut target, mut stranger] = [0, 1].map(|_| {
        let prefix = cgroup.prefix();
        Service::run(&prefix.iter().map(String::as_str).collect::<Vec<_>>(), &[PYTHON, LISTENERS])
    });
    let capture = attached(&target.pid_text("main"));
    let port = listener(&mut target, "127.0.0.1 none thread");
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let again = format!("127.0.0.1:{port} none thread");
    for (path, here, gone) in [("/1", 0, 0), ("/2", 1, 0), ("/3", 0, 1), ("/4", 1, 0)] {
        let services = [&mut target, &mut stranger];
        if path != "/1" {
            services[gone].line("close", "CLOSED");
            let services = [&mut target, &mut stranger];
            assert_eq!(listener(services[here], &again), port);
        }
        assert!(ask(&mut connect(addr), path).starts_with(path.as_bytes()));
    }
    let recording = detach(capture).recording();
    assert_eq!(paths(&recording), ["/1", "/3"]);
}

/// Connects from a port of our choice.
fn from_port(port: u16, server: SocketAddr) -> Wire {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).unwrap();
    socket.connect(&server.into()).unwrap();
    Wire::new(TcpStream::from(socket))
}

/// The same two addresses and ports, again and again: reset in between, so that nothing keeps them.
#[test]
fn the_same_client_port_is_used_again() {
    let server = service();
    let capture = attached(&server.pid_text());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut expected = Vec::new();
    for number in 0..30 {
        let mut wire = from_port(port, server.addr);
        for request in 0..2 {
            expected.push(format!("/n/{number}?{request}"));
            assert_eq!(ask(&mut wire, &expected[expected.len() - 1]), format!("{number}\n").as_bytes());
        }
        SockRef::from(&wire.stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(wire);
    }
    let recording = detach(capture).recording();
    assert_eq!(paths(&recording), expected);
    let exchanges = recording.exchanges();
    let connections: BTreeSet<_> =
        exchanges.iter().map(|exchange| exchange.request["connection"].as_u64()).collect();
    assert_eq!(connections.len(), 30);
    assert!(exchanges.iter().all(|exchange| exchange.client().port() == port));
}

/// In two namespaces all is alike: servers' ports, clients' ports, addresses; also sequence numbers may be.
#[test]
fn two_namespaces_with_the_same_addresses() {
    let (cgroup, namespaces) = (Cgroup::new(), [Netns::new(), Netns::new()]);
    let services = namespaces.each_ref().map(|netns| {
        let prefix: Vec<String> = cgroup.prefix().into_iter().chain(netns.prefix()).collect();
        let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
        let mut service = Service::run(&prefix, &[PYTHON, LISTENERS]);
        let port = listener(&mut service, "127.0.0.1:7070 none thread");
        assert_eq!(port, 7070);
        service
    });
    let capture = Capture::attached(&["--cgroup", &cgroup.name()]).start().ready();
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 7070));
    let mut wires = namespaces.each_ref().map(|netns| netns.enter(move || from_port(5000, addr)));
    let mut expected = Vec::new();
    for number in 0..20 {
        for (which, wire) in wires.iter_mut().enumerate() {
            let path = format!("/{which}/{number}");
            assert!(ask(wire, &path).starts_with(path.as_bytes()));
            expected.push(path);
        }
    }
    let recording = detach(capture).recording();
    assert_eq!(paths(&recording), expected);
    for exchange in recording.exchanges() {
        let which = usize::from(exchange.path().as_bytes()[1] - b'0');
        let answer = String::from_utf8(exchange.answer(&recording)).unwrap();
        assert!(answer.starts_with(exchange.path()), "{answer} to {}", exchange.path());
        assert_eq!(answer.split(' ').nth(1).unwrap(), services[which].pids["main"].to_string());
    }
}

/// Thousands open at once, each used twice; then all go.
#[test]
fn many_connections_at_once() {
    let server = service();
    let capture = attached(&server.pid_text());
    let count = if crate::harness::long() { 8000 } else { 1000 };
    let mut wires: Vec<Wire> = (0..count).map(|_| connect(server.addr)).collect();
    let mut expected = BTreeSet::new();
    for round in 0..2 {
        for (number, wire) in wires.iter_mut().enumerate() {
            let path = format!("/n/{number}?{round}");
            assert_eq!(ask(wire, &path), format!("{number}\n").as_bytes());
            expected.insert(path);
        }
    }
    drop(wires);
    let recording = detach(capture).recording();
    let recorded = paths(&recording);
    assert_eq!(recorded.len(), expected.len());
    assert_eq!(recorded.into_iter().collect::<BTreeSet<_>>(), expected);
}
