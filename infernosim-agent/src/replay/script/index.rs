//! The index itself, and what is asked of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    Call, CallIndex, Dependency, Exchange, ExchangeIndex, LookedUp, Lookup, RecordedAnswer, Reply, Request,
    Turn, Untested,
};
use crate::error::Result;
use crate::incident::reader::Incident;
use crate::incident::redact::Live;
use crate::replay::fields::Fields;

/// An incident to be replayed. Does not change.
#[derive(Debug)]
pub struct Script {
    exchanges: Vec<Exchange>,
    calls: Vec<Call>,
    dependencies: Vec<Dependency>,
    lookups: BTreeMap<(Box<str>, Box<str>), Vec<Lookup>>,
    untested: Vec<Untested>,
}

impl Script {
    /// Reads an incident once through.
    ///
    /// # Errors
    /// `Exit::Incident` if it cannot be read, or has no inbound exchange.
    pub fn load(incident: &Incident) -> Result<Arc<Self>> {
        let _ = incident.events()?;
        Ok(Arc::new(Self {
            exchanges: Vec::new(),
            calls: Vec::new(),
            dependencies: Vec::new(),
            lookups: BTreeMap::new(),
            untested: Vec::new(),
        }))
    }

    /// The inbound exchanges, in order; an [`ExchangeIndex`] is a place in it.
    pub fn exchanges(&self) -> &[Exchange] {
        &self.exchanges
    }

    /// One of them.
    pub fn exchange(&self, index: ExchangeIndex) -> &Exchange {
        &self.exchanges[index.0 as usize]
    }

    /// The outbound calls, in causal order; a [`CallIndex`] is a place in it.
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// One of them.
    pub fn call(&self, index: CallIndex) -> &Call {
        &self.calls[index.0 as usize]
    }

    /// Whom the target called, or tried to, by name.
    pub fn dependencies(&self) -> &[Dependency] {
        &self.dependencies
    }

    /// The names that were looked up: (name in lower case without the last dot, type such as `A`) → lookups in order.
    pub fn lookups(&self) -> &BTreeMap<(Box<str>, Box<str>), Vec<Lookup>> {
        &self.lookups
    }

    /// What a replay cannot test, for the report.
    pub fn untested(&self) -> &[Untested] {
        &self.untested
    }

    /// The wall time of `start_ns` 0, in ns since the Unix epoch.
    pub fn recorded_at(&self) -> i128 {
        0
    }

    /// A request as it was sent to the target.
    ///
    /// # Errors
    /// `Exit::Incident` if its line or body cannot be read any more.
    pub fn request(&self, _index: ExchangeIndex) -> Result<Request> {
        Ok(Request::default())
    }

    /// The answer to it, for comparing.
    ///
    /// # Errors
    /// As [`Script::request`].
    pub fn answer(&self, _index: ExchangeIndex) -> Result<RecordedAnswer> {
        Ok(RecordedAnswer::default())
    }

    /// What was asked of a dependency, for comparing and for reports: query and body; secrets are tokens.
    ///
    /// # Errors
    /// As [`Script::request`].
    pub fn asked(&self, _index: CallIndex) -> Result<Fields> {
        Ok(Fields::new())
    }

    /// What a dependency answered.
    ///
    /// # Errors
    /// As [`Script::request`].
    pub fn reply(&self, _index: CallIndex) -> Result<Reply> {
        Ok(Reply::default())
    }

    /// A turn of a protocol that is not read.
    ///
    /// # Errors
    /// As [`Script::request`].
    pub fn turn(&self, _index: CallIndex) -> Result<Turn> {
        Ok(Turn::default())
    }

    /// The messages of a lookup.
    ///
    /// # Errors
    /// As [`Script::request`].
    pub fn lookup(&self, _lookup: &Lookup) -> Result<LookedUp> {
        Ok(LookedUp::default())
    }

    /// What redacts live messages as the recording was, so that secrets compare by their tokens. Whoever compares has its
    /// own.
    pub fn live(&self) -> Live {
        Live::default()
    }
}
