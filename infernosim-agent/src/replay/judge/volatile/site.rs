//! The text by which a field's site is known: without query, ids in its path masked.

use crate::replay::fields::{is_id, split_target};
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

/// A path without its query, segments that name one thing among many as `*`: ids by their shape, and numbers.
pub fn mask_path(target: &str) -> String {
    let is_number = |segment: &str| !segment.is_empty() && segment.bytes().all(|it| it.is_ascii_digit());
    let (path, _) = split_target(target);
    let segments = path.split('/');
    let masked = segments.map(|segment| if is_number(segment) || is_id(segment) { "*" } else { segment });
    masked.collect::<Vec<_>>().join("/")
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
