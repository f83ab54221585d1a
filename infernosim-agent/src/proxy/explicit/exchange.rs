//! One exchange: the request goes up while the answer comes down.

use std::cell::Cell;
use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::net::Shutdown;

use nix::errno::Errno;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::answer::{self, Marks, Next};
use super::body::Body;
use super::buffer::Buffer;
use super::forward::Plan;
use super::shared::{Shared, Slot};
use super::upstream::Upstream;
use super::wire::{self, Cut, End, Lane};
use crate::protocol::Sender;
use crate::proxy::{AnsweredFor, What};

/// The longest head of an answer.
const MAX_ANSWER_HEAD: usize = 256 << 10;
/// What an answer begins with (RFC 9112 section 4); of anything else an end would be waited for in vain.
const BEGINS_ANSWER: &[u8] = b"HTTP/1.";

/// What became of it.
#[derive(Debug)]
pub enum Outcome {
    /// Answered; both connections may be used again.
    Kept,
    /// Answered, or as silent as the server was; both close.
    Close,
    /// Answered before the request was whole: what is left of it is to be read, and then both close.
    Early,
    /// One side broke, and so does the other.
    Reset,
    /// There was no answer, and the client is to be told.
    Unanswered(AnsweredFor),
    /// The request turned out to be malformed before it was answered.
    Malformed(&'static str),
    /// Both agreed on another protocol.
    Switched,
}

/// The two connections and what is under way on them.
pub struct Exchange<'a> {
    pub shared: &'a Shared,
    pub client: &'a TcpStream,
    /// What the client sent behind the head.
    pub ahead: &'a mut Buffer,
    pub upstream: &'a mut Upstream,
    pub plan: &'a Plan,
    /// What of the request's body is still to come.
    pub body: &'a mut Option<Body>,
    pub context: Option<u128>,
    /// Whom we speak with, for errors.
    pub name: &'a str,
}

/// How far the request got.
#[derive(Default)]
struct Request {
    is_sent: Cell<bool>,
    /// Told when it is.
    sent: Notify,
    /// The client will send nothing more.
    is_last: Cell<bool>,
}

/// Why there is no answer, or no whole one.
enum Failure {
    /// The server ended before its answer began; with an errno, if it broke. Whether there was a part of a head.
    Silent(Option<Errno>, bool),
    /// It answered with something else.
    Bad(&'static str),
    Client(Errno),
    Server(Errno),
    /// Its FIN came within the body.
    Short,
}

enum Ended {
    Answered { persistent: bool, switched: bool },
    Failed(Failure),
    Malformed(&'static str),
}

impl Exchange<'_> {
    /// Carries it through.
    pub async fn run(self) -> Outcome {
        let Self { shared, client, ahead, upstream, plan, body, context, name } = self;
        let Upstream { stream: server, slot, buffer, used } = upstream;
        let (request, begun) = (Request::default(), Cell::new(false));
        let up = Lane { shared, slot, from: Sender::Client, source: client, sink: server };
        let down = Lane { shared, slot, from: Sender::Server, source: server, sink: client };
        let ended = {
            let up = send(&up, &plan.head, body, ahead, &request);
            let down = receive(&down, buffer, plan, context, &begun);
            both(up, down, server, &request).await
        };
        let used = std::mem::replace(used, true);
        match ended {
            Ended::Answered { switched: true, .. } => Outcome::Switched,
            Ended::Answered { .. } if !request.is_sent.get() => Outcome::Early,
            Ended::Answered { persistent, .. } => {
                slot.rest();
                let may_go_on = persistent && plan.persistent && !request.is_last.get() && buffer.is_empty();
                if may_go_on && !shared.is_ending() { Outcome::Kept } else { Outcome::Close }
            }
            Ended::Malformed(_) if begun.get() => broke(slot, Sender::Client, Errno::EPROTO),
            Ended::Malformed(error) => Outcome::Malformed(error),
            Ended::Failed(Failure::Client(errno)) => broke(slot, Sender::Client, errno),
            Ended::Failed(Failure::Server(errno)) => broke(slot, Sender::Server, errno),
            Ended::Failed(Failure::Short) => {
                slot.rest();
                Outcome::Reset
            }
            // Between the client's request and the server's end of an idle connection there is a race that a
            // direct client loses just so: whether to ask again is for it to decide.
            Ended::Failed(Failure::Silent(None, false)) if used => {
                slot.note(What::Fin(Sender::Server));
                slot.rest();
                Outcome::Close
            }
            Ended::Failed(Failure::Silent(Some(errno), false)) if used => broke(slot, Sender::Server, errno),
            Ended::Failed(Failure::Silent(errno, _)) => {
                let how =
                    errno.map_or("closed the connection".to_owned(), |errno| format!("broke off: {errno}"));
                Outcome::Unanswered(AnsweredFor { errno, error: format!("{name} {how} before it answered") })
            }
            Ended::Failed(Failure::Bad(error)) => {
                let error = format!("{name} answered with something that is not HTTP/1: {error}");
                Outcome::Unanswered(AnsweredFor { errno: None, error })
            }
        }
    }
}

fn broke(slot: &Slot, side: Sender, errno: Errno) -> Outcome {
    slot.note(What::Broke(side, errno));
    slot.rest();
    Outcome::Reset
}

/// Both ways at once, until the answer has ended and, where the server goes on listening, the request too.
async fn both(
    up: impl Future<Output = Cut>,
    down: impl Future<Output = Result<(bool, bool), Failure>>,
    server: &TcpStream,
    request: &Request,
) -> Ended {
    tokio::pin!(up, down);
    let (mut answered, mut deaf) = (false, false);
    loop {
        tokio::select! {
            biased;
            result = &mut down, if !answered => match result {
                Err(failure) => return Ended::Failed(failure),
                Ok((true, false)) if !request.is_sent.get() && !deaf => answered = true,
                Ok((persistent, switched)) => return Ended::Answered { persistent, switched },
            },
            cut = &mut up, if !deaf => match cut {
                Cut::Source(errno) => return Ended::Failed(Failure::Client(errno)),
                Cut::Malformed(error) => return Ended::Malformed(error),
                // Its answer may be there already, and says why.
                Cut::Sink(_) if answered => return Ended::Answered { persistent: false, switched: false },
                Cut::Sink(_) => deaf = true,
            },
            () = request.sent.notified(), if answered => {
                return Ended::Answered { persistent: true, switched: false };
            }
            () = speaks(server), if answered => return Ended::Answered { persistent: false, switched: false },
        }
    }
}

/// Sends the request, and then watches the client; never ends well.
async fn send(
    lane: &Lane<'_>,
    head: &[u8],
    body: &mut Option<Body>,
    ahead: &mut Buffer,
    request: &Request,
) -> Cut {
    match send_all(lane, head, body, ahead).await {
        Ok(end) => {
            if end == End::Whole {
                request.is_sent.set(true);
                request.sent.notify_one();
            }
            watch(lane, ahead, end == End::Fin, request).await
        }
        Err(cut) => cut,
    }
}

async fn send_all(
    lane: &Lane<'_>,
    head: &[u8],
    body: &mut Option<Body>,
    ahead: &mut Buffer,
) -> Result<End, Cut> {
    let Some(body) = body else {
        wire::write_all(lane.sink, head).await.map_err(Cut::Sink)?;
        return Ok(End::Whole);
    };
    let taken = body.read(ahead.bytes()).map_err(Cut::Malformed)?;
    if taken == 0 {
        wire::write_all(lane.sink, head).await.map_err(Cut::Sink)?;
    } else {
        lane.slot.copy(ahead.since, Sender::Client, &ahead.bytes()[..taken]);
        let together = [head, &ahead.bytes()[..taken]].concat();
        ahead.take(taken);
        wire::write_all(lane.sink, &together).await.map_err(Cut::Sink)?;
    }
    lane.body(body, ahead).await
}

/// Watches a client that waits for its answer: it may send its FIN, which the server gets to see as it would
/// without us, or its next request, or break.
async fn watch(lane: &Lane<'_>, ahead: &mut Buffer, mut is_last: bool, request: &Request) -> Cut {
    if !is_last && ahead.is_empty() {
        match wire::fill(lane.shared, lane.source, ahead).await {
            Ok(true) => {}
            Ok(false) => {
                lane.slot.note(What::Fin(Sender::Client));
                is_last = true;
            }
            Err(errno) => return Cut::Source(errno),
        }
    }
    if is_last {
        request.is_last.set(true);
        // Fails only where the server has broken meanwhile, which reading finds.
        let _ = SockRef::from(lane.sink).shutdown(Shutdown::Write);
    }
    Cut::Source(wire::broken(lane.source).await)
}

/// Receives the answer and passes it on: whether the server's connection may be used again, and whether it speaks
/// another protocol from here on.
async fn receive(
    lane: &Lane<'_>,
    buffer: &mut Buffer,
    plan: &Plan,
    context: Option<u128>,
    begun: &Cell<bool>,
) -> Result<(bool, bool), Failure> {
    loop {
        let length = receive_head(lane, buffer).await?;
        let marks = Marks { context, close: lane.shared.is_ending() || !plan.persistent };
        let head = &buffer.bytes()[..length];
        let answer = answer::response(head, plan.kind, plan.minor, marks).map_err(Failure::Bad)?;
        let mut body = answer.body;
        let with_it = &buffer.bytes()[length..];
        let taken = body.as_mut().map_or(Ok(0), |body| body.read(with_it)).map_err(Failure::Bad)?;
        let mut out = answer.head;
        out.extend_from_slice(&with_it[..taken]);
        lane.slot.copy(buffer.since, Sender::Server, &buffer.bytes()[..length + taken]);
        buffer.take(length + taken);
        begun.set(answer.next != Next::Head);
        wire::write_all(lane.sink, &out).await.map_err(Failure::Client)?;
        match answer.next {
            Next::Head => continue,
            Next::Switched => return Ok((false, true)),
            Next::Body => {}
        }
        let Some(mut body) = body else { return Ok((answer.persistent, false)) };
        return match lane.body(&mut body, buffer).await {
            Ok(End::Whole) => Ok((answer.persistent, false)),
            Ok(End::Fin) if body == Body::UntilClose => Ok((false, false)),
            Ok(End::Fin) => Err(Failure::Short),
            Err(Cut::Source(errno)) => Err(Failure::Server(errno)),
            Err(Cut::Sink(errno)) => Err(Failure::Client(errno)),
            Err(Cut::Malformed(_)) => Err(Failure::Server(Errno::EPROTO)),
        };
    }
}

async fn receive_head(lane: &Lane<'_>, buffer: &mut Buffer) -> Result<usize, Failure> {
    loop {
        if let Some(length) = buffer.head() {
            return Ok(length);
        }
        if buffer.bytes().len() > MAX_ANSWER_HEAD {
            return Err(Failure::Bad("a head of more than 256 KiB"));
        }
        if !buffer.bytes().iter().zip(BEGINS_ANSWER).all(|(byte, wanted)| byte == wanted) {
            return Err(Failure::Bad("it does not begin with a status line"));
        }
        match wire::fill(lane.shared, lane.source, buffer).await {
            Ok(true) => {}
            Ok(false) => return Err(Failure::Silent(None, !buffer.is_empty())),
            Err(errno) => return Err(Failure::Silent(Some(errno), !buffer.is_empty())),
        }
    }
}

/// Waits until the server sends what nobody asked for, or ends.
async fn speaks(server: &TcpStream) {
    while server.readable().await.is_ok() {
        let peek = || SockRef::from(server).peek(&mut [MaybeUninit::uninit()]);
        // By tokio, which forgets that it was readable once.
        match server.try_io(Interest::READABLE, peek) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            _ => return,
        }
    }
}
