//! Bodies as fields.

use super::{Fields, Leaf, MOST_FIELDS, json, multipart};
use crate::incident::redact::{Kind, Media};

/// Longer content is not looked into, in bytes.
const LONGEST: usize = 8 << 20;

/// A body as it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// All of it, content coding kept.
    Bytes(&'a [u8]),
    /// Too long to be held: size and SHA-256.
    Digest(u64, [u8; 32]),
}

/// Adds the fields of a body: JSON and forms by what is in them, all else whole. Content coding makes no difference.
pub fn add_body(fields: &mut Fields, headers: &[(String, Vec<u8>)], body: Content<'_>) {
    let bytes = match body {
        Content::Digest(size, sha256) => {
            fields.insert("body".into(), Leaf::Digest(size, sha256));
            return;
        }
        Content::Bytes([]) => return,
        Content::Bytes(bytes) => bytes,
    };
    let media = Media::of(headers);
    let decoded = crate::incident::redact::decoded(&media, bytes);
    let content = decoded.as_deref().unwrap_or(bytes);
    if content.len() > LONGEST || !add_known(fields, &media.kind, content) {
        fields.insert("body".into(), Leaf::of(content));
    }
}

/// By what is in it; false: that is not known, or too much.
fn add_known(fields: &mut Fields, kind: &Kind, content: &[u8]) -> bool {
    let found = match kind {
        Kind::Binary | Kind::Events => None,
        Kind::Multipart(boundary) if !boundary.is_empty() => multipart::fields(boundary, content),
        Kind::Json => json::fields(content),
        _ if matches!(content.trim_ascii_start().first(), Some(b'{' | b'[')) => json::fields(content),
        Kind::Form => {
            let mut found = Fields::new();
            super::add_pairs(&mut found, "body", content);
            Some(found)
        }
        _ => None,
    };
    match found {
        Some(found) if found.len() <= MOST_FIELDS => {
            fields.extend(found);
            true
        }
        _ => false,
    }
}
