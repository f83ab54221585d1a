//! Bodies seen lately. Services fetch the same things again and again; comparing with what is known costs a
//! tenth of hashing and encoding it anew.

use std::collections::{BTreeMap, VecDeque};
use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::quality::FixedState;

use super::redact::{Media, Values};

/// Shorter bodies are hashed as fast as they are looked up.
const SHORTEST: usize = 256;
/// So much of all of them is remembered, in bytes.
const MEMORY: usize = 8 << 20;
/// A body is looked for by its first bytes.
const PREFIX: usize = 64;

/// A body and what a line says of it.
#[derive(Debug)]
pub struct KnownBody {
    /// All of it, as it was sent.
    pub bytes: Vec<u8>,
    /// What was said of it: what is secret in it depends on that.
    pub media: Media,
    /// The secrets in it.
    pub values: Values,
    /// What is stored, if that is something else.
    pub redacted: Option<Vec<u8>>,
    /// The SHA-256 of what is stored.
    pub sha256: [u8; 32],
    /// How a line holds it, quotes included; empty if it is in a file.
    pub encoded: Vec<u8>,
    /// Whether that is its text, and not base64.
    pub is_text: bool,
}

impl KnownBody {
    /// What is stored of it.
    pub fn stored(&self) -> &[u8] {
        self.redacted.as_deref().unwrap_or(&self.bytes)
    }
}

/// The bodies, newest by prefix.
#[derive(Debug, Default)]
pub struct Known {
    bodies: BTreeMap<u64, Arc<KnownBody>>,
    /// Oldest first.
    order: VecDeque<u64>,
    memory: usize,
}

impl Known {
    /// A body of the same kind that begins like this one, to compare the rest with.
    pub fn candidate(&self, beginning: &[u8], media: &Media) -> Option<Arc<KnownBody>> {
        self.bodies.get(&key(beginning)?).filter(|known| known.media == *media).cloned()
    }

    /// Remembers a body.
    pub fn remember(&mut self, body: KnownBody) {
        let Some(key) = key(&body.bytes).filter(|_| body.bytes.len() >= SHORTEST) else { return };
        self.memory += size(&body);
        match self.bodies.insert(key, Arc::new(body)) {
            Some(older) => self.memory -= size(&older),
            None => self.order.push_back(key),
        }
        while self.memory > MEMORY {
            let Some(oldest) = self.order.pop_front() else { return };
            if let Some(body) = self.bodies.remove(&oldest) {
                self.memory -= size(&body);
            }
        }
    }
}

/// Not a secret and need not be: equality is always checked byte by byte.
fn key(bytes: &[u8]) -> Option<u64> {
    Some(FixedState::default().hash_one(bytes.get(..PREFIX)?))
}

fn size(body: &KnownBody) -> usize {
    body.bytes.len() + body.redacted.as_ref().map_or(0, Vec::len) + body.encoded.len() + 256
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(first: u8, length: usize) -> KnownBody {
        KnownBody {
            bytes: vec![first; length],
            media: Media::default(),
            values: Values::default(),
            redacted: None,
            sha256: [0; 32],
            encoded: Vec::new(),
            is_text: true,
        }
    }

    #[test]
    fn memory_stays_bounded_and_the_newest_are_kept() {
        let mut known = Known::default();
        for round in 0..100 {
            known.remember(body(round, 1 << 20));
        }
        assert!(known.memory <= MEMORY && known.bodies.len() == known.order.len());
        assert!(known.candidate(&[99; 64], &Media::default()).is_some());
        assert!(known.candidate(&[0; 64], &Media::default()).is_none());
        assert!(known.candidate(&[99; 64], &Media::opaque()).is_none(), "nor as something else");
    }

    #[test]
    fn one_prefix_has_one_body_and_short_ones_are_not_kept() {
        let mut known = Known::default();
        known.remember(body(1, 1000));
        known.remember(body(1, 2000));
        assert_eq!(known.candidate(&[1; 64], &Media::default()).map(|body| body.bytes.len()), Some(2000));
        assert_eq!(known.memory, 2256);
        known.remember(body(2, SHORTEST - 1));
        assert!(known.candidate(&[2; 64], &Media::default()).is_none());
        assert!(known.candidate(&[1; 63], &Media::default()).is_none());
    }
}
