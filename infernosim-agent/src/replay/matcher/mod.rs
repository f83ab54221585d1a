//! Which recorded call a live one is.

use std::sync::Arc;

use bytes::Bytes;

use super::script::{Basis, CallIndex, ExchangeIndex, Script};
use super::seen;
use crate::error::Result;

/// What to do with a call that has no counterpart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnmatched {
    /// It is refused.
    #[default]
    Fail,
    /// It is given the nearest answer of the same dependency.
    Closest,
    /// It goes to the dependency.
    Passthrough,
}

/// How calls are matched.
#[derive(Clone, Debug, Default)]
pub struct MatchOptions {
    /// Only times may differ.
    pub strict: bool,
    /// What to do with a call that has no counterpart.
    pub on_unmatched: OnUnmatched,
    /// Fields that are not looked at; `*` and `?` match.
    pub ignore: Vec<String>,
}

/// A live call that is whole.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Whom it is for, the likeliest first: Host header, names that DNS gave for the address, the address. In any case,
    /// with or without a default port.
    pub dependency: &'a [&'a str],
    /// `GET`, …
    pub method: &'a str,
    /// As on the wire.
    pub target: &'a str,
    /// As on the wire.
    pub headers: &'a [(String, Vec<u8>)],
    /// All of it.
    pub body: &'a Bytes,
    /// The exchange that made it happen, if that is known.
    pub cause: Option<ExchangeIndex>,
    /// How that is known.
    pub basis: Basis,
    /// The exchanges that are open now.
    pub open: &'a [ExchangeIndex],
    /// Now, in ns since the run began.
    pub at_ns: u64,
}

/// What to do with a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Its place among the calls of this run: for `answered`.
    pub id: usize,
    /// Whose answer it gets; none: it is to be refused, or passed through.
    pub reply: Option<CallIndex>,
    /// Where it has no counterpart: why, for people.
    pub explanation: String,
}

/// Gives each live call its recorded counterpart.
#[derive(Debug)]
pub struct Matcher {
    script: Arc<Script>,
    options: MatchOptions,
    calls: Vec<seen::Call>,
}

impl Matcher {
    /// For a script.
    pub fn new(script: Arc<Script>, options: MatchOptions) -> Self {
        Self { script, options, calls: Vec::new() }
    }

    /// A new run begins: nothing was asked yet.
    pub fn begin(&mut self) {
        self.calls.clear();
    }

    /// A live call.
    ///
    /// # Errors
    /// Those of reading the recorded one, where they are to be compared.
    pub fn ask(&mut self, question: &Question<'_>) -> Result<Decision> {
        let _ = (&self.script, &self.options, question);
        Ok(Decision::default())
    }

    /// A call that was matched by another: a turn of a protocol that is not read. Gives its id.
    pub fn note(&mut self, call: seen::Call) -> usize {
        self.calls.push(call);
        self.calls.len() - 1
    }

    /// The answer was sent, at so many ns since the run began.
    pub fn answered(&mut self, id: usize, at_ns: u64) {
        if let Some(call) = self.calls.get_mut(id) {
            call.answered_ns = Some(at_ns);
        }
    }

    /// The run is over: its calls, in the order in which they were asked.
    pub fn finish(&mut self) -> Vec<seen::Call> {
        std::mem::take(&mut self.calls)
    }
}
