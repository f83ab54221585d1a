//! What exchanges tell of causes, and ask: an inbound request may be one, an outbound call has one.

use std::borrow::Cow;

use super::super::cause::{Asked, Asking, Causes, Ending as Ended, Found, Identifiers, Ticket, Who};
use super::super::cause::{Basis, identifiers};
use super::super::line::{Lines, Peer, Process};
use super::super::{Direction, json};
use super::{Ending, Exchange, Exchanges, Why};
use crate::clock::Nanos;
use crate::protocol::{Field, Sender};

/// How far a connection has come, of which the kernel half tells by this number who reads and writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    /// The socket's cookie.
    socket: u64,
    /// Its first byte was seen, so that the places of others are known.
    whole: bool,
    /// What the client, and the server, has sent so far, in bytes.
    client: u64,
    server: u64,
    /// All that the client had sent by the end of its last request.
    asked_to: u64,
}

/// What is known of an exchange's cause, or of it as a cause.
#[derive(Debug, Default)]
pub(in crate::incident) struct Causal {
    /// An inbound request's.
    ticket: Option<Ticket>,
    /// An outbound call's.
    identifiers: Identifiers,
    named: Option<Ticket>,
    /// Its first byte is behind so many of the client's; so many there were when its head was whole.
    place: Option<(u64, u64)>,
}

impl Exchanges {
    /// The kernel half knows its socket by this cookie. `whole`: it has been seen from its first byte.
    pub const fn watched(mut self, socket: u64, whole: bool) -> Self {
        self.watched = Some(Watched { socket, whole, client: 0, server: 0, asked_to: 0 });
        self
    }

    /// This side has sent so many bytes by the end of what comes next.
    pub fn sent_so_far(&mut self, from: Sender, bytes: u64) {
        if let Some(watched) = &mut self.watched {
            match from {
                Sender::Client => watched.client = bytes,
                Sender::Server => watched.server = bytes,
            }
        }
    }

    /// So much more.
    pub fn sent_more(&mut self, from: Sender, bytes: u64) {
        if let Some(watched) = &mut self.watched {
            match from {
                Sender::Client => watched.client += bytes,
                Sender::Server => watched.server += bytes,
            }
        }
    }

    /// An exchange has begun, whose head has these fields.
    pub(super) fn causal(&mut self, at: Nanos, fields: &[Field<'_>], lines: &mut Lines) {
        let Some(watched) = self.watched else { return };
        let (Some(exchange), Some(causes)) = (self.open.back_mut(), &mut lines.causes) else { return };
        let found = identifiers(fields.iter().map(|field| (field.name, field.value)));
        match self.direction {
            Direction::Inbound => {
                let request =
                    (!exchange.excluded).then(|| *exchange.name.get_or_insert_with(|| lines.ids.draw()));
                exchange.causal.ticket = Some(causes.begin(&Asked {
                    request,
                    socket: watched.socket,
                    at,
                    identifiers: &found,
                    process: self.peer.process.as_ref().map(|it| it.pid),
                    watched: watched.whole,
                }));
            }
            Direction::Outbound => {
                exchange.causal.named = causes.named(&found, at);
                exchange.causal.identifiers = found;
                exchange.causal.place = Some((watched.asked_to, watched.client)).filter(|_| watched.whole);
            }
        }
    }

    /// The newest request is whole.
    pub(super) fn asked(&mut self, lines: &mut Lines) {
        let Some(watched) = &mut self.watched else { return };
        watched.asked_to = watched.client;
        let ticket = self.open.back().and_then(|exchange| exchange.causal.ticket);
        if let (Some(ticket), Some(causes), true) = (ticket, &mut lines.causes, watched.whole) {
            causes.whole(ticket, watched.client);
        }
    }

    /// Its answer has begun.
    pub(super) fn answers(exchange: &Exchange, lines: &mut Lines) {
        if let (Some(ticket), Some(causes)) = (exchange.causal.ticket, &mut lines.causes) {
            causes.answering(ticket);
        }
    }

    /// An exchange is over.
    pub(super) fn over(&self, at: Nanos, exchange: &Exchange, why: Option<Why>, lines: &mut Lines) {
        let (Some(ticket), Some(causes)) = (exchange.causal.ticket, &mut lines.causes) else { return };
        let ending = match why {
            None => Ended::Whole,
            // It would not answer: it is done with it.
            Some(Why::Ended(Ending::ClosedBy(Sender::Server) | Ending::Broke(Sender::Server, _))) => {
                Ended::Whole
            }
            Some(_) => Ended::Cut,
        };
        let written_to = self.watched.filter(|it| it.whole).map(|it| it.server);
        causes.end(ticket, at, ending, written_to);
    }

    /// Its connection is over.
    pub(super) fn causes_no_more(&self, at: Nanos, lines: &mut Lines) {
        if let (Some(watched), Some(causes)) = (self.watched, &mut lines.causes) {
            causes.close(watched.socket, at);
            causes.forget_turns(watched.socket);
        }
    }

    /// Why it is said, or asked, who it was that a line about this exchange tells of: who read the request, where known.
    pub(super) fn served_by(&self, exchange: &Exchange, lines: &Lines) -> Cow<'_, Peer> {
        let reader = exchange.causal.ticket.and_then(|ticket| lines.causes.as_ref()?.reader(ticket));
        let known = self.peer.process.as_ref();
        let other = reader.filter(|reader| known.is_none_or(|it| it.tid != reader.tid));
        match other.and_then(|reader| lines.tasks.get(&reader.tid).filter(|it| it.pid == reader.pid)) {
            Some(process) => Cow::Owned(Peer { process: Some(process.clone()), ..self.peer.clone() }),
            None => Cow::Borrowed(&self.peer),
        }
    }

    /// The cause of an outbound call that is over.
    pub(super) fn cause_of(&self, exchange: &Exchange, lines: &mut Lines) -> Option<Found<u128>> {
        let watched = self.watched?;
        let causes = lines.causes.as_mut()?;
        let Causal { identifiers, named, place, .. } = &exchange.causal;
        let turn = place.and_then(|(from, to)| causes.turn(watched.socket, from, to));
        let asking = Asking {
            at: turn.map_or(exchange.started, |turn| turn.at.min(exchange.started)),
            identifiers,
            who: turn.map(|turn| turn.who),
            process: self.peer.process.as_ref().map(|it| it.pid),
            named: *named,
        };
        Some(causes.find(&asking))
    }
}

impl Lines {
    /// From now on it is found out which requests make the target call others.
    pub fn find_causes(&mut self) {
        self.causes = Some(Causes::default());
    }

    /// What finds that out, if anything does.
    pub const fn causes(&mut self) -> Option<&mut Causes<u128>> {
        self.causes.as_mut()
    }

    /// A thread of the target reads requests.
    pub fn reads(&mut self, process: Process) {
        if self.tasks.len() >= MOST_TASKS && !self.tasks.contains_key(&process.tid) {
            self.tasks.pop_first();
        }
        self.tasks.insert(process.tid, process);
    }

    /// The cause of what a thread did at this time, for which there is no head: a connect, a lookup.
    pub(in crate::incident) fn cause_of_act(&mut self, at: Nanos, peer: &Peer) -> Option<Found<u128>> {
        let who = peer.process.as_ref().map(|it| Who { pid: it.pid, tid: it.tid });
        let (identifiers, process) = (&Identifiers::default(), who.map(|it| it.pid));
        Some(self.causes.as_mut()?.find(&Asking { at, identifiers, who, process, named: None }))
    }
}

/// Threads whose names are remembered.
const MOST_TASKS: usize = 16_384;

/// `cause` and `causeBasis`.
pub(in crate::incident) fn write_cause(found: Option<Found<u128>>, out: &mut Vec<u8>) {
    let Some(Found { cause, basis: Some(basis) }) = found else { return };
    if let Some(cause) = cause {
        json::key(out, "cause");
        out.push(b'"');
        json::hex(out, &cause.to_be_bytes());
        out.push(b'"');
    }
    json::key(out, "causeBasis");
    json::string(out, Basis::as_str(basis));
}
