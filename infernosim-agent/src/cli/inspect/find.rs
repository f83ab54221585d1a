//! Finds the exchange that an ID on the command line means.

use crate::error::{Exit, ExpectedError, Result};
use crate::incident::event::Kind;
use crate::incident::reader::{Incident, Record};

use super::text::escape;

/// The fewest digits of an id that stand for it.
const SHORTEST_PREFIX: usize = 4;
/// How many candidates of an ambiguous ID are kept, to be named.
const CANDIDATES: usize = 5;

/// The events of one exchange, in order: one, or an `InboundRequest` and its `InboundResponse`.
///
/// # Errors
/// `Exit::Usage` if nothing or more than one exchange is meant; those of reading the incident.
pub(in crate::cli) fn find(incident: &Incident, id: &str) -> Result<Vec<Record>> {
    let number = id.strip_prefix('#');
    let sequence: Option<u64> = number.unwrap_or(id).parse().ok();
    let is_hex = id.bytes().all(|b| b.is_ascii_hexdigit());
    let prefix = (is_hex && id.len() >= SHORTEST_PREFIX).then(|| id.to_ascii_lowercase());
    if number.is_some() && sequence.is_none() {
        let message = format!("{id:?} is not a sequence number");
        return Err(ExpectedError::new(Exit::Usage, message).help("write it as #12, or 12"));
    }

    let (mut by_sequence, mut by_id, mut by_prefix) = (Vec::new(), Vec::new(), Vec::new());
    for record in incident.events()? {
        let record = record?;
        let event = &record.event;
        let is_prefix =
            prefix.as_deref().is_some_and(|prefix| event.id.to_ascii_lowercase().starts_with(prefix));
        let found = if sequence.is_some() && event.sequence == sequence {
            &mut by_sequence
        } else if number.is_none() && event.id == id {
            &mut by_id
        } else if number.is_none() && is_prefix {
            &mut by_prefix
        } else {
            continue;
        };
        if found.len() < CANDIDATES {
            found.push(record);
        }
    }
    // A whole id is meant, also where it begins a longer one.
    let by_id = if by_id.is_empty() { by_prefix } else { by_id };
    // A number as short as no prefix is can only be meant as one.
    let found = match (by_sequence.is_empty(), by_id.is_empty()) {
        (true, _) => by_id,
        (false, true) => by_sequence,
        (false, false) if id.len() < SHORTEST_PREFIX => by_sequence,
        (false, false) => [by_sequence, by_id].concat(),
    };
    whole(incident, only_one(id, found)?)
}

/// An inbound exchange is two events, which may share their id or not: either stands for both.
fn only_one(id: &str, found: Vec<Record>) -> Result<Record> {
    let same = |a: &Record, b: &Record| {
        a.event.id == b.event.id && !a.event.id.is_empty()
            || is_inbound(a)
                && is_inbound(b)
                && !a.event.trace_id.is_empty()
                && a.event.trace_id == b.event.trace_id
    };
    let ambiguous = found.iter().any(|record| !same(&found[0], record) && found.len() > 1);
    let names: Vec<String> = found.iter().map(name).collect();
    match found.into_iter().next() {
        None => Err(not_found(id)),
        Some(_) if ambiguous => {
            let message = format!("{id:?} means more than one event: {}", names.join(", "));
            Err(ExpectedError::new(Exit::Usage, message)
                .help("write more digits of the id, or # before a sequence number"))
        }
        Some(record) => Ok(record),
    }
}

fn name(record: &Record) -> String {
    let id = escape(&record.event.id);
    record.event.sequence.map_or(id.to_string(), |sequence| format!("{id} (#{sequence})"))
}

fn not_found(id: &str) -> ExpectedError {
    let error = ExpectedError::new(Exit::Usage, format!("no event has the sequence number or id {id:?}"));
    let is_short = id.len() < SHORTEST_PREFIX && id.bytes().all(|b| b.is_ascii_hexdigit());
    if is_short && id.bytes().any(|b| !b.is_ascii_digit()) {
        return error.help("write at least four digits of the id");
    }
    error.help("`infernosim inspect DIR` lists the sequence numbers, with --json also the ids")
}

fn is_inbound(record: &Record) -> bool {
    matches!(record.event.kind, Kind::InboundRequest | Kind::InboundResponse)
}

/// Adds the other half of an inbound exchange.
fn whole(incident: &Incident, found: Record) -> Result<Vec<Record>> {
    if !is_inbound(&found) || found.event.trace_id.is_empty() {
        return Ok(vec![found]);
    }
    let mut halves = Vec::new();
    for record in incident.events()? {
        let record = record?;
        if is_inbound(&record) && record.event.trace_id == found.event.trace_id {
            halves.push(record);
        }
    }
    Ok(halves)
}
