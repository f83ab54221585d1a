//! What changes when bytes arrive, and in which pieces, and leaves them as they are.

use super::chain::{Piece, Stage};
use crate::seed::Ids;

/// Pieces a second, so that a narrow line looks like one: a piece every 20 ms.
const STEPS: u64 = 50;
const SECOND_NS: u64 = 1_000_000_000;

/// Every piece comes later.
pub struct Delayed {
    ns: u64,
    jitter_ns: u64,
    dice: Ids,
}

impl Delayed {
    pub const fn new(ns: u64, jitter_ns: u64, dice: Ids) -> Self {
        Self { ns, jitter_ns, dice }
    }
}

impl Stage for Delayed {
    fn take(&mut self, at: u64, piece: Piece, out: &mut Vec<(u64, Piece)>) -> Option<String> {
        let ns = around(self.ns, self.jitter_ns, &mut self.dice);
        let note = matches!(piece, Piece::Bytes(_)).then(|| format!("bytes passed on {} later", time(ns)));
        out.push((at.saturating_add(ns), piece));
        note
    }
}

/// So many bytes a second.
pub struct Narrow {
    rate: u64,
    /// When what was sent before has passed.
    free: u64,
}

impl Narrow {
    pub fn new(rate: u64) -> Self {
        Self { rate: rate.max(1), free: 0 }
    }
}

impl Stage for Narrow {
    fn take(&mut self, at: u64, piece: Piece, out: &mut Vec<(u64, Piece)>) -> Option<String> {
        // What comes a little late, for timers and readers are, makes that up; idle time is not saved up.
        if at > self.free.saturating_add(SECOND_NS / STEPS) {
            self.free = at;
        }
        let Piece::Bytes(mut bytes) = piece else {
            out.push((self.free.max(at), piece));
            return None;
        };
        let most = usize::try_from((self.rate / STEPS).max(1)).unwrap_or(usize::MAX);
        while !bytes.is_empty() {
            let part = bytes.split_to(bytes.len().min(most));
            let ns = u128::from(part.len() as u64) * u128::from(SECOND_NS) / u128::from(self.rate);
            self.free = self.free.saturating_add(u64::try_from(ns).unwrap_or(u64::MAX));
            out.push((self.free, Piece::Bytes(part)));
        }
        Some(format!("bytes passed on at {} B/s", self.rate))
    }
}

/// Small pieces.
pub struct Sliced {
    size: u64,
    variation: u64,
    delay_ns: u64,
    dice: Ids,
    free: u64,
}

impl Sliced {
    pub const fn new(size: u64, variation: u64, delay_ns: u64, dice: Ids) -> Self {
        Self { size, variation, delay_ns, dice, free: 0 }
    }
}

impl Stage for Sliced {
    fn take(&mut self, at: u64, piece: Piece, out: &mut Vec<(u64, Piece)>) -> Option<String> {
        self.free = self.free.max(at);
        let Piece::Bytes(mut bytes) = piece else {
            out.push((self.free, piece));
            return None;
        };
        let whole = bytes.len();
        while !bytes.is_empty() {
            let size = around(self.size, self.variation, &mut self.dice).max(1);
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            let part = bytes.split_to(bytes.len().min(size));
            out.push((self.free, Piece::Bytes(part)));
            self.free = self.free.saturating_add(self.delay_ns);
        }
        (out.len() > 1).then(|| format!("{whole} bytes in {} pieces", out.len()))
    }
}

/// `middle`, and up to `variation` more or less.
fn around(middle: u64, variation: u64, dice: &mut Ids) -> u64 {
    if variation == 0 {
        return middle;
    }
    let range = u128::from(variation) * 2 + 1;
    let drawn = u64::try_from(dice.draw() % range).unwrap_or(0);
    middle.saturating_add(drawn).saturating_sub(variation)
}

/// `213.4ms`.
pub fn time(ns: u64) -> String {
    format!("{:.1}ms", ns as f64 / 1e6)
}
