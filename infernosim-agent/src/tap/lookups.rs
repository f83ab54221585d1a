//! Questions to resolvers and their answers.

mod open;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use self::open::{Open, OpenQuestions};
use crate::clock::Nanos;
use crate::incident::{Lookup, Peer, Sent, Transport};
use crate::protocol::{DnsMessage, DnsPiece, DnsStream, Sender};

/// A question that has waited for so long is given up, in ns: glibc asks again after 5 s (resolv.conf(5)).
const PATIENCE_NS: u64 = 10_000_000_000;
/// TCP connections that are read at a time. Each may hold 128 KiB.
const MAX_STREAMS: usize = 256;

/// What is said of a question without an answer.
const UNANSWERED: &str = "no answer";
/// What is said of an answer that nobody waits for: late, repeated or forged.
const UNASKED: &str = "answer to no question";
/// What is said of what is no DNS message.
const UNREADABLE: &str = "the message cannot be read";
const UNSEEN: &str = "part of this exchange was not seen";
const ENDED: &str = "the capture ended before the exchange did";

/// Pairs questions to resolvers with their answers.
///
/// To be called with everything that the target's sockets send to and receive from port 53 of others, in the order
/// in which it was seen. What comes of it goes to `tell`, each lookup once: `names.learn(&lookup)`, then
/// `lines.dns(&lookup)`.
///
/// ```text
/// UDP            datagram(&seen, tell)
/// TCP            stream(&seen, tell) for bytes in order, gap(&seen, count, tell), closed(at, cookie, tell)
/// packets lost   missed(at)
/// every 50 ms    tick(now, tell)
/// the end        end(now, tell)
/// ```
#[derive(Debug, Default)]
pub struct Lookups {
    open: OpenQuestions,
    /// By the socket's cookie; `None` where there are too many to be read.
    streams: BTreeMap<u64, Option<Streams>>,
    /// Connections of which questions were not seen.
    missed_questions: BTreeSet<u64>,
    /// Until when answers without a question may be answers to questions that we missed.
    doubtful_until: Nanos,
    unread: u64,
}

/// Bytes on their way between the target and a resolver.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// When.
    pub at: Nanos,
    /// The socket's cookie: questions and answers of one socket belong together.
    pub cookie: u64,
    /// The target's end, the resolver, and the process where it is known.
    pub peer: &'a Peer,
    /// The target is the client.
    pub from: Sender,
    /// A datagram's content, or bytes of a stream in order.
    pub bytes: &'a [u8],
    /// Of a datagram: bytes behind these that could not be copied. Of a stream 0: it has gaps.
    pub unseen: u64,
}

/// Both directions of a TCP connection.
#[derive(Debug, Default)]
struct Streams {
    client: DnsStream,
    server: DnsStream,
}

impl Lookups {
    /// Takes in a datagram's content.
    pub fn datagram(&mut self, seen: &Seen<'_>, tell: &mut impl FnMut(Lookup)) {
        self.message(seen, Transport::Udp, tell);
    }

    /// Takes in bytes of a TCP connection, those of each direction in order.
    pub fn stream(&mut self, seen: &Seen<'_>, tell: &mut impl FnMut(Lookup)) {
        self.with_stream(seen, tell, |stream, emit| stream.feed(seen.bytes, &mut |piece| emit(piece)));
    }

    /// Takes in that the next `count` bytes of that connection, from `seen.from`, were not seen. `seen.bytes` is not
    /// looked at.
    pub fn gap(&mut self, seen: &Seen<'_>, count: u64, tell: &mut impl FnMut(Lookup)) {
        self.with_stream(seen, tell, |stream, emit| stream.gap(count, &mut |piece| emit(piece)));
    }

    /// The TCP connection has ended: what is open on it will not be answered.
    pub fn closed(&mut self, at: Nanos, cookie: u64, tell: &mut impl FnMut(Lookup)) {
        self.streams.remove(&cookie);
        self.missed_questions.remove(&cookie);
        while let Some(open) = self.open.take_any(cookie) {
            tell(open.given_up(at, UNANSWERED));
        }
    }

    /// Packets were lost between the kernel and us: questions may have been answered without our seeing it, and
    /// answers may be to questions that we did not see. That is not to be taken for silence.
    pub fn missed(&mut self, at: Nanos) {
        self.open.doubt(None);
        self.doubtful_until = Nanos(at.0.saturating_add(PATIENCE_NS));
    }

    /// Tells of the questions that have waited for 10 s.
    pub fn tick(&mut self, now: Nanos, tell: &mut impl FnMut(Lookup)) {
        while let Some(open) = self.open.take_oldest(|at| now.since(at) >= PATIENCE_NS) {
            tell(open.given_up(now, UNANSWERED));
        }
    }

    /// Tells of all that are still open.
    pub fn end(&mut self, now: Nanos, tell: &mut impl FnMut(Lookup)) {
        while let Some(open) = self.open.take_oldest(|_| true) {
            let mut lookup = open.given_up(now, ENDED);
            lookup.incomplete = true;
            tell(lookup);
        }
        self.streams.clear();
    }

    /// Messages that were seen in part only, and TCP connections that could not be read on, since the last call: each
    /// may be a lookup that nothing tells of.
    pub fn take_unread(&mut self) -> u64 {
        std::mem::take(&mut self.unread)
    }

    fn with_stream(
        &mut self,
        seen: &Seen<'_>,
        tell: &mut impl FnMut(Lookup),
        act: impl FnOnce(&mut DnsStream, &mut dyn FnMut(DnsPiece<'_>)),
    ) {
        let reading = self.streams.values().flatten().count();
        let unread = &mut self.unread;
        let entry = self.streams.entry(seen.cookie).or_insert_with(|| {
            let room = reading < MAX_STREAMS;
            *unread += u64::from(!room);
            room.then(Streams::default)
        });
        // Taken out while it is used: a message changes what is open.
        let Some(mut streams) = entry.take() else { return };
        let stream = if seen.from == Sender::Client { &mut streams.client } else { &mut streams.server };
        let mut missed = false;
        act(stream, &mut |piece| match piece {
            DnsPiece::Message(bytes) => {
                self.message(&Seen { bytes, unseen: 0, ..*seen }, Transport::Tcp, tell)
            }
            DnsPiece::Damaged | DnsPiece::Lost => {
                missed = true;
                self.unread += 1;
                self.open.doubt(Some(seen.cookie));
            }
        });
        if missed && seen.from == Sender::Client {
            self.missed_questions.insert(seen.cookie);
        }
        self.streams.insert(seen.cookie, Some(streams));
    }

    fn message(&mut self, seen: &Seen<'_>, transport: Transport, tell: &mut impl FnMut(Lookup)) {
        let sent = Sent {
            bytes: seen.bytes.to_vec(),
            message: DnsMessage::parse(seen.bytes).ok(),
            unseen: seen.unseen,
        };
        // A server's own traffic, should the target be one: no lookups.
        if sent.is_response().is_some_and(|response| response == (seen.from == Sender::Client)) {
            return;
        }
        if seen.from == Sender::Server {
            return tell(self.answer(seen, transport, sent));
        }
        if sent.message.is_none() {
            return tell(Open::new(seen, transport, sent).given_up(seen.at, UNREADABLE));
        }
        let open = Open::new(seen, transport, sent);
        if let Some(earlier) = self.open.take_equal(&open) {
            tell(earlier.given_up(seen.at, UNANSWERED));
        }
        self.open.insert(open);
        while let Some(oldest) = self.open.take_surplus() {
            tell(oldest.given_up(seen.at, UNANSWERED));
        }
    }

    fn answer(&mut self, seen: &Seen<'_>, transport: Transport, sent: Sent) -> Lookup {
        let unreadable = sent.message.is_none();
        let broken = sent.message.as_ref().is_none_or(|message| message.broken) && seen.unseen == 0;
        if let Some(open) = self.open.take_answered(seen, &sent) {
            return open.answered(seen.at, sent, broken.then_some(UNREADABLE));
        }
        let doubtful = self.missed_questions.contains(&seen.cookie) || seen.at <= self.doubtful_until;
        let error = match (unreadable, doubtful) {
            (true, _) => UNREADABLE,
            (false, true) => UNSEEN,
            (false, false) => UNASKED,
        };
        Lookup {
            at: seen.at,
            duration: 0,
            peer: seen.peer.clone(),
            transport,
            question: None,
            incomplete: doubtful || seen.unseen > 0,
            answer: Some(sent),
            error: Some(error),
        }
    }
}
