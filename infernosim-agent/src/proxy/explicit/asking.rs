//! What a client asks for: whom its requests go to, and what it gets where that fails.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::answer::{self, ESTABLISHED, Marks};
use super::authority::Authority;
use super::body::Body;
use super::buffer::Buffer;
use super::client::{Client, Close, Turn};
use super::count::Counted;
use super::exchange::{Exchange, Outcome};
use super::forward::{Kind, Plan, Refusal};
use super::shared::Slot;
use super::upstream::{self, Undialled, Upstream};
use super::{tunnel, wire};
use crate::clock::{self, Nanos};
use crate::protocol::Sender;
use crate::proxy::{AnsweredFor, What, socket};

/// Connections to different hosts that a client's connection keeps.
const KEPT: usize = 8;
/// A body so long that nobody gets is read all the same, so that the client's connection can be used again.
const WORTH_READING: u64 = 64 << 10;

impl Client {
    /// Forwards a request that came at `at` with this head, and sees it through.
    pub(super) async fn forward(&mut self, at: Nanos, head: &[u8], mut plan: Plan) -> Turn {
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
                // A request that will not be served must not cost the client this answer.
                Err(if self.buffer.is_empty() { Close::Fin } else { Close::Linger })
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
