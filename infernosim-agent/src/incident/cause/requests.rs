//! The requests that are open, and those that were lately.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Identifiers;
use super::threads::Who;
use crate::clock::Nanos;

/// Requests that are remembered after they have ended; the oldest are forgotten first.
const LATELY: usize = 16_384;
/// So long, in ns, the target may still be busy with a request whose end it has not said: its client went away, or
/// bytes were not seen.
const LINGER_NS: u64 = 5_000_000_000;

/// A request that was begun; later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub(super) u64);

/// A request that begins.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a, R> {
    /// What it is called, if it is told as a cause; one that is not recorded is none, but open like others.
    pub request: Option<R>,
    /// Its connection: the socket's cookie, or any other number that no other has.
    pub socket: u64,
    /// When its first bytes were there.
    pub at: Nanos,
    /// What its head calls it.
    pub identifiers: &'a Identifiers,
    /// The process that has its connection, where known.
    pub process: Option<u32>,
    /// It is told who reads and writes on its connection, where anybody is.
    pub watched: bool,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a whole answer; or the target would not give one.
    Whole,
    /// Otherwise: the target may not know.
    Cut,
}

#[derive(Debug)]
pub(super) struct Request<R> {
    pub request: Option<R>,
    pub socket: u64,
    pub begun: Nanos,
    pub ended: Option<(Nanos, Ending)>,
    pub identifiers: Identifiers,
    /// The process that has its connection, and then the one that read it.
    pub process: Option<u32>,
    pub reader: Option<Who>,
    /// When it was that one who began to read.
    pub read_at: Nanos,
    /// Something of its answer has been written.
    pub answering: bool,
    pub watched: bool,
    /// All that had been read on its connection by its last byte.
    pub asked_to: Option<u64>,
    /// All that had been written on it by the last byte of its answer.
    pub answered_to: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Requests<R> {
    next: u64,
    all: BTreeMap<Ticket, Request<R>>,
    open: BTreeSet<Ticket>,
    /// Those that have ended, and by when that was told: in this order.
    ended: VecDeque<(Nanos, Ticket)>,
    /// Those among them that were cut, and may still be busy.
    cut: VecDeque<Ticket>,
    named: BTreeMap<Box<str>, Vec<Ticket>>,
    /// Something that was open then has been forgotten.
    forgotten: Nanos,
}

/// Requests that have one identifier.
const MOST_NAMESAKES: usize = 64;

impl<R> Default for Requests<R> {
    fn default() -> Self {
        Self {
            next: 0,
            all: BTreeMap::new(),
            open: BTreeSet::new(),
            ended: VecDeque::new(),
            cut: VecDeque::new(),
            named: BTreeMap::new(),
            forgotten: Nanos(0),
        }
    }
}

impl<R> Request<R> {
    /// Whether it was open at this time, as far as that is known now.
    pub fn is_open_at(&self, at: Nanos) -> bool {
        self.begun <= at
            && match self.ended {
                None => true,
                Some((end, Ending::Whole)) => at <= end,
                Some((end, Ending::Cut)) => at.since(end) <= LINGER_NS,
            }
    }

    /// Whether it has not ended, as far as was seen.
    pub fn is_open(&self) -> bool {
        self.ended.is_none()
    }
}

impl<R> Requests<R> {
    pub fn begin(&mut self, asked: &Asked<'_, R>) -> Ticket
    where
        R: Copy,
    {
        self.next += 1;
        let ticket = Ticket(self.next);
        for name in asked.identifiers.iter() {
            let namesakes = self.named.entry(name.into()).or_default();
            // Beyond, they are many as it is.
            if namesakes.len() < MOST_NAMESAKES {
                namesakes.push(ticket);
            }
        }
        let request = Request {
            request: asked.request,
            socket: asked.socket,
            begun: asked.at,
            ended: None,
            identifiers: asked.identifiers.clone(),
            process: asked.process,
            reader: None,
            read_at: Nanos(0),
            answering: false,
            watched: asked.watched,
            asked_to: None,
            answered_to: None,
        };
        self.all.insert(ticket, request);
        self.open.insert(ticket);
        ticket
    }

    pub fn get(&self, ticket: Ticket) -> Option<&Request<R>> {
        self.all.get(&ticket)
    }

    pub fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Request<R>> {
        self.all.get_mut(&ticket)
    }

    /// Gives those that are forgotten for it.
    pub fn end(&mut self, ticket: Ticket, at: Nanos, ending: Ending) -> Option<(Ticket, Request<R>)> {
        if !self.open.remove(&ticket) {
            return None;
        }
        if let Some(request) = self.all.get_mut(&ticket) {
            request.ended = Some((at, ending));
        }
        let told = self.ended.back().map_or(at, |(told, _)| at.max(*told));
        self.ended.push_back((told, ticket));
        if ending == Ending::Cut {
            self.cut.push_back(ticket);
        }
        if self.ended.len() > LATELY {
            self.ended.pop_front().and_then(|(_, oldest)| self.forget(oldest))
        } else {
            None
        }
    }

    fn forget(&mut self, ticket: Ticket) -> Option<(Ticket, Request<R>)> {
        let request = self.all.remove(&ticket)?;
        if let Some((end, ending)) = request.ended {
            let until = if ending == Ending::Cut { end.0.saturating_add(LINGER_NS) } else { end.0 };
            self.forgotten = self.forgotten.max(Nanos(until));
        }
        for name in request.identifiers.iter() {
            if let Some(namesakes) = self.named.get_mut(name) {
                namesakes.retain(|it| *it != ticket);
                if namesakes.is_empty() {
                    self.named.remove(name);
                }
            }
        }
        if self.cut.front() == Some(&ticket) {
            self.cut.pop_front();
        }
        Some((ticket, request))
    }

    /// Whether it is known what was open at this time.
    pub fn knows(&self, at: Nanos) -> bool {
        at > self.forgotten || self.forgotten == Nanos(0)
    }

    /// Those that were open at this time, some of them perhaps twice.
    pub fn at(&self, at: Nanos) -> impl Iterator<Item = (Ticket, &Request<R>)> {
        let lately = self.ended.iter().rev().take_while(move |(told, _)| *told >= at).map(|(_, it)| it);
        let cut = self.cut.iter();
        let all = self.open.iter().chain(lately).chain(cut);
        all.filter_map(|ticket| Some((*ticket, self.all.get(ticket)?)))
            .filter(move |(_, it)| it.is_open_at(at))
    }

    /// Whether any was open at some time since then.
    pub fn was_open_since(&self, at: Nanos) -> bool {
        !self.open.is_empty() || self.ended.back().is_some_and(|(told, _)| *told >= at)
    }

    /// Those that are open, in the order in which they began.
    pub fn open(&self) -> impl Iterator<Item = &Request<R>> {
        self.open.iter().filter_map(|ticket| self.all.get(ticket))
    }

    /// Those that had begun by then and have this identifier.
    pub fn named(&self, name: &str, at: Nanos) -> impl Iterator<Item = (Ticket, &Request<R>)> {
        let namesakes = self.named.get(name).into_iter().flatten();
        namesakes.filter_map(|it| Some((*it, self.all.get(it)?))).filter(move |(_, it)| it.begun <= at)
    }

    /// Whether so many have this identifier that not all of them are known.
    pub fn is_common(&self, name: &str) -> bool {
        self.named.get(name).is_some_and(|namesakes| namesakes.len() >= MOST_NAMESAKES)
    }
}
