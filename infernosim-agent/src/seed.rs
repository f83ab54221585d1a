//! The only source of randomness.

use std::fs::File;
use std::io::Read as _;

use sha2::{Digest as _, Sha256};

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

/// A number for people to write down, from the kernel's generator: below 2^32.
///
/// # Errors
/// `Exit::Host` if that cannot be read.
pub fn draw() -> Result<u64> {
    from_kernel::<4>().map(|bytes| u64::from(u32::from_le_bytes(bytes)))
}

/// Random numbers by their place: what is drawn at one shifts nothing at another, in whichever order they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dice([u64; 2]);

impl Dice {
    /// Keyed by all of `parts`; where one ends and the next begins counts.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        Self([0, 8].map(|at| {
            let mut word = [0; 8];
            word.copy_from_slice(&digest[at..at + 8]);
            u64::from_le_bytes(word)
        }))
    }

    /// The number at a place.
    pub const fn word(self, row: u64, column: u64) -> u64 {
        mix(mix(self.0[0] ^ mix(row)) ^ self.0[1].wrapping_add(mix(column)))
    }

    /// The same, from 0 to below 1.
    pub fn chance(self, row: u64, column: u64) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "53 bits are exact")]
        let high = (self.word(row, column) >> 11) as f64;
        high / (1_u64 << 53) as f64
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

    #[test]
    fn dice_are_even_and_independent() {
        let dice = Dice::of(&[b"seed", b"site"]);
        assert_eq!(dice, Dice::of(&[b"seed", b"site"]));
        assert_ne!(dice, Dice::of(&[b"seeds", b"ite"]));
        let mut buckets = [0_u32; 16];
        let (mut sum, mut product) = (0.0, 0.0);
        for at in 0..64_000 {
            let (own, next) = (dice.chance(at, 0), dice.chance(at + 1, 0));
            buckets[(own * 16.0) as usize] += 1;
            sum += own;
            product += (own - 0.5) * (next - 0.5);
        }
        // 4000 in each, whose deviation is 61: five of them.
        assert!(buckets.iter().all(|count| count.abs_diff(4000) < 310), "{buckets:?}");
        assert!((sum / 64_000.0 - 0.5).abs() < 0.006, "{sum}");
        assert!((product / 64_000.0).abs() < 0.002, "neighbours are alike: {product}");
        let along: f64 = (0..64_000).map(|at| dice.chance(7, at)).sum();
        assert!((along / 64_000.0 - 0.5).abs() < 0.006, "{along}");
    }
}
