//! Inbound requests: each that begins after the ready line is recorded once, with its answer and its real client, and
//! none ever fails because of us. What is seen by standing beside the traffic, in both directions.

mod beside;
mod both;
mod elsewhere;
mod endings;
mod launch;
mod loss;
mod messages;
mod older;
mod senders;
mod servers;
mod sockets;
mod strangers;
mod tapped;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};

use nix::sys::signal::Signal;

use crate::harness::{Capture, Exchange, Finished, Kind, Place, Recording, Running, Server, Wire};

/// A server of whose answers every byte is known; see [`Origin`](crate::harness::Origin).
fn service() -> Server {
    Server::start(Kind::Rust, &Place::loopback())
}

/// A connection of the test's own.
fn connect(addr: SocketAddr) -> Wire {
    Wire::new(TcpStream::connect(addr).unwrap())
}

/// A capture of what runs already.
fn attached(pid: &str) -> Running {
    Capture::attached(&["--pid", pid]).start().ready()
}

/// Ends a capture of what goes on running.
fn detach(capture: Running) -> Finished {
    capture.signal(Signal::SIGINT);
    let finished = capture.wait_for_end();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    finished
}

/// How often each number stands in an incident as the query of a whole exchange, among those that `which` chooses;
/// asserts that each answer is that to its request and that the client is who it was.
fn numbers(
    recording: &Recording,
    server: SocketAddr,
    asked: &BTreeMap<usize, SocketAddr>,
    which: impl Fn(&Exchange<'_>) -> bool,
) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for exchange in recording.exchanges().iter().filter(|exchange| exchange.is_whole() && which(exchange)) {
        let (path, number) = exchange.path().split_once('?').unwrap();
        let number: usize = number.parse().unwrap();
        let residue = path.strip_prefix("/n/").unwrap();
        assert_eq!(exchange.status(), 200, "{exchange:#?}");
        assert_eq!(exchange.answer(recording), format!("{residue}\n").as_bytes(), "{exchange:#?}");
        assert_eq!(exchange.request["local"], server.to_string(), "{exchange:#?}");
        if let Some(client) = asked.get(&number) {
            assert_eq!(exchange.client(), *client, "{exchange:#?}");
        }
        *counts.entry(number).or_insert(0) += 1;
    }
    counts
}

/// Asserts that these stand in it once each, and no number twice.
fn assert_once(counts: &BTreeMap<usize, usize>, expected: impl Iterator<Item = usize>) {
    let missing: Vec<usize> = expected.filter(|number| !counts.contains_key(number)).collect();
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).collect();
    assert!(missing.is_empty() && twice.is_empty(), "missing {missing:?}, more than once {twice:?}");
}
