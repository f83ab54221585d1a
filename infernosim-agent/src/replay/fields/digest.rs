//! Fields as one number: equal fields, equal numbers, and as good as never the other way round.

use std::borrow::Cow;

use sha2::Sha256;

use super::{Fields, Leaf, is_id_like, is_time};
use crate::incident::redact::spot;

/// The first 64 bits of a SHA-256.
pub type Digest = u64;

/// Of all of it.
pub fn plain(fields: &Fields) -> Digest {
    of(fields, |_| None)
}

/// Of all but secrets, and what is an id or a time by its shape; `near`: the now of the message, in ns since the Unix epoch.
pub fn masked(fields: &Fields, near: i128) -> Digest {
    of(fields, |leaf| {
        if is_time(leaf, near) {
            return Some("time".into());
        }
        // A secret's token looks like an id by chance only, and a signature is another in each run.
        let secret = match leaf.as_str().map(spot::mask) {
            Some(Cow::Owned(masked)) => Some(masked.into()),
            Some(Cow::Borrowed(_)) | None => None,
        };
        secret.or_else(|| is_id_like(leaf).then_some("id".into()))
    })
}

fn of(fields: &Fields, mask: impl Fn(&Leaf) -> Option<Cow<'static, str>>) -> Digest {
    let mut hash = Sha256::default();
    let mut add = |kind: u8, bytes: &[u8]| {
        use sha2::Digest as _;
        hash.update([kind]);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for (name, leaf) in fields {
        add(0, name.as_bytes());
        if let Some(word) = mask(leaf) {
            add(1, word.as_bytes());
            continue;
        }
        match leaf {
            Leaf::Null => add(2, b""),
            Leaf::Bool(value) => add(3, &[u8::from(*value)]),
            Leaf::Number(text) => add(4, text.as_bytes()),
            Leaf::Text(text) => add(5, text.as_bytes()),
            Leaf::Digest(_, sha256) => add(6, sha256),
            Leaf::Empty(text) => add(7, text.as_bytes()),
        }
    }
    first(&hash)
}

/// The first 64 bits.
fn first(hash: &Sha256) -> Digest {
    use sha2::Digest as _;
    short(&hash.clone().finalize())
}

/// The first 64 bits of a SHA-256.
pub fn short(sha256: &[u8]) -> Digest {
    sha256.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// Of several, in this order.
pub fn joined(parts: &[&[u8]]) -> Digest {
    use sha2::Digest as _;
    let mut hash = Sha256::default();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    first(&hash)
}
