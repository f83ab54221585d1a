//! The only source of randomness.

use std::fs::File;
use std::io::Read as _;

use crate::error::{Exit, ExpectedError, Result};

/// A generator of identifiers: never the same one twice from one generator, and two generators as good as
/// never agree. Not for secrets.
#[derive(Clone, Debug)]
pub struct Ids {
    key: [u64; 2],
    next: u64,
}

impl Ids {
    /// Keyed from the kernel's generator.
    pub fn from_system() -> Result<Self> {
        let bytes: [u8; 16] = from_kernel()?;
        let [high, low] = [0, 8].map(|at| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        });
        Ok(Self::from_key([high, low]))
    }

    /// With a given key: the same key gives the same identifiers.
    pub const fn from_key(key: [u64; 2]) -> Self {
        Self { key, next: 0 }
    }

    /// The next identifier: 128 bits, spread over their whole length so that a short prefix tells them apart.
    pub fn draw(&mut self) -> u128 {
        self.next += 1;
        let high = mix(self.key[0] ^ self.next);
        let low = mix(self.key[1].wrapping_add(self.next));
        u128::from(high) << 64 | u128::from(low)
    }
}

/// A key that nobody can guess, from the kernel's generator.
///
/// # Errors
/// `Exit::Host` if that cannot be read.
pub fn key() -> Result<[u8; 32]> {
    from_kernel()
}

fn from_kernel<const BYTES: usize>() -> Result<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| ExpectedError::new(Exit::Host, format!("/dev/urandom cannot be read: {error}")))?;
    Ok(bytes)
}

/// Spreads the bits of a word. The finaliser of SplitMix64 (Steele, Lea and Flood 2014), a bijection: distinct in, distinct out.
pub const fn mix(mut word: u64) -> u64 {
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn identifiers_repeat_by_key_and_never_within_one() {
        let (mut a, mut b, mut c) = (Ids::from_key([1, 2]), Ids::from_key([1, 2]), Ids::from_key([3, 2]));
        let ids: BTreeSet<u128> = (0..10_000).map(|_| a.draw()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!((0..10_000).all(|_| ids.contains(&b.draw())));
        assert!(!ids.contains(&c.draw()));
        // The first eight hex digits are enough to name one of ten thousand, nearly always.
        assert!(ids.iter().map(|id| id >> 96).collect::<BTreeSet<_>>().len() > 9_990);
    }
}
