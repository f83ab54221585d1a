use std::io::Write as _;
use std::sync::Mutex;

use super::harness::*;
use crate::replay::seen::{End, Outcome};

#[test]
fn connections_are_used_again_as_they_were() {
    let server = Server::plain();
    let moments = vec![
        on(7, moment(0, 0, 10)),
        on(9, moment(1, 20, 30)),
        on(7, moment(2, 40, 50)),
        moment(3, 60, 70),
        moment(4, 80, 90),
        on(9, moment(5, 100, 110)),
    ];
    let requests = (0..6).map(|at| get(&format!("/{at}"))).collect();
    let (driven, told) = Setup::new(moments, requests).run(server.address);
    assert_eq!((driven.end, driven.sent, driven.reopened), (End::Completed, 6, 0));
    let arrived: Vec<_> =
        server.arrived().iter().map(|arrived| (arrived.target().to_owned(), arrived.connection)).collect();
    let expected = [("/0", 0), ("/1", 1), ("/2", 0), ("/3", 2), ("/4", 3), ("/5", 1)];
    assert_eq!(arrived, expected.map(|(target, connection)| (target.to_owned(), connection)));
    // What was told of our end of each is as the server saw it.
    let locals: Vec<_> = told.sending.iter().map(|(_, local)| *local).collect();
    assert_eq!(locals[0], locals[2]);
    assert_eq!(locals[1], locals[5]);
    assert_eq!(locals.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
}

#[test]
fn a_connection_that_the_target_closed_is_opened_again() {
    let server = Server::start(|arrived, stream, _| {
        stream.write_all(OK.as_bytes()).unwrap();
        arrived.target() != "/1"
    });
    // Its FIN may come later than the next request goes out: of these that costs nothing, they are sent again.
    let requests = (0..4).map(|at| get(&format!("/{at}"))).collect();
    let (driven, _) = Setup::new(in_turn(4), requests).run(server.address);
    assert!(driven.answers.iter().all(|answer| answer.outcome == Outcome::Answered(200)), "{driven:?}");
    assert_eq!(driven.reopened, 1);
    let connections: Vec<_> = server.arrived().iter().map(|arrived| arrived.connection).collect();
    assert_eq!(connections, [0, 0, 1, 1]);
}

/// Who says that it closes is believed: its FIN may come later than the next request would.
#[test]
fn a_connection_that_is_to_be_closed_is_not_used_again() {
    let server = Server::start(|arrived, stream, _| {
        let answer = match arrived.target() {
            "/0" => "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n",
            "/1" => "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            _ => "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
        };
        // Stays open, for whoever does not listen.
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let requests = (0..4).map(|at| post(&format!("/{at}"), "x", false)).collect();
    let (driven, _) = Setup::new(in_turn(4), requests).run(server.address);
    assert_eq!((driven.end, driven.reopened, driven.resent), (End::Completed, 2, 0));
    let connections: Vec<_> = server.arrived().iter().map(|arrived| arrived.connection).collect();
    assert_eq!(connections, [0, 1, 2, 2]);
}

/// A server that closes an idle connection at the moment at which it is used again: a reset tells that it has not read.
fn closed_unread(second: crate::replay::script::Request) -> (super::super::Driven, Told, Server) {
    let server = Server::start(|arrived, stream, _| {
        stream.write_all(OK.as_bytes()).unwrap();
        if arrived.target() != "/first" {
            return true;
        }
        // The next request is there, and nobody reads it.
        stream.peek(&mut [0]).unwrap();
        false
    });
    let (driven, told) = Setup::new(in_turn(2), vec![get("/first"), second]).run(server.address);
    (driven, told, server)
}

#[test]
fn a_request_that_nobody_read_is_sent_again_if_that_does_no_harm() {
    let (driven, told, server) = closed_unread(get("/second"));
    assert_eq!((driven.end, driven.resent, driven.sent), (End::Completed, 1, 2));
    assert_eq!(driven.answers[1].outcome, Outcome::Answered(200));
    assert_eq!(server.targets(), ["/first", "/second"]);
    assert_eq!(told.unread, [1]);
    assert_eq!(told.sending.len(), 3);
    let (driven, told, server) = closed_unread(post("/second", "x", false));
    assert_eq!(driven.resent, 0, "its beginning may have been read");
    assert_eq!(driven.answers[1].outcome, Outcome::Closed);
    assert_eq!((server.targets(), told.unread), (vec!["/first".to_owned()], vec![]));
}

#[test]
fn a_request_that_was_read_is_never_sent_again() {
    let server = Server::start(|arrived, stream, _| {
        arrived.target() == "/first" && stream.write_all(OK.as_bytes()).is_ok()
    });
    let (driven, told) = Setup::new(in_turn(2), vec![get("/first"), get("/second")]).run(server.address);
    assert_eq!((driven.end, driven.resent), (End::Completed, 0));
    assert_eq!(driven.answers[1].outcome, Outcome::Closed);
    assert_eq!(server.targets(), ["/first", "/second"]);
    assert_eq!(told.answers[&1], [None]);
}

#[test]
fn an_answer_that_is_cut_short_is_no_answer() {
    let server = Server::start(|arrived, stream, _| {
        let answer: &[u8] = match arrived.target() {
            "/0" => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
            "/1" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
            "/2" => b"HTTP/1.1 20",
            "/3" => b"SMTP ready\r\n",
            _ => OK.as_bytes(),
        };
        stream.write_all(answer).unwrap();
        false
    });
    let requests = (0..5).map(|at| get(&format!("/{at}"))).collect();
    let (driven, _) = Setup::new(in_turn(5), requests).run(server.address);
    let outcomes: Vec<_> = driven.answers.iter().map(|answer| answer.outcome).collect();
    assert_eq!(outcomes[..4], [Outcome::Closed; 4]);
    assert_eq!(outcomes[4], Outcome::Answered(200), "one that fails does not stop the others");
}

#[test]
fn nobody_listens() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (driven, told) = Setup::new(in_turn(2), vec![get("/"), get("/")]).run(address);
    assert_eq!(driven.end, End::Completed);
    assert!(driven.answers.iter().all(|answer| answer.outcome == Outcome::Closed), "{driven:?}");
    assert_eq!((driven.sent, told.sending.len()), (0, 0));
}

/// What is sent several times at once goes over as many connections, and each is compared.
#[test]
fn a_fan_out_has_connections_of_its_own() {
    let together = Mutex::new(());
    let server = Server::start(move |arrived, stream, seen| {
        if arrived.target() == "/0" {
            seen.wait_for(3);
        }
        let _turn = together.lock();
        stream.write_all(OK.as_bytes()).is_ok()
    });
    let mut setup = Setup::new(in_turn(2), vec![get("/0"), get("/1")]);
    setup.pace.fanout = 3;
    let (driven, told) = setup.run(server.address);
    assert_eq!((driven.end, driven.sent, driven.most_in_flight), (End::Completed, 6, 3));
    let exchanges: Vec<_> = driven.answers.iter().map(|answer| answer.exchange.0).collect();
    assert_eq!(exchanges, [0, 0, 0, 1, 1, 1]);
    assert_eq!(told.answers[&1].len(), 3);
    let connections: std::collections::BTreeSet<_> =
        server.arrived().iter().map(|arrived| arrived.connection).collect();
    assert_eq!(connections.len(), 3);
    assert_eq!(server.targets()[..3], ["/0", "/0", "/0"], "the next waits for all of them");
}
