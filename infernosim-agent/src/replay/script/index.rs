//! The index itself, and what is asked of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::causes::Causes;
use super::depend;
use super::kinds;
use super::load::{Drafts, Reading};
use super::read::Files;
use super::say;
use super::{
    Call, CallIndex, Dependency, Exchange, ExchangeIndex, LookedUp, Lookup, MatchedBy, RecordedAnswer, Reply,
    Request, Turn, Untested,
};
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::event::Event;
use crate::incident::reader::{Incident, Secrets};
use crate::incident::redact::{Live, Restorer};
use crate::replay::fields::Fields;

/// Where the Go InfernoSIM (from 3.4) keeps what went through Kafka.
const MESSAGES: &str = "messages.log";

/// An incident to be replayed. Does not change.
pub struct Script {
    exchanges: Vec<Exchange>,
    calls: Vec<Call>,
    dependencies: Vec<Dependency>,
    lookups: BTreeMap<(Box<str>, Box<str>), Vec<Lookup>>,
    untested: Vec<Untested>,
    notes: Vec<String>,
    /// Digests of the values in requests, in order.
    values: Box<[u64]>,
    recorded_at: i128,
    foreign: bool,
    secrets: Secrets,
    files: Files,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the secrets.
        let (exchanges, calls) = (self.exchanges.len(), self.calls.len());
        f.debug_struct("Script").field("exchanges", &exchanges).field("calls", &calls).finish_non_exhaustive()
    }
}

impl Script {
    /// Reads an incident once through.
    ///
    /// # Errors
    /// `Exit::Incident` if it cannot be read, or has no inbound exchange that can be sent.
    pub fn load(incident: &Incident) -> Result<Arc<Self>> {
        let secrets = incident.secrets()?;
        let foreign = incident.live(&secrets).is_foreign();
        let mut files = Files { incident: incident.clone(), logs: Vec::new() };
        let mut events = incident.events()?;
        let mut drafts = Drafts::default();
        let reading = Reading { files: &files, secrets: &secrets, foreign };
        for record in &mut events {
            drafts.add(&record?, &reading)?;
        }
        let mut notes: Vec<String> = events.notes().iter().map(ToString::to_string).collect();
        if incident.manifest().is_some_and(|manifest| !manifest.closed) {
            let said = "the incident is not closed: its capture still runs, or was killed, and what came last may be missing";
            notes.push(said.to_owned());
        }
        files.logs = events.into_logs();
        drafts.sort();
        can_be_sent(&drafts, incident)?;
        Ok(Arc::new(Self::finish(drafts, notes, secrets, foreign, files)))
    }

    fn finish(mut drafts: Drafts, notes: Vec<String>, secrets: Secrets, foreign: bool, files: Files) -> Self {
        let mut script = Self {
            exchanges: Vec::new(),
            calls: Vec::new(),
            dependencies: Vec::new(),
            lookups: BTreeMap::new(),
            untested: Vec::new(),
            notes,
            values: std::mem::take(&mut drafts.values).into_iter().collect(),
            recorded_at: drafts.recorded_at.unwrap_or(0),
            foreign,
            secrets,
            files,
        };
        let mut causes = Causes::of(&drafts);
        script.dependencies = depend::dependencies(&drafts, &mut causes);
        script.lookups = depend::lookups(std::mem::take(&mut drafts.lookups), &mut causes);
        let sequences: Vec<u64> = drafts.exchanges.iter().map(|draft| draft.exchange.sequence).collect();
        let mut calls = std::mem::take(&mut drafts.calls);
        for draft in &mut calls {
            let (cause, basis) = causes.find(&draft.clue, draft.start_ns);
            let before = sequences.partition_point(|sequence| *sequence < draft.sequence);
            let last = before.checked_sub(1).map(|at| ExchangeIndex(at as u32));
            let call = &mut draft.entry.call;
            (call.cause, call.basis, call.after) = (cause, basis, cause.or(last));
            call.sequence = draft.sequence;
        }
        // None is before all.
        calls.sort_by_key(|draft| (draft.entry.call.after, draft.sequence));
        script.calls = calls.into_iter().map(|draft| draft.entry.call).collect();
        // What was collected in the place of larger drafts has room for these.
        script.calls.shrink_to_fit();
        if causes.are_derived() && !script.calls.is_empty() {
            let said = "the recording does not say which request made which call happen: that is told by headers, and by \
                        time where only one request was open";
            script.notes.push(said.to_owned());
        }
        if causes.unsure > 0 {
            let said =
                "threads of the target handed requests to each other, so that they do not tell causes: ";
            script.notes.push(format!("{said}{} times", causes.unsure));
        }
        let without =
            drafts.exchanges.iter().filter(|it| it.exchange.replayable && it.exchange.answer.is_none());
        let without = without.count() as u64;
        if without > 0 {
            kinds::count_unanswered(without, &mut drafts.counts);
        }
        if script.files.incident.dir().join(MESSAGES).exists() {
            drafts.counts.add("Kafka messages (messages.log)", 0, "they are neither sent nor answered");
        }
        script.untested = std::mem::take(&mut drafts.counts).finish(script.files.incident.manifest());
        script.exchanges = drafts.exchanges.into_iter().map(|draft| draft.exchange).collect();
        script.exchanges.shrink_to_fit();
        script
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

    /// What it is matched by.
    pub fn matched_by(&self, index: CallIndex) -> &MatchedBy {
        &self.call(index).matched
    }

    /// Whom the target called, or tried to, in the order in which it first did.
    pub fn dependencies(&self) -> &[Dependency] {
        &self.dependencies
    }

    /// The names that were looked up: (name in lower case without the last dot, type such as `A`) → lookups in order.
    pub fn lookups(&self) -> &BTreeMap<(Box<str>, Box<str>), Vec<Lookup>> {
        &self.lookups
    }

    /// Names of dependencies of which no lookup was recorded, without their ports, each once.
    pub fn names_without_lookup(&self) -> Vec<&str> {
        let named = |name: &&str| name.parse::<std::net::IpAddr>().is_err() && !name.starts_with('[');
        let looked_up = |name: &str| self.lookups.keys().any(|(known, _)| &**known == name);
        let hosts =
            self.dependencies.iter().map(|it| it.name.rsplit_once(':').map_or(&*it.name, |(host, _)| host));
        let mut names: Vec<&str> = hosts.filter(named).filter(|name| !looked_up(name)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// What a replay cannot test, for the report.
    pub fn untested(&self) -> &[Untested] {
        &self.untested
    }

    /// What is worth saying of the recording, for people.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The wall time of `start_ns` 0, in ns since the Unix epoch.
    pub const fn recorded_at(&self) -> i128 {
        self.recorded_at
    }

    /// The wall time of the last that was recorded, likewise.
    pub fn ended_at(&self) -> i128 {
        let answers = self.exchanges.iter().map(|exchange| exchange.end_ns.unwrap_or(exchange.asked_ns));
        let last = answers.chain(self.calls.iter().map(|call| call.end_ns)).max();
        self.recorded_at + i128::from(last.unwrap_or(0))
    }

    /// The incident it is of.
    pub const fn incident(&self) -> &Incident {
        &self.files.incident
    }

    /// A request as it was sent to the target.
    ///
    /// # Errors
    /// `Exit::Incident` if its line or body cannot be read any more.
    pub fn request(&self, index: ExchangeIndex) -> Result<Request> {
        say::request(&self.files, &self.secrets, self.exchange(index).request)
    }

    /// The answer to it, for comparing.
    ///
    /// # Errors
    /// As [`Script::request`].
    pub fn answer(&self, index: ExchangeIndex) -> Result<RecordedAnswer> {
        match self.exchange(index).answer {
            Some(place) => say::answer(&self.files, place, self.foreign),
            None => Ok(RecordedAnswer::default()),
        }
    }

    /// What was asked of a dependency, for comparing and for reports: query and body; secrets are tokens.
    ///
    /// # Errors
    /// As [`Script::request`].
    pub fn asked(&self, index: CallIndex) -> Result<Fields> {
        say::asked(&self.files, &self.call_line(index)?, self.foreign)
    }

    /// The line of a call; secrets are tokens.
    ///
    /// # Errors
    /// As [`Script::request`].
    pub fn call_line(&self, index: CallIndex) -> Result<Event> {
        self.files.event(self.call(index).line)
    }

    /// What a dependency answered.
    ///
    /// # Errors
    /// As [`Script::request`].
    pub fn reply(&self, index: CallIndex) -> Result<Reply> {
        say::reply(&self.files, &self.secrets, &self.call_line(index)?)
    }

    /// A turn of a protocol that is not read.
    ///
    /// # Errors
    /// As [`Script::request`].
    pub fn turn(&self, index: CallIndex) -> Result<Turn> {
        say::turn(&self.files, &self.secrets, self.call(index).line)
    }

    /// The messages of a lookup.
    ///
    /// # Errors
    /// As [`Script::request`].
    pub fn lookup(&self, lookup: &Lookup) -> Result<LookedUp> {
        say::lookup(&self.files, lookup.line)
    }

    /// What redacts live messages as the recording was, so that secrets compare by their tokens. Whoever compares has its
    /// own.
    pub fn live(&self) -> Live {
        self.files.incident.live(&self.secrets)
    }

    /// Whether a value, secrets as tokens, stands in some request as a whole value or segment.
    pub fn is_carried(&self, value: &str) -> bool {
        self.values.binary_search(&say::value_digest(value)).is_ok()
    }

    /// A value as it was sent, where its token is in the text.
    pub fn restored(&self, text: &str) -> String {
        String::from_utf8_lossy(&Restorer::new(&self.secrets).value(text)).into_owned()
    }
}

/// There must be something to send.
fn can_be_sent(drafts: &Drafts, incident: &Incident) -> Result<()> {
    let dir = incident.dir().display();
    if drafts.exchanges.iter().any(|draft| draft.exchange.replayable) {
        return Ok(());
    }
    let error = |message| Err(ExpectedError::new(Exit::Incident, message));
    match (drafts.exchanges.len(), drafts.calls.len()) {
        (0, 0) => error(format!("{dir} is empty: there is nothing to replay")),
        (0, calls) => error(format!(
            "{dir} has {calls} outbound calls and no inbound request: there is nothing to send"
        )),
        (all, _) => error(format!(
            "none of the {all} inbound exchanges in {dir} is a whole HTTP/1 request: there is nothing to send"
        )),
    }
    .map_err(|error| error.help("capture the target while clients send it requests, then replay that"))
}
