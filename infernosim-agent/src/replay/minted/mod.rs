//! Values that the live service makes up and that the recording carries on: ids, cookies, tokens.

use std::sync::Arc;

use super::script::{ExchangeIndex, Request, Script};
use crate::error::Result;

/// What was learned in a run.
#[derive(Debug)]
pub struct Minted {
    script: Arc<Script>,
    uses: Vec<Substitution>,
}

/// A value that was put in the place of a recorded one; for the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Substitution {
    /// The exchange whose answer has it.
    pub minted_by: ExchangeIndex,
    /// Where in that answer: `body.id`, `header.location`, `header.set-cookie.sid`.
    pub field: Box<str>,
    /// The exchange in whose request it was put.
    pub used_in: ExchangeIndex,
    /// Where in that request: `path[1]`, `header.cookie`, `body.order`.
    pub place: Box<str>,
    /// The recorded value as the log has it, so that a secret is a token.
    pub recorded: Box<str>,
}

impl Minted {
    /// For a script.
    pub fn new(script: Arc<Script>) -> Self {
        Self { script, uses: Vec::new() }
    }

    /// A new run begins: nothing was learned yet.
    pub fn begin(&mut self) {
        self.uses.clear();
    }

    /// Learns from a whole live answer, as it came.
    ///
    /// # Errors
    /// Those of reading the recorded one.
    pub fn learn(
        &mut self,
        exchange: ExchangeIndex,
        _status: u16,
        _headers: &[(String, Vec<u8>)],
        _body: &[u8],
    ) -> Result<()> {
        let _ = (&self.script, exchange);
        Ok(())
    }

    /// Puts live values in the place of recorded ones; gives how many.
    pub fn apply(&mut self, _exchange: ExchangeIndex, _request: &mut Request) -> usize {
        0
    }

    /// An exchange whose answer brings a value that this one's request repeats: it is waited for.
    pub fn needs(&self, _exchange: ExchangeIndex) -> Option<ExchangeIndex> {
        None
    }

    /// What was put in since the run began; of a bounded number.
    pub fn uses(&self) -> &[Substitution] {
        &self.uses
    }
}
