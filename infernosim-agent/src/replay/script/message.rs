//! Messages as they are sent again: what a line says, its secrets restored.

use bytes::Bytes;

use crate::incident::event::Answer;
use crate::incident::redact::Live;
use crate::replay::fields::{self, Content, Difference, Fields};

/// Header fields, in the order and spelling of the wire.
pub type Fielded = Vec<(String, Vec<u8>)>;

/// A request to be sent to the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`, …
    pub method: String,
    /// As on the wire (RFC 9112 section 3.2).
    pub target: String,
    /// As they were received, those that frame the message too: whoever sends it frames it anew. There always is a Host.
    pub headers: Fielded,
    /// Trailer fields.
    pub trailers: Fielded,
    /// The body, transfer coding removed, content coding kept.
    pub body: Bytes,
    /// It came chunked.
    pub chunked: bool,
    /// It had `Expect: 100-continue`.
    pub expect_continue: bool,
    /// It was HTTP/1.0.
    pub old_http: bool,
    /// Tokens that nothing tells the value of: they are sent as they are.
    pub unrestored: Vec<String>,
}

/// The answer that the target gave, for comparing: secrets are tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedAnswer {
    /// None if there was none.
    pub status: Option<u16>,
    /// As they were sent; none in old logs.
    pub headers: Option<Fielded>,
    /// None where it was not recorded, or not whole.
    pub body: Option<Bytes>,
    /// What is compared of it.
    pub fields: Fields,
    pub(super) foreign: bool,
}

impl RecordedAnswer {
    /// What differs in the live answer to a request that was sent, as far as the recording tells. `live` redacts it first.
    pub fn compare(
        &self,
        live: &mut Live,
        request: &Request,
        status: u16,
        headers: &[(String, Vec<u8>)],
        body: Content<'_>,
    ) -> Vec<Difference> {
        let Content::Bytes(bytes) = body else {
            return self.differences(fields::of_answer(status, headers, body));
        };
        let met = live.met(&request.target, &request.headers, &request.body);
        let redacted = live.answer(&met, headers, bytes);
        let headers = redacted.headers.as_deref().unwrap_or(headers);
        let bytes = redacted.body.as_deref().unwrap_or(bytes);
        self.differences(fields::of_answer(status, headers, Content::Bytes(bytes)))
    }

    /// What differs in a live answer with these fields, as far as the recording tells.
    pub fn differences(&self, mut live: Fields) -> Vec<Difference> {
        if self.status.is_none() {
            return Vec::new();
        }
        let (head, body) = (self.headers.is_some(), self.body.is_some());
        live.retain(
            |name, _| {
                if name.starts_with("header.") { head } else { body || !name.starts_with("body") }
            },
        );
        if self.foreign {
            fields::mask_tokens(&mut live);
        }
        fields::compare(&self.fields, &live)
    }
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// In order.
    #[default]
    Whole,
    /// With a reset after so many bytes of the body; with `None` before the status line.
    ResetAfter(Option<u64>),
    /// The connection was closed after so many bytes of the body; with `None` before the status line.
    ClosedAfter(Option<u64>),
    /// Not while the target waited: what there is of it is sent, and then nothing.
    Never,
}

/// What a stub answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// 0 where nothing was answered.
    pub status: u16,
    /// As they were sent; a stub frames the message anew.
    pub headers: Fielded,
    /// Informational responses before it.
    pub interim: Vec<(u16, Fielded)>,
    /// All of the body that was recorded.
    pub body: Bytes,
    /// When which part of the body came: (ns since the first byte of the body, bytes); their sum is the body's length.
    pub chunks: Vec<(u64, usize)>,
    /// Trailer fields.
    pub trailers: Fielded,
    /// From the first byte of the request to the first byte of the answer's body, or to its end where it has none, in ns.
    pub wait_ns: u64,
    /// How it ended.
    pub ending: Ending,
    /// It was sent chunked.
    pub chunked: bool,
    /// It was HTTP/1.0.
    pub old_http: bool,
    /// Tokens that nothing tells the value of.
    pub unrestored: Vec<String>,
}

/// A turn of a protocol that is not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// What the target sent; empty where the dependency spoke first.
    pub asked: Bytes,
    /// What came back, as in [`Reply`].
    pub reply: Reply,
}

/// The answer to a lookup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LookedUp {
    /// The question as it was sent, without the length that TCP puts before it.
    pub question: Bytes,
    /// The answer likewise; none if there was none, or if only its records are known.
    pub message: Option<Bytes>,
    /// `NOERROR`, …
    pub rcode: Option<String>,
    /// The records of its answer section.
    pub answers: Vec<Answer>,
}
