//! A client's connection: one request after the other.

use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::answer::{self, ESTABLISHED, Marks};
use super::authority::Authority;
use super::body::Body;
use super::buffer::Buffer;
use super::count::Counted;
use super::exchange::{Exchange, Outcome};
use super::forward::{self, Asked, Kind, Plan, Refusal};
use super::shared::{Shared, Slot};
use super::upstream::{self, Undialled, Upstream};
use super::{tunnel, wire};
use crate::clock::{self, Nanos};
use crate::protocol::Sender;
use crate::proxy::{AnsweredFor, What, socket};

/// The longest head of a request.
const MAX_HEAD: usize = 64 << 10;
/// How long a head may take from its first byte to its last.
const HEAD: Duration = Duration::from_secs(60);
/// How long a connection may wait for its next request: as long as nginx's do.
const IDLE: Duration = Duration::from_secs(75);
/// Connections to different hosts that a client's connection keeps.
const KEPT: usize = 8;
/// A body so long that nobody gets is read all the same, so that the client's connection can be used again.
const WORTH_READING: u64 = 64 << 10;

/// A client's connection.
pub struct Client {
    shared: Rc<Shared>,
    stream: TcpStream,
    from: SocketAddr,
    buffer: Buffer,
    /// The most recently used last.
    upstreams: Vec<(Authority, Upstream)>,
}

/// How it closes.
enum Close {
    /// With a FIN.
    Fin,
    /// With a FIN, once the client has read what it was sent.
    Linger,
    /// With a RST.
    Reset,
}

/// What a turn ends with.
type Turn = Result<(), Close>;

impl Client {
    /// A connection that was just accepted.
    pub fn new(shared: Rc<Shared>, stream: TcpStream, from: SocketAddr) -> Self {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        Self { shared, stream, from, buffer: Buffer::default(), upstreams: Vec::new() }
    }

    /// Serves it until it closes.
    pub async fn serve(mut self) {
        let close = loop {
            if let Err(close) = self.turn().await {
                break close;
            }
        };
        let Self { shared, stream, upstreams, .. } = self;
        match close {
            Close::Fin => socket::close_with_fin(&stream),
            Close::Linger => wire::linger(&shared, &stream).await,
            Close::Reset => {}
        }
        upstreams.into_iter().for_each(|(_, upstream)| upstream.close());
    }

    /// One request.
    async fn turn(&mut self) -> Turn {
        if !self.is_allowed() {
            let text =
                format!("{} may not use this proxy: --allow takes addresses and networks", self.from.ip());
            let refusal = Refusal { status: 403, counted: Counted::NotAllowed, text };
            return self.refuse(&refusal).await;
        }
        let length = match self.head().await? {
            Ok(length) => length,
            Err(refusal) => return self.refuse(&refusal).await,
        };
        let at = self.buffer.since;
        let head = self.buffer.bytes()[..length].to_vec();
        self.buffer.take(length);
        let common = &self.shared.common;
        match forward::request(&head, common.forward.is_none(), common.healthz) {
            Ok(Asked::Forward(plan)) => self.forward(at, &head, plan).await,
            Ok(Asked::Health(kind, persistent)) => self.health(kind, persistent).await,
            Err(refusal) => self.refuse(&refusal).await,
        }
    }

    fn is_allowed(&self) -> bool {
        let ip = self.from.ip();
        ip.is_loopback() || self.shared.common.allow.iter().any(|network| network.contains(&ip))
    }

    /// Waits for the next head; its length.
    async fn head(&mut self) -> Result<Result<usize, Refusal>, Close> {
        let begun = clock::now();
        loop {
            if let Some(length) = self.buffer.head().filter(|length| *length <= MAX_HEAD) {
                return Ok(Ok(length));
            }
            if self.buffer.bytes().len() > MAX_HEAD {
                let text = "a head of more than 64 KiB".to_owned();
                return Ok(Err(Refusal { status: 431, counted: Counted::TooLarge, text }));
            }
            if let Some(refusal) = self.buffer.bytes().first().and_then(|byte| not_http(*byte)) {
                return Ok(Err(refusal));
            }
            if self.buffer.is_empty() {
                self.first_bytes().await?;
                continue;
            }
            let spent = Duration::from_nanos(clock::now().since(begun.max(self.buffer.since)));
            let filled = wire::fill(&self.shared, &self.stream, &mut self.buffer);
            match timeout(HEAD.saturating_sub(spent), filled).await {
                Ok(Ok(true)) => {}
                // Within a head: there is nobody to answer.
                Ok(Ok(false)) => return Err(Close::Fin),
                Ok(Err(_)) => return Err(Close::Reset),
                Err(_) => {
                    let text = format!("the head of the request was not whole within {HEAD:?}");
                    return Ok(Err(Refusal { status: 408, counted: Counted::TooSlow, text }));
                }
            }
        }
    }

    /// Waits between exchanges.
    async fn first_bytes(&mut self) -> Turn {
        let Self { shared, stream, buffer, .. } = self;
        tokio::select! {
            biased;
            filled = wire::fill(shared, stream, buffer) => match filled {
                Ok(true) => Ok(()),
                Ok(false) => Err(Close::Fin),
                Err(_) => Err(Close::Reset),
            },
            () = shared.ending() => {
                // A request that has come already is served: the kernel is asked, for tokio may not know yet.
                match SockRef::from(&*stream).peek(&mut [MaybeUninit::uninit()]) {
                    Ok(1..) if matches!(wire::fill(shared, stream, buffer).await, Ok(true)) => Ok(()),
                    _ => Err(Close::Fin),
                }
            }
            () = sleep(IDLE) => Err(Close::Fin),
        }
    }

    /// Answers what is not forwarded.
    async fn refuse(&mut self, refusal: &Refusal) -> Turn {
        self.shared.common.counters.count(refusal.counted);
        // The client may be gone, and does not miss the answer then.
        let _ = wire::write_all(&self.stream, &answer::refusal(refusal)).await;
        Err(Close::Linger)
    }

    async fn health(&mut self, kind: Kind, persistent: bool) -> Turn {
        self.shared.common.counters.count(Counted::Health);
        let close = !persistent || self.shared.is_ending();
        let answer = answer::own(200, "ok", kind, Marks { context: None, close });
        wire::write_all(&self.stream, &answer).await.map_err(|_| Close::Reset)?;
        if close { Err(Close::Linger) } else { Ok(()) }
    }

    async fn forward(&mut self, at: Nanos, head: &[u8], mut plan: Plan) -> Turn {
        let (to, name) = match (&plan.to, &self.shared.common.forward) {
            (Some(to), _) => (to.clone(), to.to_string()),
            (None, Some((to, name))) => (to.clone(), name.clone()),
            (None, None) => return Err(Close::Reset),
        };
        let context = self.shared.context();
        let body = plan.body.take();
        let kept = if plan.kind == Kind::Connect { None } else { self.kept(&to) };
        if let Some(upstream) = kept {
            upstream.slot.begin(at, context, head);
            return self.exchange((to, upstream), &plan, body, context, &name).await;
        }
        let upstream = match self.dial(&to).await {
            Ok((stream, peer)) => {
                let slot = Slot::open(&self.shared, at, self.from, Some(peer), &name);
                slot.begin(at, context, head);
                slot.note(What::Connected);
                Upstream { stream, slot, buffer: Buffer::default(), used: false }
            }
            Err(Undialled::Looped(error)) => {
                return self.refuse(&Refusal { status: 508, counted: Counted::Loop, text: error }).await;
            }
            Err(Undialled::Failed { peer, errno, error }) => {
                let slot = Slot::open(&self.shared, at, self.from, peer, &name);
                slot.begin(at, context, head);
                return self.answer_for(&slot, &plan, body, context, AnsweredFor { errno, error }).await;
            }
            Err(Undialled::GivenUp(errno)) => {
                let slot = Slot::open(&self.shared, at, self.from, None, &name);
                slot.begin(at, context, head);
                slot.note(What::Broke(Sender::Client, errno));
                slot.rest();
                return Err(Close::Reset);
            }
        };
        if plan.kind == Kind::Connect {
            upstream.slot.copy(clock::now(), Sender::Server, ESTABLISHED);
            if wire::write_all(&self.stream, ESTABLISHED).await.is_err() {
                return Err(Close::Reset);
            }
            return self.tunnel(upstream).await;
        }
        self.exchange((to, upstream), &plan, body, context, &name).await
    }

    async fn exchange(
        &mut self,
        (to, mut upstream): (Authority, Upstream),
        plan: &Plan,
        mut body: Option<Body>,
        context: Option<u128>,
        name: &str,
    ) -> Turn {
        let exchange = Exchange {
            shared: &self.shared,
            client: &self.stream,
            ahead: &mut self.buffer,
            upstream: &mut upstream,
            plan,
            body: &mut body,
            context,
            name,
        };
        let outcome = exchange.run().await;
        self.settle(outcome, (to, upstream), plan, body, context).await
    }

    /// After an exchange.
    async fn settle(
        &mut self,
        outcome: Outcome,
        (to, upstream): (Authority, Upstream),
        plan: &Plan,
        body: Option<Body>,
        context: Option<u128>,
    ) -> Turn {
        match outcome {
            Outcome::Kept => {
                self.upstreams.push((to, upstream));
                if self.upstreams.len() > KEPT {
                    self.upstreams.remove(0).1.close();
                }
                Ok(())
            }
            Outcome::Close => {
                upstream.close();
                Err(Close::Fin)
            }
            Outcome::Early => {
                if let Some(mut body) = body {
                    wire::discard(&self.shared, &upstream.slot, &self.stream, &mut body, &mut self.buffer)
                        .await;
                }
                upstream.slot.rest();
                Err(Close::Linger)
            }
            Outcome::Reset => Err(Close::Reset),
            Outcome::Unanswered(failed) => self.answer_for(&upstream.slot, plan, body, context, failed).await,
            Outcome::Malformed(error) => {
                let failed = AnsweredFor { errno: None, error: format!("the request is malformed: {error}") };
                upstream.slot.note(What::AnsweredFor(Box::new(failed)));
                let refusal = Refusal::malformed(error);
                upstream.slot.copy(clock::now(), Sender::Server, &answer::refusal(&refusal));
                upstream.slot.rest();
                self.refuse(&refusal).await
            }
            Outcome::Switched => self.tunnel(upstream).await,
        }
    }

    async fn tunnel(&mut self, mut upstream: Upstream) -> Turn {
        if tunnel::relay(&self.shared, &self.stream, &mut self.buffer, &mut upstream).await {
            socket::close_with_fin(&upstream.stream);
            return Err(Close::Fin);
        }
        Err(Close::Reset)
    }

    /// A connection to that host that was kept and is still good.
    fn kept(&mut self, to: &Authority) -> Option<Upstream> {
        let at = self.upstreams.iter().position(|(of, _)| of == to)?;
        let (_, upstream) = self.upstreams.remove(at);
        if upstream.is_alive() {
            return Some(upstream);
        }
        upstream.slot.note(What::Fin(Sender::Server));
        None
    }

    /// Dials, as long as the client waits for it.
    async fn dial(&self, to: &Authority) -> Result<(TcpStream, SocketAddr), Undialled> {
        let local = self.stream.local_addr().ok();
        tokio::select! {
            dialled = upstream::dial(&self.shared.common, local, to) => dialled,
            errno = wire::broken(&self.stream) => Err(Undialled::GivenUp(errno)),
        }
    }

    /// Answers for a dependency that did not.
    async fn answer_for(
        &mut self,
        slot: &Slot,
        plan: &Plan,
        body: Option<Body>,
        context: Option<u128>,
        failed: AnsweredFor,
    ) -> Turn {
        let Self { shared, stream, buffer, .. } = self;
        let mut body = body;
        if let Some(body) = &mut body {
            // What has come already.
            if let Ok(taken) = body.read(buffer.bytes()) {
                slot.copy(buffer.since, Sender::Client, &buffer.bytes()[..taken]);
                buffer.take(taken);
            }
            let short = matches!(body, Body::Length(left) if *left <= WORTH_READING);
            if short && !plan.expects && !body.is_over() {
                wire::discard(shared, slot, stream, body, buffer).await;
            }
        }
        let mut unread = body.filter(|body| !body.is_over());
        let close = unread.is_some() || !plan.persistent || shared.is_ending();
        let (status, text) = answer::failed(&failed.error, failed.errno);
        let answer = answer::own(status, &text, plan.kind, Marks { context, close });
        slot.note(What::AnsweredFor(Box::new(failed)));
        slot.copy(clock::now(), Sender::Server, &answer);
        let written = wire::write_all(stream, &answer).await;
        if let Err(errno) = written {
            slot.note(What::Broke(Sender::Client, errno));
        } else if let Some(body) = &mut unread {
            wire::discard(shared, slot, stream, body, buffer).await;
        }
        slot.rest();
        match (written, close) {
            (Err(_), _) => Err(Close::Reset),
            (Ok(()), true) => Err(Close::Linger),
            (Ok(()), false) => Ok(()),
        }
    }
}

/// Says so at once if that cannot be the first byte of a request.
fn not_http(byte: u8) -> Option<Refusal> {
    match byte {
        // RFC 8446 section 5.1: a TLS record of the handshake.
        0x16 => Some(Refusal::malformed(
            "this is TLS, and HTTP is spoken here: write http:// in the proxy's address",
        )),
        _ if super::body::is_token(byte) || matches!(byte, b'\r' | b'\n') => None,
        _ => Some(Refusal::malformed("this is not HTTP")),
    }
}
