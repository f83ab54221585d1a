use std::collections::{BTreeMap, VecDeque};

use super::Identifiers;
use super::asking::Asking;
use super::requests::{Asked, Ending, Requests, Ticket};
use super::threads::{Threads, Who};
use super::turns::{Turn, Turns};
use crate::clock::Nanos;

/// Requests that are remembered of a connection: those that are open, and the one before.
const MOST_ON_SOCKET: usize = 64;
/// So much later than the answer has come to its client the thread that wrote it may be told of, in ns.
const LATE_NS: u64 = 5_000_000;

/// Finds causes. `R` is what a request is called.
#[derive(Debug)]
pub struct Causes<R> {
    pub(super) requests: Requests<R>,
    pub(super) threads: Threads,
    turns: Turns,
    sockets: BTreeMap<u64, Socket>,
    /// The target has passed on the id of a trace.
    pub(super) passes_on: bool,
}

/// A connection that the target accepted.
#[derive(Debug, Default)]
struct Socket {
    /// Oldest first.
    requests: VecDeque<Ticket>,
    /// Where it was last begun to be read, when and by whom.
    read: Option<(u64, Nanos, Who)>,
}

/// A thread of the target has read or written on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// The connection's number.
    pub socket: u64,
    /// When.
    pub at: Nanos,
    /// It read; else it wrote.
    pub reads: bool,
    /// The place of the first byte in all that was read, or written, on it; `None` where nobody knows the places of
    /// requests and answers either.
    pub offset: Option<u64>,
    /// Who.
    pub who: Who,
    /// It writes although it has read from another connection since.
    pub strays: bool,
}

impl<R> Default for Causes<R> {
    fn default() -> Self {
        Self {
            requests: Requests::default(),
            threads: Threads::default(),
            turns: Turns::default(),
            sockets: BTreeMap::new(),
            passes_on: false,
        }
    }
}

impl<R: Copy> Causes<R> {
    /// A request begins. Those of one connection are told in their order.
    pub fn begin(&mut self, asked: &Asked<'_, R>) -> Ticket {
        let socket = self.sockets.entry(asked.socket).or_default();
        // Of pipelined requests it is not known when which is read.
        let pipelined = socket.requests.iter().any(|it| is_open(&self.requests, *it));
        let ticket = self.requests.begin(&Asked { watched: asked.watched && !pipelined, ..*asked });
        if socket.requests.len() >= MOST_ON_SOCKET {
            socket.requests.pop_front();
        }
        socket.requests.push_back(ticket);
        ticket
    }

    /// A request is whole: `read_to` is all that its connection has carried to the target by its last byte.
    pub fn whole(&mut self, ticket: Ticket, read_to: u64) {
        let Some(request) = self.requests.get_mut(ticket) else { return };
        request.asked_to = Some(read_to);
        let read = self.sockets.get(&request.socket).and_then(|socket| socket.read);
        // Its first bytes may have been read before it could be seen that they were a request's.
        if let Some((_, at, who)) = read.filter(|(offset, ..)| *offset < read_to)
            && read.is_some_and(|(offset, ..)| offset >= self.first_unread(ticket))
        {
            self.threads.read(ticket, (at, who), &mut self.requests);
        }
    }

    /// All that had been read on its connection before this request.
    fn first_unread(&self, ticket: Ticket) -> u64 {
        let socket = self.requests.get(ticket).and_then(|it| self.sockets.get(&it.socket));
        let before = socket.into_iter().flat_map(|it| &it.requests).rev().find(|it| **it < ticket);
        before.map_or(0, |it| self.requests.get(*it).and_then(|it| it.asked_to).unwrap_or(u64::MAX))
    }

    /// Its answer has begun.
    pub fn answering(&mut self, ticket: Ticket) {
        if let Some(request) = self.requests.get_mut(ticket) {
            request.answering = true;
        }
    }

    /// A request has ended; `written_to` is all that its connection has carried back by then.
    pub fn end(&mut self, ticket: Ticket, at: Nanos, ending: Ending, written_to: Option<u64>) {
        if let Some(request) = self.requests.get_mut(ticket) {
            request.answered_to = written_to;
            let id = request.socket;
            if let Some(socket) = self.sockets.get_mut(&id) {
                // The last that ended stays: who wrote its answer may be told yet.
                while socket.requests.len() > 1
                    && socket.requests.front().is_some_and(|it| *it < ticket)
                    && socket.requests.front().is_some_and(|it| !is_open(&self.requests, *it))
                {
                    socket.requests.pop_front();
                }
            }
        }
        if let Some((forgotten, request)) = self.requests.end(ticket, at, ending) {
            self.threads.forget(forgotten, request.reader);
        }
    }

    /// A connection is over: nothing more is told of it.
    pub fn close(&mut self, socket: u64, at: Nanos) {
        let Some(closed) = self.sockets.remove(&socket) else { return };
        for ticket in closed.requests {
            self.end(ticket, at, Ending::Cut, None);
        }
    }

    /// A thread has read or written on a connection that the target accepted.
    pub fn touched(&mut self, touch: &Touch) {
        let Touch { who, strays, .. } = *touch;
        if strays {
            self.threads.loosen(who.pid);
        }
        if touch.reads { self.read(touch) } else { self.written(touch) }
    }

    fn read(&mut self, touch: &Touch) {
        let socket = self.sockets.entry(touch.socket).or_default();
        socket.read = Some((touch.offset.unwrap_or(0), touch.at, touch.who));
        let found: Vec<Ticket> = match touch.offset {
            // Whoever begins to read what is not whole yet may be followed by another.
            Some(offset) => {
                let behind = |it: &Ticket| {
                    let request = self.requests.get(*it);
                    request.is_some_and(|it| it.is_open() && it.asked_to.is_none_or(|end| end > offset))
                };
                socket.requests.iter().copied().filter(behind).collect()
            }
            None => {
                let begun = |it: &&Ticket| self.requests.get(**it).is_some_and(|it| it.begun <= touch.at);
                socket.requests.iter().rev().find(begun).copied().into_iter().collect()
            }
        };
        for ticket in found {
            self.threads.read(ticket, (touch.at, touch.who), &mut self.requests);
        }
    }

    fn written(&mut self, touch: &Touch) {
        let Some(socket) = self.sockets.get(&touch.socket) else { return };
        let requests = &self.requests;
        let answered = match touch.offset {
            Some(offset) => socket.requests.iter().copied().find(|it| {
                requests.get(*it).is_some_and(|it| match it.answered_to {
                    Some(end) => end > offset,
                    None => it.is_open(),
                })
            }),
            None => {
                let by_time = |late: bool| {
                    socket.requests.iter().rev().copied().find(|it| {
                        requests.get(*it).is_some_and(|it| {
                            let ended = it.ended.is_some_and(|(end, _)| touch.at.since(end) <= LATE_NS);
                            it.reader.is_some() && (!late || ended && it.reader == Some(touch.who))
                        })
                    })
                };
                by_time(true).or_else(|| by_time(false))
            }
        };
        let Some(request) = answered.and_then(|it| self.requests.get_mut(it)) else { return };
        request.answering = true;
        if let Some(reader) = request.reader.filter(|reader| *reader != touch.who) {
            self.threads.loosen(reader.pid);
            self.threads.loosen(touch.who.pid);
        }
    }

    /// A thread has written on a connection that the target opened.
    pub fn turned(&mut self, socket: u64, turn: Turn) {
        self.turns.add(socket, turn);
    }

    /// When a request on a connection that the target opened was written, and by whom, where that was told: its first
    /// byte is at or behind `from`, and some of it is before `to`.
    pub fn turn(&self, socket: u64, from: u64, to: u64) -> Option<Turn> {
        self.turns.of(socket, from, to)
    }

    /// A connection that the target opened is over.
    pub fn forget_turns(&mut self, socket: u64) {
        self.turns.forget(socket);
    }

    /// Something was lost of what tells of threads: from here on they tell nothing.
    pub fn blind(&mut self) {
        self.threads.blind();
    }

    /// Nothing is open, and what comes has nothing to do with what was; with `afresh`, other processes serve.
    pub fn restart(&mut self, afresh: bool) {
        (self.requests, self.turns) = (Requests::default(), Turns::default());
        self.sockets.clear();
        if afresh {
            self.threads.start_afresh();
        } else {
            self.threads.forget_requests();
        }
    }

    /// Processes in which threads have turned out to tell nothing, each once.
    pub fn take_loosened(&mut self) -> Vec<u32> {
        self.threads.take_loosened()
    }

    /// The thread that read a request, where that is known.
    pub fn reader(&self, ticket: Ticket) -> Option<Who> {
        self.requests.get(ticket)?.reader
    }

    /// What is open, in the order in which it began.
    pub fn open(&self) -> impl Iterator<Item = R> {
        self.requests.open().filter_map(|it| it.request)
    }

    /// The request that these identifiers name, as [`Asking::named`] wants it.
    pub fn named(&mut self, identifiers: &Identifiers, at: Nanos) -> Option<Ticket> {
        let asking = Asking { at, identifiers, who: None, process: None, named: None };
        self.by_header(&asking)
    }
}

fn is_open<R>(requests: &Requests<R>, ticket: Ticket) -> bool {
    requests.get(ticket).is_some_and(|it| it.is_open())
}
