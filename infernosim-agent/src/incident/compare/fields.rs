//! The parts of an exchange, as they are compared.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Options, Part, volatile};
use crate::error::Result;
use crate::incident::Joined;
use crate::incident::content::Content;
use crate::incident::event::{Body, Event, Headers, Kind};
use crate::incident::reader::Incident;
use crate::pattern::matches;

/// A longer body is compared by its digest, in bytes.
const LONGEST: u64 = 1 << 20;

/// A part, without what is volatile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fields {
    /// Name or place → values.
    Named(BTreeMap<String, Vec<String>>),
    /// Lines.
    Text(String),
    /// What it is is not known.
    Opaque(String),
}

impl Fields {
    /// What two of them are compared by first.
    pub fn digest(&self) -> u64 {
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        match self {
            Self::Named(named) => {
                for (name, values) in named {
                    add(name);
                    values.iter().for_each(|value| add(value));
                    add("");
                }
            }
            Self::Text(text) => add(text),
            Self::Opaque(text) => {
                add("opaque");
                add(text);
            }
        }
        let digest = hash.finalize();
        digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }
}

/// One part of an exchange.
///
/// # Errors
/// Those of reading its body.
pub(super) fn of(part: Part, joined: &Joined, incident: &Incident, options: &Options) -> Result<Fields> {
    let event = &joined.event;
    let near = event.time().map(jiff::Timestamp::as_nanosecond);
    let is_dns = event.kind == Kind::Dns;
    Ok(match part {
        Part::Outcome => outcome(joined),
        Part::Answers => answers(event),
        Part::RequestHeaders => headers(&joined.request_headers(), !no_body(joined.request_body()), options),
        Part::ResponseHeaders => {
            headers(&joined.response_headers(), !no_body(joined.response_body()), options)
        }
        // The messages have ids of their own.
        Part::RequestBody | Part::ResponseBody if is_dns => Fields::Text(String::new()),
        Part::RequestBody => body(joined.request_body(), &joined.request_headers(), near, incident, options)?,
        Part::ResponseBody => {
            body(joined.response_body(), &joined.response_headers(), near, incident, options)?
        }
        Part::Duration => Fields::Text(String::new()),
    })
}

fn no_body(body: Body<'_>) -> bool {
    body == Body::Empty
}

fn named<'a>(fields: impl IntoIterator<Item = (&'a str, Option<String>)>) -> Fields {
    let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), vec![value?])));
    Fields::Named(fields.collect())
}

fn outcome(joined: &Joined) -> Fields {
    let outcome = joined.outcome();
    let cut = joined.event.incomplete || outcome.incomplete;
    // What a sentence says may hold an address; that there is one counts.
    let failed = joined.error().is_some() && joined.event.kind != Kind::Connection;
    named([
        ("status", outcome.status.map(|status| status.to_string())),
        ("errno", joined.errno().map(str::to_owned)),
        ("incomplete", cut.then(|| "true".to_owned())),
        ("error", failed.then(|| "there is one".to_owned())),
        ("answer", joined.lacks_answer().then(|| "none".to_owned())),
        ("rcode", outcome.rcode.clone()),
    ])
}

/// In any order: resolvers turn them about.
fn answers(event: &Event) -> Fields {
    let mut answers = BTreeMap::<String, Vec<String>>::new();
    for answer in &event.answers {
        answers.entry(format!("{} {}", answer.name, answer.kind)).or_default().push(answer.data.clone());
    }
    answers.values_mut().for_each(|data| data.sort_unstable());
    Fields::Named(answers)
}

fn headers(headers: &Headers, has_body: bool, options: &Options) -> Fields {
    let mut fields = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in headers.iter() {
        let name = name.to_ascii_lowercase();
        // With a body it says what the body says.
        let told = has_body && name == "content-length";
        if told || volatile::is_volatile_header(&name) || is_ignored(&name, options) {
            continue;
        }
        fields.entry(name).or_default().push(volatile::text(value).into_owned());
    }
    Fields::Named(fields)
}

fn is_ignored(name: &str, options: &Options) -> bool {
    options.ignore.iter().any(|pattern| matches(&pattern.to_ascii_lowercase(), &name.to_ascii_lowercase()))
}

fn body(
    body: Body<'_>,
    headers: &Headers,
    near: Option<i128>,
    incident: &Incident,
    options: &Options,
) -> Result<Fields> {
    let size = match body {
        Body::Dropped { size } => return Ok(Fields::Opaque(format!("{size} bytes, not kept"))),
        Body::File { sha256, size } if size > LONGEST => {
            return Ok(Fields::Opaque(format!("{size} bytes, SHA-256 {}", sha256.to_ascii_lowercase())));
        }
        Body::Empty => return Ok(Fields::Text(String::new())),
        Body::Text(text) => text.len(),
        Body::Base64(bytes) => bytes.len(),
        Body::File { .. } => 0,
    };
    let content = Content::of(body, headers.get("content-encoding"), incident)?;
    let Some(bytes) = content.as_ref().and_then(|content| content.bytes(LONGEST)) else {
        let digest = match body {
            Body::Text(text) => Sha256::digest(text),
            Body::Base64(bytes) => Sha256::digest(bytes),
            Body::File { sha256, .. } => return Ok(Fields::Opaque(format!("SHA-256 {sha256}"))),
            Body::Empty | Body::Dropped { .. } => return Ok(Fields::Text(String::new())),
        };
        return Ok(Fields::Opaque(format!("{size} bytes, SHA-256 {digest:x}")));
    };
    let Ok(text) = String::from_utf8(bytes) else {
        let bytes = content.and_then(|content| content.bytes(LONGEST)).unwrap_or_default();
        return Ok(Fields::Opaque(format!("{} bytes, SHA-256 {:x}", bytes.len(), Sha256::digest(&bytes))));
    };
    if text.trim_start().starts_with(['{', '['])
        && let Ok(value) = serde_json::from_str(&text)
    {
        let mut fields = BTreeMap::new();
        flatten(&value, &mut String::new(), near, options, &mut fields);
        return Ok(Fields::Named(fields));
    }
    Ok(Fields::Text(volatile::text(&text).into_owned()))
}

/// Each value by its place, as jq writes it. serde_json reads at most 128 levels.
fn flatten(
    value: &Value,
    place: &mut String,
    near: Option<i128>,
    options: &Options,
    out: &mut BTreeMap<String, Vec<String>>,
) {
    if !place.is_empty() && is_ignored(place, options) {
        return;
    }
    let length = place.len();
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                let bare = plain && name.starts_with(|c: char| !c.is_ascii_digit());
                place.push('.');
                if bare {
                    place.push_str(name)
                } else {
                    place.push_str(&Value::from(name.as_str()).to_string())
                }
                flatten(value, place, near, options, out);
                place.truncate(length);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, value) in items.iter().enumerate() {
                place.push_str(&format!("[{index}]"));
                flatten(value, place, near, options, out);
                place.truncate(length);
            }
        }
        leaf => {
            let said = match leaf {
                Value::String(text) => Value::from(volatile::text(text)).to_string(),
                Value::Number(number) if volatile::is_epoch(number, near) => volatile::EPOCH.to_owned(),
                other => other.to_string(),
            };
            let place = if place.is_empty() { "." } else { place };
            out.insert(place.to_owned(), vec![said]);
        }
    }
}
