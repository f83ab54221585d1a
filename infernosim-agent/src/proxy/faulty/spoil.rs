//! Bytes that arrive as others.

use bytes::BytesMut;

use super::chain::{Piece, Stage};
use crate::seed::Ids;

/// Of each so many bytes that pass one is spoilt, until there were enough.
const WITHIN: u64 = 64;

/// Some of the first bytes are others.
pub struct Spoiled {
    left: u64,
    count: u64,
    /// How many pass before the next.
    wait: u64,
    dice: Ids,
}

impl Spoiled {
    pub fn new(count: u64, key: u64) -> Self {
        let mut dice = Ids::from_key([key, 0]);
        let wait = within(&mut dice);
        Self { left: count, count, wait, dice }
    }
}

impl Stage for Spoiled {
    fn take(&mut self, at: u64, piece: Piece, out: &mut Vec<(u64, Piece)>) -> Option<String> {
        let Piece::Bytes(bytes) = piece else {
            out.push((at, piece));
            return None;
        };
        if self.left == 0 {
            out.push((at, Piece::Bytes(bytes)));
            return None;
        }
        let mut bytes = BytesMut::from(bytes);
        let before = self.left;
        let mut place = self.wait;
        while self.left > 0 && place < bytes.len() as u64 {
            // Never 0: the byte is another.
            let other = u8::try_from(self.dice.draw() % 255 + 1).unwrap_or(1);
            bytes[usize::try_from(place).unwrap_or(0)] ^= other;
            self.left -= 1;
            place += 1 + within(&mut self.dice);
        }
        self.wait = place.saturating_sub(bytes.len() as u64);
        out.push((at, Piece::Bytes(bytes.freeze())));
        (self.left < before)
            .then(|| format!("{} of {} bytes spoilt at first", before - self.left, self.count))
    }
}

fn within(dice: &mut Ids) -> u64 {
    u64::try_from(dice.draw() % u128::from(WITHIN)).unwrap_or(0)
}
