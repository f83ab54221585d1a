//! How a connection is taken up whose beginning was not seen: one older than the capture, or after a gap.

use super::super::detect::RequestLine;
use super::super::http1::Http1;
use super::super::{Message, Protocol, Sender};
use super::{Conversation, State};

/// Looks for a request line at the beginning of the client's feeds.
#[derive(Debug, Default)]
pub(super) struct Lost {
    line: RequestLine,
    /// What may become a request line.
    held: Vec<u8>,
    /// Bytes of the client were missed, and what it sends next may be another request behind an unanswered one.
    unanswered: bool,
}

impl Lost {
    /// After a gap in what `from` sent.
    pub(super) fn after(from: Sender) -> Self {
        Self { unanswered: from == Sender::Client, ..Self::default() }
    }

    /// After one more, which may have come before the last: what the server said in it may be the answer.
    pub(super) fn again(&self, from: Sender) -> Self {
        Self { unanswered: self.unanswered && from == Sender::Client, ..Self::default() }
    }
}

/// A request was found. What the server sends may still be the tail of an earlier answer.
#[derive(Debug)]
pub(super) struct Resumed {
    http: Http1,
    /// What may become a status line.
    held: Vec<u8>,
    /// Bytes of an earlier answer since the request was found: its client pipelines.
    tail: u64,
    /// What the connection was known to speak before.
    before: Option<Protocol>,
}

impl Resumed {
    /// Whether other answers than those to the requests that were found may be still to come.
    pub(super) fn is_doubtful(&self) -> bool {
        self.tail > 0 || self.http.has_pipelined()
    }

    /// Whether they are: with more than one request, none can be told its answer.
    fn is_adrift(&self) -> bool {
        self.tail > 0 && self.http.has_pipelined()
    }
}

impl Conversation {
    /// Reads on while no request is known.
    pub(super) fn look_for_request(
        &mut self,
        from: Sender,
        bytes: &[u8],
        emit: &mut impl FnMut(Message<'_>),
    ) {
        let State::Lost(Lost { line, held, unanswered }) = &mut self.state else { return };
        self.unread += bytes.len() as u64;
        if from == Sender::Server {
            *unanswered = false;
            if !line.likely() {
                // Half a method before an answer was the end of a body.
                *held = Vec::new();
            }
            return;
        }
        if !held.is_empty() {
            line.push(bytes);
        }
        // What is held may be the tail of a body that looked like a request line: begin again with this feed.
        if held.is_empty() || line.failed() {
            *line = RequestLine::default();
            line.push(bytes);
            *held = Vec::new();
        }
        if line.likely() || begins_method(held, bytes) {
            held.extend_from_slice(bytes);
        }
        if let Some(protocol) = line.protocol() {
            if *unanswered {
                self.state = State::Adrift;
                return;
            }
            let held = std::mem::take(held);
            self.unread -= held.len() as u64;
            let before = self.protocol.replace(protocol);
            let resumed = Resumed { http: Http1::default(), held: Vec::new(), tail: 0, before };
            self.state = State::Resumed(Box::new(resumed));
            self.await_answer(Sender::Client, &held, emit);
        }
    }

    /// Reads on while requests are known and none of their answers.
    pub(super) fn await_answer(&mut self, from: Sender, bytes: &[u8], emit: &mut impl FnMut(Message<'_>)) {
        let State::Resumed(resumed) = &mut self.state else { return };
        match from {
            Sender::Client => {
                if let Err(turn) = resumed.http.feed(Sender::Client, bytes, emit) {
                    let rest = turn.rest.len();
                    return self.lose_again(rest, emit);
                }
            }
            Sender::Server => {
                self.unread += bytes.len() as u64;
                let mut begins = begins_response(&resumed.held, bytes);
                if begins == Some(false) {
                    // What is held may have been the end of the tail: begin again with this feed.
                    resumed.tail += resumed.held.len() as u64;
                    resumed.held.clear();
                    begins = begins_response(&[], bytes);
                }
                match begins {
                    None => resumed.held.extend_from_slice(bytes),
                    Some(false) => resumed.tail += bytes.len() as u64,
                    Some(true) => return self.answered(bytes, emit),
                }
            }
        }
        if resumed.is_adrift() {
            emit(Message::Gap(Sender::Server, resumed.tail));
            self.state = State::Adrift;
        }
    }

    /// An answer begins with what is held and `bytes`: from here on all is as if nothing had been missed.
    fn answered(&mut self, bytes: &[u8], emit: &mut impl FnMut(Message<'_>)) {
        let State::Resumed(resumed) = std::mem::replace(&mut self.state, State::Adrift) else { return };
        let Resumed { http, held, .. } = *resumed;
        self.unread -= (held.len() + bytes.len()) as u64;
        self.state = State::Http(http);
        self.feed(Sender::Server, &held, emit);
        self.feed(Sender::Server, bytes, emit);
    }

    /// What was taken for a request is none, or does not go on as one; `rest` bytes of it were not read.
    fn lose_again(&mut self, rest: usize, emit: &mut impl FnMut(Message<'_>)) {
        let State::Resumed(resumed) = std::mem::replace(&mut self.state, State::Adrift) else { return };
        let (idle, doubtful) = (resumed.http.is_idle(), resumed.is_doubtful());
        let unread = (resumed.http.into_held().0.len() + rest) as u64;
        self.unread += unread;
        if idle {
            self.protocol = resumed.before;
        } else {
            emit(Message::Gap(Sender::Client, unread));
        }
        if !doubtful {
            self.state = State::Lost(Lost::default());
        }
    }
}

/// Whether `held` and `bytes` are the beginning of a common method, which came in pieces.
fn begins_method(held: &[u8], bytes: &[u8]) -> bool {
    METHODS.iter().any(|method| {
        method.strip_prefix(held).is_some_and(|rest| bytes.len() <= rest.len() && rest.starts_with(bytes))
    })
}

/// The methods of RFC 9110 section 9 and RFC 5789.
const METHODS: [&[u8]; 9] =
    [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"];

/// Whether `held` and `bytes` begin with a status line (RFC 9112 section 4), up to the status; `None` if too short to
/// tell.
fn begins_response(held: &[u8], bytes: &[u8]) -> Option<bool> {
    let fits = |(at, byte): (usize, &u8)| match at {
        0..7 => *byte == b"HTTP/1."[at],
        7 => matches!(byte, b'0' | b'1'),
        8 => *byte == b' ',
        _ => byte.is_ascii_digit(),
    };
    let mut beginning = held.iter().chain(bytes).take(STATUS_END).enumerate();
    if !beginning.all(fits) {
        return Some(false);
    }
    (held.len() + bytes.len() >= STATUS_END).then_some(true)
}

/// Where the status ends in a status line.
const STATUS_END: usize = "HTTP/1.1 200".len();
