//! Bodies: what was kept of one, and where.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Event, Kind};

/// Bytes that a line holds as base64 (RFC 4648 section 4, padded).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64_simd::STANDARD.encode_to_string(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        base64_simd::STANDARD
            .decode_to_vec(text)
            .map(Self)
            .map_err(|_| D::Error::custom("invalid base64 (RFC 4648, padded)"))
    }
}

/// What was kept of a body. `Text` and `Base64` may be a first part only: see `body_truncated`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// There was none, or it had no bytes.
    Empty,
    /// In the line, as it was.
    Text(&'a str),
    /// In the line as base64, decoded here.
    Base64(&'a [u8]),
    /// In the incident's `bodies/` directory.
    File {
        /// Names the file; to be checked before it is used as one, as `Incident::read_body` does.
        sha256: &'a str,
        /// Bytes.
        size: u64,
    },
    /// Not kept.
    Dropped {
        /// Bytes it had.
        size: u64,
    },
}

/// Of one that was `not_stored` a line of the Go InfernoSIM has the digest alone: that names no file.
fn body<'a>(
    text: Option<&'a str>,
    base64: Option<&'a Base64>,
    sha256: Option<&'a str>,
    size: Option<u64>,
    truncated: bool,
    not_stored: bool,
) -> Body<'a> {
    match (text.unwrap_or_default(), base64.map_or(&[][..], |b| &b.0), sha256, size) {
        ("", [], _, Some(0)) => Body::Empty,
        ("", [], None | Some(""), None) if !truncated => Body::Empty,
        ("", [], None | Some(""), size) => Body::Dropped { size: size.unwrap_or(0) },
        ("", [], Some(_), size) if not_stored => Body::Dropped { size: size.unwrap_or(0) },
        ("", [], Some(sha256), size) => Body::File { sha256, size: size.unwrap_or(0) },
        ("", bytes, ..) => Body::Base64(bytes),
        (text, ..) => Body::Text(text),
    }
}

/// The size said; else that of what the line holds; `None` where neither tells.
fn size(said: Option<u64>, text: Option<&str>, base64: Option<&Base64>) -> Option<u64> {
    said.or_else(|| {
        let held = text.map(str::len).or(base64.map(|b| b.0.len()))?;
        u64::try_from(held).ok()
    })
}

impl Event {
    /// The body of the request. An `InboundResponse` of an old log keeps its response's body there too.
    pub fn request_body(&self) -> Body<'_> {
        body(
            self.body.as_deref(),
            self.body_b64.as_ref(),
            self.body_sha256.as_deref(),
            self.body_size,
            self.body_truncated,
            self.is_old() && (self.body_redacted || self.body_truncated),
        )
    }

    /// The body of the response.
    pub fn response_body(&self) -> Body<'_> {
        body(
            self.response_body.as_deref(),
            self.response_body_b64.as_ref(),
            self.response_body_sha256.as_deref(),
            self.response_body_size,
            self.response_body_truncated,
            self.is_old() && (self.response_body_redacted || self.response_body_truncated),
        )
    }

    /// Bytes of the request's body; `None` if the line does not tell.
    pub fn request_size(&self) -> Option<u64> {
        size(self.body_size, self.body.as_deref(), self.body_b64.as_ref())
    }

    /// Bytes of the response's body; `None` if the line does not tell.
    pub fn response_size(&self) -> Option<u64> {
        size(self.response_body_size, self.response_body.as_deref(), self.response_body_b64.as_ref())
    }

    /// Bytes of the body of the answer that this line tells of, under whichever name it keeps them.
    pub fn answer_size(&self) -> Option<u64> {
        match self.kind {
            Kind::InboundResponse => self.response_size().or_else(|| self.request_size()),
            _ => self.response_size(),
        }
    }
}
