//! What is asked of the recording.

use crate::error::Result;
use crate::replay::fields::Fields;
use crate::replay::script::{Basis, CallIndex, CallKind, ExchangeIndex, Script};

/// The recording, as far as it is judged by. The first group is at hand; the second reads lines again.
pub trait Recording {
    /// How many exchanges it has.
    fn exchanges(&self) -> usize;
    /// One of them.
    fn exchange(&self, index: ExchangeIndex) -> Exchanged<'_>;
    /// How many calls it has.
    fn calls(&self) -> usize;
    /// One of them.
    fn call(&self, index: CallIndex) -> Called<'_>;
    /// Its first event's time, in ns since the epoch.
    fn began_ns(&self) -> i128;
    /// For each connect to this dependency that failed, in order: what made it happen, and how that is known.
    fn failed_connects(&self, dependency: &str) -> Vec<(Option<ExchangeIndex>, Basis)>;

    /// What is compared of an exchange's answer.
    ///
    /// # Errors
    /// `Exit::Incident` if its line cannot be read any more.
    fn answer(&self, index: ExchangeIndex) -> Result<Fields>;
    /// What is compared of a call's request.
    ///
    /// # Errors
    /// As [`Recording::answer`].
    fn asked(&self, index: CallIndex) -> Result<Fields>;
}

/// A recorded exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchanged<'a> {
    /// Its id: 32 hex digits, or what an older log has.
    pub id: &'a str,
    /// `GET /path?query`.
    pub asked: &'a str,
    /// The status of its answer; none if there was no whole one: then nothing is expected of it.
    pub status: Option<u16>,
    /// It can be sent.
    pub is_replayable: bool,
    /// When it began, in ns since the recording did.
    pub start_ns: u64,
    /// When its answer was over, likewise, if that is known.
    pub end_ns: Option<u64>,
}

/// A recorded call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Called<'a> {
    /// Whom: a name or an address, default port left out.
    pub dependency: &'a str,
    /// `GET`; "" of protocols that are not read.
    pub method: &'a str,
    /// Path and query; of protocols that are not read their name.
    pub target: &'a str,
    /// The exchange that made it happen, if that is known.
    pub cause: Option<ExchangeIndex>,
    /// How that is known.
    pub basis: Basis,
    /// The exchange at which it lies in causal order: the cause, else the last one that began before it. Never less than
    /// that of the call before.
    pub anchor: Option<ExchangeIndex>,
    /// When it began, in ns since the recording did.
    pub start_ns: u64,
    /// When it ended, likewise.
    pub end_ns: u64,
    /// Is there a stub for it?
    pub is_served: bool,
}

impl Recording for Script {
    fn exchanges(&self) -> usize {
        self.exchanges().len()
    }

    fn exchange(&self, index: ExchangeIndex) -> Exchanged<'_> {
        let it = self.exchange(index);
        Exchanged {
            id: &it.id,
            asked: &it.asked,
            status: it.status.filter(|_| it.answered),
            is_replayable: it.replayable,
            start_ns: it.start_ns,
            end_ns: it.end_ns,
        }
    }

    fn calls(&self) -> usize {
        self.calls().len()
    }

    fn call(&self, index: CallIndex) -> Called<'_> {
        let it = self.call(index);
        Called {
            dependency: &it.dependency,
            method: &it.method,
            target: asked_of(&it.site, !it.method.is_empty()),
            cause: it.cause,
            basis: it.basis,
            anchor: it.after,
            start_ns: it.start_ns,
            end_ns: it.end_ns,
            is_served: matches!(it.kind, CallKind::Http | CallKind::Turn),
        }
    }

    fn began_ns(&self) -> i128 {
        self.recorded_at()
    }

    fn failed_connects(&self, dependency: &str) -> Vec<(Option<ExchangeIndex>, Basis)> {
        let its = self.dependencies().iter().filter(|it| &*it.name == dependency);
        its.flat_map(|it| &it.failed).map(|it| (it.cause, it.basis)).collect()
    }

    fn answer(&self, index: ExchangeIndex) -> Result<Fields> {
        Ok(self.answer(index)?.fields)
    }

    fn asked(&self, index: CallIndex) -> Result<Fields> {
        self.asked(index)
    }
}

/// What is asked for in `outbound prices.test:8080 GET /v1/quote?sku=7`; without a method the protocol's name.
fn asked_of(site: &str, has_method: bool) -> &str {
    site.splitn(if has_method { 4 } else { 3 }, ' ').last().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_the_rest_of_the_site() {
        assert_eq!(asked_of("outbound a.test GET /b c?d", true), "/b c?d");
        assert_eq!(asked_of("outbound 10.0.0.9:1 tcp", false), "tcp");
        assert_eq!(asked_of("", true), "");
    }
}
