//! What of a recording can be replayed, and how.

use super::entry::CallKind;
use super::say;
use super::untested::Counts;
use crate::incident::event::{Body, Event};
use crate::replay::fields;

/// The protocol of a line; old ones tell it by their url.
pub fn protocol(event: &Event) -> &str {
    if !event.protocol.is_empty() {
        return &event.protocol;
    }
    let media = event.headers.get("content-type").unwrap_or_default();
    if event.grpc_service_method.is_some() || media.starts_with("application/grpc") {
        return "grpc";
    }
    if event.method == "CONNECT" || event.url.starts_with("https://") {
        return "tls";
    }
    if event.url.starts_with("http://") || event.url.starts_with('/') { "http/1.1" } else { "unknown" }
}

fn is_http1(event: &Event) -> bool {
    protocol(event).starts_with("http/1") && !event.url.starts_with("https://")
}

/// What a call is to a stub.
pub fn of(event: &Event) -> CallKind {
    if event.method == "CONNECT" {
        let accepted = event.status.is_some_and(|status| (200..300).contains(&status));
        return match (protocol(event), accepted) {
            ("http/1.1" | "http/1.0", true) => CallKind::Tunnel,
            ("http/1.1" | "http/1.0", false) => CallKind::Http,
            _ => CallKind::Unserved,
        };
    }
    if is_http1(event) {
        return if event.status == Some(101) { CallKind::Unserved } else { CallKind::Http };
    }
    if protocol(event) == "tcp" { CallKind::Turn } else { CallKind::Unserved }
}

/// Whom a call was for: lower case, without userinfo and default port.
pub fn dependency(event: &Event) -> String {
    normal_dependency(event.dependency())
}

/// A dependency's name as it is compared: lower case, without userinfo and default port.
pub fn normal_dependency(name: &str) -> String {
    let name = name.rsplit('@').next().unwrap_or_default().trim().to_ascii_lowercase();
    match name.strip_suffix(":80") {
        // `::1:80` is no address with a port: that is written in brackets.
        Some(bare) if !bare.contains(':') || bare.ends_with(']') => bare.to_owned(),
        _ => name,
    }
}

/// What and why, where a request cannot be sent as it was.
pub fn unsendable(event: &Event) -> Option<(&'static str, &'static str)> {
    if event.method == "CONNECT" {
        return Some((
            "tunnels that clients opened through the target (CONNECT)",
            "what is in them is not a request",
        ));
    }
    if !is_http1(event) {
        return Some(("inbound exchanges that are not HTTP/1", "only HTTP/1 is sent to the target yet"));
    }
    if event.incomplete || event.method.is_empty() {
        return Some(("requests that were cut", "not all of them was recorded"));
    }
    let body = event.request_body();
    let announced = event.headers.get("content-length").and_then(|value| value.trim().parse::<u64>().ok());
    let missing = body == Body::Empty && announced.is_some_and(|size| size > 0);
    if event.body_truncated || missing || matches!(body, Body::Dropped { .. }) {
        return Some(("requests whose bodies were not kept", "see `--max-body` of the capture"));
    }
    None
}

/// Counts requests without an answer in the recording.
pub fn count_unanswered(count: u64, counts: &mut Counts) {
    let why = "their requests are sent, and what comes back is not compared";
    counts.add("answers that were not recorded", count, why);
}

/// Counts what of an answer is not known, so that it is not compared.
pub fn count_answer(event: &Event, counts: &mut Counts) {
    if event.status.is_none() {
        count_unanswered(1, counts);
    } else if !say::has_answer_body(event) {
        counts.add("bodies and headers of answers", 1, "an old recording does not have them");
    } else if say::answer_body(event).2 || event.incomplete {
        counts.add("answers that were cut", 1, "their status is compared, and not their bodies");
    }
}

/// Counts what of a call is not replayed, or not as it was.
pub fn count_call(event: &Event, kind: CallKind, dependency: &str, counts: &mut Counts) {
    match kind {
        CallKind::Unserved => {
            let what = format!("calls of {dependency} ({})", protocol(event));
            counts.add(what, 1, "there is no stub for this protocol yet");
        }
        CallKind::Http | CallKind::Turn => {
            if event.is_old() && event.status.is_some() && event.response_size().is_none() {
                let what = format!("bodies of the answers of {dependency}");
                counts.add(what, 1, "an old recording does not have them: the target gets empty ones");
            } else if event.response_body_truncated {
                let what = format!("answers of {dependency} that were cut");
                counts.add(what, 1, "the target gets what was kept of them: see `--max-body` of the capture");
            }
            if event.body_truncated || matches!(event.request_body(), Body::Dropped { .. }) {
                let what = format!("bodies of requests to {dependency} that were cut");
                counts.add(what, 1, "they cannot be compared in whole");
            }
        }
        CallKind::Tunnel => {}
    }
}

/// Equal answers have equal ones: status, and body as it is kept.
pub fn answer_digest(event: &Event) -> u64 {
    let status = event.status.unwrap_or(0).to_le_bytes();
    let said = event.response_body_sha256.as_deref().unwrap_or_default();
    match event.response_body() {
        _ if !said.is_empty() => fields::joined(&[&status, said.as_bytes()]),
        Body::Text(text) => fields::joined(&[&status, text.as_bytes()]),
        Body::Base64(bytes) => fields::joined(&[&status, bytes]),
        Body::Empty | Body::File { .. } | Body::Dropped { .. } => fields::joined(&[&status]),
    }
}
