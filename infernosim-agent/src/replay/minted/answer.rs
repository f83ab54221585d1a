//! Values in an answer that a client may carry on.

use std::collections::BTreeMap;

use super::{edit, words};
use crate::incident::redact::{self, Media};
use crate::replay::fields::{self, Content, Leaf};

/// By where they stand: `header.location.path[1]`, `header.set-cookie.sid`, `header.etag`, `body.order.id`.
pub fn values(headers: &[(String, Vec<u8>)], body: &[u8]) -> BTreeMap<Box<str>, Leaf> {
    let mut found = BTreeMap::new();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        let text = String::from_utf8_lossy(value);
        match name.as_str() {
            // Of the server, or of this one answer.
            "date" | "content-length" | "content-type" | "server" | "expires" | "last-modified" | "age" => {}
            "location" | "content-location" => {
                edit::target(&text, &mut |slot| {
                    found.insert(
                        format!("header.{name}.{}", slot.place).into(),
                        Leaf::of(slot.value.as_bytes()),
                    );
                    None
                });
            }
            "set-cookie" => {
                let pair = text.split(';').next().unwrap_or_default();
                if let Some((cookie, value)) = pair.split_once('=') {
                    let place = format!("header.set-cookie.{}", cookie.trim());
                    found.insert(place.into(), Leaf::of(value.trim().as_bytes()));
                }
            }
            _ => {
                found.insert(format!("header.{name}").into(), Leaf::of(text.trim().as_bytes()));
            }
        }
    }
    let mut of_body = fields::Fields::new();
    fields::add_body(&mut of_body, headers, Content::Bytes(body));
    // Text, which is compared as a whole: a page with a form, a line with an id.
    if of_body.keys().all(|name| &**name == "body") && !body.is_empty() {
        let media = Media::of(headers);
        let decoded = redact::decoded(&media, body);
        if !media.is_binary() {
            words::add(&mut found, decoded.as_deref().unwrap_or(body), super::looks_like_id);
        }
    }
    found.extend(of_body);
    found
}
