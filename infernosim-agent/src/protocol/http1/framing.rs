//! How long a message's body is (RFC 9112 section 6.3).

use super::super::Field;
use super::body::Body;

/// What the answer to a request must be read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// By its own fields.
    Plain,
    /// Without a body, whatever its fields say.
    Head,
    /// 2xx makes the connection a tunnel.
    Connect,
    /// 101 hands the connection to another protocol. (Any request may be answered so; of this one we know that
    /// what its client sends next may not be HTTP.)
    Upgrade,
}

/// The body of a request with these fields, `None` if it has none, and how its answer is read.
///
/// # Errors
/// Where the end of the body cannot be known.
pub(crate) fn of_request(method: &str, fields: &[Field<'_>]) -> Result<(Option<Body>, Reply), &'static str> {
    let framing = Framing::read(fields);
    let body = match (framing.coding, framing.length) {
        (Coding::Chunked, _) => Some(Body::ChunkSize),
        (Coding::Other, _) => return Err("a request whose transfer coding does not end in chunked"),
        (Coding::None, Length::Bad) => return Err(BAD_LENGTH),
        (Coding::None, Length::None | Length::Is(0)) => None,
        (Coding::None, Length::Is(bytes)) => Some(Body::Length(bytes)),
    };
    let reply = match method {
        "CONNECT" => Reply::Connect,
        _ if framing.upgrade => Reply::Upgrade,
        "HEAD" => Reply::Head,
        _ => Reply::Plain,
    };
    Ok((body, reply))
}

/// The body of a final response with these fields, `None` if it has none.
///
/// # Errors
/// Where the end of the body cannot be known.
pub(crate) fn of_response(
    status: u16,
    fields: &[Field<'_>],
    reply: Reply,
) -> Result<Option<Body>, &'static str> {
    if reply == Reply::Head || matches!(status, 101 | 204 | 304) || is_tunnel(status, reply) {
        return Ok(None);
    }
    let framing = Framing::read(fields);
    match (framing.coding, framing.length) {
        (Coding::Chunked, _) => Ok(Some(Body::ChunkSize)),
        (Coding::Other, _) | (Coding::None, Length::None) => Ok(Some(Body::UntilClose)),
        (Coding::None, Length::Bad) => Err(BAD_LENGTH),
        (Coding::None, Length::Is(0)) => Ok(None),
        (Coding::None, Length::Is(bytes)) => Ok(Some(Body::Length(bytes))),
    }
}

/// Whether this answer turns the connection into a tunnel (RFC 9110 section 9.3.6).
pub(crate) fn is_tunnel(status: u16, reply: Reply) -> bool {
    reply == Reply::Connect && (200..300).contains(&status)
}

const BAD_LENGTH: &str = "a malformed or contradictory Content-Length";

struct Framing {
    coding: Coding,
    length: Length,
    upgrade: bool,
}

/// The last transfer coding.
enum Coding {
    None,
    Chunked,
    Other,
}

#[derive(Clone, Copy)]
enum Length {
    None,
    Is(u64),
    Bad,
}

impl Framing {
    fn read(fields: &[Field<'_>]) -> Self {
        let mut framing = Self { coding: Coding::None, length: Length::None, upgrade: false };
        for field in fields {
            // The length first: it rules out nearly every field without a comparison of names.
            match field.name.len() {
                7 if field.name.eq_ignore_ascii_case("upgrade") => framing.upgrade = true,
                14 if field.name.eq_ignore_ascii_case("content-length") => {
                    framing.length = framing.length.and(field.value);
                }
                17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                    framing.coding = last_coding(field.value);
                }
                _ => {}
            }
        }
        framing
    }
}

impl Length {
    /// With one more Content-Length field, which may be a list: equal values are one (RFC 9110 section 8.6).
    fn and(self, value: &[u8]) -> Self {
        value.split(|b| *b == b',').fold(self, |length, item| match (length, decimal(item.trim_ascii())) {
            (Self::None, Some(bytes)) => Self::Is(bytes),
            (Self::Is(bytes), Some(same)) if bytes == same => length,
            _ => Self::Bad,
        })
    }
}

/// Digits only: a sign, or a number past 2^64, would be read differently by different programs.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

fn last_coding(value: &[u8]) -> Coding {
    let last = value.rsplit(|b| *b == b',').map(<[u8]>::trim_ascii).find(|coding| !coding.is_empty());
    match last {
        Some(coding) if coding.eq_ignore_ascii_case(b"chunked") => Coding::Chunked,
        _ => Coding::Other,
    }
}
