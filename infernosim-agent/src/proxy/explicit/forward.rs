//! What becomes of a request: whom it goes to and how its head looks there. Pure.

use super::authority::Authority;
use super::body::Body;
use super::count::Counted;
use super::fields::{self, Hop, is, items};
use crate::protocol::Field;
use crate::protocol::http1_head::{self as head, Request};

/// A request that can be forwarded.
#[derive(Debug)]
pub struct Plan {
    /// Whom it names; none: it goes to the target that we stand before.
    pub to: Option<Authority>,
    /// The head to send.
    pub head: Vec<u8>,
    /// Its body.
    pub body: Option<Body>,
    /// How the client's connection and the answer are to be read.
    pub kind: Kind,
    /// Whether the client keeps its connection, if the server does.
    pub persistent: bool,
    /// Whether the client waits for a 100 before it sends the body.
    pub expects: bool,
    /// The minor version: 0 or 1.
    pub minor: u8,
}

/// How an answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By its own fields.
    Plain,
    /// HEAD: it has no body.
    Head,
    /// It may turn the connection into another protocol's.
    Upgrade,
    /// CONNECT: we answer ourselves, and the connection is a tunnel.
    Connect,
}

/// A request that is not forwarded, and how it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// What is counted.
    pub counted: Counted,
    /// Why, in one sentence.
    pub text: String,
}

/// What a head asks for.
#[derive(Debug)]
pub enum Asked {
    /// To be forwarded.
    Forward(Plan),
    /// Whether we are well; and whether the client keeps its connection.
    Health(Kind, bool),
}

impl Refusal {
    /// One for a request that is malformed.
    pub fn malformed(text: impl Into<String>) -> Self {
        Self { status: 400, counted: Counted::Malformed, text: text.into() }
    }
}

/// Decides on the request whose whole head this is, received by the forward proxy (`forward`) or the reverse one.
///
/// # Errors
/// It cannot be forwarded.
pub fn request(bytes: &[u8], forward: bool, healthz: bool) -> Result<Asked, Refusal> {
    let decide = |request: &Request<'_>| Ok(decide(request, forward, healthz));
    match head::request(bytes, decide) {
        Ok((_, asked)) => asked,
        Err(error) => Err(unreadable(bytes, error)),
    }
}

fn unreadable(bytes: &[u8], error: &'static str) -> Refusal {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let other = version.strip_prefix(b"HTTP/").is_some_and(|number| {
        number.first().is_some_and(u8::is_ascii_digit) && !matches!(number, b"1.0" | b"1.1")
    });
    if other {
        let text = "HTTP/1.0 and HTTP/1.1 are spoken here; HTTP/2 with TLS passes through CONNECT";
        return Refusal { status: 505, counted: Counted::Version, text: text.to_owned() };
    }
    if error.starts_with("more than") {
        return Refusal { status: 431, counted: Counted::TooLarge, text: error.to_owned() };
    }
    Refusal::malformed(error)
}

fn decide(request: &Request<'_>, forward: bool, healthz: bool) -> Result<Asked, Refusal> {
    let Request { method, target, fields, .. } = *request;
    let minor = u8::from(request.protocol == crate::protocol::Protocol::Http11);
    let mut hop = Hop::read(fields);
    // RFC 9110 section 7.8: of HTTP/1.0 it is ignored.
    hop.upgrade &= minor == 1;
    if fields.iter().filter(|field| is(field, "host")).count() > 1 {
        return Err(Refusal::malformed("more than one Host"));
    }
    let body = framing(fields, minor).map_err(Refusal::malformed)?;
    let kind = match method {
        "HEAD" => Kind::Head,
        "CONNECT" => Kind::Connect,
        _ if hop.upgrade => Kind::Upgrade,
        _ => Kind::Plain,
    };
    hop.upgrade &= kind == Kind::Upgrade;
    if healthz && target == "/healthz" && matches!(method, "GET" | "HEAD") && body.is_none() {
        return Ok(Asked::Health(kind, minor == 1 && !hop.close));
    }
    let (to, target, host) = match (forward, kind) {
        (false, Kind::Connect) => {
            return Err(Refusal::malformed("CONNECT is for a proxy; this stands before a server"));
        }
        (false, _) => (None, target.to_owned(), None),
        (true, Kind::Connect) if body.is_some() => return Err(Refusal::malformed("a CONNECT with a body")),
        (true, Kind::Connect) => (Some(authority(target, None)?), String::new(), None),
        (true, _) => {
            let (to, target, host) = absolute(target, method)?;
            (Some(to), target, Some(host))
        }
    };
    let head = write(method, &target, minor, fields, &hop, host);
    // What a client sends ahead into a tunnel that it does not get is no request.
    let persistent = minor == 1 && !hop.close && kind != Kind::Connect;
    let expects = minor == 1
        && fields
            .iter()
            .any(|field| is(field, "expect") && field.value.eq_ignore_ascii_case(b"100-continue"));
    Ok(Asked::Forward(Plan { to, head, body, kind, persistent, expects, minor }))
}

fn authority(text: &str, default_port: Option<u16>) -> Result<Authority, Refusal> {
    let refuse = |error| Refusal::malformed(format!("{error} in the request's target"));
    Authority::parse(text, default_port).map_err(refuse)
}

/// Splits `http://host:port/path` (RFC 9112 section 3.2.2): whom it goes to, what is asked there, and the text of
/// the Host field.
fn absolute<'a>(target: &'a str, method: &str) -> Result<(Authority, String, &'a str), Refusal> {
    let Some((scheme, rest)) = target.split_once("://") else {
        let text = "this is a proxy, not a server: give its address to the client with HTTP_PROXY=http://HOST:PORT \
                    (curl: -x HOST:PORT), and ask for the whole URL";
        return Err(Refusal { status: 400, counted: Counted::NotForAProxy, text: text.to_owned() });
    };
    if !scheme.eq_ignore_ascii_case("http") {
        let text = "only http:// can be asked for like this; for https:// a client asks its proxy for a tunnel \
                    with CONNECT";
        return Err(Refusal { status: 501, counted: Counted::NotForAProxy, text: text.to_owned() });
    }
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let to = authority(host, Some(80))?;
    let path = match path {
        // RFC 9112 section 3.2.4.
        "" if method == "OPTIONS" => "*".to_owned(),
        _ if path.starts_with('/') => path.to_owned(),
        _ => format!("/{path}"),
    };
    Ok((to, path, host))
}

/// The head as it is sent on: in order, in the client's spelling, without what belongs to the client's hop.
fn write(
    method: &str,
    target: &str,
    minor: u8,
    fields: &[Field<'_>],
    hop: &Hop<'_>,
    host: Option<&str>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    for piece in [method, " ", target, " HTTP/1.", if minor == 0 { "0" } else { "1" }, "\r\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
    if let Some(host) = host.filter(|_| !fields.iter().any(|field| is(field, "host"))) {
        fields::write(&mut out, "Host", host.as_bytes());
    }
    let mut length_written = false;
    for field in fields.iter().filter(|field| !hop.has(field)) {
        let value = match host {
            // RFC 9112 section 3.2.2: the target says whom it is for, whatever Host says.
            Some(host) if is(field, "host") => host.as_bytes(),
            // Once: equal ones are one (RFC 9110 section 8.6).
            _ if is(field, "content-length") => {
                if std::mem::replace(&mut length_written, true) {
                    continue;
                }
                items(field.value).next().unwrap_or_default()
            }
            _ => field.value,
        };
        fields::write(&mut out, field.name, value);
    }
    fields::write_via(&mut out, minor);
    hop.write(&mut out, fields, hop.close && minor == 1);
    out.extend_from_slice(b"\r\n");
    out
}

/// The body that these fields of a request announce, read strictly: what a server may read otherwise is refused
/// (RFC 9112 section 6.3).
fn framing(fields: &[Field<'_>], minor: u8) -> Result<Option<Body>, &'static str> {
    let mut coding = fields.iter().filter(|field| is(field, "transfer-encoding"));
    let mut lengths = fields.iter().filter(|field| is(field, "content-length")).peekable();
    if let Some(coded) = coding.next() {
        let codings: Vec<_> = items(coded.value).collect();
        let chunked = |coding: &&&[u8]| coding.eq_ignore_ascii_case(b"chunked");
        if lengths.peek().is_some() {
            return Err("both Transfer-Encoding and Content-Length");
        }
        if minor == 0 {
            return Err("Transfer-Encoding in HTTP/1.0");
        }
        let ends = codings.last().filter(chunked).is_some();
        if coding.next().is_some() || !ends || codings.iter().filter(chunked).count() > 1 {
            return Err("a Transfer-Encoding that does not end in one chunked");
        }
        if !codings.iter().all(|coding| coding.iter().copied().all(super::body::is_token)) {
            return Err("a malformed Transfer-Encoding");
        }
        return Ok(Some(Body::chunked(false)));
    }
    let mut length = None;
    for value in lengths.flat_map(|field| field.value.split(|byte| *byte == b',')) {
        let value = decimal(value.trim_ascii()).ok_or("a malformed Content-Length")?;
        if length.is_some_and(|length| length != value) {
            return Err("contradictory Content-Length");
        }
        length = Some(value);
    }
    Ok(length.filter(|length| *length > 0).map(Body::Length))
}

/// Digits only: a sign, or a number past 2^64, would be read differently by different programs.
fn decimal(digits: &[u8]) -> Option<u64> {
    let digits =
        std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests;
