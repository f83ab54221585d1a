//! One line of a log: every field of `docs/format.md`, read tolerantly.
//!
//! A line may come from a newer version (fields and types we do not know), from an older one, or from the Go
//! InfernoSIM (absent fields, `null` for an empty map, one string where we write a list). Nothing of that is an
//! error; only a field we know with a value it cannot have is.

mod body;
mod headers;
#[cfg(test)]
mod tests;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use body::{Base64, Body};
pub use headers::Headers;

/// What a line tells of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A request that a client sent to the target.
    InboundRequest,
    /// The target's answer to it; joined to it by `trace_id`.
    InboundResponse,
    /// A request of the target to a dependency, and what became of it.
    OutboundCall,
    /// A name looked up.
    Dns,
    /// A connection that carried no exchange: refused, reset, timed out, never spoke, or unreadable (TLS).
    Connection,
    /// Events that were seen but not kept.
    Lost,
    /// A fault that was injected.
    Fault,
    /// A type that this version does not know, kept as it stands.
    Other(String),
}

impl Kind {
    /// The types this version writes, in the order of the documentation.
    pub const KNOWN: [Self; 7] = [
        Self::InboundRequest,
        Self::InboundResponse,
        Self::OutboundCall,
        Self::Dns,
        Self::Connection,
        Self::Lost,
        Self::Fault,
    ];

    /// The word in the log's `type` field.
    pub fn as_str(&self) -> &str {
        match self {
            Self::InboundRequest => "InboundRequest",
            Self::InboundResponse => "InboundResponse",
            Self::OutboundCall => "OutboundCall",
            Self::Dns => "Dns",
            Self::Connection => "Connection",
            Self::Lost => "Lost",
            Self::Fault => "Fault",
            Self::Other(word) => word,
        }
    }
}

impl Default for Kind {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

impl From<String> for Kind {
    fn from(word: String) -> Self {
        Self::KNOWN.into_iter().find(|kind| kind.as_str() == word).unwrap_or(Self::Other(word))
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

/// An informational (1xx) response that came before the final one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Interim {
    /// 100 to 199.
    pub status: u16,
    /// Its header fields.
    #[serde(deserialize_with = "or_default")]
    pub headers: Headers,
}

/// A resource record that answered a lookup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// Whose it is: the name asked for, or one that this is an alias of.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// `A`, `CNAME`, …
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub kind: String,
    /// For how long it might be used, in seconds.
    pub ttl: u32,
    /// As a zone file writes it.
    #[serde(deserialize_with = "or_default")]
    pub data: String,
}

/// What became of a request; derived from the line, never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The whole answer was seen.
    Answered,
    /// The connection failed or ended, or could no longer be followed, before the answer was whole.
    Closed,
    /// No byte of an answer was seen, nor the connection's end.
    Unanswered,
}

/// One line of `inbound.log` or `outbound.log`. An absent text field reads as "", an absent list as empty;
/// `Option` stands where absent and zero differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event {
    /// 32 hex digits in what we write; any text in older logs.
    #[serde(deserialize_with = "or_default")]
    pub id: String,
    /// What the line tells of.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// RFC 3339, UTC, nanoseconds; of an `OutboundCall` its start. [`Event::time`] parses it.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub timestamp: String,
    /// One counter over both logs: the order of events. Absent in the oldest logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Monotonic nanoseconds since the capture began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset_ns: Option<u64>,

    /// Inbound: the target's listener `host:port`. Outbound: the dependency's name. [`Event::dependency`] also
    /// serves old lines that have none.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// `http/1.1`, `h2`, `tls`, `tcp`, …
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub protocol: String,
    /// The method that was called, in lines of the Go InfernoSIM that tell of gRPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_service_method: Option<String>,
    /// The HTTP method, or the command of another protocol.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// Absolute.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// The request target as on the wire, where `url` was not built from an origin-form target (RFC 9112
    /// section 3.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// 100 to 999; the 0 that old logs write for "none" reads as `None`.
    #[serde(deserialize_with = "status", skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The name of an error number, such as `ECONNREFUSED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<String>,
    /// What went wrong, as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The exchange was cut: it ended, or we lost sight of it, before it was whole.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub incomplete: bool,
    /// Nanoseconds from the first byte of the request to the last of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<u64>,

    /// Header fields of the request; of an `InboundResponse` those of the response, as in old logs.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Headers::is_empty")]
    pub headers: Headers,
    /// Trailer fields of the request (RFC 9110 section 6.5).
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Headers::is_empty")]
    pub request_trailers: Headers,
    /// Body text. [`Event::request_body`] tells which of the five fields holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// A body that is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_b64: Option<Base64>,
    /// Bytes as they were on the wire, transfer coding removed, cut or not; the -1 that old logs write of a chunked body
    /// reads as `None`.
    #[serde(deserialize_with = "body_size", skip_serializing_if = "Option::is_none")]
    pub body_size: Option<u64>,
    /// 64 hex digits; names the file in `bodies/` where neither `body` nor `body_b64` is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_sha256: Option<String>,
    /// Not all `body_size` bytes were kept.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub body_truncated: bool,
    /// What was kept is not what was sent: secrets were replaced by tokens. `body_size` is of what was sent.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub body_redacted: bool,

    /// Informational responses, in order.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub interim: Vec<Interim>,
    /// Header fields of the response.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Headers::is_empty")]
    pub response_headers: Headers,
    /// Trailer fields of the response.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Headers::is_empty")]
    pub response_trailers: Headers,
    /// As `body`, of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_body: Option<String>,
    /// As `body_b64`, of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_body_b64: Option<Base64>,
    /// As `body_size`, of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_body_size: Option<u64>,
    /// As `body_sha256`, of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_body_sha256: Option<String>,
    /// As `body_truncated`, of the response.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub response_body_truncated: bool,
    /// As `body_redacted`, of the response.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub response_body_redacted: bool,
    /// `(nanoseconds since the exchange's own start, bytes)` of each piece of the response body as it came.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub response_chunks: Vec<(u64, u64)>,

    /// Joins an `InboundRequest` and its `InboundResponse`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub trace_id: String,
    /// The id of the `InboundRequest` that made this happen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// How `cause` is known: `header`, `thread`, `only-one-in-flight`; or `ambiguous`, without a cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause_basis: Option<String>,

    /// Which connection of the capture; the same number in each of its lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<u64>,
    /// The target process, as the host numbers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tid: Option<u32>,
    /// The process in its own pid namespace, where that number differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_pid: Option<u32>,
    /// The thread, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_tid: Option<u32>,
    /// Its name, at most 15 bytes (`TASK_COMM_LEN`).
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub comm: String,
    /// The target's end of the connection, `10.0.0.2:51234` or `[::1]:51234`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub local: String,
    /// The other end as the target asked for it, never our proxy's.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub peer: String,
    /// The server name of a ClientHello (RFC 6066 section 3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// The protocols it offers (RFC 7301), in order.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub alpn: Vec<String>,

    /// Of a `Dns` line: `udp` or `tcp`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub transport: String,
    /// Of a `Dns` line: the name that was asked for, lower case, without the last dot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Of a `Dns` line: `NOERROR`, `NXDOMAIN`, …; absent without an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rcode: Option<String>,
    /// Of a `Dns` line: the answer section.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Answer>,
    /// Of a `Dns` line: the answer did not fit into a datagram.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub truncated: bool,

    /// Of a `Lost` line: `buffer`, `disk`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of a `Lost` line: how many events were not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
    /// Of a `Lost` line: how many bytes they had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl Event {
    /// `timestamp` parsed, if it is RFC 3339.
    pub fn time(&self) -> Option<jiff::Timestamp> {
        self.timestamp.parse().ok()
    }

    /// The service, or where an old line has none, the authority of its url; "" if that is absent too. The url of a
    /// tunnel is an authority itself.
    pub fn dependency(&self) -> &str {
        if !self.service.is_empty() {
            return &self.service;
        }
        if self.method == "CONNECT" && !self.url.contains("://") {
            return self.url.strip_suffix(":443").unwrap_or(&self.url);
        }
        split_url(&self.url).0
    }

    /// Path and query of the url, beginning with `/`; a url without an authority is returned whole.
    pub fn path_and_query(&self) -> &str {
        split_url(&self.url).1
    }

    /// A line of the Go InfernoSIM: what it does not say it may not have recorded.
    pub const fn is_old(&self) -> bool {
        self.protocol.is_empty()
    }

    /// Does the line tell of something the target did (and not of what a client did to it)?
    pub fn is_outbound(&self) -> bool {
        matches!(self.kind, Kind::OutboundCall | Kind::Dns | Kind::Connection)
    }

    /// What became of the request. Of an `InboundRequest` this cannot tell: its `InboundResponse` does.
    pub fn outcome(&self) -> Outcome {
        let answered = self.status.is_some() || self.answer_size().is_some_and(|size| size > 0);
        let failed = self.error.is_some() || self.errno.is_some();
        match (answered, failed || self.incomplete) {
            (true, false) => Outcome::Answered,
            (true, true) => Outcome::Closed,
            (false, _) if failed => Outcome::Closed,
            (false, _) => Outcome::Unanswered,
        }
    }

    /// Did it go wrong: an error, a cut, a 5xx, a resolver that could or would not answer, or an HTTP call that was
    /// never answered? 4xx is an answer like any other, and so is that a name does not exist; that an answer was due is only known of HTTP; and a connection that was opened, not used and
    /// closed (whose `error` says so) is no failure.
    pub fn failed(&self) -> bool {
        let unanswered =
            self.kind == Kind::OutboundCall && self.speaks_http() && self.outcome() == Outcome::Unanswered;
        self.errno.is_some()
            || (self.error.is_some() && self.kind != Kind::Connection)
            || self.incomplete
            || self.status.is_some_and(|s| s >= 500)
            || self.rcode.as_deref().is_some_and(|rcode| !["NOERROR", "NXDOMAIN"].contains(&rcode))
            || unanswered
    }

    fn speaks_http(&self) -> bool {
        self.protocol.starts_with("http/")
            || self.url.starts_with("http://")
            || self.url.starts_with("https://")
    }
}

/// `scheme://authority/rest` as (authority, `/rest`); without `://`, ("", whole).
fn split_url(url: &str) -> (&str, &str) {
    let Some((_, rest)) = url.split_once("://") else { return ("", url) };
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

/// `null` reads as the default: Go writes it for an empty map or list.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    Ok(Option::<u16>::deserialize(deserializer)?.filter(|status| *status != 0))
}

/// Go's `ContentLength`, which is negative where the length is not known beforehand (net/http, `Request`).
fn body_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let size = Option::<i128>::deserialize(deserializer)?.filter(|size| *size >= 0);
    size.map(|size| u64::try_from(size).map_err(D::Error::custom)).transpose()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde calls")]
fn is_false(flag: &bool) -> bool {
    !flag
}
