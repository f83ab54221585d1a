//! Where something is: a causal order over both directions.

use super::recording::Recording;
use crate::replay::script::{CallIndex, ExchangeIndex};

/// A message that is compared: what the target answered, or what it asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The answer of an exchange.
    Answer(ExchangeIndex),
    /// The request of a call.
    Call(CallIndex),
}

/// A causal position. An exchange's calls come before its answer, and what an exchange lacks since it was not answered
/// comes behind that: it follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The exchange; none is before all of them.
    pub anchor: Option<ExchangeIndex>,
    /// Of it.
    pub phase: Phase,
    /// The outbound index, or the inbound one.
    pub index: u32,
}

/// What of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// What is called for it.
    Calls,
    /// Its answer.
    Answer,
    /// What is not called since it has no answer.
    Lost,
}

/// The recorded calls at this exchange in causal order.
pub fn calls_at(recording: &impl Recording, anchor: Option<ExchangeIndex>) -> std::ops::Range<u32> {
    let first = |is_before: &dyn Fn(Option<ExchangeIndex>) -> bool| {
        let (mut low, mut high) = (0, u32::try_from(recording.calls()).unwrap_or(u32::MAX));
        while low < high {
            let middle = low + (high - low) / 2;
            if is_before(recording.call(CallIndex(middle)).anchor) { low = middle + 1 } else { high = middle }
        }
        low
    };
    first(&|it| it < anchor)..first(&|it| it <= anchor)
}

/// The outbound index of what has no recorded counterpart: that of the next recorded call of the same cause behind
/// `after`, or one past its last. Where the cause is not known, of all calls at this exchange.
pub fn next_index(
    recording: &impl Recording,
    cause: Option<ExchangeIndex>,
    anchor: Option<ExchangeIndex>,
    after: Option<CallIndex>,
) -> u32 {
    let range = calls_at(recording, anchor);
    let from = after.map_or(range.start, |it| it.0.saturating_add(1)).clamp(range.start, range.end);
    let is_its = |index: &u32| cause.is_none() || recording.call(CallIndex(*index)).cause == cause;
    let last = || (range.start..from).rev().find(is_its);
    (from..range.end).find(is_its).or_else(|| last().map(|it| it + 1)).unwrap_or(range.end)
}
