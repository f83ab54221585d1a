//! The entries of an archive, told to a recording in the order in which things happened.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;

use super::document::{Document, Entry, Own, Span, When};
use super::messages::{Asked, Content, Notes, Told, fields};
use crate::clock::{self, Nanos};
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::{Direction, Ending, Exchanges, Lines, Peer};
use crate::protocol::{Message, Sender};

/// Bodies are told in pieces of so many bytes.
const PIECE: usize = 64 << 10;
/// Beyond this, in bytes, the writer is waited for; the budget must be larger by some bodies.
const MOST_AHEAD: usize = 16 << 20;
/// So long, in ns, it may write nothing at all.
const PATIENCE_NS: u64 = 60_000_000_000;
/// What is wrong is said of so many entries; of the others it is counted.
const MOST_SAID: usize = 5;

/// How entries are taken.
#[derive(Clone, Debug)]
pub struct Import {
    /// Those that do not say which way they went.
    pub direction: Direction,
    /// What the target is called, `host:port`; by default what its clients call it.
    pub service: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// Entries that are in the recording.
    pub exchanges: u64,
    /// Those that are not.
    pub skipped: u64,
    /// Why, of the first ones.
    pub reasons: Vec<String>,
    /// What else is to be said, of how many entries.
    pub notes: BTreeMap<&'static str, u64>,
}

/// A moment at which something of an entry is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Moment {
    /// Since the beginning, in ns.
    at: u64,
    /// A request before what happens at the same time.
    last: bool,
    index: usize,
}

struct Teller<'a, 'l> {
    document: &'a Document<'a>,
    import: &'a Import,
    lines: &'l mut Lines,
    zero: u64,
    spans: Vec<Option<(Direction, Span)>>,
    /// Inbound ones that wait for their answers.
    open: BTreeMap<usize, Exchanges>,
    connections: BTreeMap<String, u64>,
    done: Imported,
}

impl Import {
    /// Tells all entries to `lines`, which must have begun at time 0. Waits for the writer rather than lose one.
    ///
    /// # Errors
    /// `Exit::Host` if the writer no longer writes.
    pub fn tell(&self, document: &Document<'_>, lines: &mut Lines) -> Result<Imported> {
        let mut teller = Teller {
            document,
            import: self,
            lines,
            zero: 0,
            spans: Vec::new(),
            open: BTreeMap::new(),
            connections: BTreeMap::new(),
            done: Imported::default(),
        };
        let moments = teller.moments();
        teller.lines.date_from(teller.zero);
        for moment in moments {
            teller.happens(moment)?;
        }
        Ok(teller.done)
    }
}

impl Teller<'_, '_> {
    /// When what is to be told; sets `zero` to the first.
    fn moments(&mut self) -> Vec<Moment> {
        for (index, entry) in self.document.entries.iter().enumerate() {
            let when = serde_json::from_str::<When>(entry.get());
            let span = match &when {
                Ok(when) => when.span().ok_or_else(|| "startedDateTime is no time".to_owned()),
                Err(e) => Err(e.to_string()),
            };
            let direction = match when.as_ref().ok().and_then(When::direction) {
                Some("inbound") => Direction::Inbound,
                Some("outbound") => Direction::Outbound,
                _ => self.import.direction,
            };
            let span = span.map_err(|why| self.skip(index, &why)).ok();
            self.spans.push(span.map(|span| (direction, span)));
        }
        self.zero = self.spans.iter().flatten().map(|(_, span)| span.began).min().unwrap_or(0);
        let mut moments = Vec::new();
        for (index, span) in self.spans.iter().enumerate() {
            let Some((direction, span)) = span else { continue };
            let began = span.began - self.zero;
            if *direction == Direction::Inbound {
                moments.push(Moment { at: began.saturating_add(span.asked), last: false, index });
            }
            moments.push(Moment { at: began.saturating_add(span.ended), last: true, index });
        }
        moments.sort_unstable();
        moments
    }

    fn skip(&mut self, index: usize, why: &str) {
        self.done.skipped += 1;
        if self.done.reasons.len() < MOST_SAID {
            self.done.reasons.push(format!("entry {}: {why}", index + 1));
        }
    }

    fn happens(&mut self, Moment { last, index, .. }: Moment) -> Result<()> {
        let (Some((direction, span)), Some(raw)) = (self.spans[index], self.document.entries.get(index))
        else {
            return Ok(());
        };
        let answers = direction == Direction::Inbound && last;
        let waiting = if answers { self.open.remove(&index) } else { None };
        if answers && waiting.is_none() {
            // Its request was skipped.
            return Ok(());
        }
        let mut notes = Notes::new();
        let entry: Entry = match serde_json::from_str(raw.get()) {
            Ok(entry) => entry,
            Err(e) => return Ok(self.skip(index, &e.to_string())),
        };
        // All of it before anything is told: no half of an entry.
        let (asked, told) = match (Asked::of(&entry, &mut notes), Told::of(&entry, &mut notes)) {
            (Ok(asked), Ok(told)) => (asked, told),
            (Err(why), _) | (_, Err(why)) => return Ok(self.skip(index, why)),
        };
        let mut exchanges = match waiting {
            Some(exchanges) => exchanges,
            None => self.ask(direction, span, &entry, &asked)?,
        };
        if direction == Direction::Inbound && !last {
            self.open.insert(index, exchanges);
            return Ok(());
        }
        self.answer(&mut exchanges, span, &entry, told.as_ref(), &mut notes)?;
        let ended = self.at(span, span.ended);
        exchanges.end(ended, ending(direction, entry.own.as_ref()), self.lines);
        self.done.exchanges += 1;
        if entry.web_socket_messages.is_some_and(|messages| !messages.is_empty()) {
            *notes.entry("with messages of a WebSocket, which were left out").or_default() += 1;
        }
        notes.into_iter().for_each(|(note, n)| *self.done.notes.entry(note).or_default() += n);
        Ok(())
    }

    const fn at(&self, span: Span, offset: u64) -> Nanos {
        Nanos((span.began - self.zero).saturating_add(offset))
    }

    fn ask(
        &mut self,
        direction: Direction,
        span: Span,
        entry: &Entry,
        asked: &Asked<'_>,
    ) -> Result<Exchanges> {
        let peer = self.peer(direction, entry, asked);
        let mut exchanges = Exchanges::new(direction, peer, self.at(span, 0));
        if asked.secured {
            exchanges = exchanges.secured();
        }
        let own_target = entry.own.as_ref().and_then(|own| own.target.as_deref());
        let target = own_target.filter(|target| !target.is_empty()).unwrap_or(asked.target);
        let head = fields(&asked.fields);
        let (protocol, method) = (asked.protocol, entry.request.method.as_str());
        let message = Message::Request { protocol, method, target, fields: &head };
        exchanges.message(self.at(span, 0), message, self.lines);
        let whole = self.at(span, span.asked);
        self.content(&mut exchanges, &asked.content, Sender::Client, whole)?;
        exchanges.message(whole, Message::RequestEnd(&[]), self.lines);
        self.make_room()?;
        Ok(exchanges)
    }

    fn answer(
        &mut self,
        exchanges: &mut Exchanges,
        span: Span,
        entry: &Entry,
        told: Option<&Told<'_>>,
        notes: &mut Notes,
    ) -> Result<()> {
        let Some(Told { status, fields: lines, content }) = told else {
            *notes.entry("without an answer").or_default() += 1;
            return Ok(());
        };
        let own = entry.own.as_ref();
        let first = self.at(span, span.first);
        if let Some(Own { incomplete: false, error: Some(error), errno, .. }) = own {
            exchanges.answered_for(errno.as_deref().and_then(errno_of), error.clone());
        }
        let head = fields(lines);
        exchanges.message(first, Message::Response { status: *status, fields: &head }, self.lines);
        self.content(exchanges, content, Sender::Server, first)?;
        if !own.is_some_and(|own| own.incomplete) {
            exchanges.message(self.at(span, span.ended), Message::ResponseEnd(&[]), self.lines);
        }
        self.make_room()
    }

    fn content(
        &mut self,
        exchanges: &mut Exchanges,
        content: &Content<'_>,
        from: Sender,
        at: Nanos,
    ) -> Result<()> {
        match content {
            Content::None => {}
            Content::Missing(bytes) => exchanges.not_kept(from, *bytes),
            Content::Bytes(bytes) => {
                for piece in bytes.chunks(PIECE) {
                    let message = match from {
                        Sender::Client => Message::RequestBody(piece),
                        Sender::Server => Message::ResponseBody(piece),
                    };
                    exchanges.message(at, message, self.lines);
                    self.make_room()?;
                }
            }
        }
        Ok(())
    }

    /// Waits until the writer has caught up.
    fn make_room(&mut self) -> Result<()> {
        if self.lines.budget.held() <= MOST_AHEAD {
            return Ok(());
        }
        let (mut least, mut since) = (usize::MAX, clock::now());
        while self.lines.budget.held() > MOST_AHEAD / 2 {
            std::thread::sleep(std::time::Duration::from_millis(1));
            let held = self.lines.budget.held();
            if held < least {
                (least, since) = (held, clock::now());
            } else if clock::now().since(since) > PATIENCE_NS {
                return Err(ExpectedError::new(
                    Exit::Host,
                    "the incident cannot be written: the disk takes nothing",
                )
                .help("import to another disk"));
            }
        }
        Ok(())
    }

    fn peer(&mut self, direction: Direction, entry: &Entry, asked: &Asked<'_>) -> Peer {
        let own = entry.own.as_ref();
        let address = |text: Option<&String>| text.and_then(|text| text.parse::<SocketAddr>().ok());
        let port = asked.authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        // Some write an IPv6 address in brackets.
        let server = entry.server_ip_address.as_deref().map(|text| text.trim_matches(['[', ']']));
        let server = server.and_then(|text| text.parse::<IpAddr>().ok());
        let server = server.zip(port).map(SocketAddr::from);
        let (local, peer) =
            (address(own.and_then(|own| own.local.as_ref())), address(own.and_then(|own| own.peer.as_ref())));
        let connection = self.connection(entry);
        match direction {
            Direction::Inbound => {
                let told = own.and_then(|own| own.service.clone()).filter(|name| !name.is_empty());
                let name = self.import.service.clone().or(told).unwrap_or_else(|| asked.authority.clone());
                Peer { connection, local: local.or(server), peer, process: None, name: Some(name) }
            }
            Direction::Outbound => {
                let name = Some(asked.authority.clone());
                Peer { connection, local, peer: peer.or(server), process: None, name }
            }
        }
    }

    /// Connections get numbers of their own; 0: which one it was is not said.
    fn connection(&mut self, entry: &Entry) -> u64 {
        let name = match &entry.connection {
            Some(serde_json::Value::String(name)) if !name.is_empty() => name.clone(),
            Some(serde_json::Value::Number(number)) => number.to_string(),
            _ => return 0,
        };
        let next = self.connections.len() as u64 + 1;
        *self.connections.entry(name).or_insert(next)
    }
}

/// How it ended for who was not answered, as far as our own sentences tell.
fn ending(direction: Direction, own: Option<&Own>) -> Ending {
    let Some(own) = own else { return Ending::Closed };
    let error = own.error.as_deref().unwrap_or_default();
    let side = match direction {
        Direction::Inbound if error.starts_with("the client") => Some(Sender::Client),
        Direction::Inbound if error.starts_with("the target") => Some(Sender::Server),
        Direction::Outbound if error.starts_with("the target") => Some(Sender::Client),
        _ => None,
    };
    match own.errno.as_deref().and_then(errno_of) {
        Some(errno) if error.contains("could not be reached") => Ending::DialFailed(errno),
        Some(errno) => Ending::Broke(side.unwrap_or(Sender::Server), errno),
        None if error.starts_with("the capture ended") => Ending::Abandoned,
        None => side.map_or(Ending::Closed, Ending::ClosedBy),
    }
}

fn errno_of(name: &str) -> Option<Errno> {
    (1..=133).map(Errno::from_raw).find(|errno| format!("{errno:?}") == name)
}
