//! The text by which a field's site is known: without query, ids in its path masked.

use crate::pattern::mask_path;
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
