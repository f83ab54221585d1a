//! One reading of an incident: lines become entries, joined and in order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::causes::{self, Clue};
use super::entry::{Call, Exchange, Lookup, MatchedBy};
use super::keys::{self, Keys};
use super::kinds;
use super::read::{Files, as_stored};
use super::say;
use super::untested::Counts;
use super::{Basis, ExchangeIndex};
use crate::error::Result;
use crate::incident::cause::{Identifiers, identifiers};
use crate::incident::event::{Body, Event, Kind};
use crate::incident::reader::{Place, Record};
use crate::incident::redact::spot;
use crate::incident::site::SiteKey;
use crate::replay::fields;

/// A year, in ns.
const LONG_BEFORE: i128 = 365 * 86_400 * 1_000_000_000;
/// So many values of requests are remembered.
const MOST_VALUES: usize = 2_000_000;

/// An exchange while the incident is read.
pub struct ExchangeDraft {
    pub exchange: Exchange,
    /// Its answer's place in the order of all events.
    pub ended: Option<u64>,
    pub clue: Clue,
    /// Who wrote its answer.
    pub writer: Option<u32>,
    /// The draft whose answer brought a value that it repeats, and its own place among them.
    needs: Option<usize>,
    number: usize,
}

/// What the target did, while the incident is read.
pub struct Draft<T> {
    pub entry: T,
    pub sequence: u64,
    pub start_ns: u64,
    pub clue: Clue,
}

/// A connection without an exchange.
pub struct Connection {
    pub dependency: Arc<str>,
    pub address: Option<SocketAddr>,
    pub errno: Option<String>,
    pub took_ns: u64,
}

/// A call and its protocol.
pub struct Asked {
    pub call: Call,
    pub protocol: Arc<str>,
}

/// All of it.
#[derive(Default)]
pub struct Drafts {
    pub exchanges: Vec<ExchangeDraft>,
    pub calls: Vec<Draft<Asked>>,
    pub connections: Vec<Draft<Connection>>,
    pub lookups: Vec<(Box<str>, Box<str>, Draft<Lookup>)>,
    pub counts: Counts,
    /// The wall time of 0, in ns since the Unix epoch.
    pub recorded_at: Option<i128>,
    /// A line without a sequence was read: the order is that of time.
    pub unnumbered: bool,
    /// Some line says what made it happen.
    pub has_causes: bool,
    words: BTreeSet<Arc<str>>,
    /// Requests that wait for their answers: by trace id; of the oldest logs by connection, or what was asked.
    open: BTreeMap<String, VecDeque<usize>>,
    /// The first line has no monotonic time, nor a number: all go by wall time, behind a moment long before it.
    by_wall: bool,
    /// Values in requests, as digests.
    pub values: BTreeSet<u64>,
    /// Values in answers that no request had before, as digests, and the first one that has it.
    brought: BTreeMap<u64, usize>,
    /// Keys of requests whose bodies are files, by what tells that they are equal.
    known: BTreeMap<u64, Keys>,
    number: u64,
}

/// What reading needs besides the lines.
pub struct Reading<'a> {
    pub files: &'a Files,
    pub secrets: &'a crate::incident::reader::Secrets,
    pub foreign: bool,
}

impl Drafts {
    /// Takes in the next event.
    pub fn add(&mut self, record: &Record, reading: &Reading<'_>) -> Result<()> {
        let event = &record.event;
        self.number += 1;
        let start_ns = self.time(event);
        match event.kind {
            Kind::InboundRequest => self.request(record, start_ns, reading),
            Kind::InboundResponse => self.answer(event, record.place, start_ns),
            Kind::OutboundCall => self.call(event, record.place, start_ns, reading)?,
            Kind::Connection => self.connection(event, start_ns),
            Kind::Dns => self.lookup(event, record.place, start_ns),
            Kind::Lost => self.counts.add(
                "events that were not recorded",
                event.events.unwrap_or(1),
                "see `lost` in the incident",
            ),
            Kind::Fault => self.counts.add(
                "faults that were injected in the recording",
                1,
                "they are not injected again",
            ),
            Kind::Other(_) => {
                self.counts.add(
                    "events of types that this version does not know",
                    1,
                    "nothing is done about them",
                );
            }
        }
        Ok(())
    }

    /// Ns since the first event; where all go by wall time, since [`LONG_BEFORE`] it.
    fn time(&mut self, event: &Event) -> u64 {
        let wall = event.time().map(jiff::Timestamp::as_nanosecond);
        let offset = event.offset_ns.map(i128::from);
        if self.recorded_at.is_none()
            && let Some(wall) = wall
        {
            self.by_wall = offset.is_none() && event.sequence.is_none();
            self.recorded_at = Some(wall - offset.unwrap_or(if self.by_wall { LONG_BEFORE } else { 0 }));
        }
        let by_wall = || Some(wall? - self.recorded_at?);
        let at = offset.filter(|_| !self.by_wall).or_else(by_wall).unwrap_or(0);
        u64::try_from(at.max(0)).unwrap_or(0)
    }

    /// Lines of old logs are dated with their starts and written at their ends, so that the first one need not be the first
    /// thing that happened.
    fn begin_at_the_first(&mut self) {
        let exchanges = self.exchanges.iter().map(|draft| draft.exchange.start_ns);
        let calls = self.calls.iter().map(|draft| draft.start_ns);
        let Some(first) = exchanges.chain(calls).min() else { return };
        let earlier = |time: &mut u64| *time = time.saturating_sub(first);
        for ExchangeDraft { exchange, .. } in &mut self.exchanges {
            earlier(&mut exchange.start_ns);
            earlier(&mut exchange.asked_ns);
            exchange.end_ns.iter_mut().for_each(earlier);
        }
        for draft in &mut self.calls {
            earlier(&mut draft.start_ns);
            earlier(&mut draft.entry.call.start_ns);
            earlier(&mut draft.entry.call.end_ns);
        }
        self.connections.iter_mut().for_each(|draft| earlier(&mut draft.start_ns));
        for (.., draft) in &mut self.lookups {
            earlier(&mut draft.start_ns);
            earlier(&mut draft.entry.start_ns);
        }
        self.recorded_at = self.recorded_at.map(|at| at + i128::from(first));
    }

    fn word(&mut self, text: &str) -> Arc<str> {
        if let Some(word) = self.words.get(text) {
            return word.clone();
        }
        let word: Arc<str> = text.into();
        self.words.insert(word.clone());
        word
    }

    fn sequence(&mut self, event: &Event) -> u64 {
        self.unnumbered |= event.sequence.is_none();
        event.sequence.unwrap_or(self.number)
    }

    fn clue(&mut self, event: &Event) -> Clue {
        self.has_causes |= event.cause_basis.is_some() || event.cause.is_some();
        let found = if self.has_causes {
            Identifiers::default()
        } else {
            identifiers(event.headers.iter().map(|(name, value)| (name, value.as_bytes())))
        };
        Clue {
            cause: event.cause.as_deref().map(causes::short),
            said: causes::basis_of(event.cause_basis.as_deref()),
            pid: event.pid,
            tid: event.tid,
            identifiers: found.iter().map(causes::short).collect(),
        }
    }

    fn request(&mut self, record: &Record, start_ns: u64, reading: &Reading<'_>) {
        let event = &record.event;
        let sequence = self.sequence(event);
        let asked = SiteKey::of(event).map_or(String::new(), |site| site.text().to_owned());
        let asked = self.word(asked.strip_prefix("inbound ").unwrap_or(&asked));
        let why = kinds::unsendable(event);
        if let Some((what, why)) = why {
            self.counts.add(what, 1, why);
        }
        if spot::tokens(record.text.as_bytes()).any(|(_, token)| reading.secrets.get(token).is_none()) {
            let why = "secrets.json does not tell what they stand for";
            self.counts.add("requests that are sent with tokens in the place of secrets", 1, why);
        }
        let clue = self.clue(event);
        let mut needs = None;
        if why.is_none() && self.values.len() < MOST_VALUES {
            let found = say::values(event);
            needs = found.iter().filter_map(|value| self.brought.get(value).copied()).max();
            self.values.extend(found);
        }
        self.open.entry(join_key(event)).or_default().push_back(self.exchanges.len());
        self.exchanges.push(ExchangeDraft {
            exchange: Exchange {
                id: event.id.as_str().into(),
                asked,
                sequence,
                start_ns,
                asked_ns: start_ns.saturating_add(event.duration.unwrap_or(0)),
                end_ns: None,
                connection: event.connection,
                client: event.peer.parse::<SocketAddr>().ok().map(|peer| peer.ip()),
                listener: listener(event),
                status: None,
                answered: false,
                needs: None,
                replayable: why.is_none(),
                request: record.place,
                answer: None,
            },
            ended: None,
            clue,
            writer: None,
            needs,
            number: self.exchanges.len(),
        });
    }

    fn answer(&mut self, event: &Event, place: Place, at_ns: u64) {
        let sequence = self.sequence(event);
        let key = join_key(event);
        let waiting = self.open.get_mut(&key);
        let index = waiting.and_then(VecDeque::pop_front);
        if self.open.get(&key).is_some_and(VecDeque::is_empty) {
            self.open.remove(&key);
        }
        let Some(index) = index else {
            self.counts.add("answers", 1, "their requests are not in this incident");
            return;
        };
        let draft = &mut self.exchanges[index];
        draft.ended = Some(sequence);
        draft.writer = event.tid;
        let it = &mut draft.exchange;
        it.end_ns = Some(at_ns.max(it.asked_ns));
        it.status = event.status;
        it.answered = event.status.is_some() && !event.incomplete;
        it.answer = Some(place);
        if it.replayable && event.status == Some(101) {
            it.replayable = false;
            self.counts.add("upgrades to another protocol (WebSocket)", 1, "what follows is not HTTP");
        }
        if it.replayable {
            kinds::count_answer(event, &mut self.counts);
            if self.brought.len() < MOST_VALUES {
                for value in say::brought(event) {
                    if !self.values.contains(&value) {
                        self.brought.entry(value).or_insert(index);
                    }
                }
            }
        }
    }

    fn call(&mut self, event: &Event, place: Place, start_ns: u64, reading: &Reading<'_>) -> Result<()> {
        let sequence = self.sequence(event);
        let clue = self.clue(event);
        let kind = kinds::of(event);
        let site = SiteKey::of(event).map_or(String::new(), |site| site.text().to_owned());
        let target = say::target_of(event);
        let template = fields::template(fields::split_target(&target).0);
        let (raw, keys) = self.keys(event, &target, reading)?;
        let (site, template) = (self.word(&site), self.word(&template));
        let dependency = self.word(&kinds::dependency(event));
        let (method, protocol) = (self.word(&event.method), self.word(kinds::protocol(event)));
        kinds::count_call(event, kind, &dependency, &mut self.counts);
        let call = Call {
            site,
            dependency,
            method,
            sequence,
            start_ns,
            end_ns: start_ns.saturating_add(event.duration.unwrap_or(0)),
            cause: None,
            basis: Basis::None,
            after: None,
            kind,
            connection: event.connection,
            peer: event.peer.parse().ok(),
            answer: kinds::answer_digest(event),
            matched: MatchedBy { template, raw, keys },
            line: place,
        };
        let entry = Asked { call, protocol };
        self.calls.push(Draft { entry, sequence, start_ns, clue });
        Ok(())
    }

    fn keys(&mut self, event: &Event, target: &str, reading: &Reading<'_>) -> Result<(u64, Keys)> {
        let body = event.request_body();
        let sha256 = match (body, event.body_sha256.as_deref().and_then(say::digest_of)) {
            (Body::Empty, _) => Vec::new(),
            (_, Some(sha256)) => sha256.to_vec(),
            (Body::Text(text), None) => keys::sha256(fields::Content::Bytes(text.as_bytes())),
            (Body::Base64(bytes), None) => keys::sha256(fields::Content::Bytes(bytes)),
            (_, None) => Vec::new(),
        };
        let raw = keys::raw(target, &as_stored(&event.headers), &sha256);
        let is_file = matches!(body, Body::File { .. });
        if is_file && let Some(known) = self.known.get(&raw) {
            return Ok((raw, *known));
        }
        let near = self.recorded_at.unwrap_or(0);
        let keys = say::keys(reading.files, event, near, reading.foreign)?;
        if is_file {
            self.known.insert(raw, keys);
        }
        Ok((raw, keys))
    }

    fn connection(&mut self, event: &Event, start_ns: u64) {
        let sequence = self.sequence(event);
        let clue = self.clue(event);
        let entry = Connection {
            dependency: self.word(&kinds::dependency(event)),
            address: event.peer.parse().ok(),
            errno: event.errno.clone(),
            took_ns: event.duration.unwrap_or(0),
        };
        self.connections.push(Draft { entry, sequence, start_ns, clue });
    }

    fn lookup(&mut self, event: &Event, place: Place, start_ns: u64) {
        let sequence = self.sequence(event);
        let clue = self.clue(event);
        let Some(name) = event.name.as_deref() else { return };
        // Answers that nobody asked for, and what cannot be read, are not to be repeated.
        if event.rcode.is_none() && event.error.as_deref().is_some_and(|said| said != "no answer") {
            return;
        }
        if event.error.as_deref() == Some("answer to no question") {
            return;
        }
        let entry = Lookup {
            start_ns,
            took_ns: event.duration.unwrap_or(0),
            rcode: event.rcode.as_deref().map(|rcode| self.word(rcode)),
            cause: None,
            basis: Basis::None,
            line: place,
        };
        let draft = Draft { entry, sequence, start_ns, clue };
        self.lookups.push((name.to_ascii_lowercase().into(), event.method.as_str().into(), draft));
    }

    /// Everything in the order of the events; where they have no numbers, by time, the inbound first of equals.
    pub fn sort(&mut self) {
        if self.by_wall {
            self.begin_at_the_first();
        }
        if self.unnumbered {
            self.number_by_time();
        }
        self.exchanges.sort_by_key(|draft| draft.exchange.sequence);
        let mut places = vec![ExchangeIndex::default(); self.exchanges.len()];
        for (at, draft) in self.exchanges.iter().enumerate() {
            places[draft.number] = exchange_index(at);
        }
        for (at, draft) in self.exchanges.iter_mut().enumerate() {
            draft.exchange.needs =
                draft.needs.map(|needs| places[needs]).filter(|it| *it < exchange_index(at));
        }
        self.calls.sort_by_key(|draft| draft.sequence);
        self.connections.sort_by_key(|draft| draft.sequence);
        self.lookups.sort_by_key(|(.., draft)| draft.sequence);
    }

    fn number_by_time(&mut self) {
        for draft in &mut self.exchanges {
            draft.exchange.sequence = 2 * draft.exchange.asked_ns;
            draft.ended = draft.exchange.end_ns.map(|end| 2 * end);
        }
        self.calls.iter_mut().for_each(|draft| draft.sequence = 2 * draft.start_ns + 1);
        self.connections.iter_mut().for_each(|draft| draft.sequence = 2 * draft.start_ns + 1);
        self.lookups.iter_mut().for_each(|(.., draft)| draft.sequence = 2 * draft.start_ns + 1);
    }
}

/// What joins a request and its answer: the trace id; else the connection; else what was asked.
fn join_key(event: &Event) -> String {
    if !event.trace_id.is_empty() {
        return format!("t{}", event.trace_id);
    }
    match event.connection {
        Some(connection) => format!("c{connection}"),
        None => format!("a{} {}", event.method, event.url),
    }
}

/// The target's own end: what clients were told to ask for comes before the address of a proxy that stood before it.
fn listener(event: &Event) -> Option<SocketAddr> {
    let named = event.service.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    let named = named.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    event.service.parse().ok().or(named).or_else(|| event.local.parse().ok())
}

/// The exchange of this index.
pub const fn exchange_index(index: usize) -> ExchangeIndex {
    ExchangeIndex(index as u32)
}
