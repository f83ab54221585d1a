//! In what exchanges differ, of those that do.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use similar::{ChangeTag, TextDiff};

use super::fields::{self, Fields};
use super::{Difference, Options, Part, seen};
use crate::error::Result;
use crate::incident::Joined;
use crate::incident::reader::Incident;

/// Differences of which details are given, and bytes that the lines of either incident may take for that.
const MOST_DETAILED: usize = 1000;
const MOST_HELD: usize = 32 << 20;
/// Details of one part.
const MOST_DETAILS: usize = 50;
/// Longer values are shortened, in characters.
const LONGEST_VALUE: usize = 200;
/// Texts of more lines are not compared line by line.
const MOST_LINES: usize = 2000;

/// One value that is another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// In which part.
    pub part: Part,
    /// The header field, the place in JSON (as jq writes it), the line of a text.
    pub at: String,
    /// In the first incident; absent: it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub a: Option<String>,
    /// In the second one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b: Option<String>,
}

/// Reads both again and adds details to what changed: (index in the one, in the other, in `found`).
pub(super) fn add(
    [a, b]: [&Incident; 2],
    changed: &[(usize, usize, usize)],
    found: &mut [(usize, Difference)],
    options: &Options,
) -> Result<()> {
    let wanted = &changed[..changed.len().min(MOST_DETAILED)];
    if wanted.is_empty() {
        return Ok(());
    }
    let mut held_a = hold(a, wanted.iter().map(|(at, ..)| *at).collect())?;
    let mut held_b = hold(b, wanted.iter().map(|(_, bt, _)| *bt).collect())?;
    for (at, bt, index) in wanted {
        let (Some(one), Some(other)) = (held_a.remove(at), held_b.remove(bt)) else { continue };
        let difference = &mut found[*index].1;
        for part in difference.parts.clone() {
            let (details, more) = details(part, (&one, a), (&other, b), options)?;
            difference.details.extend(details);
            difference.more += more;
        }
    }
    Ok(())
}

/// These exchanges, as far as there is room.
fn hold(incident: &Incident, wanted: BTreeSet<usize>) -> Result<BTreeMap<usize, Joined>> {
    let mut held = BTreeMap::new();
    let mut room = MOST_HELD;
    seen::walk(
        incident,
        |_| {},
        |slot, joined| {
            if wanted.contains(&slot) {
                let size = size(&joined);
                if size <= room {
                    room -= size;
                    held.insert(slot, joined);
                }
            }
            Ok(())
        },
    )?;
    Ok(held)
}

fn size(joined: &Joined) -> usize {
    let events = std::iter::once(&joined.event).chain(&joined.answer);
    let lengths = events.map(|event| {
        let texts = [&event.body, &event.response_body].into_iter().flatten().map(String::len);
        let bytes = [&event.body_b64, &event.response_body_b64].into_iter().flatten().map(|it| it.0.len());
        let fields = event.headers.iter().chain(event.response_headers.iter());
        let heads = fields.map(|(name, value)| name.len() + value.len() + 64);
        texts.chain(bytes).chain(heads).sum::<usize>() + event.response_chunks.len() * 16 + 2048
    });
    lengths.sum()
}

fn details(
    part: Part,
    (one, a): (&Joined, &Incident),
    (other, b): (&Joined, &Incident),
    options: &Options,
) -> Result<(Vec<Detail>, u64)> {
    let mut details = match part {
        Part::Duration => {
            let ns = |joined: &Joined| joined.outcome().duration.map(|ns| format!("{ns} ns"));
            vec![Detail { part, at: "duration".to_owned(), a: ns(one), b: ns(other) }]
        }
        _ => {
            let (of_a, of_b) = (fields::of(part, one, a, options)?, fields::of(part, other, b, options)?);
            match (of_a, of_b) {
                (Fields::Named(a), Fields::Named(b)) => named(part, &a, &b),
                (Fields::Text(a), Fields::Text(b)) => lines(part, &a, &b),
                (a, b) => vec![Detail { part, at: String::new(), a: whole(&a), b: whole(&b) }],
            }
        }
    };
    if part == Part::Outcome {
        say_errors(one, other, &mut details);
    }
    let more = details.len().saturating_sub(MOST_DETAILS) as u64;
    details.truncate(MOST_DETAILS);
    for value in details.iter_mut().flat_map(|one| [&mut one.a, &mut one.b]).flatten() {
        if let Some((at, _)) = value.char_indices().nth(LONGEST_VALUE) {
            value.truncate(at);
            value.push('…');
        }
    }
    Ok((details, more))
}

/// The sentence instead of that there is one.
fn say_errors(one: &Joined, other: &Joined, details: &mut [Detail]) {
    if let Some(detail) = details.iter_mut().find(|detail| detail.at == "error") {
        (detail.a, detail.b) = (one.error().map(str::to_owned), other.error().map(str::to_owned));
    }
}

fn named(part: Part, a: &BTreeMap<String, Vec<String>>, b: &BTreeMap<String, Vec<String>>) -> Vec<Detail> {
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let changed = names.into_iter().filter(|name| a.get(*name) != b.get(*name));
    let said = |values: Option<&Vec<String>>| values.map(|values| values.join(", "));
    changed
        .map(|name| Detail { part, at: name.clone(), a: said(a.get(name)), b: said(b.get(name)) })
        .collect()
}

fn lines(part: Part, a: &str, b: &str) -> Vec<Detail> {
    if a.lines().count().max(b.lines().count()) > MOST_LINES {
        let said = |text: &str| Some(format!("{} lines of text", text.lines().count()));
        return vec![Detail { part, at: String::new(), a: said(a), b: said(b) }];
    }
    if a.is_empty() || b.is_empty() {
        let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        return vec![Detail { part, at: String::new(), a: said(a), b: said(b) }];
    }
    let diff = TextDiff::from_lines(a, b);
    let changes = diff.iter_all_changes().filter(|change| change.tag() != ChangeTag::Equal);
    let mut details: Vec<Detail> = Vec::new();
    for change in changes {
        let index = change.old_index().or(change.new_index()).unwrap_or(0);
        let line = Some(change.value().trim_end_matches(['\r', '\n']).to_owned());
        match (change.tag(), details.last_mut()) {
            // The new line in the place of the one that is gone.
            (ChangeTag::Insert, Some(last)) if last.b.is_none() => last.b = line,
            (ChangeTag::Insert, _) => {
                details.push(Detail { part, at: format!("line {}", index + 1), a: None, b: line })
            }
            _ => details.push(Detail { part, at: format!("line {}", index + 1), a: line, b: None }),
        }
    }
    details
}

fn whole(fields: &Fields) -> Option<String> {
    match fields {
        Fields::Text(text) if text.is_empty() => None,
        Fields::Text(text) | Fields::Opaque(text) => Some(text.clone()),
        Fields::Named(named) => Some(format!("JSON with {} values", named.len())),
    }
}
