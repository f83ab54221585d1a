use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::{Seen, UNSEEN};
use crate::clock::Nanos;
use crate::incident::{Lookup, Peer, Sent, Transport};
use crate::protocol::Question;

/// Questions that may be open at a time,
const MAX_OPEN: usize = 4_096;
/// and the bytes of their messages.
const MAX_BYTES: usize = 4 << 20;

/// A question that waits for its answer.
#[derive(Debug)]
pub(super) struct Open {
    at: Nanos,
    cookie: u64,
    peer: Peer,
    transport: Transport,
    question: Sent,
    /// It may have been answered without our seeing it.
    doubtful: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct OpenQuestions {
    /// Oldest first.
    by_number: BTreeMap<u64, Open>,
    /// Socket, resolver, id, and the number: one socket may ask several resolvers the same with the same id (musl).
    by_key: BTreeSet<(u64, Option<SocketAddr>, u16, u64)>,
    number: u64,
    bytes: usize,
}

impl Open {
    pub(super) fn new(seen: &Seen<'_>, transport: Transport, question: Sent) -> Self {
        let (at, cookie, peer) = (seen.at, seen.cookie, seen.peer.clone());
        Self { at, cookie, peer, transport, question, doubtful: false }
    }

    pub(super) fn answered(self, at: Nanos, answer: Sent, error: Option<&'static str>) -> Lookup {
        Lookup {
            at: self.at,
            duration: at.since(self.at),
            peer: self.peer,
            transport: self.transport,
            incomplete: self.question.unseen > 0 || answer.unseen > 0,
            question: Some(self.question),
            answer: Some(answer),
            error,
        }
    }

    pub(super) fn given_up(self, at: Nanos, error: &'static str) -> Lookup {
        Lookup {
            at: self.at,
            duration: at.since(self.at),
            peer: self.peer,
            transport: self.transport,
            incomplete: self.doubtful || self.question.unseen > 0,
            question: Some(self.question),
            answer: None,
            error: Some(if self.doubtful { UNSEEN } else { error }),
        }
    }

    fn asks(&self) -> Option<&Question> {
        self.question.message.as_ref()?.question.as_ref()
    }

    fn key(&self, number: u64) -> (u64, Option<SocketAddr>, u16, u64) {
        (self.cookie, self.peer.peer, self.question.id().unwrap_or(0), number)
    }
}

impl OpenQuestions {
    pub(super) fn insert(&mut self, open: Open) {
        self.number += 1;
        self.bytes += open.question.bytes.len();
        self.by_key.insert(open.key(self.number));
        self.by_number.insert(self.number, open);
    }

    /// The one that asks the same from the same socket with the same id.
    pub(super) fn take_equal(&mut self, new: &Open) -> Option<Open> {
        let id = new.question.id()?;
        self.take_like(new.cookie, new.peer.peer, id, |open| open.asks() == new.asks())
    }

    /// The one that this answers. An error may come without the question (RFC 1035 section 4.1.1, FORMERR), and of
    /// a message that cannot be read there is only the id.
    pub(super) fn take_answered(&mut self, seen: &Seen<'_>, answer: &Sent) -> Option<Open> {
        let says = answer.message.as_ref();
        let question = says.and_then(|message| message.question.as_ref());
        let any = says.is_none_or(|message| message.question.is_none() && message.rcode != 0);
        self.take_like(seen.cookie, seen.peer.peer, answer.id()?, |open| any || open.asks() == question)
    }

    /// Any of this socket.
    pub(super) fn take_any(&mut self, cookie: u64) -> Option<Open> {
        let least = (cookie, None, 0, 0);
        let (found, .., number) = *self.by_key.range(least..).next()?;
        (found == cookie).then(|| self.take(number)).flatten()
    }

    /// The oldest, if this is true of when it was asked.
    pub(super) fn take_oldest(&mut self, when: impl FnOnce(Nanos) -> bool) -> Option<Open> {
        let (number, open) = self.by_number.first_key_value()?;
        let number = *number;
        when(open.at).then(|| self.take(number)).flatten()
    }

    /// The oldest, if there are too many.
    pub(super) fn take_surplus(&mut self) -> Option<Open> {
        let surplus = self.by_number.len() > MAX_OPEN || self.bytes > MAX_BYTES;
        self.take_oldest(|_| surplus)
    }

    /// Those of this socket, or all, may be answered without our seeing it.
    pub(super) fn doubt(&mut self, cookie: Option<u64>) {
        let doubtful = self.by_number.values_mut().filter(|open| cookie.is_none_or(|it| it == open.cookie));
        doubtful.for_each(|open| open.doubtful = true);
    }

    /// The newest of the kind.
    fn take_like(
        &mut self,
        cookie: u64,
        server: Option<SocketAddr>,
        id: u16,
        like: impl Fn(&Open) -> bool,
    ) -> Option<Open> {
        let of_it = self.by_key.range((cookie, server, id, 0)..=(cookie, server, id, u64::MAX));
        let number =
            of_it.rev().map(|key| key.3).find(|number| self.by_number.get(number).is_some_and(&like))?;
        self.take(number)
    }

    fn take(&mut self, number: u64) -> Option<Open> {
        let open = self.by_number.remove(&number)?;
        self.by_key.remove(&open.key(number));
        self.bytes -= open.question.bytes.len();
        Some(open)
    }
}
