//! One entry of a HAR, from a recorded exchange.

use serde::Serialize;

use super::fields::{Cookie, Pair, cookies, headers, query, set_cookies};
use crate::error::Result;
use crate::incident::content::Content;
use crate::incident::event::{Event, Headers, Kind};
use crate::incident::reader::Incident;
use crate::incident::{Direction, Joined};

/// What there was before times were recorded.
const NEVER: &str = "1970-01-01T00:00:00Z";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry<'a> {
    started_date_time: String,
    time: f64,
    request: Request<'a>,
    response: Response<'a>,
    cache: Cache,
    timings: Timings,
    #[serde(rename = "serverIPAddress", skip_serializing_if = "Option::is_none")]
    server_ip_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<String>,
    #[serde(rename = "_infernosim")]
    own: Own<'a>,
}

#[derive(Serialize)]
struct Cache {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    method: &'a str,
    url: &'a str,
    http_version: String,
    cookies: Vec<Cookie<'a>>,
    headers: Vec<Pair<'a>>,
    query_string: Vec<Pair<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    post_data: Option<PostData<'a>>,
    headers_size: i64,
    body_size: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PostData<'a> {
    mime_type: &'a str,
    text: &'a Content<'a>,
    /// HAR 1.2 has no word for a request's body that is no text.
    #[serde(rename = "_encoding", skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    status: u16,
    status_text: &'static str,
    http_version: String,
    cookies: Vec<Cookie<'a>>,
    headers: Vec<Pair<'a>>,
    content: Answered<'a>,
    #[serde(rename = "redirectURL")]
    redirect_url: &'a str,
    headers_size: i64,
    body_size: i64,
    #[serde(rename = "_error", skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answered<'a> {
    size: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    compression: Option<i64>,
    mime_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'static str>,
}

/// In ms; -1: does not apply or is not known.
#[derive(Serialize)]
struct Timings {
    blocked: i8,
    dns: i8,
    connect: i8,
    ssl: i8,
    send: f64,
    wait: f64,
    receive: f64,
}

/// What HAR has no place for.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Own<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(rename = "type")]
    kind: &'a str,
    direction: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    service: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    local: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    peer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    incomplete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
}

/// What an entry borrows from, besides the exchange.
pub(super) struct Parts<'a> {
    asked: Headers,
    told: Headers,
    request: Option<Content<'a>>,
    response: Option<Content<'a>>,
}

impl<'a> Parts<'a> {
    /// # Errors
    /// As [`Incident::open_body`].
    pub fn of(joined: &'a Joined, incident: &Incident) -> Result<Self> {
        let (asked, told) = (joined.request_headers(), joined.response_headers());
        let request = Content::of(joined.request_body(), None, incident)?;
        let response = Content::of(joined.response_body(), told.get("content-encoding"), incident)?;
        Ok(Self { asked, told, request, response })
    }

    /// What went wrong while bodies were written.
    pub fn take_error(&self) -> Option<std::io::Error> {
        [&self.request, &self.response].into_iter().flatten().find_map(Content::take_error)
    }
}

impl<'a> Entry<'a> {
    /// Of an exchange and its parts.
    pub fn of(joined: &'a Joined, parts: &'a Parts<'a>) -> Self {
        let Joined { event, .. } = joined;
        let server = match joined.direction() {
            Direction::Inbound => &event.local,
            Direction::Outbound => &event.peer,
        };
        let (time, timings) = timings(joined);
        Self {
            started_date_time: started(joined).1,
            time,
            request: request(joined, parts),
            response: response(joined, parts),
            cache: Cache {},
            timings,
            server_ip_address: server.parse::<std::net::SocketAddr>().ok().map(|it| it.ip().to_string()),
            connection: event.connection.map(|number| number.to_string()),
            own: own(joined),
        }
    }
}

/// When it began: in ns since the epoch, and as it is written.
pub(super) fn started(joined: &Joined) -> (i128, String) {
    let event = &joined.event;
    let time = event.time().map(jiff::Timestamp::as_nanosecond);
    match (time, &event.kind, event.duration) {
        (Some(ns), Kind::InboundResponse, Some(duration)) => {
            let ns = ns - i128::from(duration);
            (ns, jiff::Timestamp::from_nanosecond(ns).map_or_else(|_| NEVER.into(), |it| it.to_string()))
        }
        (Some(ns), ..) => (ns, event.timestamp.clone()),
        (None, ..) => (0, NEVER.to_owned()),
    }
}

fn request<'a>(joined: &'a Joined, parts: &'a Parts<'a>) -> Request<'a> {
    let event = &joined.event;
    let size = if joined.lacks_request() { None } else { event.request_size() };
    Request {
        method: &event.method,
        url: &event.url,
        http_version: version(event),
        cookies: cookies(&parts.asked),
        headers: headers(&parts.asked),
        query_string: query(&event.url),
        post_data: parts.request.as_ref().map(|text| PostData {
            mime_type: parts.asked.get("content-type").unwrap_or_default(),
            text,
            encoding: (!text.is_text).then_some("base64"),
        }),
        headers_size: -1,
        body_size: if joined.lacks_request() { -1 } else { signed(size.unwrap_or(0)) },
    }
}

fn response<'a>(joined: &'a Joined, parts: &'a Parts<'a>) -> Response<'a> {
    let outcome = joined.outcome();
    let sent = if joined.lacks_answer() { None } else { outcome.answer_size() };
    let text = parts.response.as_ref();
    let cut =
        outcome.response_body_truncated || outcome.kind == Kind::InboundResponse && outcome.body_truncated;
    let decoded = text.filter(|text| text.is_decoded()).map(|text| signed(text.size));
    let size = decoded.unwrap_or(signed(sent.unwrap_or(0)));
    Response {
        status: outcome.status.unwrap_or(0),
        status_text: "",
        http_version: version(outcome),
        cookies: set_cookies(&parts.told),
        headers: headers(&parts.told),
        content: Answered {
            size,
            compression: decoded.map(|size| size - signed(sent.unwrap_or(0))),
            mime_type: parts.told.get("content-type").unwrap_or_default(),
            text,
            encoding: text.filter(|text| !text.is_text).map(|_| "base64"),
            comment: cut.then_some("cut when it was recorded"),
        },
        redirect_url: parts.told.get("location").unwrap_or_default(),
        headers_size: -1,
        body_size: if outcome.status.is_none() { -1 } else { signed(sent.unwrap_or(0)) },
        error: joined.error().or(joined.errno()),
    }
}

fn version(event: &Event) -> String {
    if event.protocol.is_empty() { "unknown".to_owned() } else { event.protocol.to_uppercase() }
}

/// From the first byte of the request to its last, to the first of the answer's content, to its last.
fn timings(joined: &Joined) -> (f64, Timings) {
    let outcome = joined.outcome();
    let total = if joined.lacks_answer() { 0 } else { outcome.duration.unwrap_or(0) };
    // Only of inbound requests it is recorded when they were whole.
    let asked = joined.answer.as_ref().and(joined.event.duration).unwrap_or(0).min(total);
    let first = outcome.response_chunks.first().map_or(total, |(at, _)| (*at).clamp(asked, total));
    let timings = Timings {
        blocked: -1,
        dns: -1,
        connect: -1,
        ssl: -1,
        send: ms(asked),
        wait: ms(first - asked),
        receive: ms(total - first),
    };
    (ms(total), timings)
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 104 days")]
fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn own(joined: &Joined) -> Own<'_> {
    let event = &joined.event;
    Own {
        id: &event.id,
        sequence: event.sequence,
        kind: event.kind.as_str(),
        direction: match joined.direction() {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        },
        service: &event.service,
        target: event.target.as_deref(),
        local: &event.local,
        peer: &event.peer,
        pid: event.pid,
        incomplete: event.incomplete || joined.outcome().incomplete,
        errno: joined.errno(),
        error: joined.error(),
        cause: event.cause.as_deref(),
    }
}
