//! The effects that meet one exchange, by what they are to it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use super::answer::Answer;
use super::connection::{Facts, toxics};
use super::message::{Answered, Asked};
use super::names::named;
use super::rules::Hit;
use crate::fault::{Effect, Kind, Occasion, Stream};
use crate::protocol::http1_framing::Reply;
use crate::proxy::faulty::Toxic;

/// What becomes of an exchange.
#[derive(Default)]
pub struct Treatment {
    /// Nothing of the dependency's is answered.
    pub instead: Option<Instead>,
    /// What changes the answer, in the rules' order.
    changes: Vec<Hit>,
    delays: Vec<Hit>,
    /// What slows the answer's bytes down, or ends them.
    pub pace: Vec<Toxic>,
    /// The same of the request's.
    pub upstream: Vec<Toxic>,
    /// Where the answer is cut off.
    pub cut: Option<(Cut, Hit)>,
    /// The answer is sent twice.
    pub twice: Option<Hit>,
    /// What holds for the connection's end.
    pub last: Vec<Toxic>,
}

/// What there is in the place of the dependency's answer.
pub enum Instead {
    /// Silence.
    Hang(Hit),
    /// A RST.
    Reset(Hit),
    /// A FIN.
    HalfClose(Hit),
    /// A status of our own.
    Answer {
        /// So long after the request, in ns.
        after_ns: u64,
        /// The status.
        status: u16,
        /// Who says so.
        hit: Hit,
    },
}

/// How an answer is cut off behind so many bytes of its content.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// With a RST.
    Reset(u64),
    /// With a FIN.
    Truncate(u64),
}

impl Cut {
    /// Behind so many bytes.
    pub const fn at(self) -> u64 {
        match self {
            Self::Reset(at) | Self::Truncate(at) => at,
        }
    }
}

/// A head, and what is to be said of it once it has been sent.
pub type Changed = (Bytes, Vec<(Hit, String)>);

impl Treatment {
    /// Of these, in their order.
    pub fn of(hits: Vec<Hit>, number: u64) -> Self {
        let mut it = Self::default();
        for hit in hits {
            if hit.fired.stream == Stream::Upstream {
                it.upstream.extend(toxics(&hit, number));
                continue;
            }
            match hit.effect().clone() {
                Effect::Delay(_) => it.delays.push(hit),
                Effect::Hang | Effect::Blackhole => it.instead(Instead::Hang(hit)),
                Effect::Reset(None) | Effect::Refuse => it.instead(Instead::Reset(hit)),
                Effect::HalfClose => it.instead(Instead::HalfClose(hit)),
                Effect::Answer { after, status } => {
                    it.instead(Instead::Answer { after_ns: after, status, hit });
                }
                Effect::Reset(Some(at)) => it.cut = Some((Cut::Reset(at), hit)),
                Effect::Truncate(at) => it.cut = Some((Cut::Truncate(at), hit)),
                Effect::DuplicateResponse => it.twice = Some(hit),
                Effect::Bandwidth(_) | Effect::Slice { .. } | Effect::LimitBytes(_) => {
                    it.pace.extend(toxics(&hit, number));
                }
                Effect::SlowClose(_) => it.last.extend(toxics(&hit, number)),
                _ => it.changes.push(hit),
            }
        }
        it
    }

    /// The first that says so holds.
    fn instead(&mut self, instead: Instead) {
        self.instead.get_or_insert(instead);
    }

    /// Whether the answer has to be there whole before any of it goes on.
    pub const fn is_of_whole(&self) -> bool {
        !self.changes.is_empty() || self.cut.is_some() || self.twice.is_some()
    }

    /// Whether all that is to be done to an answer with a body is done to its head: the rest may go on as it comes, which
    /// may take for ever.
    pub fn is_of_head(&self) -> bool {
        let of_head = |hit: &Hit| match hit.effect() {
            Effect::Status(status) => !matches!(status, 204 | 304),
            effect => matches!(effect, Effect::SetHeader(..) | Effect::DropHeader(_)),
        };
        self.cut.is_none() && self.twice.is_none() && self.changes.iter().all(of_head)
    }

    /// That head.
    pub(super) fn change_head(&self, head: &[u8], answered: &Answered) -> Changed {
        let mut answer = Answer::new(head, head.len(), answered, Reply::Plain);
        let notes = self.change(&mut answer, |_| None);
        (answer.written().before, notes)
    }

    /// How much later the answer begins, in ns.
    pub fn delay_ns(&self) -> u64 {
        let ns = self.delays.iter().map(|hit| if let Effect::Delay(ns) = hit.effect() { *ns } else { 0 });
        ns.fold(0, u64::saturating_add)
    }

    /// Waits so long. What is waited for while the client is there was observed; not if it `left`.
    pub async fn delay(&self, left: &AtomicBool) {
        let ns = self.delay_ns();
        if ns == 0 {
            return;
        }
        sleep(Duration::from_nanos(ns)).await;
        if !left.load(Relaxed) {
            self.waited();
        }
    }

    /// So long was waited.
    pub fn waited(&self) {
        let ns = self.delay_ns();
        for hit in &self.delays {
            hit.observed(format!("answered {:.1}ms later", ns as f64 / 1e6));
        }
    }

    /// Changes an answer; what is to be said of that once it has been sent. `earlier` gives the answer of so many
    /// occurrences before.
    pub fn change(&self, answer: &mut Answer, earlier: impl Fn(u32) -> Option<Answer>) -> Vec<(Hit, String)> {
        let mut notes = Vec::new();
        for hit in &self.changes {
            let note = match hit.effect() {
                Effect::Stale(back) => earlier(*back).map(|old| {
                    *answer = old;
                    format!("answered as {back} before")
                }),
                effect => answer.apply(effect),
            };
            notes.extend(note.map(|note| (hit.clone(), note)));
        }
        notes
    }
}

/// Whom a request is for, the likeliest name first; `known` gets the one that it says itself.
pub fn whom((facts, known): (&Facts, &OnceLock<String>), asked: &Asked) -> Vec<String> {
    let host = asked.field("host").map(|host| host.trim().to_ascii_lowercase());
    let host = host.filter(|host| !host.is_empty());
    let host = host.map(|host| host.strip_suffix(":80").map_or(host.clone(), |bare| named(bare, 80)));
    if let Some(host) = &host {
        known.get_or_init(|| host.clone());
    }
    let others = facts.names.iter().filter(|name| Some(*name) != host.as_ref()).cloned();
    host.iter().cloned().chain(others).collect()
}

/// A request as an occasion.
pub fn occasion<'a>(names: &'a [&'a str], port: u16, asked: &'a Asked) -> Occasion<'a> {
    Occasion {
        kind: Kind::Call,
        names,
        port: Some(port),
        method: &asked.method,
        target: path_of(&asked.target),
        headers: &asked.fields,
        at_ns: 0,
    }
}

/// The path and query, where the target is absolute, too (RFC 9112 section 3.2.2).
fn path_of(target: &str) -> &str {
    let Some((_, rest)) = target.split_once("://") else { return target };
    rest.find('/').map_or("/", |at| &rest[at..])
}
