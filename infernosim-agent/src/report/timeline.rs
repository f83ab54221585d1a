//! When things happened in one run.

use serde::{Deserialize, Serialize};

use crate::replay::judge;

/// When things happened in the first run that diverged, else in the last one. Times in ns since it began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timeline {
    /// Which run, from 1.
    pub run: u32,
    /// What was sent to the target, in order.
    pub inbound: Vec<TimedExchange>,
    /// What the target asked, in order.
    pub calls: Vec<TimedCall>,
    /// Exchanges and calls that are left out. Two thousand are kept: those of divergences, those nearest to these and to
    /// faults, and an even share of the others.
    pub more: u64,
}

/// A request to the target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TimedExchange {
    /// Its inbound index.
    pub index: u32,
    /// `POST /orders`.
    pub asked: String,
    /// When it was sent.
    pub sent_ns: u64,
    /// When its answer was whole, or its connection ended; absent where it was still open when the run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_ns: Option<u64>,
    /// Of a whole answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// A call, or a connect or lookup that was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TimedCall {
    /// The outbound index of its recorded counterpart; absent where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// Whom.
    pub dependency: String,
    /// `POST /charge`.
    pub asked: String,
    /// When it was whole.
    pub at_ns: u64,
    /// When its answer had been sent; absent where it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_ns: Option<u64>,
    /// The inbound index of what made it happen; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<u32>,
}

impl Timeline {
    /// As the judge kept it.
    pub(super) fn of(kept: &judge::Timeline) -> Self {
        let inbound = kept.inbound.iter().map(|it| TimedExchange {
            index: it.index,
            asked: it.asked.clone(),
            sent_ns: it.sent_ns,
            ended_ns: it.ended_ns,
            status: it.status,
        });
        let calls = kept.calls.iter().map(|it| TimedCall {
            index: it.index,
            dependency: it.dependency.clone(),
            asked: it.asked.clone(),
            at_ns: it.at_ns,
            answered_ns: it.answered_ns,
            cause: it.cause,
        });
        Self { run: kept.run, inbound: inbound.collect(), calls: calls.collect(), more: kept.more }
    }
}
