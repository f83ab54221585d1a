//! Inbound exchanges that are not whole: each says so, and what is missing is counted.

use super::inbound::{client, heard, heard_by};
use super::*;

const ASK: (Sender, &[u8]) = (Client, b"GET / HTTP/1.1\r\n\r\n");
const RESET: Errno = Errno::ECONNRESET;

/// The error of each line.
fn errors(it: &Recorded) -> Vec<&str> {
    assert!(it.events.iter().all(|event| event.incomplete == event.error.is_some()), "{:?}", it.events);
    it.events.iter().map(|event| event.error.as_deref().unwrap_or("")).collect()
}

#[test]
fn a_request_that_nobody_answers_says_who_gave_up() {
    for (ending, error) in [
        (Ending::ClosedBy(Client), "the client closed the connection before it was answered"),
        (Ending::ClosedBy(Server), "the target closed the connection without an answer"),
        (Ending::Closed, "the connection ended before it was answered"),
        (Ending::Broke(Client, RESET), "the client reset the connection before it was answered"),
        (Ending::Broke(Server, RESET), "the target reset the connection without an answer"),
        (Ending::Broke(Client, Errno::ETIMEDOUT), "the client's connection broke before it was answered"),
        (Ending::Broke(Server, Errno::EPIPE), "the target's connection broke without an answer"),
        (Ending::Abandoned, "the capture ended before it was answered"),
    ] {
        let it = heard(&[ASK], ending);
        assert_eq!(errors(&it), ["", error]);
        assert_eq!((it.events[1].status, it.events[1].trace_id.as_str()), (None, it.events[0].id.as_str()));
        let errno = if let Ending::Broke(_, errno) = ending { Some(format!("{errno:?}")) } else { None };
        assert_eq!((&it.events[0].errno, &it.events[1].errno), (&None, &errno));
        assert!(it.totals.lost.is_empty());
    }
}

#[test]
fn a_request_that_is_cut_short_is_there_as_far_as_it_came() {
    let asked: (Sender, &[u8]) = (Client, b"PUT /f HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf");
    let it = heard(&[ASK, asked], Ending::Broke(Client, RESET));
    let request = "the client reset the connection before the request was whole";
    let response = "the client reset the connection before it was answered";
    // The first is told when it is whole; then, at the end, each in its turn.
    assert_eq!(errors(&it), ["", response, request, response]);
    assert_eq!(it.events[2].request_body(), Body::Text("half"));
    assert_eq!((it.events[2].method.as_str(), it.events[2].errno.as_deref()), ("PUT", Some("ECONNRESET")));
    assert_eq!(it.events[3].trace_id, it.events[2].id);
}

#[test]
fn an_answer_that_is_cut_short_is_there_as_far_as_it_came() {
    let half: (Sender, &[u8]) = (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    for (ending, error) in [
        (Ending::ClosedBy(Client), "the client closed the connection before the answer was whole"),
        (Ending::ClosedBy(Server), "the target closed the connection before the answer was whole"),
        (Ending::Broke(Server, RESET), "the target reset the connection before the answer was whole"),
        (Ending::Abandoned, "the capture ended before the answer was whole"),
    ] {
        let it = heard(&[ASK, half], ending);
        assert_eq!(errors(&it), ["", error]);
        assert_eq!((it.events[1].status, it.events[1].request_body()), (Some(200), Body::Text("half")));
        assert!(it.events[1].failed() && !it.events[0].failed());
    }
    // A body that lasts until the close is whole when it is closed in order.
    let all: (Sender, &[u8]) = (Server, b"HTTP/1.0 200 OK\r\n\r\nall of it");
    let it = heard(&[ASK, all], Ending::ClosedBy(Server));
    assert_eq!(errors(&it), ["", ""]);
    assert_eq!(it.events[1].request_body(), Body::Text("all of it"));
    assert_eq!(errors(&heard(&[ASK, all], Ending::Broke(Server, RESET))).len(), 2);
}

#[test]
fn what_is_no_http_says_so_in_the_line_that_it_cuts() {
    let it = heard(&[ASK, (Server, b"garbage that is no answer\r\n\r\n")], Ending::Closed);
    assert!(it.events[1].incomplete && it.events[1].error.is_some(), "{:?}", it.events);
    assert_eq!(it.events[1].trace_id, it.events[0].id);
    assert!(it.events[2..].iter().all(|event| event.protocol == "tcp"));
}

/// Half a head is no request that could be named; what there was of it is kept as bytes.
#[test]
fn a_head_that_is_cut_short_is_bytes_with_an_error() {
    let it = heard(&[(Client, b"GET / HTTP/1.1\r\nHos")], Ending::ClosedBy(Client));
    assert_eq!(it.events[0].request_body(), Body::Text("GET / HTTP/1.1\r\nHos"));
    assert_eq!(it.events[0].error.as_deref(), Some("the connection ended inside a message"));
    assert_eq!((it.events.len(), it.events[1].error.as_deref()), (2, None));
}

/// What a request without a line loses is an event; what has one keeps its head and loses its content.
#[test]
fn a_gap_loses_what_was_under_way() {
    let mut it = Recording::start(&Redaction::with_key(None, [0; 32]), LIMITS, 1 << 20);
    let mut talk = Talk::new(client());
    let lines = &mut it.lines;
    talk.say(
        Client,
        b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nPUT /3 HTTP/1.1\r\nContent-Length: 9\r\n\r\nx",
        lines,
    );
    talk.say(Server, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nA: b\r\n\r\nhalf", lines);
    talk.gap(Server, 5000, lines);
    talk.gap(Client, 300, lines);
    talk.end(Ending::Closed, lines);
    let it = it.finish();
    let lines: Vec<_> = it
        .events
        .iter()
        .filter(|event| event.kind != Kind::Lost)
        .map(|event| (event.path_and_query(), event.status, event.error.as_deref()))
        .collect();
    let unseen = Some("part of this exchange was not seen");
    let expected = [("/1", None, None), ("/2", None, None), ("/1", Some(200), unseen), ("/2", None, unseen)];
    assert_eq!(lines, expected);
    let cut = it.events.iter().find(|event| event.status == Some(200)).unwrap();
    assert!(cut.incomplete && cut.headers.get("A") == Some("b") && cut.request_body() == Body::Empty);
    assert_eq!((it.totals.gaps, it.totals.lost.events()), (2, 3));
    assert_eq!(it.totals.lost.bytes(), 5300 + 4 + 1);
    assert_eq!(it.events.iter().filter_map(|event| event.events).sum::<u64>(), 3, "Lost lines say it");
}

#[test]
fn what_comes_after_a_gap_is_whole_again() {
    let mut it = Recording::start(&Redaction::with_key(None, [0; 32]), LIMITS, 1 << 20);
    let mut talk = Talk::new(client());
    let lines = &mut it.lines;
    talk.say(ASK.0, ASK.1, lines);
    talk.gap(Server, 5000, lines);
    talk.say(Client, b"GET /9 HTTP/1.1\r\n\r\n", lines);
    talk.say(Server, b"HTTP/1.1 204 No\r\n\r\n", lines);
    talk.end(Ending::Closed, lines);
    let it = it.finish();
    let answers = it.events.iter().filter(|event| event.kind == Kind::InboundResponse);
    let answers: Vec<_> =
        answers.map(|event| (event.path_and_query(), event.status, event.incomplete)).collect();
    assert_eq!(answers, [("/", None, true), ("/9", Some(204), false)]);
    assert_eq!((it.totals.gaps, it.totals.lost.events()), (1, 1));
}

#[test]
fn a_turn_that_begins_behind_a_gap_is_not_whole() {
    for direction in Direction::ALL {
        let mut it = Recording::start(&Redaction::with_key(None, [0; 32]), LIMITS, 1 << 20);
        let mut talk = Talk::new((direction, client().1));
        let lines = &mut it.lines;
        talk.say(Client, b"EHLO\r\n", lines);
        talk.gap(Server, 100, lines);
        talk.say(Server, b"the rest of it\r\n", lines);
        talk.say(Client, b"QUIT\r\n", lines);
        talk.say(Server, b"bye\r\n", lines);
        talk.end(Ending::Closed, lines);
        let it = it.finish();
        let cut: Vec<bool> =
            it.events.iter().filter(|event| event.kind != Kind::Lost).map(|event| event.incomplete).collect();
        let expected: &[bool] =
            if direction == Direction::Inbound { &[true, true, false, false] } else { &[true, false] };
        assert_eq!(cut, expected, "{:?}", it.events);
        assert_eq!(it.totals.lost.events(), 1);
    }
}

#[test]
fn without_room_each_request_is_counted_once_and_no_answer_stands_alone() {
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n".to_vec();
    answer.extend_from_slice(&[b'x'; 900]);
    let mut asked = b"PUT / HTTP/1.1\r\nContent-Length: 700\r\n\r\n".to_vec();
    asked.extend_from_slice(&[b'y'; 700]);
    for budget in [1_000, 4_000, 40_000, 100_000] {
        let mut said: Vec<(Sender, &[u8])> = Vec::new();
        for _ in 0..300 {
            said.extend([(Client, &asked[..]), (Server, &answer[..])]);
        }
        let it = heard_by(&said, Ending::Closed, LIMITS, budget);
        let of = |kind| it.events.iter().filter(move |event| event.kind == kind);
        let whole = of(Kind::InboundResponse).filter(|event| !event.incomplete).count() as u64;
        assert_eq!(whole + it.totals.lost.events(), 300, "{budget}");
        assert!(it.totals.lost.events() > 0);
        let asked: Vec<&str> = of(Kind::InboundRequest).map(|event| event.id.as_str()).collect();
        assert!(of(Kind::InboundResponse).all(|event| asked.contains(&event.trace_id.as_str())));
        for event in it.events.iter().filter(|event| event.kind != Kind::Lost) {
            let full = if event.kind == Kind::InboundRequest { 700 } else { 900 };
            assert_eq!(event.request_size().unwrap_or(0), if event.incomplete { 0 } else { full });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Wherever the bytes are cut, and however many requests a client sends ahead.
    #[test]
    fn each_request_and_its_answer_are_there_once(
        lengths in prop::collection::vec((0..300_usize, 0..3000_usize), 1..12),
        pieces in 1..2000_usize,
        ahead in 1..4_usize,
    ) {
        let mut said: Vec<(Sender, Vec<u8>)> = Vec::new();
        for (batch, some) in lengths.chunks(ahead).enumerate() {
            let (mut asked, mut answered) = (Vec::new(), Vec::new());
            for (at, (request, response)) in some.iter().enumerate() {
                let number = batch * ahead + at;
                asked.extend(format!("PUT /{number} HTTP/1.1\r\nContent-Length: {request}\r\n\r\n").bytes());
                asked.resize(asked.len() + request, b'q');
                answered.extend(format!("HTTP/1.1 200 OK\r\nContent-Length: {response}\r\n\r\n").bytes());
                answered.resize(answered.len() + response, b'a');
            }
            said.extend(asked.chunks(pieces).map(|piece| (Client, piece.to_vec())));
            said.extend(answered.chunks(pieces).map(|piece| (Server, piece.to_vec())));
        }
        let said: Vec<(Sender, &[u8])> = said.iter().map(|(from, bytes)| (*from, &bytes[..])).collect();
        let it = heard_by(&said, Ending::Closed, LIMITS, 8 << 20);
        prop_assert_eq!(it.events.len(), 2 * lengths.len());
        let numbers = |kind: Kind| -> Vec<usize> {
            let of = it.events.iter().filter(|event| event.kind == kind);
            of.map(|event| event.path_and_query()[1..].parse().unwrap()).collect()
        };
        let expected: Vec<usize> = (0..lengths.len()).collect();
        prop_assert_eq!(numbers(Kind::InboundRequest), expected.clone());
        prop_assert_eq!(numbers(Kind::InboundResponse), expected);
        for (at, event) in it.events.iter().enumerate() {
            let (request, response) = lengths[event.path_and_query()[1..].parse::<usize>().unwrap()];
            let length = if event.kind == Kind::InboundRequest { request } else { response };
            prop_assert_eq!(event.request_size().unwrap_or(0), length as u64);
            prop_assert!(!event.incomplete);
            let before = it.events[..at].iter().any(|earlier| earlier.id == event.trace_id);
            prop_assert_eq!(before, event.kind == Kind::InboundResponse);
        }
    }
}
