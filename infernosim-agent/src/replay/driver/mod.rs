//! Sends the recorded requests to the live target, when they are due, and looks at what it answers.
//!
//! [`Plan`] (pure) says when each request is due and what it waits for; one thread with one tokio runtime sends, a task
//! a connection. Requests are written as they were recorded, to the byte but for the framing of changed bodies, and
//! answers are read by the codec that read the recording, so that both are understood alike.
//!
//! The schedule is open-loop: what is due is sent, however late other answers are. Only three things are waited for: the
//! answer before on the same connection; the answer that brings a value which the request repeats; and, for a
//! client that in the recording asked within 10 ms of an answer, that answer: such a client waits for answers, and a
//! service slower by half must not see requests overlap that its client never sends together.
//!
//! With `--fanout` each of so many workers is a clone of all recorded clients: it has its own connections, waits for its
//! own answers only, and its requests carry what answers to itself minted.

mod admit;
mod alarm;
mod befall;
mod connection;
mod framing;
mod idle;
mod lane;
mod order;
mod pace;
mod run;
mod scripted;
mod state;
#[cfg(test)]
mod tests;
mod thread;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::fields::Difference;
use super::limits::Limits;
use super::script::{ExchangeIndex, Request};
use super::seen::{Answer, End, Run};
use crate::clock::Nanos;
use crate::error::{ExpectedError, Result};
use crate::fault::Faults;

pub use connection::{Content, LiveAnswer};
pub use idle::Idle;
pub use pace::{Moment, Pace, Plan, Selection};
pub use scripted::{Carried, Scripted};
pub use thread::{Driver, Running, Stop};

/// What the driver asks about the exchanges it sends: the script, the minted values, the causes and the comparison, put
/// together by the session. Called on the driver's thread; what it does there delays what is due.
pub trait Exchanges: Send {
    /// The request that this worker is to send: secrets restored, values put in that answers to the same worker minted.
    /// Called when it is due, once more where it is sent again, and where there are faults before it is due.
    ///
    /// # Errors
    /// The incident can no longer be read: the exchange is not sent.
    fn request(&mut self, exchange: ExchangeIndex, worker: u32) -> Result<Request>;

    /// An exchange whose answer must be there before this one can be sent, since it brings a value that this one repeats.
    fn needs(&self, _exchange: ExchangeIndex) -> Option<ExchangeIndex> {
        None
    }

    /// It is about to be sent: nothing of it has left. `local` is the driver's end of the connection.
    fn sending(&mut self, exchange: ExchangeIndex, request: &Request, local: SocketAddr);

    /// The target closed that connection without having read the request: it is sent again, on another.
    fn unread(&mut self, exchange: ExchangeIndex, local: SocketAddr);

    /// Its answer is whole, or will never be (`None`). `local` is as it was told last; none if nothing was sent. Returns what
    /// differs from the recorded answer.
    fn over(
        &mut self,
        exchange: ExchangeIndex,
        worker: u32,
        local: Option<SocketAddr>,
        answer: Option<&LiveAnswer>,
    ) -> Vec<Difference>;

    /// The paced workload begins again (`--window`).
    fn again(&mut self) {}
}

/// Where to connect to.
#[derive(Clone, Debug)]
pub struct Bases {
    /// `--target-base`, or where the recorded listener is found now.
    pub default: SocketAddr,
    /// Of a target with several listeners: by the recorded listener's port.
    pub by_port: BTreeMap<u16, SocketAddr>,
}

impl Bases {
    /// One for all.
    pub const fn one(default: SocketAddr) -> Self {
        Self { default, by_port: BTreeMap::new() }
    }

    fn of(&self, port: Option<u16>) -> SocketAddr {
        port.and_then(|port| self.by_port.get(&port).copied()).unwrap_or(self.default)
    }
}

/// One run.
pub struct Job {
    /// What to send when.
    pub plan: Arc<Plan>,
    /// Where.
    pub bases: Bases,
    /// How long at most.
    pub limits: Limits,
    /// The zero of the run's clock.
    pub begun: Nanos,
    /// What the driver asks.
    pub exchanges: Box<dyn Exchanges>,
    /// When the stub last did something; now, while it waits on purpose.
    pub activity: Box<dyn Fn() -> Nanos + Send>,
    /// What is to befall requests.
    pub faults: Option<Arc<Faults>>,
}

/// How far a run is, for a bar.
#[derive(Debug, Default)]
pub struct Progress {
    /// Requests that were sent.
    pub sent: AtomicU64,
    /// Exchanges that are over.
    pub over: AtomicU64,
    /// Requests that are sent and not answered.
    pub in_flight: AtomicU64,
}

/// What became of a run, on the driver's side.
#[derive(Debug, Default)]
pub struct Driven {
    /// Of each exchange that was due, in the script's order; with `--fanout` and `--window` of each time.
    pub answers: Vec<Answer>,
    /// How it ended.
    pub end: End,
    /// From its zero to its end, in ns.
    pub wall_ns: u64,
    /// How long it was meant to take, in ns.
    pub paced_ns: u64,
    /// How late requests were sent.
    pub lateness: Lateness,
    /// Requests that were sent.
    pub sent: u64,
    /// Requests that had to wait for an answer when they were due.
    pub held: u64,
    /// Connections that the target had closed where the recording had used them again.
    pub reopened: u64,
    /// Requests that were sent again, since the target had closed their connection without reading them.
    pub resent: u64,
    /// The most requests that were open together.
    pub most_in_flight: u64,
    /// How often the paced workload was begun.
    pub rounds: u64,
    /// The first request that could not be read from the incident, and why.
    pub unreadable: Option<ExpectedError>,
}

impl Driven {
    /// As the driver's part of what a run is judged by.
    pub fn into_run(self) -> Run {
        let Self { answers, end, wall_ns, paced_ns, .. } = self;
        Run { answers, end, wall_ns, paced_ns, ..Run::default() }
    }
}

/// How much later than planned requests were sent, in ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lateness {
    /// Half of them were sent within this.
    pub median_ns: u64,
    /// 99 of 100 were.
    pub p99_ns: u64,
    /// All were.
    pub most_ns: u64,
}

impl Lateness {
    fn of(answers: &[Answer]) -> Self {
        use super::seen::Outcome;
        let sent = answers.iter().filter(|answer| answer.outcome != Outcome::NotSent);
        let mut late: Vec<u64> = sent.map(|answer| answer.late_ns).collect();
        late.sort_unstable();
        // The nearest rank: the least of them that so many hundredths do not exceed.
        let at = |hundredths: usize| late.get((late.len() * hundredths).div_ceil(100).max(1) - 1);
        let [median_ns, p99_ns, most_ns] = [50, 99, 100].map(|rank| at(rank).copied().unwrap_or(0));
        Self { median_ns, p99_ns, most_ns }
    }
}
