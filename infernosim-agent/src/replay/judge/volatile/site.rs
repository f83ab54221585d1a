//! The text by which a field's site is known: without query, ids in its path masked.

use crate::replay::judge::place::Place;
use crate::replay::judge::recording::Recording;

/// `inbound POST /orders`, `outbound prices.test:8080 GET /v1/quote/*`.
pub fn site(recording: &impl Recording, place: Place) -> String {
    match place {
        Place::Answer(exchange) => {
            let asked = recording.exchange(exchange).asked;
            let (method, target) = asked.split_once(' ').unwrap_or((asked, ""));
            format!("inbound {method} {}", mask_path(target))
        }
        Place::Call(call) => {
            let call = recording.call(call);
            let method = if call.method.is_empty() { String::new() } else { format!("{} ", call.method) };
            format!("outbound {} {method}{}", call.dependency, mask_path(call.target))
        }
    }
}

/// A path without its query, segments that name one thing among many as `*`.
pub fn mask_path(target: &str) -> String {
    let path = target.split_once(['?', '#']).map_or(target, |(path, _)| path);
    let masked: Vec<_> = path.split('/').map(|segment| if is_id(segment) { "*" } else { segment }).collect();
    masked.join("/")
}

/// Digits; a UUID; hex digits, eight or more, of which one is a digit; sixteen or more characters of base64url that
/// hold letters and digits, so that a word is none.
fn is_id(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let all = |is_it: fn(&u8) -> bool| !bytes.is_empty() && bytes.iter().all(is_it);
    let has_digit = bytes.iter().any(u8::is_ascii_digit);
    let has_letter = bytes.iter().any(u8::is_ascii_alphabetic);
    all(u8::is_ascii_digit)
        || bytes.len() >= 8 && has_digit && all(|it| it.is_ascii_hexdigit() || *it == b'-')
        || bytes.len() >= 16
            && has_digit
            && has_letter
            && all(|it| it.is_ascii_alphanumeric() || matches!(*it, b'-' | b'_'))
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
            ("", ""),
        ] {
            assert_eq!(mask_path(target), expected);
        }
    }
}
