//! Whole connections, segment by segment. What is said is written as by the streams' tests, with `>` before what the
//! client sent and `<` before what the server sent.

mod property;

use Sender::{Client as C, Server as S};

use super::*;

/// A connection, what it said, and where both sides are.
struct Wire {
    connection: Connection,
    memory: Memory,
    said: Vec<String>,
    /// The next sequence numbers of client and server.
    next: [u32; 2],
    /// What the other side was last told to have.
    acked: [u32; 2],
}

const CLIENT: u32 = u32::MAX - 10;
const SERVER: u32 = 5_000;

impl Wire {
    /// A connection to a target that listens, after its handshake.
    fn new() -> Self {
        let mut wire = Self::over(Connection::new(S));
        wire.connection.begin(C, CLIENT);
        wire.connection.begin(S, SERVER);
        wire
    }

    fn over(connection: Connection) -> Self {
        let memory = Memory::new(1 << 20);
        Self { connection, memory, said: Vec::new(), next: [CLIENT, SERVER], acked: [CLIENT, SERVER] }
    }

    fn see(&mut self, segment: &Segment<'_>) -> &mut Self {
        let Self { connection, memory, said, .. } = self;
        connection.segment(segment, memory, &mut |message| said.push(words(message)));
        self
    }

    /// The next bytes of `from`, which has all that the other side sent.
    fn send(&mut self, from: Sender, bytes: &str) -> &mut Self {
        let segment = self.lose(from, bytes);
        self.see(&segment)
    }

    /// The same, which we do not see.
    fn lose<'b>(&mut self, from: Sender, bytes: &'b str) -> Segment<'b> {
        let (own, other) = (from as usize, opposite(from) as usize);
        let segment = Segment { bytes: bytes.as_bytes(), ..bare(from, self.next[own], self.next[other]) };
        self.next[own] = self.next[own].wrapping_add(bytes.len() as u32);
        self.acked[other] = self.next[other];
        segment
    }

    fn fin(&mut self, from: Sender) -> &mut Self {
        let (own, other) = (from as usize, opposite(from) as usize);
        let segment = Segment { fin: true, ..bare(from, self.next[own], self.next[other]) };
        self.next[own] = self.next[own].wrapping_add(1);
        self.see(&segment)
    }

    /// A reset of `from`, `ahead` of where it is.
    fn reset(&mut self, from: Sender, ahead: i32) -> &mut Self {
        let seq = self.next[from as usize].wrapping_add_signed(ahead);
        self.see(&Segment { rst: true, ack: None, ..bare(from, seq, 0) })
    }

    fn end(&mut self) -> &mut Self {
        let Self { connection, memory, said, .. } = self;
        connection.end(memory, &mut |message| said.push(words(message)));
        assert_eq!(memory.used(), 0);
        self
    }

    fn says(&mut self, expected: &[&str]) -> &mut Self {
        assert_eq!(self.said, expected);
        self.said.clear();
        self
    }

    fn how(&self, expected: How) {
        assert_eq!(self.connection.how(), expected);
        assert_eq!(self.connection.is_finished(), !matches!(expected, How::Open | How::Half(_)));
    }
}

/// A segment without anything, of a sender that expects `ack`.
fn bare(from: Sender, seq: u32, ack: u32) -> Segment<'static> {
    Segment { from, seq, ack: Some(ack), syn: false, fin: false, rst: false, bytes: b"", unseen: 0 }
}

fn words(message: Message<'_>) -> String {
    let text = String::from_utf8_lossy;
    match message {
        Message::Request { method, target, .. } => format!("> {method} {target}"),
        Message::RequestBody(bytes) => format!("> body {}", text(bytes)),
        Message::RequestEnd(_) => "> end".to_owned(),
        Message::Interim { status, .. } => format!("< interim {status}"),
        Message::Response { status, .. } => format!("< {status}"),
        Message::ResponseBody(bytes) => format!("< body {}", text(bytes)),
        Message::ResponseEnd(_) => "< end".to_owned(),
        Message::Tunnel => "tunnel".to_owned(),
        Message::Hello { .. } => "hello".to_owned(),
        Message::Opaque { .. } => "opaque".to_owned(),
        Message::Bytes(C, bytes) => format!("> bytes {}", text(bytes)),
        Message::Bytes(S, bytes) => format!("< bytes {}", text(bytes)),
        Message::Gap(from, bytes) => format!("gap {from:?} {bytes}"),
    }
}

const GET: &str = "GET /a HTTP/1.1\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const UNTIL_CLOSE: &str = "HTTP/1.1 200 OK\r\n\r\nok";
const ASKED: [&str; 2] = ["> GET /a", "> end"];
const SAID: [&str; 5] = ["> GET /a", "> end", "< 200", "< body ok", "< end"];

#[test]
fn an_exchange_and_two_fins() {
    let mut wire = Wire::new();
    wire.send(C, GET).send(S, OK).says(&SAID).how(How::Open);
    wire.fin(S).how(How::Half(S));
    // Half-closed, and the other side goes on.
    wire.send(C, GET).says(&ASKED).fin(C).how(How::Closed(S));
    // A reset after both (a client that closes with bytes unread), a late FIN: nothing.
    wire.reset(C, 0).fin(S).says(&[]).end().says(&[]).how(How::Closed(S));
}

#[test]
fn a_client_may_close_its_half_and_still_be_answered() {
    let mut wire = Wire::new();
    wire.send(C, GET).fin(C).send(S, UNTIL_CLOSE).says(&SAID[..4]).fin(S).says(&["< end"]);
    wire.how(How::Closed(C));
    // The FIN on the request's own segment, and with it bytes of which some could not be copied.
    let mut wire = Wire::new();
    let segment = Segment { fin: true, unseen: 3, ..wire.lose(C, GET) };
    wire.see(&segment).says(&["> GET /a", "> end", "gap Client 3"]).how(How::Half(C));
}

#[test]
fn a_handshake_with_and_without_data() {
    let syn = Segment { syn: true, ack: None, ..bare(C, CLIENT.wrapping_sub(1), 0) };
    let mut wire = Wire::over(Connection::new(S));
    wire.see(&syn).see(&syn).see(&Segment { syn: true, ..bare(S, SERVER - 1, CLIENT) });
    wire.send(C, GET).send(S, OK).says(&SAID);
    // TCP Fast Open (RFC 7413): data on the SYN, sent again when the server has not taken it.
    let mut wire = Wire::over(Connection::new(S));
    wire.see(&Segment { bytes: &GET.as_bytes()[..5], ..syn }).see(&bare(S, SERVER, CLIENT)).says(&[]);
    wire.send(C, GET).send(S, OK).says(&SAID);
    // Of a connection whose handshake was not seen the first segment may come late.
    let mut wire = Wire::over(Connection::new(S));
    wire.connection.begin(C, CLIENT);
    let (first, second) = (wire.lose(C, &GET[..4]), wire.lose(C, &GET[4..]));
    wire.see(&second).see(&first).send(S, OK).says(&SAID);
}

#[test]
fn what_the_other_side_has_and_we_do_not_is_a_gap() {
    let mut wire = Wire::new();
    wire.send(C, GET).send(S, &OK[..20]).lose(S, &OK[20..25]);
    // The network might send it again, until the client says that it has all.
    wire.send(S, &OK[25..]).says(&ASKED);
    let again = [&["gap Server 5"], &SAID[..]].concat();
    wire.send(C, GET).send(S, OK).says(&again);
    wire.lose(C, GET);
    wire.send(S, OK).says(&["gap Client 19"]).send(C, GET).send(S, OK).says(&SAID);
}

#[test]
fn an_answer_lost_together_with_the_next_request_costs_no_more_than_these() {
    let mut wire = Wire::new();
    wire.send(C, GET).send(S, &OK[..30]).lose(S, &OK[30..]);
    wire.lose(C, GET);
    wire.send(S, OK).send(C, GET).send(S, OK);
    let gaps = ["> GET /a", "> end", "gap Server 10", "gap Client 19"];
    wire.says(&[&gaps[..], &SAID].concat());
}

#[test]
fn a_reset_breaks_the_connection_where_tcp_takes_it() {
    for (from, ahead, taken) in
        [(C, 0, true), (C, 1, false), (C, -1, false), (C, 1 << 20, false), (S, 0, true), (S, 7, true)]
    {
        let mut wire = Wire::new();
        wire.send(C, GET).send(S, UNTIL_CLOSE).reset(from, ahead).says(&SAID[..4]);
        wire.how(if taken { How::Reset(from) } else { How::Open });
        wire.send(C, GET).says(if taken { &[] } else { &ASKED });
        // An answer cut short is not made whole.
        wire.end().says(&[]);
        wire.how(if taken { How::Reset(from) } else { How::Open });
    }
    // One that was not believed, and nothing came after it: bytes before it were lost to us.
    let mut wire = Wire::new();
    wire.send(C, GET).reset(C, 9).end().says(&ASKED).how(How::Reset(C));
    // After a FIN of its own, too.
    let mut wire = Wire::new();
    wire.send(C, GET).fin(C).reset(C, 0).how(How::Reset(C));
}

#[test]
fn what_a_reset_cuts_off_never_came_unless_the_target_sent_it() {
    let mut wire = Wire::new();
    wire.lose(C, GET);
    wire.send(C, "more").reset(C, 0).says(&[]).end().says(&[]);
    let mut wire = Wire::new();
    wire.send(C, GET).lose(S, &OK[..9]);
    wire.send(S, &OK[9..]).reset(C, 0).says(&["> GET /a", "> end", "gap Server 9"]).end().says(&[]);
    // The target's reset says what it had.
    let mut wire = Wire::new();
    wire.lose(C, GET);
    let reset = Segment { rst: true, ..bare(S, SERVER, wire.next[0]) };
    wire.see(&reset).says(&["gap Client 19"]).how(How::Reset(S));
}

#[test]
fn what_waits_at_the_end_is_not_made_up_for() {
    let mut wire = Wire::new();
    wire.send(C, GET).see(&Segment { bytes: b"not the client's", ..bare(C, 1 << 29, SERVER) });
    wire.end().says(&ASKED).how(How::Open);
    // The target sends in order.
    let mut wire = Wire::new();
    wire.send(C, GET).lose(S, &OK[..9]);
    wire.send(S, &OK[9..]).end().says(&["> GET /a", "> end", "gap Server 9"]);
    // Where the end of the connection is the end of a message, it must not look whole.
    let mut wire = Wire::new();
    wire.send(C, "HELLO\r\n").lose(C, "xyz");
    wire.send(C, "!").end().says(&["opaque", "> bytes HELLO\r\n", "gap Client 4"]);
}

#[test]
fn a_refused_connect() {
    let syn = Segment { syn: true, ack: None, ..bare(C, 99, 0) };
    let mut wire = Wire::over(Connection::new(C));
    wire.see(&syn).see(&Segment { rst: true, ..bare(S, 0, 100) }).how(How::Refused);
    wire.end().says(&[]);
    // A connection that was there before.
    let mut wire = Wire::over(Connection::joined(C));
    wire.see(&Segment { rst: true, ..bare(S, 0, 100) }).how(How::Reset(S));
}

#[test]
fn a_joined_connection_waits_for_a_request() {
    let mut wire = Wire::over(Connection::joined(S));
    wire.send(S, "the end of an answer").send(C, GET).send(S, OK).says(&SAID);
    assert_eq!((wire.connection.unread(), wire.connection.protocol()), (20, Some(Protocol::Http11)));
    let mut wire = Wire::over(Connection::joined(S));
    wire.send(C, "PING\r\n").send(S, "PONG\r\n").fin(C).fin(S).end().says(&[]).how(How::Closed(C));
    assert_eq!((wire.connection.unread(), wire.connection.protocol()), (12, None));
}

#[test]
fn bytes_that_are_not_yet_known_are_told_at_the_end() {
    let mut wire = Wire::new();
    wire.send(C, "GET").says(&[]).end().says(&["opaque", "> bytes GET"]).how(How::Open);
}

#[test]
fn an_open_connection_is_small() {
    // Tens of thousands may be open.
    assert!(size_of::<Connection>() <= 512, "{}", size_of::<Connection>());
}
