//! Messages of one connection become exchanges: a request and what became of it.

mod causing;
mod ending;
mod inbound;
mod outbound;
mod pending;
#[cfg(test)]
mod tests;
mod tunnel;

use std::collections::VecDeque;

use nix::errno::Errno;

use super::line::{Lines, Peer, Process};
use super::loss::Reason;
use super::{Direction, head, turn};
use crate::clock::Nanos;
use crate::protocol::{Field, Message, Protocol, Sender};
use causing::Watched;
pub(super) use causing::{Causal, write_cause};
use ending::Why;
pub use ending::{Ending, TARGET_GAVE_UP};
pub(super) use pending::Exchange;
use pending::{Failed, Told};

/// Requests a client may pipeline before the rest of its connection is given up as lost: a client that never
/// reads answers must not fill our memory.
const MAX_OPEN: usize = 100_000;

/// The exchanges of one connection.
#[derive(Debug)]
pub struct Exchanges {
    direction: Direction,
    peer: Peer,
    opened: Nanos,
    /// Oldest first.
    open: VecDeque<Exchange>,
    pub(super) opaque: Option<Protocol>,
    hello: Option<(Option<String>, Vec<String>)>,
    any: bool,
    /// Whether none of its exchanges so far was to be recorded.
    excluding: Option<bool>,
    /// Bytes were not seen just before what comes next on an opaque connection.
    gapped: bool,
    /// What the codec says of what comes next on one, where no exchange was open that it could be said of.
    remark: Option<&'static str>,
    /// The id of the line about the next request.
    next_name: Option<u128>,
    /// `http`, or `https` where the bytes were read before they were encrypted.
    scheme: &'static str,
    /// How far it has come, where the kernel half tells more of it.
    watched: Option<Watched>,
}

impl Exchanges {
    /// Of a connection opened at `opened`.
    pub const fn new(direction: Direction, peer: Peer, opened: Nanos) -> Self {
        Self {
            direction,
            peer,
            opened,
            open: VecDeque::new(),
            opaque: None,
            hello: None,
            any: false,
            excluding: None,
            gapped: false,
            remark: None,
            next_name: None,
            scheme: "http",
            watched: None,
        }
    }

    /// What is said on it is encrypted on its way.
    pub fn secured(mut self) -> Self {
        self.scheme = "https";
        self
    }

    /// So much of the newest message of this side was sent, and there is no copy of it.
    pub fn not_kept(&mut self, from: Sender, bytes: u64) {
        let content = match from {
            Sender::Client => self.open.back_mut().map(|exchange| &mut exchange.request),
            Sender::Server => self.answering().map(|exchange| &mut exchange.response),
        };
        if let Some(content) = content {
            content.missing(bytes);
        }
    }

    /// It is known now whose the connection is: lines say so from here on.
    pub fn accepted(&mut self, process: Process) {
        self.peer.process = Some(process);
    }

    /// The line about the next request gets this id; of an inbound connection.
    pub fn name_next(&mut self, id: u128) {
        self.next_name = Some(id);
    }

    /// The dependency could not be reached, or died before it answered: what comes from its side now is our own answer.
    /// The exchange that it answers counts as failed, and its line gets `error` and `errno`, whole as it is.
    pub fn answered_for(&mut self, errno: Option<Errno>, error: String) {
        if let Some(exchange) = self.answering() {
            exchange.failed = Some(Box::new(Failed { errno, error }));
        }
    }

    /// Nothing more is to be written of it.
    pub fn forget(mut self, lines: &mut Lines) {
        let mut open = std::mem::take(&mut self.open);
        for exchange in &mut open {
            self.over(self.opened, exchange, Some(Why::Unseen), lines);
            exchange.clear(lines, true);
        }
        self.causes_no_more(self.opened, lines);
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
                    exchange.ask(at, bytes, lines);
                }
            }
            Message::RequestEnd(trailers) => {
                self.asked(lines);
                if let Some(exchange) = self.open.back_mut() {
                    (exchange.request_ended, exchange.asked) = (true, at);
                    let out = &mut exchange.request_head;
                    head::trailers(out, "requestTrailers", trailers, lines.redactor.as_mut());
                    if self.direction == Direction::Inbound {
                        exchange.tell(&self.peer, None, lines);
                    }
                }
                self.settle(at, lines);
            }
            Message::Interim { status, fields } => {
                if let Some(exchange) = self.answering() {
                    head::interim(&mut exchange.interim, status, fields, lines.redactor.as_mut());
                }
            }
            Message::Response { status, fields } => {
                let name = self.response_headers();
                if let Some(exchange) = self.answering() {
                    exchange.answered = true;
                    Self::answers(exchange, lines);
                    let out = &mut exchange.response_head;
                    let media = head::response(out, status, (name, fields), lines.redactor.as_mut());
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
            Message::Tunnel => self.tunnel(),
            Message::Hello { sni, alpn } => {
                let alpn = alpn.iter().map(|&name| name.to_owned()).collect();
                let hello = (sni.map(str::to_owned), alpn);
                if let Some(tunnel) = self.in_tunnel() {
                    tunnel.greeted(&hello);
                }
                self.hello = Some(hello);
            }
            Message::Opaque { protocol, error } => self.turn_opaque(at, protocol, error, lines),
            Message::Bytes(from, bytes) => self.bytes(at, from, bytes, lines),
            Message::Gap(_, bytes) => self.gap(at, bytes, lines),
        }
    }

    fn turn_opaque(&mut self, at: Nanos, protocol: Protocol, error: Option<&'static str>, lines: &mut Lines) {
        self.opaque = Some(protocol);
        if let Some(tunnel) = self.in_tunnel() {
            return tunnel.carries(protocol);
        }
        self.remark = error.filter(|_| self.open.is_empty());
        let why = error.unwrap_or("the connection changed its protocol");
        self.fail_open(at, Why::Said(why), lines);
    }

    /// So many bytes were not seen.
    fn gap(&mut self, at: Nanos, bytes: u64, lines: &mut Lines) {
        let within = !self.open.is_empty();
        self.lose_open(at, Reason::Gap, lines);
        self.gapped = self.opaque.is_some();
        match self.excluding {
            // Whoever was not recorded so far would not have been then.
            Some(true) => lines.exclude(bytes),
            _ if within => lines.gap_within(bytes),
            _ => lines.gap(bytes),
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
        self.leave_tunnel(at, lines);
        self.begin(at, lines);
        if let Some(exchange) = self.open.back_mut() {
            exchange.protocol = Some(protocol);
            Exchange::forget_met(lines);
            let asked = (self.direction, &self.peer, self.scheme);
            head::request(exchange, asked, (method, target), fields, lines.redactor.as_mut());
            exchange.note_met(lines);
            self.select(head::path_of(target), lines);
            self.causal(at, fields, lines);
        }
    }

    /// The connection has ended: writes what is open, and a connection on which nothing was said.
    pub fn end(mut self, at: Nanos, ending: Ending, lines: &mut Lines) {
        if !self.any {
            // Of a client that said nothing there is nothing to tell.
            if self.direction == Direction::Outbound {
                self.silent(at, ending, lines);
            }
        } else if (self.opaque.is_some() || self.in_tunnel().is_some()) && ending.is_orderly() {
            // The end of the connection is the end of its last turn.
            for turn in &mut self.open {
                (turn.request_ended, turn.response_ended) = (true, true);
            }
            self.settle(at, lines);
        } else {
            self.fail_open(at, Why::Ended(ending), lines);
        }
        self.causes_no_more(at, lines);
    }

    fn bytes(&mut self, at: Nanos, from: Sender, bytes: &[u8], lines: &mut Lines) {
        let protocol = self.opaque.unwrap_or(Protocol::Tcp);
        // The client speaks again after it was answered: the next turn. What TLS carries cannot be told apart.
        let answered = |turn: &Exchange| !turn.tunnel && turn.response.size() > 0;
        let turned = from == Sender::Client && self.open.back().is_some_and(answered);
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
                exchange.unseen = std::mem::take(&mut self.gapped);
                exchange.remark = self.remark.take();
                turn::begin(exchange, (self.direction, &self.peer), protocol, self.hello.as_ref());
                self.select(None, lines);
                self.causal(at, &[], lines);
            }
        }
        if from == Sender::Client {
            self.asked(lines);
        }
        if let Some(exchange) = self.open.back_mut() {
            match from {
                Sender::Client => exchange.ask(at, bytes, lines),
                Sender::Server => {
                    if self.direction == Direction::Inbound && protocol != Protocol::Tls {
                        exchange.request_ended = true;
                        exchange.tell(&self.peer, None, lines);
                    }
                    exchange.answer(at, bytes, lines);
                }
            }
        }
    }

    /// Whether the exchange that has just begun is to be recorded.
    fn select(&mut self, path: Option<&str>, lines: &Lines) {
        let Some(exchange) = self.open.back_mut() else { return };
        exchange.excluded = !lines.selects(self.direction, &self.peer, &exchange.service, path);
        if exchange.excluded {
            exchange.request.count_only();
            exchange.response.count_only();
        }
        self.excluding = Some(self.excluding.unwrap_or(true) && exchange.excluded);
    }

    fn begin(&mut self, at: Nanos, lines: &mut Lines) {
        if self.open.len() >= MAX_OPEN {
            self.lose_open(at, Reason::Buffer, lines);
        }
        let mut exchange = lines.spares.pop().unwrap_or_default();
        (exchange.started, exchange.asked) = (at, at);
        exchange.name = self.next_name.take();
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

    fn fail_open(&mut self, at: Nanos, why: Why, lines: &mut Lines) {
        while let Some(mut exchange) = self.open.pop_front() {
            self.write(at, &mut exchange, Some(why), lines);
            exchange.recycle(lines);
        }
    }

    /// Parts of them are unknown: they are not written as if they were whole.
    fn lose_open(&mut self, at: Nanos, reason: Reason, lines: &mut Lines) {
        while let Some(mut exchange) = self.open.pop_front() {
            self.over(at, &exchange, Some(Why::Unseen), lines);
            match exchange.told {
                _ if exchange.excluded => lines.exclude(exchange.size()),
                Told::NotYet => lines.lost(reason, 1, exchange.size()),
                Told::As(_) => exchange.respond_without(at, &self.peer, reason, lines),
                Told::Lost => {}
            }
            exchange.clear(lines, true);
        }
    }

    /// The name of the field that has them.
    const fn response_headers(&self) -> &'static str {
        match self.direction {
            Direction::Inbound => "headers",
            Direction::Outbound => "responseHeaders",
        }
    }

    /// Writes what there is to write of an exchange that is over, or gets no further.
    fn write(&self, at: Nanos, exchange: &mut Exchange, why: Option<Why>, lines: &mut Lines) {
        match self.direction {
            Direction::Outbound => {
                let cause = self.cause_of(exchange, lines);
                exchange.call(at, (&self.peer, cause), why, lines);
            }
            Direction::Inbound => {
                self.over(exchange.over(at), exchange, why, lines);
                let peer = self.served_by(exchange, lines);
                exchange.respond(at, &peer, why, lines);
            }
        }
    }
}
