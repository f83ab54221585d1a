//! One connection's bytes, of both sides, to messages.

mod resume;

use self::resume::{Lost, Resumed};
use super::detect::Detector;
use super::http1::{Http1, Turn};
use super::tls_hello::{HelloReader, Progress};
use super::{Message, Protocol, Sender};

/// Tunnels within tunnels that are looked into: proxies behind proxies. What is in a further one is bytes.
const MOST_TUNNELS: u8 = 8;

/// Reads one connection. Small while nothing is half-read, so that thousands may be open.
///
/// Memory is bounded by about 1 MiB a side, and nothing a peer sends makes it panic.
#[derive(Debug)]
pub struct Conversation {
    state: State,
    protocol: Option<Protocol>,
    /// How many tunnels it is within.
    tunnels: u8,
    unread: u64,
}

#[derive(Debug)]
enum State {
    /// The client's first bytes do not yet tell; they are held.
    Detecting {
        detector: Detector,
        held: Vec<u8>,
    },
    Http(Http1),
    /// TLS; the client's bytes are held until its hello is whole.
    Hello(Box<Hello>),
    Opaque,
    /// The beginning of what comes was not seen: waits for a request.
    Lost(Lost),
    /// Has found one, and waits for its answer.
    Resumed(Box<Resumed>),
    /// Answers can no longer be told to requests: all is ignored.
    Adrift,
}

#[derive(Debug, Default)]
struct Hello {
    reader: HelloReader,
    held: Vec<u8>,
}

impl State {
    fn detecting() -> Self {
        Self::Detecting { detector: Detector::new(), held: Vec::new() }
    }
}

impl Default for Conversation {
    fn default() -> Self {
        Self::new()
    }
}

impl Conversation {
    /// A connection of which nothing was seen yet.
    pub fn new() -> Self {
        Self { state: State::detecting(), protocol: None, tunnels: 0, unread: 0 }
    }

    /// A connection whose beginning was not seen: all is ignored until a feed of the client's begins with a request
    /// line, as after a gap.
    pub fn joined() -> Self {
        Self { state: State::Lost(Lost::default()), protocol: None, tunnels: 0, unread: 0 }
    }

    /// Bytes of either side that were fed and ignored, because the beginning of what they belong to was not seen:
    /// of a connection whose [`Self::protocol`] never becomes known, all.
    pub fn unread(&self) -> u64 {
        self.unread
    }

    /// What the connection speaks, `None` until known: of HTTP the version of the first request; `Tcp`, `Tls` or
    /// `H2` once its bytes are opaque. Within a tunnel, what is spoken there.
    pub fn protocol(&self) -> Option<Protocol> {
        self.protocol
    }

    /// Reads the next bytes that `from` sent and shows what they complete.
    ///
    /// Feeds of the two senders must come in the order in which they were relayed, so far as one side's bytes
    /// answer the other's: a response fed before its request is not understood.
    pub fn feed(&mut self, from: Sender, bytes: &[u8], emit: &mut impl FnMut(Message<'_>)) {
        if bytes.is_empty() {
            return;
        }
        match &mut self.state {
            State::Http(http) => {
                if let Err(turn) = http.feed(from, bytes, emit) {
                    self.leave_http(from, &turn, emit);
                }
            }
            State::Opaque => emit(Message::Bytes(from, bytes)),
            State::Detecting { .. } => self.detect(from, bytes, emit),
            State::Hello(_) => self.read_hello(from, bytes, emit),
            State::Lost(_) => self.look_for_request(from, bytes, emit),
            State::Resumed(_) => self.await_answer(from, bytes, emit),
            State::Adrift => self.unread += bytes.len() as u64,
        }
    }

    /// `bytes` bytes of `from`, which would have come next, were not seen.
    ///
    /// An opaque connection goes on. Of any other, all is ignored until a feed of the client's begins with a
    /// request line; what was half-read is dropped. Of one whose client pipelines, all is ignored for good: how
    /// many answers are still to come cannot be known, and one would be taken for another.
    pub fn gap(&mut self, from: Sender, bytes: u64, emit: &mut impl FnMut(Message<'_>)) {
        if let State::Hello(hello) = &mut self.state {
            let held = std::mem::take(&mut hello.held);
            self.state = State::Opaque;
            show(Sender::Client, &held, emit);
        }
        emit(Message::Gap(from, bytes));
        self.state = match &self.state {
            State::Opaque => State::Opaque,
            State::Adrift => State::Adrift,
            State::Http(http) if http.has_pipelined() => State::Adrift,
            // The client went on before it was answered.
            State::Http(http) if from == Sender::Client && http.awaits_answer() => State::Adrift,
            State::Resumed(resumed) if resumed.is_doubtful() => State::Adrift,
            State::Lost(lost) => State::Lost(lost.again(from)),
            _ => State::Lost(Lost::after(from)),
        };
    }

    /// `from` sent its FIN, or the connection is being closed (then call this for both). Ends a body that lasts
    /// until the close, and shows what was held back as bytes. Any other message that is cut short gets no end.
    pub fn fin(&mut self, from: Sender, emit: &mut impl FnMut(Message<'_>)) {
        match &mut self.state {
            State::Detecting { held, .. } if !held.is_empty() => {
                let held = std::mem::take(held);
                self.turn_opaque(Protocol::Tcp, None, emit);
                show(Sender::Client, &held, emit);
            }
            State::Http(http) => {
                if let Err(turn) = http.fin(from, emit) {
                    self.leave_http(from, &turn, emit);
                }
            }
            State::Hello(hello) => {
                let held = std::mem::take(&mut hello.held);
                self.state = State::Opaque;
                show(Sender::Client, &held, emit);
            }
            State::Detecting { .. } | State::Opaque => {}
            State::Lost(_) | State::Resumed(_) | State::Adrift => {}
        }
    }

    fn detect(&mut self, from: Sender, bytes: &[u8], emit: &mut impl FnMut(Message<'_>)) {
        let State::Detecting { detector, held } = &mut self.state else { return };
        // A server that speaks first speaks nothing we know.
        let verdict = if from == Sender::Server { Some(Protocol::Tcp) } else { detector.push(bytes) };
        let Some(protocol) = verdict else {
            held.extend_from_slice(bytes);
            return;
        };
        let held = std::mem::take(held);
        self.protocol = Some(protocol);
        match protocol {
            Protocol::Http10 | Protocol::Http11 => self.state = State::Http(Http1::default()),
            Protocol::H2 | Protocol::Tcp => self.turn_opaque(protocol, None, emit),
            Protocol::Tls => {
                self.turn_opaque(protocol, None, emit);
                self.state = State::Hello(Box::default());
            }
        }
        self.feed(Sender::Client, &held, emit);
        self.feed(from, bytes, emit);
    }

    fn read_hello(&mut self, from: Sender, bytes: &[u8], emit: &mut impl FnMut(Message<'_>)) {
        let State::Hello(hello) = &mut self.state else { return };
        if from == Sender::Client {
            match hello.reader.push(bytes) {
                Progress::Partial => {
                    hello.held.extend_from_slice(bytes);
                    return;
                }
                Progress::Whole => {
                    if let Some(hello) = hello.reader.hello() {
                        emit(Message::Hello { sni: hello.sni, alpn: &hello.alpn });
                    }
                }
                Progress::Broken => {}
            }
        }
        // Whole, broken, or answered before it was whole: no Hello may come after the first Bytes.
        let held = std::mem::take(&mut hello.held);
        self.state = State::Opaque;
        show(Sender::Client, &held, emit);
        show(from, bytes, emit);
    }

    /// Shows what HTTP left unread, of either side, and everything from here on as bytes.
    fn leave_http(&mut self, from: Sender, turn: &Turn<'_>, emit: &mut impl FnMut(Message<'_>)) {
        let State::Http(http) = std::mem::replace(&mut self.state, State::Opaque) else { return };
        let (client, server) = http.into_held();
        if turn.tunnel && self.tunnels < MOST_TUNNELS {
            self.tunnels += 1;
            (self.state, self.protocol) = (State::detecting(), None);
            self.feed(Sender::Client, &client, emit);
            return self.feed(Sender::Server, turn.rest, emit);
        }
        self.turn_opaque(Protocol::Tcp, turn.error, emit);
        // The other side's held bytes came before the bytes that were just fed.
        let (other, earlier, later) = match from {
            Sender::Client => (Sender::Server, &server, &client),
            Sender::Server => (Sender::Client, &client, &server),
        };
        show(other, earlier, emit);
        show(from, later, emit);
        show(from, turn.rest, emit);
    }

    fn turn_opaque(
        &mut self,
        protocol: Protocol,
        error: Option<&'static str>,
        emit: &mut impl FnMut(Message<'_>),
    ) {
        self.state = State::Opaque;
        self.protocol = Some(protocol);
        emit(Message::Opaque { protocol, error });
    }
}

fn show(from: Sender, bytes: &[u8], emit: &mut impl FnMut(Message<'_>)) {
    if !bytes.is_empty() {
        emit(Message::Bytes(from, bytes));
    }
}

#[cfg(test)]
mod tests;
