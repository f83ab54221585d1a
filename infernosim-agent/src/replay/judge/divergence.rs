//! A difference between a run and the recording.

use std::fmt;
use std::net::SocketAddr;

use super::place::{Phase, Position};
use crate::incident::Direction;
use crate::replay::fields::Difference;
use crate::replay::script::{Basis, CallIndex, ExchangeIndex};
use crate::replay::seen::Asked;

/// Why, in the contract's words. In the order in which they are told of one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Nothing recorded is left that it could be.
    UnexpectedOutboundCall,
    /// Whom and what path are right, query or body are not.
    RequestMismatch,
    /// The same calls of one cause, in another order.
    OrderChanged,
    /// Recorded, and did not happen.
    MissingOutboundCall,
    /// The target answered otherwise.
    ResponseMismatch,
    /// The target was gone before it answered.
    TargetExited,
    /// The target did not answer.
    TimedOut,
}

impl Reason {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnexpectedOutboundCall => "unexpected_outbound_call",
            Self::RequestMismatch => "request_mismatch",
            Self::OrderChanged => "order_changed",
            Self::MissingOutboundCall => "missing_outbound_call",
            Self::ResponseMismatch => "response_mismatch",
            Self::TargetExited => "target_exited",
            Self::TimedOut => "timed_out",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One divergence of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// Where it lies: the lowest is told first.
    pub(super) position: Position,
    /// Of which events the index is.
    pub direction: Direction,
    /// Why.
    pub reason: Reason,
    /// What was to be.
    pub expected: Side,
    /// What was.
    pub actual: Side,
    /// Field by field; at most [`MOST_DIFFERENCES`].
    pub differences: Vec<Difference>,
    /// Fields that differ and are not among them.
    pub more: u64,
    /// The exchange that made it happen, if that is known, or that it is about.
    pub cause: Option<ExchangeIndex>,
    /// How that is known; none of what is about the exchange itself.
    pub basis: Option<Basis>,
    /// How often it happened, at this place.
    pub count: u64,
}

/// So many fields of one divergence are kept.
pub const MOST_DIFFERENCES: usize = 50;

/// What was expected, or what was there instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// Nothing.
    Nothing,
    /// A recorded call.
    Call(CallIndex),
    /// A call as it was made.
    Asked(Box<Asked>),
    /// A call of which nothing is kept: there were too many.
    Unkept,
    /// A connect.
    Connect(SocketAddr),
    /// A lookup of this name.
    Lookup(String),
    /// So many connects to this dependency that fail.
    FailedConnects(String, u64),
    /// Packets of this kind.
    Packets(String, u64),
    /// A whole answer with this status.
    Answer(u16),
    /// A connection that ended before the answer was whole.
    Closed,
    /// The end of the target: its status, if it is known.
    Exit(Option<i32>),
    /// No answer for so long, in ns.
    Silence(u64),
}

impl Divergence {
    /// Its index among the events of its direction, from 0.
    pub const fn index(&self) -> u32 {
        self.position.index
    }

    /// One of a call.
    pub(super) fn outbound(reason: Reason, position: Position, expected: Side, actual: Side) -> Self {
        Self {
            position,
            direction: Direction::Outbound,
            reason,
            expected,
            actual,
            differences: Vec::new(),
            more: 0,
            cause: None,
            basis: None,
            count: 1,
        }
    }

    /// One of an exchange's answer.
    pub(super) fn inbound(reason: Reason, exchange: ExchangeIndex, expected: Side, actual: Side) -> Self {
        let position = Position { anchor: Some(exchange), phase: Phase::Answer, index: exchange.0 };
        Self {
            direction: Direction::Inbound,
            cause: Some(exchange),
            ..Self::outbound(reason, position, expected, actual)
        }
    }

    /// By whom it was caused.
    pub(super) fn caused(mut self, cause: Option<ExchangeIndex>, basis: Basis) -> Self {
        (self.cause, self.basis) = (cause, Some(basis));
        self
    }

    /// What differs.
    pub(super) fn differing(mut self, mut differences: Vec<Difference>) -> Self {
        self.more = differences.len().saturating_sub(MOST_DIFFERENCES) as u64;
        differences.truncate(MOST_DIFFERENCES);
        self.differences = differences;
        self
    }
}
