//! Messages from their lines.

use bytes::Bytes;

use super::keys::Keys;
use super::read::{Files, as_stored, fielded, has_word};
use super::{Ending, Fielded, LookedUp, RecordedAnswer, Reply, Request, Turn};
use crate::error::Result;
use crate::incident::TARGET_GAVE_UP;
use crate::incident::event::{Body, Event};
use crate::incident::reader::{Place, Secrets};
use crate::incident::redact::Restorer;
use crate::replay::fields::{self, Content, Fields};
use crate::replay::minted;

/// The target of a request as on the wire, secrets as tokens.
pub fn target_of(event: &Event) -> String {
    if let Some(target) = &event.target {
        return target.clone();
    }
    match event.path_and_query() {
        path if path.starts_with('/') || event.method == "CONNECT" => path.to_owned(),
        path => format!("/{path}"),
    }
}

/// The body of an answer, under whichever names the line keeps it, and whether it was redacted and cut.
pub fn answer_body(event: &Event) -> (Body<'_>, bool, bool) {
    match event.response_body() {
        Body::Empty => (event.request_body(), event.body_redacted, event.body_truncated),
        body => (body, event.response_body_redacted, event.response_body_truncated),
    }
}

/// Whether the body of an answer was recorded at all.
pub fn has_answer_body(event: &Event) -> bool {
    let body = answer_body(event).0;
    if event.is_old() && matches!(body, Body::Dropped { .. }) {
        return false;
    }
    let said = event.body_size.is_some()
        || event.response_body_size.is_some()
        || event.body_sha256.is_some()
        || event.response_body_sha256.is_some();
    said || body != Body::Empty || !event.is_old()
}

pub fn request(files: &Files, secrets: &Secrets, place: Place) -> Result<Request> {
    let event = files.event(place)?;
    let mut restorer = Restorer::new(secrets);
    let target = restorer.target(&target_of(&event));
    let mut headers = fielded(&event.headers, |text| restorer.value(text));
    if event.headers.get("host").is_none() {
        // Go keeps it elsewhere, and an old log does not have it.
        let authority = event.url.split_once("://").map(|(_, rest)| rest.split(['/', '?', '#']).next());
        let host = authority.flatten().filter(|host| !host.is_empty()).unwrap_or(&event.service);
        headers.insert(0, ("Host".to_owned(), host.as_bytes().to_vec()));
    }
    let trailers = fielded(&event.request_trailers, |text| restorer.value(text));
    let body = files.restored(event.request_body(), event.body_redacted, &headers, &mut restorer)?;
    Ok(Request {
        target,
        trailers,
        body,
        chunked: has_word(&headers, "transfer-encoding", "chunked"),
        expect_continue: has_word(&headers, "expect", "100-continue"),
        old_http: event.protocol == "http/1.0",
        method: event.method,
        headers,
        unrestored: restorer.unknown,
    })
}

pub fn answer(files: &Files, place: Place, foreign: bool) -> Result<RecordedAnswer> {
    let event = files.event(place)?;
    let Some(status) = event.status else { return Ok(RecordedAnswer::default()) };
    let headers = if event.response_headers.is_empty() { &event.headers } else { &event.response_headers };
    let headers = as_stored(headers);
    let (body, _, cut) = answer_body(&event);
    let body =
        if has_answer_body(&event) && !cut && !event.incomplete { Some(files.body(body)?) } else { None };
    let content = Content::Bytes(body.as_deref().unwrap_or_default());
    let mut fields = fields::of_answer(status, &headers, content);
    if foreign {
        fields::mask_tokens(&mut fields);
    }
    let headers = (!event.is_old() || !headers.is_empty()).then_some(headers);
    Ok(RecordedAnswer { status: Some(status), headers, body, fields, foreign })
}

/// The values in a request that an answer before it may have told, as digests, secrets as tokens.
pub fn values(event: &Event) -> Vec<u64> {
    let mut found = Vec::new();
    let (mut target, mut headers) = (target_of(event), as_stored(&event.headers));
    let mut body = match event.request_body() {
        Body::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
        _ => Bytes::new(),
    };
    let parts = minted::edit::Parts { target: &mut target, headers: &mut headers, body: &mut body };
    minted::edit::edit(parts, &mut |slot| {
        found.push(value_digest(slot.value));
        None
    });
    found
}

/// The values in an answer that a later request may carry on, likewise.
pub fn brought(event: &Event) -> Vec<u64> {
    let headers = if event.response_headers.is_empty() { &event.headers } else { &event.response_headers };
    let body = match answer_body(event).0 {
        Body::Text(text) if text.len() <= LONGEST_LOOKED_INTO => text.as_bytes(),
        _ => &[],
    };
    minted::carriable(&as_stored(headers), body).map(|value| value_digest(&value)).collect()
}

/// Values in longer bodies of answers are not waited for, in bytes.
const LONGEST_LOOKED_INTO: usize = 1 << 20;

/// Of a value in a request.
pub fn value_digest(value: &str) -> u64 {
    fields::joined(&[value.as_bytes()])
}

/// What is compared of a call's request.
pub fn asked(files: &Files, event: &Event, foreign: bool) -> Result<Fields> {
    let body = match event.request_body() {
        // What is that long is compared by its digest, live or recorded.
        Body::File { sha256, size } if size > LONGEST_COMPARED => {
            Content::Digest(size, digest_of(sha256).unwrap_or_default())
        }
        body => return Ok(asked_with(event, &files.body(body)?, foreign)),
    };
    Ok(fields::of_request(&target_of(event), &as_stored(&event.headers), body))
}

/// A longer body is compared by its digest, in bytes.
pub const LONGEST_COMPARED: u64 = 64 << 20;

fn asked_with(event: &Event, body: &Bytes, foreign: bool) -> Fields {
    let mut found = fields::of_request(&target_of(event), &as_stored(&event.headers), Content::Bytes(body));
    if foreign {
        fields::mask_tokens(&mut found);
    }
    found
}

/// What a call is matched by.
pub fn keys(files: &Files, event: &Event, near: i128, foreign: bool) -> Result<Keys> {
    let target = target_of(event);
    Ok(Keys::of(fields::split_target(&target).0, &asked(files, event, foreign)?, near))
}

/// 64 hex digits.
pub fn digest_of(hex: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if hex.len() != 64 {
        return None;
    }
    for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?;
    }
    Some(digest)
}

pub fn reply(files: &Files, secrets: &Secrets, event: &Event) -> Result<Reply> {
    let mut restorer = Restorer::new(secrets);
    let mut restored = |headers: &crate::incident::event::Headers| -> Fielded {
        fielded(headers, |text| restorer.value(text))
    };
    let headers = restored(&event.response_headers);
    let interim = event.interim.iter().map(|one| (one.status, restored(&one.headers))).collect();
    let trailers = restored(&event.response_trailers);
    let media = if event.method.is_empty() { &[][..] } else { &headers };
    let body = files.restored(event.response_body(), event.response_body_redacted, media, &mut restorer)?;
    let wait_ns = event.response_chunks.first().map_or(event.duration.unwrap_or(0), |(at, _)| *at);
    Ok(Reply {
        status: event.status.unwrap_or(0),
        chunks: chunks(&event.response_chunks, body.len()),
        interim,
        trailers,
        wait_ns,
        ending: ending(event),
        chunked: has_word(&headers, "transfer-encoding", "chunked"),
        old_http: event.protocol == "http/1.0",
        headers,
        body,
        unrestored: restorer.unknown,
    })
}

pub fn turn(files: &Files, secrets: &Secrets, place: Place) -> Result<Turn> {
    let event = files.event(place)?;
    let mut restorer = Restorer::new(secrets);
    let asked = files.restored(event.request_body(), event.body_redacted, &[], &mut restorer)?;
    let mut reply = reply(files, secrets, &event)?;
    reply.unrestored.append(&mut restorer.unknown);
    Ok(Turn { asked, reply })
}

pub fn lookup(files: &Files, place: Place) -> Result<LookedUp> {
    let event = files.event(place)?;
    let question = files.body(event.request_body())?;
    let message = Some(files.body(event.response_body())?).filter(|message| !message.is_empty());
    Ok(LookedUp { question, message, rcode: event.rcode, answers: event.answers })
}

fn ending(event: &Event) -> Ending {
    if !event.incomplete {
        return Ending::Whole;
    }
    let answered = event.status.is_some() || event.response_size().is_some_and(|size| size > 0);
    let came = answered.then(|| event.response_size().unwrap_or(0));
    match (event.errno.as_deref(), event.error.as_deref()) {
        // The target went away, or we stopped looking: it had no end that the target saw.
        (_, Some(said)) if said == TARGET_GAVE_UP || said.starts_with("the target") => Ending::Never,
        (None, Some(said)) if said.starts_with("the capture ended") || said.contains("not seen") => {
            Ending::Never
        }
        (Some(_), _) => Ending::ResetAfter(came),
        (None, _) => Ending::ClosedAfter(came),
    }
}

/// When which part of a body of this length came. What was restored may be longer or shorter than what was sent: the last
/// part takes the difference.
fn chunks(recorded: &[(u64, u64)], length: usize) -> Vec<(u64, usize)> {
    let Some((first, _)) = recorded.first() else {
        return if length == 0 { Vec::new() } else { vec![(0, length)] };
    };
    let mut rest = length;
    let mut out = Vec::with_capacity(recorded.len());
    for (index, (at, bytes)) in recorded.iter().enumerate() {
        let last = index + 1 == recorded.len();
        let part = if last { rest } else { rest.min(usize::try_from(*bytes).unwrap_or(usize::MAX)) };
        rest -= part;
        if part > 0 {
            out.push((at.saturating_sub(*first), part));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_add_up_to_the_body_whatever_was_restored() {
        assert_eq!(chunks(&[], 0), []);
        assert_eq!(chunks(&[], 5), [(0, 5)]);
        assert_eq!(chunks(&[(10, 2), (25, 3)], 5), [(0, 2), (15, 3)]);
        assert_eq!(chunks(&[(10, 2), (25, 3)], 9), [(0, 2), (15, 7)]);
        assert_eq!(chunks(&[(10, 2), (25, 3), (30, 1)], 1), [(0, 1)]);
    }

    #[test]
    fn endings() {
        let event = |incomplete, status, errno: Option<&str>, error: &str| Event {
            incomplete,
            status,
            errno: errno.map(str::to_owned),
            error: Some(error.to_owned()),
            response_body: Some("abc".to_owned()).filter(|_| status.is_some()),
            ..Event::default()
        };
        for (it, expected) in [
            (event(false, Some(502), Some("ECONNREFUSED"), "x"), Ending::Whole),
            (
                event(true, Some(200), Some("ECONNRESET"), "the dependency's connection broke"),
                Ending::ResetAfter(Some(3)),
            ),
            (
                event(true, None, Some("ECONNRESET"), "the dependency's connection broke"),
                Ending::ResetAfter(None),
            ),
            (event(true, None, Some("ECONNRESET"), "the target's connection broke"), Ending::Never),
            (event(true, None, None, TARGET_GAVE_UP), Ending::Never),
            (event(true, None, None, "the capture ended before the exchange did"), Ending::Never),
            (
                event(true, None, None, "the connection ended before the exchange did"),
                Ending::ClosedAfter(None),
            ),
            (event(true, Some(200), None, "cut"), Ending::ClosedAfter(Some(3))),
        ] {
            assert_eq!(ending(&it), expected, "{it:?}");
        }
    }
}
