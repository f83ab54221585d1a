//! A HAR as it is read: as little of it as is needed, from whoever wrote it.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{Exit, ExpectedError, Result};

/// Longer than any exchange, in ms (three years): what says more is mistaken.
const LONGEST_MS: f64 = 1e11;

#[derive(Deserialize)]
struct Top<'a> {
    #[serde(borrow)]
    log: Log<'a>,
}

#[derive(Deserialize)]
struct Log<'a> {
    #[serde(default)]
    creator: Option<Creator>,
    #[serde(borrow)]
    entries: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Creator {
    name: Option<String>,
    version: Option<serde_json::Value>,
}

/// An archive whose entries are not looked at yet.
pub struct Document<'a> {
    /// What wrote it, as far as it says.
    pub creator: String,
    pub(super) entries: Vec<&'a RawValue>,
}

impl std::fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} entries by {:?}", self.entries.len(), self.creator)
    }
}

impl<'a> Document<'a> {
    /// # Errors
    /// `Exit::Incident` with line and column if it is no JSON, or no HAR.
    pub fn parse(text: &'a [u8]) -> Result<Self> {
        // Some write a byte order mark (RFC 8259 section 8.1 lets readers skip it).
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let top: Top<'a> = serde_json::from_slice(text).map_err(|e| {
            ExpectedError::new(Exit::Incident, format!("not an HTTP Archive: {e}"))
                .help("save it again as HAR, with content, from the browser's network panel")
        })?;
        let creator = top.log.creator.unwrap_or_default();
        let version = match creator.version {
            Some(serde_json::Value::String(text)) => text,
            Some(other) if !other.is_null() => other.to_string(),
            _ => String::new(),
        };
        let creator = format!("{} {version}", creator.name.unwrap_or_default()).trim().to_owned();
        Ok(Self { creator, entries: top.log.entries })
    }

    /// How many entries it has.
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// It has none.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// When an entry happened.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct When {
    started_date_time: String,
    #[serde(default)]
    time: Option<f64>,
    #[serde(default)]
    timings: Timings,
    #[serde(rename = "_infernosim", default)]
    own: Option<Own>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Timings {
    blocked: Option<f64>,
    dns: Option<f64>,
    connect: Option<f64>,
    send: Option<f64>,
    wait: Option<f64>,
    receive: Option<f64>,
}

/// In ns: since the epoch, then since the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub began: u64,
    pub asked: u64,
    pub first: u64,
    pub ended: u64,
}

impl When {
    pub fn span(&self) -> Option<Span> {
        let began: jiff::Timestamp = self.started_date_time.parse().ok()?;
        let began = u64::try_from(began.as_nanosecond()).ok()?;
        let Timings { blocked, dns, connect, send, wait, receive } = &self.timings;
        // Of `ssl` it is said that it is within `connect`.
        let before: u64 = [blocked, dns, connect, send].map(|it| ns(*it)).iter().sum();
        let parts = before + ns(*wait) + ns(*receive);
        let ended = if self.time.is_some() { ns(self.time) } else { parts };
        let asked = before.min(ended);
        Some(Span { began, asked, first: (asked + ns(*wait)).min(ended), ended })
    }

    pub fn direction(&self) -> Option<&str> {
        self.own.as_ref()?.direction.as_deref()
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds by then")]
fn ns(ms: Option<f64>) -> u64 {
    let ms = ms.filter(|ms| (0.0..=LONGEST_MS).contains(ms)).unwrap_or(0.0);
    (ms * 1e6).round() as u64
}

/// All of an entry.
#[derive(Deserialize)]
pub(super) struct Entry {
    pub request: Request,
    #[serde(default)]
    pub response: Response,
    #[serde(rename = "serverIPAddress", default)]
    pub server_ip_address: Option<String>,
    #[serde(default)]
    pub connection: Option<serde_json::Value>,
    #[serde(rename = "_webSocketMessages", default)]
    pub web_socket_messages: Option<Vec<serde::de::IgnoredAny>>,
    #[serde(rename = "_infernosim", default)]
    pub own: Option<Own>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    pub method: String,
    pub url: String,
    #[serde(default)]
    pub http_version: Option<String>,
    #[serde(default)]
    pub headers: Option<Vec<Header>>,
    #[serde(default)]
    pub post_data: Option<PostData>,
    #[serde(default)]
    pub body_size: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Header {
    pub name: String,
    pub value: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PostData {
    pub mime_type: Option<String>,
    pub text: Option<String>,
    pub params: Option<Vec<Header>>,
    pub encoding: Option<String>,
    #[serde(rename = "_encoding")]
    pub own_encoding: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Response {
    pub status: Option<i64>,
    pub headers: Option<Vec<Header>>,
    pub content: Option<Content>,
    pub body_size: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Content {
    pub size: Option<i64>,
    pub text: Option<String>,
    pub encoding: Option<String>,
}

/// What we write beside.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Own {
    pub direction: Option<String>,
    pub service: Option<String>,
    pub target: Option<String>,
    pub local: Option<String>,
    pub peer: Option<String>,
    pub incomplete: bool,
    pub errno: Option<String>,
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(entry: &str) -> Option<Span> {
        serde_json::from_str::<When>(entry).unwrap().span()
    }

    #[test]
    fn times_are_read() {
        let full = r#"{"startedDateTime":"1970-01-01T01:00:01.5+01:00","time":10.5,"timings":{"blocked":1,"dns":-1,"connect":2,"ssl":2,"send":0.5,"wait":4,"receive":3}}"#;
        let ms = 1_000_000;
        assert_eq!(
            span(full),
            Some(Span { began: 1500 * ms, asked: 3_500_000, first: 7_500_000, ended: 10_500_000 })
        );
        let bare = r#"{"startedDateTime":"1970-01-01T00:00:00Z"}"#;
        assert_eq!(span(bare), Some(Span { began: 0, asked: 0, first: 0, ended: 0 }));
        let odd =
            r#"{"startedDateTime":"1970-01-01T00:00:00Z","time":-5,"timings":{"wait":1e300,"send":null}}"#;
        assert_eq!(span(odd), Some(Span { began: 0, asked: 0, first: 0, ended: 0 }));
        for unknown in ["", "yesterday", "1969-12-31T23:59:59Z", "9999-01-01T00:00:00Z"] {
            assert_eq!(span(&format!(r#"{{"startedDateTime":"{unknown}"}}"#)), None, "{unknown}");
        }
    }

    #[test]
    fn what_is_no_har_is_refused_with_its_place() {
        for text in [
            "",
            "{}",
            "[]",
            "{\"log\":{}}",
            "{\"log\":{\"entries\":{}}}",
            "{\"log\":\n{\"entries\":[{}",
            "\u{0}",
        ] {
            let error = Document::parse(text.as_bytes()).unwrap_err();
            assert!(error.message.contains("line "), "{}", error.message);
            assert_eq!(error.exit, Exit::Incident);
        }
        let deep = "{\"log\":{\"entries\":[".to_owned() + &"[".repeat(100_000) + &"]".repeat(100_000) + "]}}";
        let _ = Document::parse(deep.as_bytes());
        let text = b"\xef\xbb\xbf{\"log\":{\"creator\":{\"name\":\"Firefox\",\"version\":\"121.0\"},\"entries\":[1,{}]}}";
        let document = Document::parse(text).unwrap();
        assert_eq!((document.creator.as_str(), document.entries.len()), ("Firefox 121.0", 2));
    }
}
