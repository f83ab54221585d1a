//! What becomes of an answer's head, and the answers that we give ourselves. Pure.

use nix::errno::Errno;

use super::body::Body;
use super::fields::{self, Hop, is, items};
use super::forward::{Kind, Refusal};
use crate::protocol::http1_body::Body as Framing;
use crate::protocol::http1_framing::{Reply, of_response};
use crate::protocol::http1_head::{self as head, Response};

/// An answer's head, read.
#[derive(Debug)]
pub struct Answer {
    /// The head to send.
    pub head: Vec<u8>,
    /// Its body.
    pub body: Option<Body>,
    /// Whether the server's connection may be used again.
    pub persistent: bool,
    /// What follows.
    pub next: Next,
}

/// What follows an answer's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another head: this one was informational.
    Head,
    /// Its body, if any, and then the next exchange.
    Body,
    /// Another protocol.
    Switched,
}

/// What an answer gets from us.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marks {
    /// The identifier of its recording.
    pub context: Option<u128>,
    /// The client's connection closes behind it, whatever the server says.
    pub close: bool,
}

/// Decides on the answer whose whole head this is, to a request of that kind and minor version.
///
/// # Errors
/// It is no answer that can be passed on.
pub fn response(bytes: &[u8], kind: Kind, asked_minor: u8, marks: Marks) -> Result<Answer, &'static str> {
    head::lenient(bytes, |bytes| {
        head::response(bytes, |response| decide(bytes, response, kind, asked_minor, marks))
            .map(|(_, answer)| answer)
    })
}

fn decide(
    bytes: &[u8],
    response: &Response<'_>,
    kind: Kind,
    asked_minor: u8,
    marks: Marks,
) -> Result<Answer, &'static str> {
    let Response { status, fields } = *response;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let minor = u8::from(line.get(7) == Some(&b'1'));
    let mut hop = Hop::read(fields);
    let next = match status {
        101 if kind == Kind::Upgrade && hop.upgrade => Next::Switched,
        101 => return Err("switches to a protocol that nobody asked for"),
        100..200 => Next::Head,
        _ => Next::Body,
    };
    hop.upgrade &= next == Next::Switched;
    hop.trailers = false;
    let reply = if kind == Kind::Head { Reply::Head } else { Reply::Plain };
    let body = match next {
        Next::Body => of_response(status, fields, reply)?.map(body),
        Next::Head | Next::Switched => None,
    };
    let persistent = minor == 1 && asked_minor == 1 && !hop.close && body != Some(Body::UntilClose);
    let close = next == Next::Body && (marks.close || !persistent);
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(line);
    out.extend_from_slice(b"\r\n");
    let coded = fields.iter().any(|field| is(field, "transfer-encoding"));
    let mut length_written = false;
    for field in fields.iter().filter(|field| !hop.has(field)) {
        if is(field, "content-length") {
            // RFC 9112 section 6.3: not beside a Transfer-Encoding, which overrides it; and once.
            if !coded && !std::mem::replace(&mut length_written, true) {
                fields::write(&mut out, field.name, items(field.value).next().unwrap_or_default());
            }
            continue;
        }
        fields::write(&mut out, field.name, field.value);
    }
    fields::write_via(&mut out, minor);
    if let (Some(context), Next::Body | Next::Switched) = (marks.context, next) {
        fields::write(&mut out, CONTEXT, format!("{context:032x}").as_bytes());
    }
    hop.write(&mut out, fields, close);
    out.extend_from_slice(b"\r\n");
    Ok(Answer { head: out, body, persistent, next })
}

const CONTEXT: &str = "X-Request-Context";

fn body(framing: Framing) -> Body {
    match framing {
        Framing::Length(bytes) => Body::Length(bytes),
        Framing::UntilClose => Body::UntilClose,
        // What a server sends a direct client would read as leniently.
        _ => Body::chunked(true),
    }
}

/// An answer of our own.
pub fn own(status: u16, text: &str, kind: Kind, marks: Marks) -> Vec<u8> {
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        508 => "Loop Detected",
        _ => "Error",
    };
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(format!("HTTP/1.1 {status} {reason}\r\n").as_bytes());
    fields::write(&mut out, "Content-Type", b"text/plain; charset=utf-8");
    fields::write(&mut out, "Content-Length", (text.len() + 1).to_string().as_bytes());
    if let Some(context) = marks.context {
        fields::write(&mut out, CONTEXT, format!("{context:032x}").as_bytes());
    }
    if marks.close {
        fields::write(&mut out, "Connection", b"close");
    }
    out.extend_from_slice(b"\r\n");
    if kind != Kind::Head {
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
    }
    out
}

/// The answer to a request that is not forwarded.
pub fn refusal(refusal: &Refusal) -> Vec<u8> {
    let text = format!("infernosim: {}", refusal.text);
    own(refusal.status, &text, Kind::Plain, Marks { context: None, close: true })
}

/// The answer to a CONNECT that reached its host (RFC 9110 section 9.3.6: without a body).
pub const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// The status and the text of the answer for a dependency that gave none.
pub fn failed(error: &str, errno: Option<Errno>) -> (u16, String) {
    let status = if errno == Some(Errno::ETIMEDOUT) { 504 } else { 502 };
    (status, format!("infernosim: {error}. This answer is InfernoSIM's: the dependency gave none."))
}

#[cfg(test)]
mod tests;
