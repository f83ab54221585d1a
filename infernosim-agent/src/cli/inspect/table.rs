//! The table of events.
//!
//! Rows are laid out a block at a time, so that a long log begins to print at once and takes no memory, and so
//! that a running capture can be followed. Columns keep the width they had in earlier blocks. A cell beyond its
//! column's bound sticks out of its own row and does not widen all others.

use std::io::{self, Write};

use super::Screen;
use super::entry::Entry;
use super::text::{duration, escape, shorten, size};
use crate::incident::event::{Answer, Event, Kind};

const COLUMNS: usize = 10;
const TIME: usize = 1;
const URL: usize = 5;
const STATUS: usize = 6;
const REQUEST: usize = 8;
const RESPONSE: usize = 9;

struct Column {
    title: &'static str,
    right: bool,
    /// The widest it gets, in characters.
    bound: usize,
}

const fn column(title: &'static str, right: bool, bound: usize) -> Column {
    Column { title, right, bound }
}

const LAYOUT: [Column; COLUMNS] = [
    column("#", true, 20),
    column("TIME", true, 20),
    column("DIR", false, 3),
    column("PEER", false, 40),
    column("METHOD", false, 16),
    column("URL", false, 100),
    column("STATUS", false, 24),
    column("DURATION", true, 12),
    column("REQUEST", true, 14),
    column("RESPONSE", true, 14),
];
const GAP: usize = 2;
/// Below this a url says nothing: a narrow terminal rather goes without other columns,
const NARROWEST_URL: usize = 20;
/// these, in this order. What then does not fit is folded by the terminal.
const DISPENSABLE: [usize; 3] = [REQUEST, RESPONSE, TIME];
/// Rows that are laid out together.
const BLOCK: usize = 1000;

#[derive(Debug)]
struct Row {
    cells: [String; COLUMNS],
    /// What stands in for the url where that does not fit.
    path: String,
    tone: Tone,
}

#[derive(Clone, Copy, Debug)]
enum Tone {
    Plain,
    Warning,
    Failure,
}

#[derive(Debug)]
pub(super) struct Table {
    screen: Screen,
    offsets: bool,
    rows: Vec<Row>,
    widths: [usize; COLUMNS],
    hidden: [bool; COLUMNS],
    /// Urls did not fit: only their paths are shown, since the peer stands beside them.
    paths: bool,
    begun: bool,
}

impl Table {
    pub fn new(screen: Screen, offsets: bool) -> Self {
        let widths = std::array::from_fn(|i| LAYOUT[i].title.len());
        Self {
            screen,
            offsets,
            rows: Vec::new(),
            widths,
            hidden: [false; COLUMNS],
            paths: false,
            begun: false,
        }
    }

    pub fn add(&mut self, entry: &Entry<'_>, out: &mut impl Write) -> io::Result<()> {
        self.rows.push(row(entry, self.offsets));
        if self.rows.len() < BLOCK { Ok(()) } else { self.flush(out) }
    }

    /// Prints the rows added since; the titles before the first.
    pub fn flush(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut rows = std::mem::take(&mut self.rows);
        self.fit(&mut rows);
        if !self.begun {
            self.begun = true;
            let titles: [&str; COLUMNS] = std::array::from_fn(|i| LAYOUT[i].title);
            self.print(titles, Tone::Plain, out)?;
        }
        for row in &rows {
            self.print(row.cells.each_ref().map(String::as_str), row.tone, out)?;
        }
        Ok(())
    }

    /// Was anything printed?
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    fn fit(&mut self, rows: &mut [Row]) {
        for row in rows.iter() {
            for (i, cell) in row.cells.iter().enumerate().filter(|(i, _)| *i != URL) {
                self.widths[i] = self.widths[i].max(cell.chars().count().min(LAYOUT[i].bound));
            }
        }
        let bound = self.room_for_urls();
        let too_long = |row: &Row| row.cells[URL].chars().count() > bound;
        self.paths |= self.screen.width.is_some() && rows.iter().any(too_long);
        for row in rows {
            if self.paths {
                row.cells[URL] = shorten(&row.path, bound).into_owned();
            }
            self.widths[URL] = self.widths[URL].max(row.cells[URL].chars().count().min(bound));
        }
        // The terminal may have had more room for urls in the block before.
        if self.screen.width.is_some() {
            self.widths[URL] = self.widths[URL].min(bound);
        }
    }

    /// The characters a url may take; settles at the first block which columns there are.
    fn room_for_urls(&mut self) -> usize {
        let Some(width) = self.screen.width else { return LAYOUT[URL].bound };
        let room = |table: &Self| {
            let others = (0..COLUMNS).filter(|&i| i != URL && !table.hidden[i]);
            width.saturating_sub(others.map(|i| table.widths[i] + GAP).sum())
        };
        for column in DISPENSABLE {
            self.hidden[column] |= !self.begun && room(self) < NARROWEST_URL;
        }
        room(self).max(NARROWEST_URL)
    }

    fn print(&self, cells: [&str; COLUMNS], tone: Tone, out: &mut impl Write) -> io::Result<()> {
        let mut line = String::new();
        for (i, cell) in cells.iter().enumerate().filter(|(i, _)| !self.hidden[*i]) {
            let fill = " ".repeat(self.widths[i].saturating_sub(cell.chars().count()));
            let (before, after) = if LAYOUT[i].right { (fill.as_str(), "") } else { ("", fill.as_str()) };
            let (on, off) = if i == STATUS { self.colour(tone) } else { ("", "") };
            if i > 0 {
                line.extend([' '; GAP]);
            }
            for part in [before, on, cell, off, after] {
                line.push_str(part);
            }
        }
        writeln!(out, "{}", line.trim_end())
    }

    fn colour(&self, tone: Tone) -> (&'static str, &'static str) {
        match tone {
            Tone::Warning if self.screen.colour => ("\x1b[33m", "\x1b[0m"),
            Tone::Failure if self.screen.colour => ("\x1b[31m", "\x1b[0m"),
            _ => ("", ""),
        }
    }
}

fn row(entry: &Entry<'_>, offsets: bool) -> Row {
    let (event, outcome) = (&*entry.event, entry.outcome());
    let or_dash = |cell: Option<String>| cell.unwrap_or_else(|| "-".into());
    let time = if offsets {
        event.offset_ns.map(offset)
    } else {
        event.time().map(|time| time.strftime("%H:%M:%S%.3f").to_string())
    };
    let (request, response) = match event.kind {
        Kind::InboundRequest => (event.request_size(), entry.answer.as_ref().and_then(Event::answer_size)),
        Kind::InboundResponse => (None, event.answer_size()),
        _ => (event.request_size(), event.response_size()),
    };
    let url = url(event);
    Row {
        path: match event.path_and_query() {
            "" if event.url.starts_with("http") => "/".into(),
            "" => url.clone(),
            path if matches!(event.kind, Kind::Lost | Kind::Dns) || path == event.url => url.clone(),
            path => escape(path).into_owned(),
        },
        cells: [
            or_dash(event.sequence.map(|n| n.to_string())),
            or_dash(time),
            way(entry).into(),
            peer(event),
            method(event),
            url,
            status(entry),
            or_dash(outcome.duration.map(duration)),
            or_dash(request.map(size)),
            or_dash(response.map(size)),
        ],
        tone: match outcome.status {
            _ if entry.failed() || event.kind == Kind::Lost => Tone::Failure,
            Some(400..) => Tone::Warning,
            _ => Tone::Plain,
        },
    }
}

/// What the tree says of an event, too.
#[derive(Debug, Default)]
pub(super) struct Cells {
    pub way: &'static str,
    pub method: String,
    pub url: String,
    pub status: String,
}

pub(super) fn cells(entry: &Entry<'_>) -> Cells {
    let event = &entry.event;
    Cells { way: way(entry), method: method(event), url: url(event), status: status(entry) }
}

/// Nanoseconds as seconds to the microsecond.
pub(super) fn offset(ns: u64) -> String {
    let microseconds = ns / 1000;
    format!("+{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000)
}

/// Which way it went; the command's help says it too.
fn way(entry: &Entry<'_>) -> &'static str {
    match entry.event.kind {
        Kind::InboundRequest if entry.answer.is_some() => "in",
        Kind::InboundRequest => "in>",
        Kind::InboundResponse => "in<",
        Kind::OutboundCall | Kind::Connection => "out",
        Kind::Dns => "dns",
        Kind::Lost | Kind::Fault | Kind::Other(_) => "-",
    }
}

/// Who was at the other end: a client, or whom the target asked.
fn peer(event: &Event) -> String {
    let is_inbound = matches!(event.kind, Kind::InboundRequest | Kind::InboundResponse);
    // Old lines do not know their client: then it is the listener.
    let name = if is_inbound && !event.peer.is_empty() { &event.peer } else { event.dependency() };
    if name.is_empty() { "-".into() } else { escape(name).into_owned() }
}

/// What is no exchange says what it is.
fn method(event: &Event) -> String {
    match &event.kind {
        _ if !event.method.is_empty() => escape(&event.method).into_owned(),
        Kind::OutboundCall | Kind::InboundRequest | Kind::InboundResponse if event.protocol.is_empty() => {
            "-".into()
        }
        Kind::OutboundCall | Kind::InboundRequest | Kind::InboundResponse => {
            escape(&event.protocol).into_owned()
        }
        kind => format!("({})", escape(&kind.as_str().to_lowercase())),
    }
}

fn url(event: &Event) -> String {
    match &event.kind {
        Kind::Lost => {
            let (events, bytes) = (event.events.unwrap_or(0), event.bytes.unwrap_or(0));
            let reason = event.reason.as_deref().unwrap_or("unknown reason");
            format!("{}, {} ({})", super::text::count(events, "event"), size(bytes), escape(reason))
        }
        Kind::Dns if event.name.is_some() => escape(event.name.as_deref().unwrap_or_default()).into_owned(),
        _ if !event.url.is_empty() => escape(&event.url).into_owned(),
        _ if !event.peer.is_empty() => escape(&event.peer).into_owned(),
        _ => "-".into(),
    }
}

fn status(entry: &Entry<'_>) -> String {
    let outcome = entry.outcome();
    let status = outcome.status.map(|status| status.to_string()).or_else(|| resolved(outcome));
    let trouble = |event: &Event| match (&event.errno, &event.error) {
        (Some(errno), _) => Some(escape(errno).into_owned()),
        (None, Some(error)) => Some(shorten(&escape(error), LAYOUT[STATUS].bound).into_owned()),
        (None, None) => event.incomplete.then(|| "incomplete".into()),
    };
    let trouble = trouble(outcome).or_else(|| trouble(&entry.event));
    match (status, trouble) {
        (Some(status), Some(trouble)) => format!("{status} {trouble}"),
        (status, trouble) => status.or(trouble).unwrap_or_else(|| "-".into()),
    }
}

/// What a lookup brought: the first address or other datum of the type that was asked for, or why there is none.
fn resolved(event: &Event) -> Option<String> {
    let rcode = event.rcode.as_deref()?;
    let of_type = |answer: &&Answer| answer.kind.eq_ignore_ascii_case(&event.method);
    let mut answers = event.answers.iter().filter(of_type);
    let bound = LAYOUT[STATUS].bound;
    match (rcode, answers.next(), answers.count()) {
        ("NOERROR", Some(first), 0) => Some(shorten(&escape(&first.data), bound).into_owned()),
        ("NOERROR", Some(first), more) => {
            let more = format!(" ({more} more)");
            let data = escape(&first.data);
            Some(shorten(&data, bound.saturating_sub(more.len())).into_owned() + &more)
        }
        // RFC 2308 section 2.2: the name exists, and has no such record.
        ("NOERROR", None, _) => Some("NODATA".into()),
        (rcode, ..) => Some(shorten(&escape(rcode), bound).into_owned()),
    }
}
