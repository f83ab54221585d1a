//! What the driver asks, answered from the recording.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Content, Exchanges, LiveAnswer, Moment, Selection};
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::cause::identifiers;
use crate::incident::redact::Live as Redactor;
use crate::replay::causes::{Live as Causes, Sent};
use crate::replay::fields::{self, Difference};
use crate::replay::minted::Minted;
use crate::replay::script::{Exchange, ExchangeIndex, Request, Script};

/// The fewest characters of an id that stand for it.
const SHORTEST_PREFIX: usize = 6;

/// What a run carried into its requests, for the report; shared with the session.
#[derive(Debug)]
pub struct Carried {
    /// Values that the target minted, by worker.
    pub minted: BTreeMap<u32, Minted>,
    /// Requests that were sent with tokens, since nothing tells the values, and which tokens.
    pub unrestored: BTreeMap<ExchangeIndex, Vec<String>>,
    /// Answers that could not be compared, since the incident could not be read any more: the first, and why.
    pub uncompared: Option<(ExchangeIndex, String)>,
}

/// The exchanges of a script, for one run.
pub struct Scripted {
    script: Arc<Script>,
    /// How many send.
    workers: u32,
    causes: Causes,
    redactor: Redactor,
    carried: Arc<Mutex<Carried>>,
    /// Told when the workload begins again.
    again: Option<Box<dyn FnMut() + Send>>,
    /// Requests in flight, by our end of their connections.
    flights: BTreeMap<SocketAddr, (Sent, Request)>,
}

impl Scripted {
    /// For a run of this script.
    pub fn new(script: Arc<Script>, causes: Causes) -> Self {
        let minted = BTreeMap::new();
        let carried = Carried { minted, unrestored: BTreeMap::new(), uncompared: None };
        let redactor = script.live();
        Self {
            script,
            workers: 1,
            causes,
            redactor,
            carried: Arc::new(Mutex::new(carried)),
            again: None,
            flights: BTreeMap::new(),
        }
    }

    /// For so many workers (`--fanout`): what the target mints for one goes into that one's requests alone.
    pub fn for_workers(self, workers: u32) -> Self {
        Self { workers, ..self }
    }

    /// Calls this whenever the workload begins again (`--window`): each round has its own calls.
    pub fn on_round(self, act: impl FnMut() + Send + 'static) -> Self {
        Self { again: Some(Box::new(act)), ..self }
    }

    /// What it carries; complete when the run is over.
    pub fn carried(&self) -> Arc<Mutex<Carried>> {
        Arc::clone(&self.carried)
    }

    fn compare(
        &mut self,
        exchange: ExchangeIndex,
        worker: u32,
        request: &Request,
        answer: &LiveAnswer,
    ) -> Result<Vec<Difference>> {
        let LiveAnswer { status, headers, body } = answer;
        let body = match body {
            Content::Whole(body) => fields::Content::Bytes(body),
            Content::Digest(size, digest) => fields::Content::Digest(*size, *digest),
        };
        let recorded = self.script.answer(exchange)?;
        if let fields::Content::Bytes(body) = body {
            let mut carried = lock(&self.carried);
            let minted = carried.minted.entry(worker);
            let minted = minted.or_insert_with(|| Minted::new(Arc::clone(&self.script), self.workers));
            minted.learn(exchange, &recorded, headers, body);
        }
        if !self.script.exchange(exchange).answered {
            return Ok(Vec::new());
        }
        Ok(recorded.compare(&mut self.redactor, request, *status, headers, body))
    }
}

impl Exchanges for Scripted {
    fn request(&mut self, exchange: ExchangeIndex, worker: u32) -> Result<Request> {
        let mut request = self.script.request(exchange)?;
        let mut carried = lock(&self.carried);
        if let Some(minted) = carried.minted.get_mut(&worker) {
            minted.apply(exchange, &mut request);
        }
        if !request.unrestored.is_empty() {
            carried.unrestored.insert(exchange, request.unrestored.clone());
        }
        Ok(request)
    }

    fn needs(&self, exchange: ExchangeIndex) -> Option<ExchangeIndex> {
        self.script.exchange(exchange).needs
    }

    fn sending(&mut self, exchange: ExchangeIndex, request: &Request, local: SocketAddr) {
        let fields = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let sent = self.causes.sent(exchange, local, &identifiers(fields));
        self.flights.insert(local, (sent, request.clone()));
    }

    fn unread(&mut self, _: ExchangeIndex, local: SocketAddr) {
        if let Some((sent, _)) = self.flights.remove(&local) {
            self.causes.answered(sent);
        }
    }

    fn over(
        &mut self,
        exchange: ExchangeIndex,
        worker: u32,
        local: Option<SocketAddr>,
        answer: Option<&LiveAnswer>,
    ) -> Vec<Difference> {
        let Some((sent, request)) = local.and_then(|local| self.flights.remove(&local)) else {
            return Vec::new();
        };
        self.causes.answered(sent);
        let compared =
            answer.map_or_else(|| Ok(Vec::new()), |answer| self.compare(exchange, worker, &request, answer));
        compared.unwrap_or_else(|error| {
            lock(&self.carried).uncompared.get_or_insert((exchange, error.message));
            Vec::new()
        })
    }

    fn again(&mut self) {
        lock(&self.carried).minted.clear();
        self.again.iter_mut().for_each(|act| act());
    }
}

impl Moment {
    /// Of an exchange that can be sent as it was.
    pub fn of(index: ExchangeIndex, exchange: &Exchange) -> Option<Self> {
        exchange.replayable.then(|| Self {
            exchange: index,
            start_ns: exchange.start_ns,
            end_ns: exchange.end_ns,
            answered: exchange.answered,
            connection: exchange.connection,
            client: exchange.client,
            port: exchange.listener.map(|listener| listener.port()),
        })
    }

    /// Of each exchange of a script that can be sent as it was.
    pub fn all(script: &Script) -> impl Iterator<Item = Self> + '_ {
        let numbered = script.exchanges().iter().enumerate();
        numbered.filter_map(|(at, exchange)| Self::of(ExchangeIndex(at as u32), exchange))
    }
}

impl Selection {
    /// The one exchange whose id this is, or begins with it, or whose sequence number: `12` or `#12` (`--request`).
    ///
    /// # Errors
    /// `Exit::Usage` if it means none or several; `Exit::Incident` if that exchange cannot be sent as it was.
    pub fn of_request(script: &Script, id: &str) -> Result<Self> {
        let wrong = |message: String| {
            ExpectedError::new(Exit::Usage, message)
                .help("`infernosim inspect` lists the requests by number, with --json also their ids")
        };
        let all = || script.exchanges().iter().zip(0..).map(|(exchange, at)| (exchange, ExchangeIndex(at)));
        let number = id.strip_prefix('#');
        let sequence: Option<u64> = number.unwrap_or(id).parse().ok();
        let numbered = || all().filter(|(exchange, _)| Some(exchange.sequence) == sequence).take(2).collect();
        let whole: Vec<_> = all().filter(|(exchange, _)| &*exchange.id == id).take(2).collect();
        let is_long = id.len() >= SHORTEST_PREFIX || sequence.is_some();
        let begun = || {
            let lower = id.to_ascii_lowercase();
            let begins = move |exchange: &Exchange| exchange.id.to_ascii_lowercase().starts_with(&lower);
            let is_prefix = number.is_none() && id.len() >= SHORTEST_PREFIX;
            all().filter(move |(exchange, _)| is_prefix && begins(exchange)).take(2).collect()
        };
        let found: [Vec<_>; 3] = [whole, begun(), numbered()];
        let found = found.into_iter().find(|it| !it.is_empty()).unwrap_or_default();
        match found[..] {
            [] if !is_long => Err(wrong(format!(
                "{id:?} is too short: give {SHORTEST_PREFIX} characters of a request's id at least"
            ))),
            [] => Err(wrong(format!("no inbound request of the incident has the number or id {id:?}"))),
            [(exchange, _)] if !exchange.replayable => {
                let message =
                    format!("the request {id} was not recorded as a whole HTTP/1 request: it cannot be sent");
                Err(ExpectedError::new(Exit::Incident, message))
            }
            [(_, at)] => Ok(Self { only: Some(BTreeSet::from([at])), most: 0 }),
            _ => Err(wrong(format!("{id:?} is ambiguous: several requests' ids begin so"))),
        }
    }
}

fn lock(carried: &Mutex<Carried>) -> MutexGuard<'_, Carried> {
    carried.lock().unwrap_or_else(PoisonError::into_inner)
}
