//! Heads and trailer sections, by httparse, as lenient as the clients and servers that understand each other.

use std::mem::MaybeUninit;

use httparse::{EMPTY_HEADER, Error, Header, ParserConfig, Status};

use super::super::detect::{MAX_METHOD, MAX_REQUEST_LINE};
use super::super::{Field, Protocol};

/// Fields that a head may have before memory is allocated for them.
const FEW: usize = 64;
/// Fields that a head may have at all.
const MANY: usize = 4096;

/// What an unusable start line is called, wherever it is noticed.
pub(crate) const NOT_A_REQUEST: &str = "not an HTTP/1 request line";
/// Likewise of a response.
const NOT_A_RESPONSE: &str = "not an HTTP/1 status line";

/// A parsed request head.
pub(crate) struct Request<'a> {
    pub(crate) protocol: Protocol,
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) fields: &'a [Field<'a>],
}

/// A parsed response head.
pub(crate) struct Response<'a> {
    /// 100 to 999.
    pub(crate) status: u16,
    pub(crate) fields: &'a [Field<'a>],
}

/// Parses the request head at the beginning of `bytes`, calls `then` with it and returns the head's length and
/// what `then` said.
///
/// # Errors
/// Says what is wrong, which may be just that the head is not whole.
pub(crate) fn request<R>(
    bytes: &[u8],
    then: impl FnOnce(&Request<'_>) -> Result<R, &'static str>,
) -> Result<(usize, R), &'static str> {
    let config = ParserConfig::default();
    let mut many = Vec::new();
    let mut few = [const { MaybeUninit::uninit() }; FEW];
    let mut head = httparse::Request::new(&mut []);
    let mut outcome = config.parse_request_with_uninit_headers(&mut head, bytes, &mut few);
    if outcome == Err(Error::TooManyHeaders) {
        many.resize(MANY, MaybeUninit::new(EMPTY_HEADER));
        head = httparse::Request::new(&mut []);
        outcome = config.parse_request_with_uninit_headers(&mut head, bytes, &mut many);
    }
    let length = whole(outcome)?;
    let (method, target) = (head.method.unwrap_or_default(), head.path.unwrap_or_default());
    let line = method.len() + target.len() + "  HTTP/1.1".len();
    if method.len() > MAX_METHOD || line > MAX_REQUEST_LINE {
        return Err(NOT_A_REQUEST);
    }
    let protocol = if head.version == Some(0) { Protocol::Http10 } else { Protocol::Http11 };
    let said = with_fields(head.headers, |fields| then(&Request { protocol, method, target, fields }))?;
    Ok((length, said))
}

/// Parses the response head at the beginning of `bytes`; as [`request`].
pub(crate) fn response<R>(
    bytes: &[u8],
    then: impl FnOnce(&Response<'_>) -> Result<R, &'static str>,
) -> Result<(usize, R), &'static str> {
    let mut config = ParserConfig::default();
    config.allow_spaces_after_header_name_in_responses(true);
    config.allow_multiple_spaces_in_response_status_delimiters(true);
    let mut many = Vec::new();
    let mut few = [const { MaybeUninit::uninit() }; FEW];
    let mut head = httparse::Response::new(&mut []);
    let mut outcome = config.parse_response_with_uninit_headers(&mut head, bytes, &mut few);
    if outcome == Err(Error::TooManyHeaders) {
        many.resize(MANY, MaybeUninit::new(EMPTY_HEADER));
        head = httparse::Response::new(&mut []);
        outcome = config.parse_response_with_uninit_headers(&mut head, bytes, &mut many);
    }
    let length = whole(outcome)?;
    let status = head.code.filter(|code| *code >= 100).ok_or("a status below 100")?;
    let said = with_fields(head.headers, |fields| then(&Response { status, fields }))?;
    Ok((length, said))
}

/// Parses `section`, a whole trailer section with its empty line (RFC 9112 section 7.1.2), and calls `then` with
/// its fields.
pub(crate) fn trailers(section: &[u8], then: impl FnOnce(&[Field<'_>])) -> Result<(), &'static str> {
    let mut headers = vec![EMPTY_HEADER; FEW];
    if httparse::parse_headers(section, &mut headers) == Err(Error::TooManyHeaders) {
        headers.resize(MANY, EMPTY_HEADER);
    }
    match httparse::parse_headers(section, &mut headers) {
        Ok(Status::Complete((_, fields))) => with_fields(fields, then),
        Ok(Status::Partial) => return Err("a broken trailer section"),
        Err(error) => return Err(what(error)),
    }
    Ok(())
}

/// Whether `held` and what follows it can begin a response, asked by `gather`.
pub(crate) fn check_status_line(held: &[u8], piece: &[u8]) -> Result<(), &'static str> {
    let fits = |(at, byte): (usize, &u8)| match at {
        0..7 => *byte == b"HTTP/1."[at],
        7 => matches!(byte, b'0' | b'1'),
        8 => *byte == b' ',
        _ => true,
    };
    let beginning = (held.len()..9).zip(piece);
    if beginning.into_iter().all(fits) { Ok(()) } else { Err(NOT_A_RESPONSE) }
}

/// Parses a whole section, and if it is refused once more with its folded lines joined.
pub(crate) fn lenient<R>(
    section: &[u8],
    mut parse: impl FnMut(&[u8]) -> Result<R, &'static str>,
) -> Result<R, &'static str> {
    parse(section).or_else(|error| unfold(section).map_or(Err(error), |unfolded| parse(&unfolded)))
}

/// A copy of `head` with its folded lines joined by spaces (RFC 9112 section 5.2), if it has any. Only called
/// after the head was refused: folding is obsolete, and our fields must not hold line ends.
fn unfold(head: &[u8]) -> Option<Vec<u8>> {
    let folded = |at: usize| head[at] == b'\n' && matches!(head.get(at + 1), Some(b' ' | b'\t'));
    let first = (0..head.len()).find(|at| folded(*at))?;
    let mut copy = head.to_vec();
    for at in (first..head.len()).filter(|at| folded(*at)) {
        copy[at] = b' ';
        if at > 0 && copy[at - 1] == b'\r' {
            copy[at - 1] = b' ';
        }
    }
    Some(copy)
}

fn whole(outcome: httparse::Result<usize>) -> Result<usize, &'static str> {
    match outcome {
        Ok(Status::Complete(length)) => Ok(length),
        Ok(Status::Partial) => Err("a head without an end"),
        Err(error) => Err(what(error)),
    }
}

fn what(error: Error) -> &'static str {
    match error {
        Error::HeaderName => "a malformed header field name",
        Error::HeaderValue => "a malformed header field value",
        Error::NewLine => "a malformed line end in a head",
        Error::Status => "a malformed status line",
        Error::Token => "a malformed request line",
        Error::TooManyHeaders => "more than 4,096 header fields",
        Error::Version => "an HTTP version other than 1.0 and 1.1",
    }
}

fn with_fields<R>(headers: &[Header<'_>], then: impl FnOnce(&[Field<'_>]) -> R) -> R {
    if headers.len() > FEW {
        return then(&headers.iter().map(field).collect::<Vec<_>>());
    }
    let mut few = [Field { name: "", value: b"" }; FEW];
    for (to, from) in few.iter_mut().zip(headers) {
        *to = field(from);
    }
    then(&few[..headers.len()])
}

fn field<'a>(header: &Header<'a>) -> Field<'a> {
    Field { name: header.name, value: header.value }
}
