//! Recorded answers, made ready for hyper; large ones are kept while there is room.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::http::Extensions;
use hyper::http::response::Parts;
use hyper::{Response, StatusCode, Version};

use super::spelling::Spellings;
use super::unmatched;
use crate::error::Result;
use crate::replay::script::{CallIndex, Ending, Fielded, Reply, Script};

/// Bytes of each of two generations: what was not used while one was filled goes.
const GENERATION: usize = 32 << 20;
/// A smaller one is read again instead: to keep them all takes longer, since none is in the CPU's cache when it is needed.
const SMALL: usize = 16 << 10;
/// What an answer takes besides its body, at the least.
const OVERHEAD: usize = 1024;

/// An answer, ready to be sent any number of times.
#[derive(Clone, Debug)]
pub struct Ready {
    /// None where nothing was answered.
    pub head: Option<Head>,
    /// Informational responses before it, as on the wire.
    pub interim: Vec<Bytes>,
    pub body: Bytes,
    /// (ns since the first, bytes).
    pub chunks: Vec<(u64, usize)>,
    pub trailers: Option<HeaderMap>,
    /// Before the head, in ns.
    pub wait_ns: u64,
    pub ending: Ending,
}

/// The head of an answer.
#[derive(Clone, Debug)]
pub struct Head {
    pub status: StatusCode,
    pub version: Version,
    pub headers: HeaderMap,
    /// How the names are spelled.
    pub extensions: Option<Extensions>,
}

/// Those that were used lately.
#[derive(Debug, Default)]
pub struct Replies(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: BTreeMap<CallIndex, Arc<Ready>>,
    bytes: usize,
    old: BTreeMap<CallIndex, Arc<Ready>>,
}

impl Replies {
    /// The answer that a call got.
    ///
    /// # Errors
    /// Those of [`Script::reply`].
    pub fn of(&self, script: &Script, spellings: &Spellings, call: CallIndex) -> Result<Arc<Ready>> {
        if let Some(known) = self.known(call) {
            return Ok(known);
        }
        let is_head = &*script.call(call).method == "HEAD";
        let ready = Arc::new(Ready::new(script.reply(call)?, is_head, spellings));
        self.generations().keep(call, Arc::clone(&ready));
        Ok(ready)
    }

    fn known(&self, call: CallIndex) -> Option<Arc<Ready>> {
        let mut generations = self.generations();
        if let Some(known) = generations.young.get(&call) {
            return Some(Arc::clone(known));
        }
        let known = generations.old.remove(&call)?;
        generations.keep(call, Arc::clone(&known));
        Some(known)
    }

    fn generations(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn keep(&mut self, call: CallIndex, ready: Arc<Ready>) {
        let bytes = OVERHEAD + ready.body.len();
        if !(SMALL..=GENERATION).contains(&bytes) {
            return;
        }
        if self.bytes + bytes > GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.young.insert(call, ready);
    }
}

impl Ready {
    /// One of our own.
    pub fn own(response: Response<Bytes>, spellings: &Spellings) -> Self {
        let (parts, body) = response.into_parts();
        let extensions = spellings.of(unmatched::NAMES.into_iter());
        Self::at_once(parts, extensions, body, None)
    }

    /// One that is there, whole.
    pub fn at_once(
        parts: Parts,
        extensions: Option<Extensions>,
        body: Bytes,
        trailers: Option<HeaderMap>,
    ) -> Self {
        let Parts { status, version, headers, .. } = parts;
        Self {
            head: Some(Head { status, version, headers, extensions }),
            interim: Vec::new(),
            body,
            chunks: Vec::new(),
            trailers,
            wait_ns: 0,
            ending: Ending::Whole,
        }
    }

    fn new(reply: Reply, is_head: bool, spellings: &Spellings) -> Self {
        let Reply { status, interim, chunks, wait_ns, ending, .. } = &reply;
        let head = StatusCode::from_u16(*status).ok().filter(|_| *status >= 200);
        let head = head.map(|status| head_of(status, &reply, is_head, spellings));
        let trailers = (!reply.trailers.is_empty()).then(|| map(&reply.trailers));
        Self {
            head,
            interim: interim.iter().map(|(status, fields)| informational(*status, fields)).collect(),
            body: if is_head { Bytes::new() } else { reply.body.clone() },
            chunks: chunks.clone(),
            trailers,
            wait_ns: *wait_ns,
            ending: *ending,
        }
    }
}

fn head_of(status: StatusCode, reply: &Reply, is_head: bool, spellings: &Spellings) -> Head {
    let mut headers = map(&reply.headers);
    let mut version = Version::HTTP_11;
    let has_body = !is_head && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if reply.chunked {
        headers.remove(CONTENT_LENGTH);
    } else {
        headers.remove(TRANSFER_ENCODING);
    }
    let whole = reply.ending == Ending::Whole;
    if has_body && !reply.chunked {
        let said = headers.get(CONTENT_LENGTH);
        let said = said.and_then(|value| value.to_str().ok()?.trim().parse::<usize>().ok());
        match said {
            // What was kept is not what was sent, where secrets could not be restored or a body was cut.
            Some(said) if whole && said != reply.body.len() => set_length(&mut headers, reply.body.len()),
            Some(_) => {}
            // Up to the end of the connection.
            None if !whole || reply.old_http || closes(&headers) => {
                headers.remove(CONTENT_LENGTH);
                version = Version::HTTP_10;
            }
            None => set_length(&mut headers, reply.body.len()),
        }
    }
    let mut names: Vec<&str> = Vec::new();
    for name in headers.keys() {
        let spelled = reply.headers.iter().filter(|(spelled, _)| spelled.eq_ignore_ascii_case(name.as_str()));
        let before = names.len();
        names.extend(spelled.map(|(spelled, _)| spelled.as_str()));
        if names.len() == before {
            names.push("Content-Length");
        }
    }
    Head { status, version, extensions: spellings.of(names.into_iter()), headers }
}

fn closes(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case("close"))
}

fn set_length(headers: &mut HeaderMap, length: usize) {
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
}

/// What hyper cannot say is left out: it would not have been HTTP.
fn map(fields: &Fielded) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value))
        {
            // Fails at 32,768 fields.
            let _ = headers.try_append(name, value);
        }
    }
    headers
}

/// A whole informational response (RFC 9110 section 15.2).
fn informational(status: u16, fields: &Fielded) -> Bytes {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let mut out = format!("HTTP/1.1 {status} {}\r\n", reason.unwrap_or("Informational")).into_bytes();
    for (name, value) in fields {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(reply: Reply) -> Head {
        Ready::new(reply, false, &Spellings::default()).head.unwrap()
    }

    fn reply(headers: &[(&str, &str)], body: &'static str) -> Reply {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        Reply {
            status: 200,
            headers: headers.collect(),
            body: Bytes::from_static(body.as_bytes()),
            ..Reply::default()
        }
    }

    #[test]
    fn framing_fits_what_is_sent() {
        let length =
            |head: &Head| head.headers.get(CONTENT_LENGTH).map(|value| value.to_str().unwrap().to_owned());
        let head = ready(reply(&[("Content-Length", "4")], "body"));
        assert_eq!((length(&head).as_deref(), head.version), (Some("4"), Version::HTTP_11));
        // Cut by --max-body, and by a reset.
        assert_eq!(length(&ready(reply(&[("Content-Length", "9")], "body"))).as_deref(), Some("4"));
        let cut = Reply { ending: Ending::ResetAfter(Some(4)), ..reply(&[("Content-Length", "9")], "body") };
        assert_eq!(length(&ready(cut)).as_deref(), Some("9"));
        // An old log without fields; up to the end of the connection; chunked.
        assert_eq!(length(&ready(reply(&[], "body"))).as_deref(), Some("4"));
        let head = ready(reply(&[("Connection", "Close")], "body"));
        assert_eq!((length(&head), head.version), (None, Version::HTTP_10));
        let chunked = Reply { chunked: true, ..reply(&[("Transfer-Encoding", "chunked")], "body") };
        let head = ready(chunked);
        assert_eq!((length(&head), head.version), (None, Version::HTTP_11));
        assert!(head.headers.contains_key(TRANSFER_ENCODING));
    }

    #[test]
    fn what_is_used_stays() {
        let replies = Replies::default();
        let large = Arc::new(Ready {
            head: None,
            interim: Vec::new(),
            body: vec![0; GENERATION / 4].into(),
            chunks: Vec::new(),
            trailers: None,
            wait_ns: 0,
            ending: Ending::Whole,
        });
        for index in 0..40 {
            replies.generations().keep(CallIndex(index), Arc::clone(&large));
            assert!(replies.known(CallIndex(0)).is_some(), "{index}");
        }
        let generations = replies.generations();
        assert!(generations.young.len() + generations.old.len() <= 8);
        drop(generations);
        assert!(replies.known(CallIndex(1)).is_none());
        let small = Ready { body: vec![0; SMALL / 2].into(), ..Ready::clone(&large) };
        replies.generations().keep(CallIndex(40), Arc::new(small));
        assert!(replies.known(CallIndex(40)).is_none());
    }
}
