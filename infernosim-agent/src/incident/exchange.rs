//! Messages of one connection become exchanges: a request and what became of it.

use std::collections::VecDeque;

use nix::errno::Errno;

use super::body::{self, Content};
use super::head;
use super::line::{Lines, Peer};
use super::loss::Reason;
use super::{json, turn};
use crate::clock::Nanos;
use crate::protocol::{Field, Message, Protocol, Sender};

/// Requests a client may pipeline before the rest of its connection is given up as lost: a client that never
/// reads answers must not fill our memory.
const MAX_OPEN: usize = 100_000;
/// Response pieces closer together than this are one entry of `responseChunks`, in ns.
const CHUNK_GAP_NS: u64 = 1_000_000;
/// Finished exchanges whose buffers are kept for new ones.
const SPARES: usize = 64;
/// Entries of `responseChunks`; later pieces are added to the last.
const MAX_CHUNKS: usize = 100_000;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Both sides said so.
    Closed,
    /// One side's connection broke.
    Broke(Sender, Errno),
    /// The dependency could not be reached.
    DialFailed(Errno),
    /// We closed it, or stopped looking, at the end of the capture.
    Abandoned,
}

/// The exchanges of one connection.
#[derive(Debug)]
pub struct Exchanges {
    peer: Peer,
    opened: Nanos,
    /// Oldest first.
    open: VecDeque<Exchange>,
    pub(super) opaque: Option<Protocol>,
    hello: Option<(Option<String>, Vec<String>)>,
    any: bool,
    /// Whether none of its exchanges so far was to be recorded.
    excluding: Option<bool>,
}

/// A request and its answer, as far as they have come.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    pub started: Nanos,
    pub service: String,
    pub protocol: Option<Protocol>,
    /// Fields of the line, ready to be written: those of the request's head, trailers, interim responses, and
    /// those of the response's head.
    pub request_head: Vec<u8>,
    pub interim: Vec<u8>,
    pub response_head: Vec<u8>,
    pub request: Content,
    pub response: Content,
    pub request_ended: bool,
    pub answered: bool,
    pub response_ended: bool,
    pub chunks: Vec<(u64, u64)>,
    pub last_chunk: u64,
    pub error: Option<&'static str>,
    /// Not to be recorded.
    pub excluded: bool,
}

impl Exchanges {
    /// Of a connection opened at `opened`.
    pub fn new(peer: Peer, opened: Nanos) -> Self {
        Self { peer, opened, open: VecDeque::new(), opaque: None, hello: None, any: false, excluding: None }
    }

    /// Takes in a message that came at `at`.
    pub fn message(&mut self, at: Nanos, message: Message<'_>, lines: &mut Lines) {
        self.any = true;
        match message {
            Message::Request { protocol, method, target, fields } => {
                self.request(at, protocol, (method, target), fields, lines);
            }
            Message::RequestBody(bytes) => {
                if let Some(exchange) = self.open.back_mut() {
                    exchange.request.push(bytes, lines);
                }
            }
            Message::RequestEnd(trailers) => {
                if let Some(exchange) = self.open.back_mut() {
                    exchange.request_ended = true;
                    let out = &mut exchange.request_head;
                    head::trailers(out, "requestTrailers", trailers, lines.redactor.as_mut());
                }
                self.settle(at, lines);
            }
            Message::Interim { status, fields } => {
                if let Some(exchange) = self.answering() {
                    head::interim(&mut exchange.interim, status, fields, lines.redactor.as_mut());
                }
            }
            Message::Response { status, fields } => {
                if let Some(exchange) = self.answering() {
                    exchange.answered = true;
                    let out = &mut exchange.response_head;
                    let media = head::response(out, status, fields, lines.redactor.as_mut());
                    exchange.response.declare(media);
                }
            }
            Message::ResponseBody(bytes) => {
                if let Some(exchange) = self.answering() {
                    exchange.answer(at, bytes, lines);
                }
            }
            Message::ResponseEnd(trailers) => {
                if let Some(exchange) = self.answering() {
                    exchange.response_ended = true;
                    let out = &mut exchange.response_head;
                    head::trailers(out, "responseTrailers", trailers, lines.redactor.as_mut());
                }
                self.settle(at, lines);
            }
            Message::Hello { sni, alpn } => {
                let alpn = alpn.iter().map(|&name| name.to_owned()).collect();
                self.hello = Some((sni.map(str::to_owned), alpn));
            }
            Message::Opaque { protocol, error } => {
                self.fail_open(at, error.unwrap_or("the connection changed its protocol"), None, lines);
                self.opaque = Some(protocol);
            }
            Message::Bytes(from, bytes) => self.bytes(at, from, bytes, lines),
            Message::Gap(_, bytes) => {
                self.lose_open(Reason::Gap, lines);
                match self.excluding {
                    // Whoever was not recorded so far would not have been then.
                    Some(true) => lines.exclude(bytes),
                    _ => lines.gap(bytes),
                }
            }
        }
    }

    fn request(
        &mut self,
        at: Nanos,
        protocol: Protocol,
        (method, target): (&str, &str),
        fields: &[Field<'_>],
        lines: &mut Lines,
    ) {
        self.begin(at, lines);
        if let Some(exchange) = self.open.back_mut() {
            exchange.protocol = Some(protocol);
            Exchange::forget_met(lines);
            head::request(exchange, &self.peer, (method, target), fields, lines.redactor.as_mut());
            exchange.note_met(lines);
            self.select(head::path_of(target), lines);
        }
    }

    /// The connection has ended: writes what is open, and a connection on which nothing was said.
    pub fn end(mut self, at: Nanos, ending: Ending, lines: &mut Lines) {
        let why = match ending {
            Ending::Closed => "the connection ended before the exchange did",
            Ending::Broke(Sender::Client, _) => "the target's connection broke",
            Ending::Broke(Sender::Server, _) => "the dependency's connection broke",
            Ending::DialFailed(_) => "the dependency could not be reached",
            Ending::Abandoned => "the capture ended before the exchange did",
        };
        if !self.any {
            self.silent(at, ending, lines);
        } else if self.opaque.is_some() && ending == Ending::Closed {
            // The end of the connection is the end of its last turn.
            for turn in &mut self.open {
                (turn.request_ended, turn.response_ended) = (true, true);
            }
            self.settle(at, lines);
        } else {
            self.fail_open(at, why, Some(ending), lines);
        }
    }

    fn bytes(&mut self, at: Nanos, from: Sender, bytes: &[u8], lines: &mut Lines) {
        let protocol = self.opaque.unwrap_or(Protocol::Tcp);
        // The client speaks again after it was answered: the next turn. What TLS carries cannot be told apart.
        let turned = from == Sender::Client && self.open.back().is_some_and(|turn| turn.response.size() > 0);
        if turned
            && protocol != Protocol::Tls
            && let Some(mut exchange) = self.open.pop_back()
        {
            (exchange.request_ended, exchange.response_ended) = (true, true);
            self.write(at, &mut exchange, None, lines);
            exchange.recycle(lines);
        }
        if self.open.is_empty() {
            self.begin(at, lines);
            if let Some(exchange) = self.open.back_mut() {
                exchange.protocol = Some(protocol);
                turn::begin(exchange, &self.peer, protocol, self.hello.as_ref());
                self.select(None, lines);
            }
        }
        if let Some(exchange) = self.open.back_mut() {
            match from {
                Sender::Client => exchange.request.push(bytes, lines),
                Sender::Server => exchange.answer(at, bytes, lines),
            }
        }
    }

    /// Whether the exchange that has just begun is to be recorded.
    fn select(&mut self, path: Option<&str>, lines: &Lines) {
        let Some(exchange) = self.open.back_mut() else { return };
        exchange.excluded = !lines.selects(&self.peer, &exchange.service, path);
        if exchange.excluded {
            exchange.request.count_only();
            exchange.response.count_only();
        }
        self.excluding = Some(self.excluding.unwrap_or(true) && exchange.excluded);
    }

    fn begin(&mut self, at: Nanos, lines: &mut Lines) {
        if self.open.len() >= MAX_OPEN {
            self.lose_open(Reason::Buffer, lines);
        }
        let mut exchange = lines.spares.pop().unwrap_or_default();
        exchange.started = at;
        self.open.push_back(exchange);
    }

    /// The exchange that is being answered: the oldest without a whole answer.
    fn answering(&mut self) -> Option<&mut Exchange> {
        self.open.iter_mut().find(|exchange| !exchange.response_ended)
    }

    /// Writes what is complete, in order of the requests.
    fn settle(&mut self, at: Nanos, lines: &mut Lines) {
        while self.open.front().is_some_and(|first| first.request_ended && first.response_ended) {
            if let Some(mut exchange) = self.open.pop_front() {
                self.write(at, &mut exchange, None, lines);
                exchange.recycle(lines);
            }
        }
    }

    fn fail_open(&mut self, at: Nanos, why: &'static str, ending: Option<Ending>, lines: &mut Lines) {
        while let Some(mut exchange) = self.open.pop_front() {
            exchange.error = Some(why);
            self.write(at, &mut exchange, ending, lines);
            exchange.recycle(lines);
        }
    }

    /// Parts of them are unknown: they are not written as if they were whole.
    fn lose_open(&mut self, reason: Reason, lines: &mut Lines) {
        while let Some(mut exchange) = self.open.pop_front() {
            let size = exchange.request.size() + exchange.response.size();
            if exchange.excluded {
                lines.exclude(size);
            } else {
                lines.lost(reason, 1, size);
            }
            exchange.clear(lines, true);
        }
    }

    fn write(&self, at: Nanos, exchange: &mut Exchange, ending: Option<Ending>, lines: &mut Lines) {
        let size = exchange.request.size() + exchange.response.size();
        if exchange.excluded {
            return lines.exclude(size);
        }
        let lost = exchange.request.lost().or(exchange.response.lost());
        let cut = !(exchange.request_ended && exchange.response_ended);
        let protocol = exchange.protocol.map_or("tcp", Protocol::as_str);
        let (started, counts) = (exchange.started, !lines.is_over());
        let written = lost.is_none()
            && lines.event("OutboundCall", started, size, |lines, out| {
                exchange.fields(at, cut, ending, lines, out) && {
                    self.peer.write(out);
                    true
                }
            });
        if let Some(reason) = lost {
            lines.lost(reason, 1, size);
        }
        // After its line, which may be the first of the next incident.
        if counts {
            lines.called(&exchange.service, protocol, cut);
        }
        if !written {
            exchange.clear(lines, true);
        }
    }

    /// A connection on which no byte was sent.
    fn silent(&self, at: Nanos, ending: Ending, lines: &mut Lines) {
        let (error, errno) = match ending {
            Ending::DialFailed(errno) => (errno.desc(), Some(errno)),
            Ending::Broke(_, errno) => ("broke before any byte", Some(errno)),
            Ending::Closed => ("closed before any byte", None),
            Ending::Abandoned => ("silent until the capture ended", None),
        };
        let service = self.peer.peer.to_string();
        if !lines.selects(&self.peer, &service, None) {
            return lines.exclude(0);
        }
        let counts = !lines.is_over();
        lines.event("Connection", self.opened, 0, |_, out| {
            json::key(out, "service");
            json::string(out, &service);
            out.extend_from_slice(b",\"protocol\":\"tcp\",\"url\":\"tcp://");
            out.extend_from_slice(service.as_bytes());
            out.push(b'"');
            json::key(out, "duration");
            json::number(out, at.since(self.opened));
            json::key(out, "error");
            json::string(out, error);
            head::errno(out, errno);
            self.peer.write(out);
            true
        });
        if counts {
            lines.called(&service, "tcp", matches!(ending, Ending::DialFailed(_)));
        }
    }
}

impl Exchange {
    fn answer(&mut self, at: Nanos, bytes: &[u8], lines: &mut Lines) {
        let length = bytes.len() as u64;
        let full = self.chunks.len() >= MAX_CHUNKS;
        match self.chunks.last_mut() {
            Some((_, size)) if full || at.0.saturating_sub(self.last_chunk) < CHUNK_GAP_NS => *size += length,
            _ => self.chunks.push((at.since(self.started), length)),
        }
        self.last_chunk = at.0;
        self.response.push(bytes, lines);
    }

    /// What was met so far has nothing to do with this exchange.
    fn forget_met(lines: &mut Lines) {
        if let Some(redactor) = &mut lines.redactor {
            redactor.met();
        }
    }

    /// The answer may repeat secrets of the request.
    fn note_met(&mut self, lines: &mut Lines) {
        if let Some(redactor) = &mut lines.redactor {
            self.response.look_for(redactor.met());
        }
    }

    fn fields(
        &mut self,
        at: Nanos,
        cut: bool,
        ending: Option<Ending>,
        lines: &mut Lines,
        out: &mut Vec<u8>,
    ) -> bool {
        out.extend_from_slice(&self.request_head);
        Self::forget_met(lines);
        let whole = self.request.write(&body::REQUEST, lines, out);
        self.note_met(lines);
        if !self.interim.is_empty() {
            json::key(out, "interim");
            out.push(b'[');
            out.extend_from_slice(&self.interim[1..]);
            out.push(b']');
        }
        out.extend_from_slice(&self.response_head);
        let whole = whole && self.response.write(&body::RESPONSE, lines, out);
        if !self.chunks.is_empty() {
            json::key(out, "responseChunks");
            for (index, &(offset, size)) in self.chunks.iter().enumerate() {
                out.push(if index == 0 { b'[' } else { b',' });
                out.push(b'[');
                json::number(out, offset);
                out.push(b',');
                json::number(out, size);
                out.push(b']');
            }
            out.push(b']');
        }
        if cut {
            out.extend_from_slice(b",\"incomplete\":true");
        }
        if let Some(error) = self.error {
            json::key(out, "error");
            json::string(out, error);
        }
        if let Some(Ending::Broke(_, errno) | Ending::DialFailed(errno)) = ending {
            head::errno(out, Some(errno));
        }
        json::key(out, "duration");
        json::number(out, at.since(self.started));
        whole
    }

    /// Leaves its buffers to the next exchange, of whichever connection: thousands of idle ones keep none.
    fn recycle(mut self, lines: &mut Lines) {
        self.clear(lines, false);
        if lines.spares.len() < SPARES {
            lines.spares.push(self);
        }
    }

    fn clear(&mut self, lines: &mut Lines, discard: bool) {
        self.request.clear(lines, discard);
        self.response.clear(lines, discard);
        self.service.clear();
        for buffer in [&mut self.request_head, &mut self.interim, &mut self.response_head] {
            buffer.clear();
            buffer.shrink_to(4096);
        }
        self.chunks.clear();
        self.chunks.shrink_to(64);
        (self.request_ended, self.answered, self.response_ended) = (false, false, false);
        self.protocol = None;
        self.error = None;
        self.excluded = false;
    }
}

#[cfg(test)]
mod tests;
