//! Messages as they are sent again: what a line says, its secrets restored.

use bytes::Bytes;

use crate::incident::event::Answer;
use crate::replay::fields::{Difference, Fields};

/// Header fields, in the order and spelling of the wire.
pub type Fielded = Vec<(String, Vec<u8>)>;

/// A request to be sent to the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`, …
    pub method: String,
    /// As on the wire (RFC 9112 section 3.2).
    pub target: String,
    /// As they were received, those that frame the message too: whoever sends it frames it anew.
    pub headers: Fielded,
    /// Trailer fields.
    pub trailers: Fielded,
    /// The body, transfer coding removed, content coding kept.
    pub body: Bytes,
    /// It came chunked.
    pub chunked: bool,
    /// It had `Expect: 100-continue`.
    pub expect_continue: bool,
    /// Tokens that nothing tells the value of: they are sent as they are.
    pub unrestored: Vec<String>,
}

/// The answer that the target gave, for comparing: secrets are tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedAnswer {
    /// None if there was none.
    pub status: Option<u16>,
    /// As they were sent; empty in old logs.
    pub headers: Fielded,
    /// None where it was not recorded, or not whole.
    pub body: Option<Bytes>,
    /// What is compared of it.
    pub fields: Fields,
}

impl RecordedAnswer {
    /// What differs in a live answer, as far as the recording tells.
    pub fn differences(&self, live: &Fields) -> Vec<Difference> {
        crate::replay::fields::compare(&self.fields, live)
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
    /// When which part of the body came: (ns since the first byte of the answer, bytes); their sum is the body's length.
    pub chunks: Vec<(u64, usize)>,
    /// Trailer fields.
    pub trailers: Fielded,
    /// From the request to the first byte of the answer's body, or to its end where it has none, in ns.
    pub wait_ns: u64,
    /// How it ended.
    pub ending: Ending,
    /// It was sent chunked.
    pub chunked: bool,
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
