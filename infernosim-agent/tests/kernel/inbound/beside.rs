//! Captures beside each other, and what is left out of them.

use super::{attached, connect, detach, service};
use crate::harness::{Capture, Exchange, Hammer, Kind, Place, Server};

fn paths(exchanges: &[Exchange<'_>]) -> Vec<String> {
    exchanges.iter().map(|exchange| exchange.path().to_owned()).collect()
}

/// Each begins and ends in the middle of the other's time.
#[test]
fn two_captures_of_one_target_record_all_of_it() {
    let server = Server::start(Kind::Nginx, &Place::loopback());
    let hammer = Hammer::start(server.addr, None, 3, true);
    let first = attached(&server.pid_text());
    let mut marks = vec![hammer.mark()];
    hammer.more(30);
    let second = attached(&server.pid_text());
    marks.push(hammer.mark());
    let mut ends = vec![hammer.more(60)];
    let first = detach(first);
    ends.push(hammer.more(60));
    let second = detach(second);
    hammer.more(10);
    let asked = hammer.stop();
    for (which, finished) in [first, second].iter().enumerate() {
        let recording = finished.recording();
        let counts = super::numbers(&recording, server.addr, &asked, |_| true);
        super::assert_once(&counts, ends[which].range(marks[which]..).map(|(number, _)| *number));
        assert!(counts.keys().min() < counts.keys().max());
    }
}

/// A port is the listener's, a path the request's; what is left out works and is counted.
#[test]
fn inbound_requests_are_selected_by_port_and_by_path() {
    let servers = [service(), service()];
    let [a, b] = servers.each_ref().map(|server| format!("port={}", server.addr.port()));
    for (options, expected) in [
        (vec!["--only", &a], [&["/n/1", "/hello"][..], &[]]),
        (vec!["--exclude", &b], [&["/n/1", "/hello"], &[]]),
        (vec!["--only", &b, "--exclude", "path=/hello"], [&[], &["/n/1"]]),
        (vec!["--only", "path=/n/*"], [&["/n/1"], &["/n/1"]]),
    ] {
        let pids = servers.each_ref().map(Server::pid_text);
        let capture = Capture::attached(&["--pid", &pids[0], "--pid", &pids[1]]).option(&options);
        let capture = capture.start().ready();
        for server in &servers {
            let mut wire = connect(server.addr);
            for path in ["/n/1", "/hello"] {
                wire.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
                wire.response().unwrap();
            }
        }
        let recording = detach(capture).recording();
        for (server, expected) in servers.iter().zip(expected) {
            let mut exchanges = recording.exchanges();
            exchanges.retain(|exchange| exchange.request["local"] == server.addr.to_string());
            exchanges.iter().for_each(Exchange::assert_whole);
            assert_eq!(paths(&exchanges), expected, "{options:?}");
        }
    }
}
