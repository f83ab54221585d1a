//! Values in a request, each where it stands, to be looked at and to be replaced.

use std::borrow::Cow;

use bytes::Bytes;

use crate::incident::redact::{Kind, Media, percent_decoded};
use crate::replay::fields::{self, Leaf};

/// Longer bodies are not looked into, in bytes.
const LONGEST_BODY: usize = 1 << 20;

/// A value and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a> {
    /// `path[1]`, `query.q`, `header.cookie.sid`, `header.authorization`, `body.order.id`.
    pub place: &'a str,
    /// The last name in it, in lower case: `q`, `sid`, `id`; of a segment of the path the one before it.
    pub name: &'a str,
    /// The value, its escapes decoded.
    pub value: &'a str,
}

/// The parts of a request.
pub struct Parts<'a> {
    /// Its target.
    pub target: &'a mut String,
    /// Its header fields.
    pub headers: &'a mut Vec<(String, Vec<u8>)>,
    /// Its body.
    pub body: &'a mut Bytes,
}

/// What to put in the place of a value; `None` leaves it.
pub type Change<'a> = &'a mut dyn FnMut(Slot<'_>) -> Option<String>;

/// Shows each value of a request. What is left stays byte for byte as it is.
pub fn edit(parts: Parts<'_>, change: Change<'_>) {
    if let Some(target) = target(parts.target, change) {
        *parts.target = target;
    }
    for (name, value) in &mut *parts.headers {
        if let Ok(text) = std::str::from_utf8(value)
            && let Some(changed) = header(&name.to_ascii_lowercase(), text, change)
        {
            *value = changed.into_bytes();
        }
    }
    if let Some(changed) = body(parts.headers, parts.body, change) {
        *parts.body = changed.into();
    }
}

/// Path and query.
pub fn target(target: &str, change: Change<'_>) -> Option<String> {
    let start = match target.find("://") {
        Some(at) if !target.starts_with('/') => {
            target[at + 3..].find(['/', '?']).map_or(target.len(), |slash| at + 3 + slash)
        }
        _ => 0,
    };
    let (path, query) = match target[start..].split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (&target[start..], None),
    };
    let (mut changed, mut before) = (false, String::new());
    let mut segments = Vec::new();
    // The first is what stands before the first slash: nothing.
    for (at, segment) in path.split('/').enumerate() {
        let value = decoded(segment);
        let place = format!("path[{}]", at.saturating_sub(1));
        let slot = Slot { place: &place, name: &before, value: &value };
        let put = (at > 0 && !segment.is_empty()).then(|| change(slot)).flatten();
        changed |= put.is_some();
        before = value.to_ascii_lowercase();
        segments.push(put.map_or(Cow::Borrowed(segment), |put| encoded(&put).into()));
    }
    let mut out = format!("{}{}", &target[..start], segments.join("/"));
    if let Some(query) = query {
        let pairs = pairs("query", query, change);
        changed |= pairs.is_some();
        out.push('?');
        out.push_str(pairs.as_deref().unwrap_or(query));
    }
    changed.then_some(out)
}

/// A query or a form.
fn pairs(prefix: &str, text: &str, change: Change<'_>) -> Option<String> {
    let mut changed = false;
    let pairs: Vec<Cow<'_, str>> = text
        .split('&')
        .map(|pair| {
            let Some((name, value)) = pair.split_once('=') else { return pair.into() };
            let plain = decoded(name);
            let place = format!("{prefix}.{plain}");
            let put =
                change(Slot { place: &place, name: &plain.to_ascii_lowercase(), value: &decoded(value) });
            changed |= put.is_some();
            put.map_or(pair.into(), |put| format!("{name}={}", encoded(&put)).into())
        })
        .collect();
    changed.then(|| pairs.join("&"))
}

fn header(name: &str, text: &str, change: Change<'_>) -> Option<String> {
    if name == "cookie" {
        return cookies(text, change);
    }
    // A scheme, then credentials (RFC 9110 section 11.4).
    let scheme = if name.ends_with("authorization") { text.find(' ').map_or(0, |at| at + 1) } else { 0 };
    let (scheme, value) = text.split_at(scheme);
    let place = format!("header.{name}");
    change(Slot { place: &place, name, value }).map(|put| format!("{scheme}{put}"))
}

fn cookies(text: &str, change: Change<'_>) -> Option<String> {
    let mut changed = false;
    let pairs: Vec<Cow<'_, str>> = text
        .split(';')
        .map(|pair| {
            let Some((name, value)) = pair.split_once('=') else { return pair.into() };
            let place = format!("header.cookie.{}", name.trim());
            let put = change(Slot { place: &place, name: name.trim(), value: value.trim() });
            changed |= put.is_some();
            put.map_or(pair.into(), |put| format!("{name}={put}").into())
        })
        .collect();
    changed.then(|| pairs.join(";"))
}

fn body(headers: &[(String, Vec<u8>)], body: &[u8], change: Change<'_>) -> Option<Vec<u8>> {
    if body.is_empty()
        || body.len() > LONGEST_BODY
        || headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-encoding"))
    {
        return None;
    }
    if Media::of(headers).kind == Kind::Form && !body.starts_with(b"{") {
        return pairs("body", std::str::from_utf8(body).ok()?, change).map(String::into_bytes);
    }
    let mut out = Vec::new();
    let mut done = 0;
    for leaf in fields::leaves(body)? {
        let Some(value) = leaf.leaf.as_str() else { continue };
        let name = last_name(&leaf.place);
        let Some(put) = change(Slot { place: &leaf.place, name: &name, value }) else { continue };
        out.extend_from_slice(&body[done..leaf.at.start]);
        match leaf.leaf {
            // What was a number stays one if it can.
            Leaf::Number(_) if serde_json::from_str::<serde_json::Number>(&put).is_ok() => {
                out.extend_from_slice(put.as_bytes());
            }
            _ => out.extend_from_slice(serde_json::Value::from(put).to_string().as_bytes()),
        }
        done = leaf.at.end;
    }
    if done == 0 {
        return None;
    }
    out.extend_from_slice(&body[done..]);
    Some(out)
}

/// `id` of `body.orders[0].id`; of an item that of its list.
pub fn last_name(place: &str) -> String {
    let name = place.rsplit('.').next().unwrap_or_default();
    let name = name.split('[').next().unwrap_or_default();
    name.trim_matches(['"', '\'']).to_ascii_lowercase()
}

fn decoded(text: &str) -> String {
    String::from_utf8_lossy(&percent_decoded(text.as_bytes())).into_owned()
}

/// Percent-encoded (RFC 3986 section 2.1), all but what is unreserved.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
