//! What a live run did, as the driver and the stub saw it. What is equal to the recording takes a few bytes.

use super::fields::{Difference, Fields};
use super::script::{Basis, CallIndex, ExchangeIndex};

/// One run.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// For each exchange of the script that was due, what came of it; in the script's order.
    pub answers: Vec<Answer>,
    /// What the target asked its dependencies, in the order in which it was asked.
    pub calls: Vec<Call>,
    /// Connects without a recorded counterpart that were refused, and names that the recording does not know.
    pub refusals: Vec<Refusal>,
    /// Packets of the target that were dropped, by kind (`udp`, `ipv6`, `raw`, …): the leak counter.
    pub leaked: std::collections::BTreeMap<String, u64>,
    /// Recorded connect failures that the target did not run into again: (dependency, how many).
    pub missing_failures: Vec<(String, u64)>,
    /// How it ended.
    pub end: End,
    /// From its first request to its end, in ns.
    pub wall_ns: u64,
    /// How long it was meant to take by the pacing formula, in ns.
    pub paced_ns: u64,
}

/// Why a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// All was sent and answered.
    #[default]
    Completed,
    /// The target was not there any more: its status (128 and the signal's number if a signal ended it), if it was ours.
    TargetExited(Option<i32>),
    /// Nothing moved for so long, in ns (`--max-idle-time`).
    Stalled(u64),
    /// It took longer than so long, in ns (`--max-wall-time`).
    OutOfTime(u64),
    /// `--max-events` were seen.
    EnoughEvents,
    /// The user ended it.
    Interrupted,
}

/// What came of an exchange that was sent to the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which.
    pub exchange: ExchangeIndex,
    /// How it ended.
    pub outcome: Outcome,
    /// What differs from the recorded answer, `status` included. Empty if nothing does.
    pub differences: Vec<Difference>,
    /// When it was sent, in ns since the run began.
    pub sent_ns: u64,
    /// How much later that was than planned, in ns.
    pub late_ns: u64,
    /// When its answer was whole, or it ended otherwise, in ns since the run began.
    pub ended_ns: u64,
    /// A fault let its client ask twice, and this is the second time: the recording has the first.
    pub is_second: bool,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a whole answer of this status.
    Answered(u16),
    /// The connection failed or ended before the answer was whole.
    Closed,
    /// It was still open when the run ended.
    Unanswered,
    /// A fault let its client give up before there was an answer.
    Cancelled,
    /// The run ended before it was sent.
    NotSent,
}

/// What the target asked a dependency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its recorded counterpart, whose answer it got; none if it got none.
    pub counterpart: Option<CallIndex>,
    /// What differs from the counterpart's request (query, body, id-like path segments). Empty: exact.
    pub differences: Vec<Difference>,
    /// The exchange that made it happen, if that is known.
    pub cause: Option<ExchangeIndex>,
    /// How that is known.
    pub basis: Basis,
    /// Other open exchanges had recorded counterparts of the same site with other answers, and nothing told them apart.
    pub ambiguous: bool,
    /// What was asked, where it is not exactly what was recorded; of a bounded number of calls.
    pub asked: Option<Box<Asked>>,
    /// When it was whole, in ns since the run began.
    pub at_ns: u64,
    /// When its answer had been sent, in ns since the run began; none while that is not so.
    pub answered_ns: Option<u64>,
}

/// What was asked, for a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Whom: a name or an address, default port left out.
    pub dependency: String,
    /// `GET`, …; "" of protocols that are not read.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Its other fields (`body…`).
    pub fields: Fields,
}

/// Something that was refused since the recording has nothing like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A connect to `host:port` or a lookup of a name.
    pub what: Refused,
    /// The exchange that made it happen, if that is known.
    pub cause: Option<ExchangeIndex>,
    /// When, in ns since the run began.
    pub at_ns: u64,
}

/// What was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A connect to this address: ECONNREFUSED.
    Connect(std::net::SocketAddr),
    /// A lookup of this name: NXDOMAIN.
    Lookup(String),
}
