use std::net::SocketAddr;

use super::*;
use crate::incident::Process;
use crate::protocol::dns_sample::{A, AAAA, ANSWERED, Sample, answer, question};

const SERVER: &str = "10.0.0.2:53";
const MS: u64 = 1_000_000;

/// A tap, and what it has told of.
#[derive(Default)]
struct Tap {
    lookups: Lookups,
    told: Vec<Lookup>,
    now: u64,
}

fn peer(server: &str) -> Peer {
    Peer {
        connection: 0,
        local: Some(SocketAddr::from(([10, 0, 0, 1], 40_000))),
        peer: Some(server.parse().unwrap()),
        process: Some(Process { pid: 7, tid: 7, own: None, comm: "app".into() }),
        name: None,
    }
}

impl Tap {
    /// A message a millisecond after the last one; positive cookies are UDP sockets, negative TCP.
    fn says(&mut self, cookie: i64, from: Sender, server: &str, bytes: &[u8]) {
        self.now += MS;
        let (at, peer) = (Nanos(self.now), peer(server));
        let seen = Seen { at, cookie: cookie.unsigned_abs(), peer: &peer, from, bytes, unseen: 0 };
        let mut tell = |lookup| self.told.push(lookup);
        match cookie {
            1.. => self.lookups.datagram(&seen, &mut tell),
            _ => self.lookups.stream(&seen, &mut tell),
        }
    }

    fn asks(&mut self, cookie: i64, bytes: &[u8]) {
        self.says(cookie, Sender::Client, SERVER, bytes);
    }

    fn answers(&mut self, cookie: i64, bytes: &[u8]) {
        self.says(cookie, Sender::Server, SERVER, bytes);
    }

    fn gap(&mut self, cookie: u64, from: Sender, count: u64) {
        let (at, peer) = (Nanos(self.now), peer(SERVER));
        let seen = Seen { at, cookie, peer: &peer, from, bytes: &[], unseen: 0 };
        self.lookups.gap(&seen, count, &mut |lookup| self.told.push(lookup));
    }

    fn wait(&mut self, ms: u64) {
        self.now += ms * MS;
        self.lookups.tick(Nanos(self.now), &mut |lookup| self.told.push(lookup));
    }

    fn close(&mut self, cookie: u64) {
        self.lookups.closed(Nanos(self.now), cookie, &mut |lookup| self.told.push(lookup));
    }

    /// Everything that was told: id of the question, id of the answer, the error.
    fn end(mut self) -> Vec<(Option<u16>, Option<u16>, Option<&'static str>)> {
        self.lookups.end(Nanos(self.now), &mut |lookup| self.told.push(lookup));
        let id = |sent: &Option<Sent>| sent.as_ref().and_then(Sent::id);
        self.told.iter().map(|it| (id(&it.question), id(&it.answer), it.error)).collect()
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

fn answer6(id: u16) -> Vec<u8> {
    Sample { id, flags: ANSWERED, question: Some(("shop.test", AAAA)), ..Sample::default() }.bytes()
}

#[test]
fn an_answer_finds_its_question() {
    let mut tap = Tap::default();
    let (asked, said) = (question(1, "shop.test", A), answer(1, "shop.test", &[[10, 0, 0, 7]]));
    tap.asks(5, &asked);
    tap.answers(5, &said);
    let [lookup] = &tap.told[..] else { panic!("{:?}", tap.told) };
    assert_eq!((lookup.at, lookup.duration, lookup.transport), (Nanos(MS), MS, Transport::Udp));
    assert_eq!(lookup.question.as_ref().unwrap().bytes, asked);
    assert_eq!(lookup.answer.as_ref().unwrap().bytes, said);
    assert!(lookup.error.is_none() && !lookup.incomplete && lookup.peer.process.as_ref().unwrap().pid == 7);
    assert_eq!(tap.end().len(), 1, "told once");
}

#[test]
fn several_questions_of_one_socket_are_told_apart() {
    let mut tap = Tap::default();
    tap.asks(5, &question(1, "shop.test", A));
    tap.asks(5, &question(2, "shop.test", AAAA));
    tap.answers(5, &answer6(2));
    tap.answers(5, &answer(1, "shop.test", &[]));
    assert_eq!(tap.end(), [(Some(2), Some(2), None), (Some(1), Some(1), None)]);
}

#[test]
fn a_question_asked_again_was_not_answered_before() {
    let mut tap = Tap::default();
    tap.asks(5, &question(1, "shop.test", A));
    // Another name, another socket, another id, another server: other questions.
    tap.asks(5, &question(1, "cart.test", A));
    tap.asks(6, &question(1, "shop.test", A));
    tap.asks(5, &question(2, "shop.test", A));
    tap.says(5, Sender::Client, "10.0.0.3:53", &question(1, "shop.test", A));
    assert!(tap.told.is_empty());
    tap.asks(5, &question(1, "SHOP.test", A));
    let [first] = &tap.told[..] else { panic!("{:?}", tap.told) };
    assert_eq!((first.at, first.duration, first.error), (Nanos(MS), 5 * MS, Some("no answer")));
    tap.answers(5, &answer(1, "shop.test", &[]));
    assert_eq!((tap.told[1].at, tap.told[1].error), (Nanos(6 * MS), None), "the newest gets it");
    // The answer to the first one comes late.
    tap.answers(5, &answer(1, "shop.test", &[]));
    assert_eq!(tap.told[2].error, Some("answer to no question"));
}

#[test]
fn what_nobody_answers_is_told_after_ten_seconds() {
    let mut tap = Tap::default();
    tap.asks(5, &question(1, "shop.test", A));
    tap.wait(9_999);
    assert!(tap.told.is_empty());
    tap.wait(1);
    assert_eq!((tap.told[0].error, tap.told[0].duration), (Some("no answer"), 10_000 * MS));
    assert!(!tap.told[0].incomplete, "we saw all there was");
    tap.asks(5, &question(2, "shop.test", A));
    let ended = (Some(2), None, Some("the capture ended before the exchange did"));
    assert_eq!(tap.end(), [(Some(1), None, Some("no answer")), ended]);
}

#[test]
fn what_does_not_match_is_no_answer() {
    let mut tap = Tap::default();
    tap.asks(5, &question(1, "shop.test", A));
    tap.answers(5, &answer(2, "shop.test", &[]));
    tap.answers(5, &answer(1, "cart.test", &[]));
    tap.answers(5, &answer6(1));
    tap.answers(6, &answer(1, "shop.test", &[]));
    tap.says(5, Sender::Server, "10.0.0.9:53", &answer(1, "shop.test", &[]));
    // Only an error may leave the question out.
    tap.answers(5, &Sample { id: 1, flags: ANSWERED, ..Sample::default() }.bytes());
    assert_eq!(tap.told.len(), 6);
    assert!(tap.told.iter().all(|it| it.question.is_none() && it.error == Some("answer to no question")));
    tap.answers(5, &Sample { id: 1, flags: ANSWERED | 1, ..Sample::default() }.bytes());
    assert_eq!((tap.told[6].question.is_some(), tap.told[6].error), (true, None));
}

#[test]
fn what_cannot_be_read_is_kept_as_it_was() {
    let mut tap = Tap::default();
    tap.asks(5, b"\x00\x01");
    tap.asks(5, &question(1, "shop.test", A));
    tap.answers(5, b"\x00\x01\x81\x80\x00\x01");
    tap.asks(5, &question(2, "shop.test", A));
    let whole = answer(2, "shop.test", &[[10, 0, 0, 7]]);
    tap.answers(5, &whole[..whole.len() - 2]);
    tap.answers(5, b"");
    let unreadable = Some("the message cannot be read");
    assert_eq!(
        tap.end(),
        [
            (Some(1), None, unreadable),
            (Some(1), Some(1), unreadable),
            (Some(2), Some(2), unreadable),
            (None, None, unreadable)
        ]
    );
}

#[test]
fn a_cut_copy_is_incomplete_and_no_error_of_the_server() {
    let mut tap = Tap::default();
    tap.asks(5, &question(1, "shop.test", A));
    let whole = answer(1, "shop.test", &[[10, 0, 0, 7]]);
    let peer = peer(SERVER);
    let seen = Seen {
        at: Nanos(2 * MS),
        cookie: 5,
        peer: &peer,
        from: Sender::Server,
        bytes: &whole[..whole.len() - 4],
        unseen: 4,
    };
    tap.lookups.datagram(&seen, &mut |lookup| tap.told.push(lookup));
    assert!(tap.told[0].incomplete && tap.told[0].error.is_none());
}

#[test]
fn traffic_of_a_target_that_is_a_server_is_none_of_ours() {
    let mut tap = Tap::default();
    tap.answers(5, &question(1, "shop.test", A));
    tap.asks(5, &answer(1, "shop.test", &[]));
    assert_eq!(tap.end(), []);
}

#[test]
fn tcp_carries_several_in_any_order_and_its_end_ends_them() {
    let mut tap = Tap::default();
    let both = [framed(&question(1, "shop.test", A)), framed(&question(2, "shop.test", AAAA))].concat();
    tap.asks(-5, &both[..20]);
    tap.asks(-5, &both[20..]);
    tap.answers(-5, &framed(&answer6(2)));
    assert_eq!((tap.told.len(), tap.told[0].transport), (1, Transport::Tcp));
    assert_eq!(tap.told[0].at, Nanos(2 * MS), "when it was whole");
    tap.close(5);
    assert_eq!(tap.end(), [(Some(2), Some(2), None), (Some(1), None, Some("no answer"))]);
}

#[test]
fn what_was_missed_is_not_taken_for_silence() {
    let unseen = Some("part of this exchange was not seen");
    // An answer: within it, and over its end.
    for gap in [5, 500] {
        let mut tap = Tap::default();
        tap.asks(-5, &framed(&question(1, "shop.test", A)));
        let said = framed(&answer(1, "shop.test", &[[10, 0, 0, 7]]));
        tap.answers(-5, &said[..10]);
        tap.gap(5, Sender::Server, gap);
        tap.answers(-5, &said[15..]);
        assert_eq!(tap.lookups.take_unread(), 1);
        tap.close(5);
        assert!(tap.told[0].incomplete);
        assert_eq!(tap.told[0].error, unseen, "{gap}");
    }
    // A question.
    let mut tap = Tap::default();
    tap.gap(5, Sender::Client, 31);
    tap.answers(-5, &framed(&answer(1, "shop.test", &[])));
    assert_eq!(tap.end(), [(None, Some(1), unseen)]);
    // Whole packets.
    let mut tap = Tap::default();
    tap.asks(5, &question(1, "shop.test", A));
    tap.lookups.missed(Nanos(tap.now));
    tap.answers(6, &answer(2, "shop.test", &[]));
    tap.wait(10_000);
    tap.answers(6, &answer(3, "shop.test", &[]));
    tap.asks(5, &question(4, "shop.test", A));
    tap.wait(10_000);
    let (unasked, silent) = (Some("answer to no question"), Some("no answer"));
    let expected =
        [(None, Some(2), unseen), (Some(1), None, unseen), (None, Some(3), unasked), (Some(4), None, silent)];
    assert_eq!(tap.end(), expected);
}

#[test]
fn memory_is_bounded() {
    let mut tap = Tap::default();
    for number in 0..5_000_u32 {
        tap.asks(i64::from(number) + 1, &question(number as u16, "shop.test", A));
    }
    assert_eq!(tap.told.len(), 5_000 - 4_096);
    let ids: Vec<u16> = tap.told.iter().filter_map(|it| it.question.as_ref()?.id()).collect();
    assert!(ids.iter().copied().eq(0..904), "the oldest go first");
    // Large ones: 4 MiB.
    let mut tap = Tap::default();
    let large = [question(1, "shop.test", A), vec![0; 60_000]].concat();
    (1..=200).for_each(|cookie| tap.asks(cookie, &large));
    assert!((125..140).contains(&tap.told.len()), "{}", tap.told.len());
    // Connections that never say a whole message.
    let mut tap = Tap::default();
    (1..=300).for_each(|cookie| tap.asks(-cookie, &[0xff, 0xff, 1]));
    assert_eq!((tap.lookups.take_unread(), tap.lookups.take_unread()), (44, 0));
    tap.asks(-300, &[0; 10]);
    (1..=300).for_each(|cookie| tap.close(cookie));
    assert!(tap.lookups.streams.is_empty());
    assert_eq!(tap.end(), []);
}
