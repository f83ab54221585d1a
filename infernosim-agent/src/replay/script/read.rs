//! Lines and bodies, read again by their places.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use bytes::Bytes;

use crate::error::{Exit, ExpectedError, Result};
use crate::incident::event::{Body, Event, Headers};
use crate::incident::reader::{Incident, Place};
use crate::incident::redact::{Media, Restorer};

use super::Fielded;

/// A longer body is not held in memory, in bytes.
const MOST_BODY: u64 = 512 << 20;

/// The files of an incident, as they were when it was loaded; its logs may have grown since.
#[derive(Debug)]
pub struct Files {
    pub incident: Incident,
    pub logs: Vec<Option<File>>,
}

impl Files {
    /// The event at this place.
    pub fn event(&self, place: Place) -> Result<Event> {
        let mut text = vec![0; place.length as usize];
        let log = self.logs.get(usize::from(place.log)).and_then(Option::as_ref);
        let read = log.is_some_and(|log| log.read_exact_at(&mut text, place.offset).is_ok());
        let event = read.then(|| serde_json::from_slice(&text).ok()).flatten();
        event.ok_or_else(|| {
            let dir = self.incident.dir().display();
            ExpectedError::new(Exit::Incident, format!("a log of {dir} was changed while it was replayed"))
                .help("replay it again, or a copy of it")
        })
    }

    /// All that was kept of a body.
    pub fn body(&self, body: Body<'_>) -> Result<Bytes> {
        Ok(match body {
            Body::Empty | Body::Dropped { .. } => Bytes::new(),
            Body::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
            Body::Base64(bytes) => Bytes::copy_from_slice(bytes),
            Body::File { sha256, size } if size > MOST_BODY => {
                let message = format!("the body {sha256} has {size} bytes, more than a replay holds");
                return Err(ExpectedError::new(Exit::Incident, message));
            }
            Body::File { sha256, .. } => self.incident.read_body(sha256)?.into(),
        })
    }

    /// The same with the secrets in it, if there are any.
    pub fn restored(
        &self,
        body: Body<'_>,
        redacted: bool,
        headers: &[(String, Vec<u8>)],
        restorer: &mut Restorer<'_>,
    ) -> Result<Bytes> {
        let stored = self.body(body)?;
        if !redacted {
            return Ok(stored);
        }
        Ok(restorer.body(&Media::of(headers), &stored).map_or(stored, Bytes::from))
    }
}

/// Header fields as they were sent. What was no UTF-8 is sent as if it had been.
pub fn fielded(headers: &Headers, mut value: impl FnMut(&str) -> Vec<u8>) -> Fielded {
    headers.iter().map(|(name, text)| (name.to_owned(), value(text))).collect()
}

/// The same with tokens in the place of secrets.
pub fn as_stored(headers: &Headers) -> Fielded {
    fielded(headers, |text| text.as_bytes().to_vec())
}

/// Whether a field of this name has this word in its list.
pub fn has_word(headers: &[(String, Vec<u8>)], name: &str, word: &str) -> bool {
    headers.iter().filter(|(have, _)| have.eq_ignore_ascii_case(name)).any(|(_, value)| {
        value.split(|byte| *byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    })
}
