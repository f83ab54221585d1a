//! What the driver asks about the exchanges that it sends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::causes::{Live as Causes, Sent};
use super::driver::{Content as Body, Exchanges, LiveAnswer, Request};
use super::fields::{self, Content, Difference};
use super::minted::Minted;
use super::script::{ExchangeIndex, Script};
use crate::error::Result;
use crate::incident::cause::identifiers;
use crate::incident::redact::{Live as Redactor, Met};

/// What was met while sending, for the report.
#[derive(Debug, Default)]
pub struct Notes {
    /// Tokens that nothing tells the value of, by the exchange that was sent with them.
    pub unrestored: BTreeMap<ExchangeIndex, Vec<String>>,
    /// Lines that could not be read again, as sentences; the first one.
    pub problem: Option<String>,
}

/// Puts script, minted values, causes and comparison together.
pub struct Sending {
    script: Arc<Script>,
    minted: Arc<Mutex<Minted>>,
    causes: Causes,
    redactor: Redactor,
    notes: Arc<Mutex<Notes>>,
    /// What is under way: one exchange may be sent several times at once.
    open: BTreeMap<ExchangeIndex, Vec<(Sent, Met)>>,
}

impl Sending {
    /// For one run.
    pub fn new(
        script: Arc<Script>,
        minted: Arc<Mutex<Minted>>,
        causes: Causes,
        notes: Arc<Mutex<Notes>>,
    ) -> Self {
        let redactor = script.live();
        Self { script, minted, causes, redactor, notes, open: BTreeMap::new() }
    }

    fn note(&self, act: impl FnOnce(&mut Notes)) {
        act(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn differences(
        &mut self,
        exchange: ExchangeIndex,
        met: &Met,
        answer: &LiveAnswer,
    ) -> Result<Vec<Difference>> {
        if let Body::Whole(body) = &answer.body {
            let mut minted = self.minted.lock().unwrap_or_else(PoisonError::into_inner);
            minted.learn(exchange, answer.status, &answer.headers, body)?;
        }
        if !self.script.exchange(exchange).answered {
            return Ok(Vec::new());
        }
        let recorded = self.script.answer(exchange)?;
        let live = match &answer.body {
            Body::Whole(body) => {
                let redacted = self.redactor.answer(met, &answer.headers, body);
                let headers = redacted.headers.as_ref().unwrap_or(&answer.headers);
                let body = redacted.body.as_deref().unwrap_or(body);
                fields::of_answer(answer.status, headers, Content::Bytes(body))
            }
            Body::Digest(size, digest) => {
                fields::of_answer(answer.status, &answer.headers, Content::Digest(*size, *digest))
            }
        };
        Ok(recorded.differences(live))
    }
}

impl Exchanges for Sending {
    fn request(&mut self, exchange: ExchangeIndex) -> Result<Request> {
        let mut request = self.script.request(exchange)?;
        self.minted.lock().unwrap_or_else(PoisonError::into_inner).apply(exchange, &mut request);
        if !request.unrestored.is_empty() {
            self.note(|notes| {
                drop(notes.unrestored.insert(exchange, std::mem::take(&mut request.unrestored)))
            });
        }
        Ok(Request {
            method: request.method,
            target: request.target,
            http10: false,
            headers: request.headers,
            body: request.body,
            chunked: request.chunked,
        })
    }

    fn needs(&self, exchange: ExchangeIndex) -> Option<ExchangeIndex> {
        self.minted.lock().unwrap_or_else(PoisonError::into_inner).needs(exchange)
    }

    fn sending(&mut self, exchange: ExchangeIndex, request: &Request, local: SocketAddr) {
        let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let sent = self.causes.sent(exchange, local, &identifiers(headers));
        let met = self.redactor.met(&request.target, &request.headers, &request.body);
        self.open.entry(exchange).or_default().push((sent, met));
    }

    fn over(&mut self, exchange: ExchangeIndex, answer: Option<&LiveAnswer>) -> Vec<Difference> {
        let Some((sent, met)) = self.open.get_mut(&exchange).and_then(Vec::pop) else { return Vec::new() };
        self.causes.answered(sent);
        let Some(answer) = answer else { return Vec::new() };
        self.differences(exchange, &met, answer).unwrap_or_else(|error| {
            self.note(|notes| drop(notes.problem.get_or_insert(error.message)));
            Vec::new()
        })
    }

    fn again(&mut self) {
        self.minted.lock().unwrap_or_else(PoisonError::into_inner).begin();
    }
}
