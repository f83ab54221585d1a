//! What is asked of the recording.

use crate::error::Result;
use crate::replay::fields::Fields;
use crate::replay::script::{Basis, CallIndex, ExchangeIndex};
use crate::replay::seen::Asked;

/// The recording, as far as it is judged by. The first group is at hand; the second reads lines again.
pub trait Recording {
    /// How many exchanges it has.
    fn exchanges(&self) -> usize;
    /// One of them.
    fn exchange(&self, index: ExchangeIndex) -> Exchanged;
    /// How many calls it has.
    fn calls(&self) -> usize;
    /// One of them.
    fn call(&self, index: CallIndex) -> Called<'_>;
    /// When the recording began, in ns since the epoch, if that is known.
    fn began_ns(&self) -> Option<i128>;
    /// Did the target have traffic of this kind that was neither seen nor relayed?
    fn has_unmediated(&self, kind: &str) -> bool;
    /// For each connect to this dependency that failed, in order: the exchange at which it lies in causal order.
    fn failed_connects(&self, dependency: &str) -> Vec<Option<ExchangeIndex>>;
    /// What it lacks: sentences, each with how many it is about.
    fn lacks(&self) -> Vec<(String, u64)>;

    /// An exchange's request.
    fn request_line(&self, index: ExchangeIndex) -> Result<RequestLine>;
    /// The fields of an exchange's answer, `status` not among them.
    fn answer(&self, index: ExchangeIndex) -> Result<Fields>;
    /// A call's request.
    fn asked(&self, index: CallIndex) -> Result<Asked>;
}

/// A recorded exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchanged {
    /// The status of its answer; none if there was no whole answer: then nothing is expected of one.
    pub status: Option<u16>,
}

/// A recorded call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Called<'a> {
    /// Whom: a name or an address, default port left out.
    pub dependency: &'a str,
    /// The exchange that made it happen, if that is known.
    pub cause: Option<ExchangeIndex>,
    /// How that is known.
    pub basis: Basis,
    /// The exchange at which it lies in causal order: the cause, else the last one that began before it. Never less than
    /// that of the call before.
    pub anchor: Option<ExchangeIndex>,
    /// When it began, in ns since the recording did.
    pub start_ns: u64,
    /// When it ended, if it did.
    pub end_ns: Option<u64>,
    /// Is there a stub for it?
    pub is_served: bool,
}

/// What was asked of the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestLine {
    /// Its id: 32 hex digits, or what an older log has.
    pub id: String,
    /// Its method.
    pub method: String,
    /// Path and query.
    pub target: String,
}
