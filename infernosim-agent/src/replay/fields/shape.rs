//! Values that are others in each run, known by their shape.

use super::Leaf;

/// A number is taken for a time if it is one within so many ns of its own now: a day.
const NEAR_NS: i128 = 86_400 * 1_000_000_000;
/// So many digits or more are an id.
const LONG_NUMBER: usize = 8;
/// So many hexadecimal digits, letters among them or not.
const LONG_HEX: usize = 8;
/// So many characters of base64url, of several kinds.
const LONG_BASE64: usize = 12;

/// Whether both are times: each an HTTP date or RFC 3339, or each an epoch near its own now (ns since the Unix epoch). Such
/// a field is volatile by its shape.
pub fn are_times(recorded: &Leaf, recorded_at: i128, live: &Leaf, live_at: i128) -> bool {
    std::mem::discriminant(recorded) == std::mem::discriminant(live)
        && is_time(recorded, recorded_at)
        && is_time(live, live_at)
}

/// Whether it is a time: an HTTP date (RFC 9110 section 5.6.7), RFC 3339, or seconds, ms, µs or ns since the Unix epoch within
/// a day of `near` (ns since then).
pub fn is_time(leaf: &Leaf, near: i128) -> bool {
    leaf.as_str().is_some_and(|text| is_epoch(text, near) || is_date(text) && matches!(leaf, Leaf::Text(_)))
}

fn is_date(text: &str) -> bool {
    let digits = text.bytes().take(48).filter(u8::is_ascii_digit).count();
    if !(6..=30).contains(&digits) || text.len() > 48 {
        return false;
    }
    let zoneless = || text.contains(':') && text.parse::<jiff::civil::DateTime>().is_ok();
    text.parse::<jiff::Timestamp>().is_ok() || jiff::fmt::rfc2822::parse(text).is_ok() || zoneless()
}

fn is_epoch(text: &str, near: i128) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if !(10..=19).contains(&whole.len()) || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    if !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let Ok(value) = whole.parse::<i128>() else { return false };
    [1_000_000_000, 1_000_000, 1000, 1].into_iter().any(|unit| (value * unit - near).abs() < NEAR_NS)
}

/// Whether a leaf is an id by its shape.
pub fn is_id_like(leaf: &Leaf) -> bool {
    leaf.as_str().is_some_and(is_id)
}

/// Whether a text is an id by its shape: a UUID, 8 or more hexadecimal digits with a decimal one among them, a long number,
/// a ULID, or 12 or more characters of base64url that look random (as a JWT does); with a prefix such as `ord_` or without.
pub fn is_id(text: &str) -> bool {
    let core = text.rsplit_once(['_', ':']).map_or(text, |(prefix, core)| {
        let named =
            prefix.len() <= 16 && prefix.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        if named { core } else { text }
    });
    is_bare_id(core) || core.len() < text.len() && is_bare_id(text)
}

fn is_bare_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < LONG_NUMBER || bytes.len() > 4096 {
        return false;
    }
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    if digits == bytes.len() {
        return digits >= LONG_NUMBER;
    }
    let hex = bytes.iter().filter(|byte| byte.is_ascii_hexdigit()).count();
    let hyphens = bytes.iter().filter(|byte| **byte == b'-').count();
    if digits > 0 && hex + hyphens == bytes.len() && hex >= LONG_HEX && (hyphens == 0 || is_uuid(bytes)) {
        return true;
    }
    if is_ulid(bytes) {
        return true;
    }
    if bytes.len() < LONG_BASE64 || digits == 0 || !bytes.iter().all(|byte| kind(*byte) <= JOINT) {
        return false;
    }
    // Words, in whichever case, and numbers between them change their kind now and then; what is random does at each step.
    // A hyphen between words says nothing.
    let changes = bytes.windows(2).map(|pair| (kind(pair[0]), kind(pair[1])));
    let changes = changes.filter(|(a, b)| a != b && *a != JOINT && *b != JOINT).count();
    changes * 3 >= bytes.len()
}

/// What joins words, and stands in base64, base64url and JWTs.
const JOINT: u8 = 3;

const fn kind(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => 0,
        b'a'..=b'z' => 1,
        b'A'..=b'Z' => 2,
        b'-' | b'_' | b'.' | b'~' | b'+' | b'/' | b'=' => JOINT,
        _ => JOINT + 1,
    }
}

/// 26 characters of Crockford's base32, the first of them at most 7.
fn is_ulid(bytes: &[u8]) -> bool {
    let base32 = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_uppercase() && !b"ILOU".contains(byte);
    bytes.len() == 26 && bytes.iter().all(base32) && bytes[0] <= b'7'
}

/// 8-4-4-4-12 (RFC 9562 section 4).
fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 36 && [8, 13, 18, 23].into_iter().all(|at| bytes[at] == b'-')
}
