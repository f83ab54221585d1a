//! Bytes in, events out: through the codecs, the exchanges, the writer and back through the reader.

use std::path::PathBuf;
use std::sync::Arc;

use nix::errno::Errno;
use nix::unistd::{Gid, Uid};
use proptest::prelude::*;

use super::*;
use crate::incident::event::{Body, Event, Kind};
use crate::incident::reader::Incident;
use crate::incident::redact::Redaction;
use crate::incident::{Budget, Limits, Ownership, Process, Shelf, Writer, Written, WrittenLog};
use crate::protocol::Conversation;
use crate::seed::Ids;

const LIMITS: Limits = Limits { inline_body: 1000, max_body: u64::MAX };

struct Recorded {
    _directory: tempfile::TempDir,
    path: PathBuf,
    events: Vec<Event>,
    totals: crate::incident::Totals,
}

impl Recorded {
    fn response(&self, index: usize) -> Vec<u8> {
        match self.events[index].response_body() {
            Body::Empty | Body::Dropped { .. } => Vec::new(),
            Body::Text(text) => text.as_bytes().to_vec(),
            Body::Base64(bytes) => bytes.to_vec(),
            Body::File { sha256, .. } => std::fs::read(self.path.join("bodies").join(sha256)).unwrap(),
        }
    }
}

fn peer() -> Peer {
    Peer {
        connection: 1,
        local: None,
        peer: Some("10.0.0.7:80".parse().unwrap()),
        process: Some(Process { pid: 7, tid: 8, own: None, comm: "te\"st".into() }),
        name: None,
    }
}

/// What is recorded of one connection on which these bytes are said, each a millisecond and a half apart.
fn record(said: &[(Sender, &[u8])], ending: Ending, limits: Limits, budget: usize) -> Recorded {
    let none = Redaction::with_key(None, [0; 32]);
    record_by(&none, said, ending, limits, budget)
}

fn record_by(
    redaction: &Redaction,
    said: &[(Sender, &[u8])],
    ending: Ending,
    limits: Limits,
    budget: usize,
) -> Recorded {
    let recording = Recording::start(redaction, limits, budget);
    recording.of((Direction::Outbound, peer()), said, ending)
}

/// An incident that is written.
struct Recording {
    directory: tempfile::TempDir,
    lines: Lines,
    writer: Writer,
    path: PathBuf,
    budget: Arc<Budget>,
}

/// A connection and what is said on it.
struct Talk {
    conversation: Conversation,
    exchanges: Exchanges,
    at: Nanos,
}

impl Talk {
    fn new((direction, peer): (Direction, Peer)) -> Self {
        let exchanges = Exchanges::new(direction, peer, Nanos(0));
        Self { conversation: Conversation::new(), exchanges, at: Nanos(0) }
    }

    fn say(&mut self, from: Sender, bytes: &[u8], lines: &mut Lines) {
        self.at.0 += 1_500_000;
        let Self { conversation, exchanges, at } = self;
        conversation.feed(from, bytes, &mut |message| exchanges.message(*at, message, lines));
    }

    fn gap(&mut self, from: Sender, bytes: u64, lines: &mut Lines) {
        let Self { conversation, exchanges, at } = self;
        conversation.gap(from, bytes, &mut |message| exchanges.message(*at, message, lines));
    }

    fn end(mut self, ending: Ending, lines: &mut Lines) {
        if ending.is_orderly() {
            let Self { conversation, exchanges, at } = &mut self;
            for from in [Sender::Client, Sender::Server] {
                conversation.fin(from, &mut |message| exchanges.message(*at, message, lines));
            }
        }
        self.exchanges.end(self.at, ending, lines);
    }
}

impl Recording {
    fn start(redaction: &Redaction, limits: Limits, budget: usize) -> Self {
        let budget = Arc::new(Budget::new(budget));
        let (directory, lines, writer, path) = start(redaction, limits, Arc::clone(&budget));
        Self { directory, lines, writer, path, budget }
    }

    /// All of one connection, and nothing else.
    fn of(mut self, of: (Direction, Peer), said: &[(Sender, &[u8])], ending: Ending) -> Recorded {
        let mut talk = Talk::new(of);
        for (from, bytes) in said {
            talk.say(*from, bytes, &mut self.lines);
        }
        talk.end(ending, &mut self.lines);
        self.finish()
    }

    fn finish(self) -> Recorded {
        let Self { directory, lines, writer, path, budget } = self;
        let totals = lines.finish();
        let (_, written) = writer.join().unwrap();
        check(&written, &path);
        assert_eq!(budget.held(), 0, "all memory is given back");
        let events = read(&path);
        Recorded { _directory: directory, path, events, totals }
    }
}

/// The logs are what the writer says of them.
fn check(written: &Written, path: &std::path::Path) {
    assert_eq!(written.error, None);
    for (direction, written) in written.logs.iter() {
        let log = std::fs::read(path.join(direction.log())).unwrap();
        let lines = log.iter().filter(|byte| **byte == b'\n').count() as u64;
        let sha256 = crate::incident::store::hex(&<sha2::Sha256 as sha2::Digest>::digest(&log));
        let expected = WrittenLog { lines, bytes: log.len() as u64, sha256, is_there: true };
        assert_eq!(*written, expected, "{direction:?}");
    }
}

fn start(
    redaction: &Redaction,
    limits: Limits,
    budget: Arc<Budget>,
) -> (tempfile::TempDir, Lines, Writer, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("incident");
    let owner = Ownership { uid: Uid::effective(), gid: Gid::effective() };
    let shelf = Shelf::create(&path, owner, false, None).unwrap();
    let (writer, outbox) = Writer::start(shelf, Arc::clone(&budget)).unwrap();
    (directory, Lines::new(outbox, budget, limits, redaction, Ids::from_key([1, 2]), Nanos(0)), writer, path)
}

fn read(path: &std::path::Path) -> Vec<Event> {
    let events = Incident::open(path).unwrap().events().unwrap();
    events.map(|record| record.unwrap().event).collect()
}

fn recorded(said: &[(Sender, &[u8])], ending: Ending) -> Recorded {
    record(said, ending, LIMITS, 1 << 20)
}

use Sender::{Client, Server};

#[test]
fn pipelined_requests_are_answered_in_order() {
    let it = recorded(
        &[
            (Client, b"GET /a HTTP/1.1\r\nHost: shop:80\r\nX: 1\r\nX: 2\r\n\r\nPOST /b HTTP/1.1\r\nHost: shop:80\r\nContent-Length: 2\r\n\r\nhi"),
            (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nA"),
            (Server, b"HTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\n\xff"),
        ],
        Ending::Closed,
    );
    let said: Vec<_> = it.events.iter().map(|e| (e.url.as_str(), e.status)).collect();
    assert_eq!(said, [("http://shop:80/a", Some(200)), ("http://shop:80/b", Some(404))]);
    assert_eq!(it.events[1].request_body(), Body::Text("hi"));
    assert_eq!((it.response(0), it.response(1)), (b"A".to_vec(), b"\xff".to_vec()));
    assert_eq!(it.events[0].service, "shop", "the default port is left out");
    assert_eq!(it.events.iter().map(|e| e.sequence).collect::<Vec<_>>(), [Some(1), Some(2)]);
    assert_eq!(it.events[0].comm, "te\"st");
    assert!(it.events.iter().all(|event| !event.incomplete));
}

#[test]
fn a_stream_keeps_its_times_from_the_start_of_the_exchange() {
    let mut said: Vec<(Sender, &[u8])> = vec![
        (Client, b"GET /s HTTP/1.1\r\n\r\n"),
        (Server, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ];
    said.extend([(Server, b"2\r\nab\r\n" as &[u8]); 3]);
    said.push((Server, b"0\r\nT: x\r\n\r\n"));
    let it = recorded(&said, Ending::Closed);
    assert_eq!(it.events[0].response_chunks, [(3_000_000, 2), (4_500_000, 2), (6_000_000, 2)]);
    assert_eq!(it.response(0), b"ababab");
    assert_eq!(it.events[0].duration, Some(7_500_000));
}

#[test]
fn what_is_cut_says_so_and_why() {
    let request: (Sender, &[u8]) = (Client, b"GET / HTTP/1.1\r\n\r\n");
    let half: (Sender, &[u8]) = (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    let it = recorded(&[request, half], Ending::Broke(Server, Errno::ECONNRESET));
    let event = &it.events[0];
    assert!(event.incomplete && event.errno.as_deref() == Some("ECONNRESET"));
    assert_eq!((event.status, it.response(0)), (Some(200), b"half".to_vec()));
    let it = recorded(&[request], Ending::Abandoned);
    assert!(it.events[0].incomplete && it.events[0].error.as_deref().unwrap().contains("capture ended"));
    assert_eq!(it.totals.dependencies["10.0.0.7"].failed, 1);
}

#[test]
fn a_connection_without_a_word_is_an_event_of_its_own() {
    let it = recorded(&[], Ending::DialFailed(Errno::EHOSTUNREACH));
    assert_eq!(it.events[0].kind, Kind::Connection);
    assert_eq!(it.events[0].errno.as_deref(), Some("EHOSTUNREACH"));
    let it = recorded(&[], Ending::Closed);
    assert_eq!((it.events.len(), it.events[0].errno.as_deref()), (1, None));
}

#[test]
fn other_protocols_are_turns_and_tls_is_counted_only() {
    let it = recorded(
        &[
            (Server, b"220 hello\r\n"),
            (Client, b"EHLO"),
            (Client, b" me\r\n"),
            (Server, b"250\r\n"),
            (Client, b"QUIT\r\n"),
        ],
        Ending::Closed,
    );
    let turns: Vec<_> = (0..3).map(|i| (it.events[i].request_body(), it.response(i))).collect();
    let expected = [
        (Body::Empty, b"220 hello\r\n".to_vec()),
        (Body::Text("EHLO me\r\n"), b"250\r\n".to_vec()),
        (Body::Text("QUIT\r\n"), Vec::new()),
    ];
    assert_eq!(turns, expected);
    assert_eq!(it.events[0].url, "tcp://10.0.0.7:80");
    assert_eq!(it.events.len(), 3);
}

#[test]
fn long_bodies_are_files_and_equal_ones_are_one() {
    let body = vec![b'x'; 3 << 20];
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(&body);
    let request: (Sender, &[u8]) = (Client, b"GET / HTTP/1.1\r\n\r\n");
    let it =
        record(&[request, (Server, &answer), request, (Server, &answer)], Ending::Closed, LIMITS, 8 << 20);
    assert_eq!((it.response(0), it.response(1)), (body.clone(), body));
    assert_eq!(std::fs::read_dir(it.path.join("bodies")).unwrap().count(), 1);
}

#[test]
fn over_budget_events_are_dropped_whole_and_every_one_is_counted() {
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n".to_vec();
    answer.extend_from_slice(&[b'x'; 900]);
    let mut said: Vec<(Sender, &[u8])> = Vec::new();
    for _ in 0..500 {
        said.push((Client, b"GET / HTTP/1.1\r\n\r\n"));
        said.push((Server, &answer));
    }
    let it = record(&said, Ending::Closed, LIMITS, 40_000);
    let calls = it.events.iter().filter(|event| event.kind == Kind::OutboundCall).count() as u64;
    assert!(it.totals.lost.events() > 0 && calls > 0);
    assert_eq!(calls + it.totals.lost.events(), 500);
    assert!(
        (0..calls as usize).all(|i| it.events[i].kind != Kind::OutboundCall || it.response(i).len() == 900)
    );
}

#[test]
fn a_gap_loses_what_was_under_way_and_says_how_much_went_by() {
    let (_directory, mut lines, writer, path) =
        start(&Redaction::with_key(None, [0; 32]), LIMITS, Arc::new(Budget::new(1 << 20)));
    let mut conversation = Conversation::new();
    let mut exchanges = Exchanges::new(Direction::Outbound, peer(), Nanos(0));
    let mut emit = |message: Message<'_>| exchanges.message(Nanos(1), message, &mut lines);
    conversation.feed(Client, b"GET /1 HTTP/1.1\r\n\r\n", &mut emit);
    conversation.gap(Server, 5000, &mut emit);
    conversation.gap(Client, 300, &mut emit);
    conversation.feed(Client, b"GET /9 HTTP/1.1\r\n\r\n", &mut emit);
    conversation.feed(Server, b"HTTP/1.1 204 No\r\n\r\n", &mut emit);
    exchanges.end(Nanos(2), Ending::Closed, &mut lines);
    let totals = lines.finish();
    writer.join().unwrap();
    assert_eq!((totals.gaps, totals.lost.events(), totals.lost.bytes()), (2, 1, 5300));
    let events = read(&path);
    let calls: Vec<_> = events.iter().filter(|event| event.kind == Kind::OutboundCall).collect();
    assert_eq!(calls.iter().map(|event| event.url.as_str()).collect::<Vec<_>>(), ["http://10.0.0.7:80/9"]);
    assert_eq!(events.iter().filter_map(|event| event.events).sum::<u64>(), 1, "a Lost line says it");
}

#[test]
fn a_cut_body_is_marked() {
    let request: (Sender, &[u8]) = (Client, b"GET / HTTP/1.1\r\n\r\n");
    let answer: (Sender, &[u8]) = (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789");
    let it = record(
        &[request, answer, request, answer],
        Ending::Closed,
        Limits { max_body: 4, ..LIMITS },
        1 << 20,
    );
    for index in 0..2 {
        assert_eq!(it.response(index), b"0123");
        assert!(it.events[index].response_body_truncated);
        assert_eq!(it.events[index].response_body_size, Some(10));
    }
}

#[test]
fn text_that_is_cut_within_a_character_stays_text() {
    let request: (Sender, &[u8]) = (Client, b"GET / HTTP/1.1\r\n\r\n");
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab\u{1f980}cde".as_bytes();
    for (max_body, kept) in [(2, "ab"), (3, "ab"), (5, "ab"), (6, "ab\u{1f980}"), (8, "ab\u{1f980}cd")] {
        // The second comes in pieces, and begins as one that was recorded.
        let mut said = vec![request, (Server, answer), request];
        said.extend(answer.chunks(1).map(|byte| (Server, byte)));
        let it = record(&said, Ending::Closed, Limits { max_body, ..LIMITS }, 1 << 20);
        for event in &it.events {
            assert_eq!(event.response_body(), Body::Text(kept), "{max_body}");
            assert!(event.response_body_truncated);
            assert_eq!(event.response_body_size, Some(9));
        }
    }
    // Bytes that are no text are kept as they are.
    let bytes: (Sender, &[u8]) = (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\xff\xf0\x9f\xa6");
    let it = record(&[request, bytes], Ending::Closed, Limits { max_body: 3, ..LIMITS }, 1 << 20);
    assert_eq!(it.response(0), b"\xff\xf0\x9f");
    let it = record(&[request, bytes], Ending::Closed, Limits { max_body: 0, ..LIMITS }, 1 << 20);
    assert!(
        matches!(it.events[0].response_body(), Body::Dropped { .. }),
        "{:?}",
        it.events[0].response_body()
    );
}

#[test]
fn a_long_body_is_cut_in_its_file() {
    let body: Vec<u8> = (0..3 << 20).map(|at: u32| (at / 251 % 251) as u8).collect();
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(&body);
    // Held in memory, and longer than that.
    for max_body in [500_000, 2_000_001] {
        let mut said: Vec<(Sender, &[u8])> = vec![(Client, b"GET / HTTP/1.1\r\n\r\n")];
        said.extend(answer.chunks(70_000).map(|piece| (Server, piece)));
        let it = record(&said, Ending::Closed, Limits { max_body, ..LIMITS }, 8 << 20);
        assert!(it.response(0) == body[..max_body as usize], "{max_body}");
        assert!(it.events[0].response_body_truncated);
        assert_eq!(it.events[0].response_body_size, Some(3 << 20));
        assert_eq!(std::fs::read_dir(it.path.join("bodies")).unwrap().count(), 1);
    }
}

/// The body was like one that is known, until it was not; then there was no room to hold it.
#[test]
fn a_body_that_cannot_be_held_in_the_end_is_lost_whole() {
    let answer = |length: usize| {
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
        answer.resize(answer.len() + length, b'x');
        answer
    };
    let (long, shorter) = (answer(900), answer(800));
    let request: (Sender, &[u8]) = (Client, b"GET / HTTP/1.1\r\n\r\n");
    let mut said = vec![request, (Server, long.as_slice())];
    for _ in 0..30 {
        said.extend([request, (Server, shorter.as_slice()), request, (Server, long.as_slice())]);
    }
    let it = record(&said, Ending::Closed, LIMITS, 6_000);
    assert!(it.totals.lost.events() > 0);
    for index in (0..it.events.len()).filter(|index| it.events[*index].kind == Kind::OutboundCall) {
        assert_eq!(it.response(index).len() as u64, it.events[index].response_body_size.unwrap());
    }
}

mod endings;
mod inbound;
mod names;
mod property;
mod redaction;
mod tunnel;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Bodies that share beginnings, repeat, grow and shrink: each is read back as it was sent.
    #[test]
    fn every_body_reads_back(
        bodies in prop::collection::vec((0..4_usize, 0..6000_usize, any::<bool>()), 1..12),
        pieces in 1..2000_usize,
    ) {
        let bytes = |&(kind, length, marked): &(usize, usize, bool)| {
            let mut body: Vec<u8> = (0..length).map(|i| [b'a', b'"', 0xe9, (i % 251) as u8][kind]).collect();
            if let (true, Some(last)) = (marked, body.last_mut()) {
                *last = b'!';
            }
            body
        };
        let sent: Vec<Vec<u8>> = bodies.iter().map(bytes).collect();
        let mut said: Vec<(Sender, Vec<u8>)> = Vec::new();
        for body in &sent {
            said.push((Client, b"GET / HTTP/1.1\r\n\r\n".to_vec()));
            let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
            answer.extend_from_slice(body);
            said.extend(answer.chunks(pieces).map(|piece| (Server, piece.to_vec())));
        }
        let said: Vec<(Sender, &[u8])> = said.iter().map(|(from, bytes)| (*from, bytes.as_slice())).collect();
        let it = record(&said, Ending::Closed, LIMITS, 8 << 20);
        prop_assert_eq!(it.totals.lost.events(), 0);
        let read: Vec<Vec<u8>> = (0..it.events.len()).map(|index| it.response(index)).collect();
        prop_assert_eq!(read, sent);
    }
}
