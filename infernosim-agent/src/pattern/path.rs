//! Paths of requests, and what in them names one thing among many.

/// So many digits or more are an id.
const LONG_NUMBER: usize = 8;
/// So many hexadecimal digits, letters among them or not.
const LONG_HEX: usize = 8;
/// So many characters of base64url, of several kinds.
const LONG_BASE64: usize = 12;

/// Path and query of a target, in whichever form it is (RFC 9112 section 3.2).
pub fn split_target(target: &str) -> (&str, &str) {
    let target = target.split('#').next().unwrap_or_default();
    let at = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            let authority = rest.find(['/', '?']).unwrap_or(rest.len());
            target.len() - rest.len() + authority
        }
        _ => 0,
    };
    let (path, query) = target[at..].split_once('?').unwrap_or((&target[at..], ""));
    (if path.is_empty() { "/" } else { path }, query)
}

/// A path without its query, segments that name one thing among many as `*`: ids by their shape, and numbers.
pub fn mask_path(target: &str) -> String {
    let is_number = |segment: &str| !segment.is_empty() && segment.bytes().all(|it| it.is_ascii_digit());
    let (path, _) = split_target(target);
    let segments = path.split('/');
    let masked = segments.map(|segment| if is_number(segment) || is_id(segment) { "*" } else { segment });
    masked.collect::<Vec<_>>().join("/")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_one_among_many_is_masked() {
        for (target, expected) in [
            ("/orders/17?x=1", "/orders/*"),
            ("/o/6f1c2d3e-0a1b-4c2d-8e3f-001122334455/items", "/o/*/items"),
            ("/o/deadbeef01#f", "/o/*"),
            ("/o/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/o/*"),
            ("/v1/quote", "/v1/quote"),
            ("/facade/cafebabe", "/facade/cafebabe"),
            ("/internationalization", "/internationalization"),
            ("/", "/"),
            ("http://a.test/b/7", "/b/*"),
        ] {
            assert_eq!(mask_path(target), expected);
        }
    }
}
