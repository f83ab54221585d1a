//! HTTP/1.0 and HTTP/1.1 (RFC 9112): two half-connections and the requests that wait for their answers.

pub(crate) mod body;
pub(crate) mod framing;
mod gather;
pub(crate) mod head;

use std::collections::VecDeque;

use self::body::{Body, Part};
use self::framing::Reply;
use self::gather::{MAX_HEAD, gather};
use super::detect::RequestLine;
use super::{Message, Sender};

/// Bytes that a client may send behind an upgrade before it is answered.
const MAX_PENDING: usize = 64 * 1024;
/// Requests that may wait for an answer on one connection.
const MAX_OPEN: usize = 64 * 1024;

/// Why the connection can no longer be read as HTTP/1, and what of the bytes just fed was not read.
#[derive(Debug)]
pub(super) struct Turn<'i> {
    /// `None` if that is part of the protocol.
    pub(super) error: Option<&'static str>,
    /// CONNECT was answered: a connection to somebody else begins within this one.
    pub(super) tunnel: bool,
    pub(super) rest: &'i [u8],
}

impl<'i> Turn<'i> {
    fn error(error: &'static str, rest: &'i [u8]) -> Self {
        Self { error: Some(error), tunnel: false, rest }
    }
}

/// The state of one connection that speaks HTTP/1.
#[derive(Debug, Default)]
pub(super) struct Http1 {
    client: Half,
    server: Half,
    /// The client's request line, as far as it came in pieces.
    line: RequestLine,
    /// Requests whose response has not ended, oldest first.
    open: VecDeque<Reply>,
    pipelined: bool,
}

/// What one side sends.
#[derive(Debug, Default)]
struct Half {
    phase: Phase,
    /// The beginning of an element that is not yet whole; without memory while there is none.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Head,
    Body(Body),
    /// The client's newest request asks for an upgrade or a tunnel: what follows belongs to the other protocol
    /// if the server agrees and to the next request if it does not.
    Pending,
}

impl Http1 {
    /// Reads on.
    ///
    /// # Errors
    /// `Turn`, if this connection cannot be read any further; what was held is then in [`Self::into_held`].
    pub(super) fn feed<'i>(
        &mut self,
        from: Sender,
        input: &'i [u8],
        emit: &mut impl FnMut(Message<'_>),
    ) -> Result<(), Turn<'i>> {
        match from {
            Sender::Client => self.feed_client(input, emit),
            Sender::Server => self.feed_server(input, emit),
        }
    }

    /// `from` will send nothing more. A message that is thereby cut short is left without its end.
    ///
    /// # Errors
    /// What is held cannot become a message any more.
    pub(super) fn fin(
        &mut self,
        from: Sender,
        emit: &mut impl FnMut(Message<'_>),
    ) -> Result<(), Turn<'static>> {
        if from == Sender::Server && self.server.phase == Phase::Body(Body::UntilClose) {
            self.end_response();
            emit(Message::ResponseEnd(&[]));
        }
        // A client may close its half while the answers to earlier requests are still to come.
        let over = from == Sender::Server || self.open.is_empty();
        if over && !(self.client.held.is_empty() && self.server.held.is_empty()) {
            return Err(Turn::error("the connection ended inside a message", &[]));
        }
        Ok(())
    }

    /// Whether the client ever sent a request before an earlier one was answered.
    pub(super) fn has_pipelined(&self) -> bool {
        self.pipelined
    }

    /// Whether the client has said all it may before it is answered, unless it pipelines.
    pub(super) fn awaits_answer(&self) -> bool {
        !self.is_idle() && self.client.phase == Phase::Head
    }

    /// Whether no request waits for its answer.
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// The bytes held of the client and of the server.
    pub(super) fn into_held(self) -> (Vec<u8>, Vec<u8>) {
        (self.client.held, self.server.held)
    }

    fn feed_client<'i>(
        &mut self,
        mut input: &'i [u8],
        emit: &mut impl FnMut(Message<'_>),
    ) -> Result<(), Turn<'i>> {
        while !input.is_empty() {
            match &mut self.client.phase {
                Phase::Head => self.request_head(&mut input, emit)?,
                Phase::Body(body) => {
                    let rest = body.read(&mut self.client.held, input, &mut |part| match part {
                        Part::Content(content) => emit(Message::RequestBody(content)),
                        Part::End(trailers) => emit(Message::RequestEnd(trailers)),
                    })?;
                    let Some(rest) = rest else { return Ok(()) };
                    self.end_request();
                    input = rest;
                }
                Phase::Pending if self.client.held.len() + input.len() > MAX_PENDING => {
                    return Err(Turn::error("more than 64 KiB behind an unanswered upgrade", input));
                }
                Phase::Pending => {
                    self.client.held.extend_from_slice(input);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn feed_server<'i>(
        &mut self,
        mut input: &'i [u8],
        emit: &mut impl FnMut(Message<'_>),
    ) -> Result<(), Turn<'i>> {
        while !input.is_empty() {
            if let Phase::Body(body) = &mut self.server.phase {
                let rest = body.read(&mut self.server.held, input, &mut |part| match part {
                    Part::Content(content) => emit(Message::ResponseBody(content)),
                    Part::End(trailers) => emit(Message::ResponseEnd(trailers)),
                })?;
                let Some(rest) = rest else { return Ok(()) };
                self.end_response();
                input = rest;
            } else {
                self.response_head(&mut input, emit)?;
            }
        }
        Ok(())
    }

    /// Reads a request head from `input`, or the part of one that is there.
    fn request_head<'i>(
        &mut self,
        input: &mut &'i [u8],
        emit: &mut impl FnMut(Message<'_>),
    ) -> Result<(), Turn<'i>> {
        if self.client.held.is_empty() {
            skip_empty_lines(input);
            if input.is_empty() {
                return Ok(());
            }
            if self.open.len() >= MAX_OPEN {
                return Err(Turn::error("more than 65,536 unanswered requests", input));
            }
            // Nearly always the whole head is there. If anything is wrong, what follows finds out what.
            if let Ok((length, (body, reply))) = parse_request(&input[..input.len().min(MAX_HEAD)], emit) {
                *input = &input[length..];
                self.begin_request(body, reply, emit);
                return Ok(());
            }
        }
        let line = &mut self.line;
        let whole = gather(&mut self.client.held, input, |_, piece| {
            line.push(piece);
            if line.failed() { Err(head::NOT_A_REQUEST) } else { Ok(()) }
        })?;
        let Some(bytes) = whole else { return Ok(()) };
        self.line = RequestLine::default();
        match head::lenient(&bytes, |bytes| parse_request(bytes, emit)) {
            Ok((_, (body, reply))) => self.begin_request(body, reply, emit),
            Err(error) => {
                self.client.held = bytes;
                return Err(Turn::error(error, input));
            }
        }
        Ok(())
    }

    fn begin_request(&mut self, body: Option<Body>, reply: Reply, emit: &mut impl FnMut(Message<'_>)) {
        self.pipelined |= !self.open.is_empty();
        self.open.push_back(reply);
        if let Some(body) = body {
            self.client.phase = Phase::Body(body);
        } else {
            emit(Message::RequestEnd(&[]));
            self.end_request();
        }
    }

    fn end_request(&mut self) {
        let pending = matches!(self.open.back(), Some(Reply::Connect | Reply::Upgrade));
        self.client.phase = if pending { Phase::Pending } else { Phase::Head };
    }

    /// Reads a response head from `input`, or the part of one that is there.
    fn response_head<'i>(
        &mut self,
        input: &mut &'i [u8],
        emit: &mut impl FnMut(Message<'_>),
    ) -> Result<(), Turn<'i>> {
        if self.server.held.is_empty() {
            skip_empty_lines(input);
            if input.is_empty() {
                return Ok(());
            }
        }
        let Some(reply) = self.open.front().copied() else {
            return Err(Turn::error("a response without a request", input));
        };
        if self.server.held.is_empty() {
            let head = &input[..input.len().min(MAX_HEAD)];
            if let Ok((length, (status, body))) = parse_response(head, reply, emit) {
                *input = &input[length..];
                return self.begin_response(status, body, reply, input, emit);
            }
        }
        let whole = gather(&mut self.server.held, input, head::check_status_line)?;
        let Some(bytes) = whole else { return Ok(()) };
        match head::lenient(&bytes, |bytes| parse_response(bytes, reply, emit)) {
            Ok((_, (status, body))) => self.begin_response(status, body, reply, input, emit),
            Err(error) => {
                self.server.held = bytes;
                Err(Turn::error(error, input))
            }
        }
    }

    fn begin_response<'i>(
        &mut self,
        status: u16,
        body: Option<Body>,
        reply: Reply,
        rest: &'i [u8],
        emit: &mut impl FnMut(Message<'_>),
    ) -> Result<(), Turn<'i>> {
        if is_interim(status) {
            return Ok(());
        }
        if framing::is_tunnel(status, reply) {
            emit(Message::Tunnel);
            return Err(Turn { error: None, tunnel: true, rest });
        }
        if let Some(body) = body {
            self.server.phase = Phase::Body(body);
        } else {
            emit(Message::ResponseEnd(&[]));
            self.end_response();
        }
        if status == 101 {
            return Err(Turn { error: None, tunnel: false, rest });
        }
        if matches!(reply, Reply::Connect | Reply::Upgrade) {
            self.refuse_upgrade(emit).map_err(|error| Turn { error, tunnel: false, rest })?;
        }
        Ok(())
    }

    fn end_response(&mut self) {
        self.server.phase = Phase::Head;
        self.open.pop_front();
        if self.open.is_empty() && self.open.capacity() > 64 {
            self.open = VecDeque::new();
        }
    }

    /// The newest request asked for an upgrade and did not get it: what its client sent since is HTTP.
    fn refuse_upgrade(&mut self, emit: &mut impl FnMut(Message<'_>)) -> Result<(), Option<&'static str>> {
        if let Some(reply) = self.open.front_mut() {
            *reply = Reply::Plain;
        }
        if self.client.phase == Phase::Pending {
            self.client.phase = Phase::Head;
            let pending = std::mem::take(&mut self.client.held);
            self.feed_client(&pending, emit).map_err(|turn| {
                self.client.held.extend_from_slice(turn.rest);
                turn.error
            })?;
        }
        Ok(())
    }
}

/// Empty lines between messages (RFC 9112 section 2.2): some old clients send one after a body.
fn skip_empty_lines(input: &mut &[u8]) {
    while let [b'\r' | b'\n', rest @ ..] = input {
        *input = rest;
    }
}

fn is_interim(status: u16) -> bool {
    (100..200).contains(&status) && status != 101
}

/// Shows the request head at the beginning of `bytes`; says its length, its body and how its answer is read.
fn parse_request(
    bytes: &[u8],
    emit: &mut impl FnMut(Message<'_>),
) -> Result<(usize, (Option<Body>, Reply)), &'static str> {
    head::request(bytes, |head| {
        let framing = framing::of_request(head.method, head.fields)?;
        let head::Request { protocol, method, target, fields } = *head;
        emit(Message::Request { protocol, method, target, fields });
        Ok(framing)
    })
}

/// Shows the response head at the beginning of `bytes`; says its length, its status and its body.
fn parse_response(
    bytes: &[u8],
    reply: Reply,
    emit: &mut impl FnMut(Message<'_>),
) -> Result<(usize, (u16, Option<Body>)), &'static str> {
    head::response(bytes, |head| {
        let head::Response { status, fields } = *head;
        if is_interim(status) {
            emit(Message::Interim { status, fields });
            return Ok((status, None));
        }
        let body = framing::of_response(status, fields, reply)?;
        emit(Message::Response { status, fields });
        Ok((status, body))
    })
}
