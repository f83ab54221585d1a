//! Sends an answer as hyper has it: at its pace, with what faults have made of it, to the end that it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{io, pin::Pin};

use bytes::Bytes;
use hyper::Response;
use hyper::body::{Body, Frame, Incoming};
use tokio::time::{Instant, sleep_until};

use super::activity::Activity;
use super::disturbed::{Disturbed, Sending};
use super::flow::{Flow, Pieces};
use super::paced::Paced;
use super::replies::Head;
use super::streamed::Streamed;
use super::wire::{Line, Linger};
use crate::fault::{Effect, Faults, FiredId};

/// Waits shorter than this are not worth a timer, which counts whole milliseconds.
const SHORTEST_NS: u64 = 500_000;

/// What hyper sends as a body.
pub enum Sent {
    /// From the recording, or of our own.
    Paced(Paced),
    /// From a live dependency.
    Live(Incoming, Arc<Line>),
    /// The same, as faults want it.
    Streamed(Streamed<Incoming>),
}

/// Where an answer goes, and whom to tell.
#[derive(Clone)]
pub struct Way {
    /// The connection's.
    pub line: Arc<Line>,
    /// Is told that waits are meant.
    pub activity: Arc<Activity>,
    /// Are told what they came to.
    pub faults: Arc<Faults>,
    /// Recorded waits are multiplied by it.
    pub time_scale: f64,
}

/// Sends the answer to a request that began then. `answered` is called once all of it was given away, or nobody wants
/// it any more. Never returns where the connection ends instead: its task does that ([`Line::due`]).
pub async fn send(
    way: &Way,
    disturbed: Disturbed,
    began: Instant,
    answered: impl FnOnce() + Send + 'static,
) -> Response<Sent> {
    let Way { line, activity, time_scale, .. } = way;
    let ready = Arc::clone(&disturbed.ready);
    for interim in &ready.interim {
        // hyper has sent this one itself where the client waits for it.
        if !interim.starts_with(b"HTTP/1.1 100") {
            line.between(interim.clone()).await;
        }
    }
    let waited = scaled(ready.wait_ns, *time_scale).saturating_add(Duration::from_nanos(disturbed.delay_ns));
    wait(activity, began, waited).await;
    let (start, cut, flow) = (Instant::now(), disturbed.cut, disturbed.flow);
    let before_head = disturbed.before_head;
    let counted = (!disturbed.applied.is_empty()).then(|| tell(way, disturbed, began, start));
    let Some(head) = ready.head.as_ref().filter(|_| !before_head) else {
        line.cut(cut.unwrap_or(super::wire::Cut::Reset));
        answered();
        return std::future::pending().await;
    };
    let paced = *time_scale > 0.0 && ready.chunks.len() > 1;
    let mut body = Paced::new(ready.body.clone(), Arc::clone(line), Arc::clone(activity))
        .trailers(ready.trailers.clone())
        .ending(cut)
        .counting(counted)
        .then(answered);
    if paced || flow != Flow::default() {
        let at = |(ns, bytes): &(u64, usize)| (scaled(*ns, *time_scale).as_nanos() as u64, *bytes);
        let recorded = if paced { ready.chunks.iter().map(at).collect() } else { Vec::new() };
        body = body.at_times(start, Pieces::new(recorded, ready.body.len(), flow));
    }
    respond(head, Sent::Paced(body))
}

/// Sends the answer of a live dependency, whose body is still to come, likewise.
pub async fn stream(way: &Way, disturbed: Disturbed, body: Incoming, began: Instant) -> Response<Sent> {
    let (ready, flow, cut) = (Arc::clone(&disturbed.ready), disturbed.flow, disturbed.cut);
    let Some(most) = disturbed.to_come else {
        // Nothing of the dependency's is left of it.
        return send(way, disturbed, began, || {}).await;
    };
    // It may have taken longer by itself: what is injected comes on top.
    wait(&way.activity, Instant::now(), Duration::from_nanos(disturbed.delay_ns)).await;
    let before_head = disturbed.before_head;
    let counted = tell(way, disturbed, began, Instant::now());
    let Some(head) = ready.head.as_ref().filter(|_| !before_head) else {
        way.line.cut(cut.unwrap_or(super::wire::Cut::Reset));
        return std::future::pending().await;
    };
    let (line, activity) = (Arc::clone(&way.line), Arc::clone(&way.activity));
    let body = Streamed::new(body, flow, counted, line, activity).ending(most, cut);
    respond(head, Sent::Streamed(body))
}

async fn wait(activity: &Arc<Activity>, from: Instant, time: Duration) {
    if time.as_nanos() >= u128::from(SHORTEST_NS) {
        let _meant = activity.on_purpose();
        sleep_until(from + time).await;
    }
}

/// Prepares the connection for what an answer asks of it, and has it told once that came about.
fn tell(way: &Way, disturbed: Disturbed, began: Instant, start: Instant) -> Arc<AtomicUsize> {
    let Way { line, activity, faults, .. } = way;
    if disturbed.twice {
        line.twice();
    }
    if let Some(limit) = disturbed.limit {
        line.limit(limit);
    }
    let slow = |effect: &Effect| matches!(effect, Effect::SlowClose(_));
    let lingering: Vec<FiredId> =
        disturbed.applied.iter().filter(|(_, effect)| slow(effect)).map(|(id, _)| *id).collect();
    if disturbed.linger_ns > 0 {
        let (activity, faults, ns) = (Arc::clone(activity), Arc::clone(faults), disturbed.linger_ns);
        let begun = Box::new(move || activity.meant_for(ns));
        let text = format!("closed {:.1}ms late", ns as f64 / 1e6);
        let over = Box::new(move || lingering.into_iter().for_each(|id| faults.observed(id, text.clone())));
        line.linger(Linger { ns, begun, over });
    }
    let given = Arc::new(AtomicUsize::new(0));
    let (counted, faults, of) = (Arc::clone(&given), Arc::clone(faults), Arc::downgrade(line));
    line.sent(move || {
        let sending = Sending {
            waited_ns: nanos(start.duration_since(began)),
            took_ns: nanos(start.elapsed()),
            bytes: counted.load(Ordering::Relaxed),
        };
        for (id, effect) in &disturbed.applied {
            let text = match effect {
                Effect::LimitBytes(_) => {
                    let limited = of.upgrade().and_then(|line| line.limited());
                    limited.map(|bytes| format!("ended after {bytes} bytes of the connection"))
                }
                // It was shorter, as it turned out.
                Effect::Truncate(_)
                    if disturbed.to_come.is_some() && !of.upgrade().is_some_and(|line| line.is_cut()) =>
                {
                    None
                }
                effect => disturbed.observed(effect, &sending),
            };
            if let Some(text) = text {
                faults.observed(*id, text);
            }
        }
    });
    given
}

fn respond(head: &Head, body: Sent) -> Response<Sent> {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.version_mut() = head.version;
    *response.headers_mut() = head.headers.clone();
    if let Some(extensions) = &head.extensions {
        *response.extensions_mut() = extensions.clone();
    }
    response
}

/// A recorded wait, as long as it is to be here.
pub fn scaled(ns: u64, time_scale: f64) -> Duration {
    const DAY: f64 = 86_400e9;
    Duration::from_nanos((ns as f64 * time_scale).clamp(0.0, DAY) as u64)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Body for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Paced(body) => Pin::new(body).poll_frame(context),
            Self::Streamed(body) => Pin::new(body).poll_frame(context),
            Self::Live(body, _) => {
                let frame = Pin::new(body).poll_frame(context);
                frame.map(|frame| frame.map(|frame| frame.map_err(io::Error::other)))
            }
        }
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        if let Self::Live(_, line) = self {
            line.complete();
        }
    }
}
