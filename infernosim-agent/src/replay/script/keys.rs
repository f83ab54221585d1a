//! What calls are matched by, as numbers: equal content, equal numbers, recorded or live.

use sha2::{Digest as _, Sha256};

use crate::replay::fields::{self, Content, Digest, Fields};

/// The parts of a request that a counterpart may have to be equal in, the strictest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// Path, and query and body by their fields.
    pub exact: Digest,
    /// The same but for ids and times by their shape; the path by its template.
    pub masked: Digest,
    /// Path.
    pub path: Digest,
}

impl Keys {
    /// Of a request with these fields; `near`: its now, in ns since the Unix epoch.
    pub fn of(path: &str, fields: &Fields, near: i128) -> Self {
        let path_digest = fields::joined(&[path.as_bytes()]);
        Self {
            exact: fields::joined(&[path.as_bytes(), &fields::plain(fields).to_le_bytes()]),
            masked: fields::masked(fields, near),
            path: path_digest,
        }
    }
}

/// What tells, without a look into the body, that two requests have equal keys: target, media type and coding, and the body
/// byte for byte.
pub fn raw(target: &str, headers: &[(String, Vec<u8>)], sha256: &[u8]) -> Digest {
    let value = |wanted: &str| {
        headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map_or(&[][..], |(_, value)| value)
    };
    let (path, query) = fields::split_target(target);
    fields::joined(&[
        path.as_bytes(),
        query.as_bytes(),
        value("content-type"),
        value("content-encoding"),
        sha256,
    ])
}

/// The SHA-256 of a body; of none, nothing.
pub fn sha256(body: Content<'_>) -> Vec<u8> {
    match body {
        Content::Bytes([]) => Vec::new(),
        Content::Bytes(bytes) => Sha256::digest(bytes).to_vec(),
        Content::Digest(_, sha256) => sha256.to_vec(),
    }
}
