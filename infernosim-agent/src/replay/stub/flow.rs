//! When which bytes of an answer go out: as they came in the recording, and slower or in smaller pieces where a fault
//! says so. Pure: times are ns from the first byte's.

use crate::seed::mix;

/// How often a second bytes go out that are slowed down: each time what the rate allows since the last.
const STEPS: u64 = 50;
const SECOND: u128 = 1_000_000_000;

/// Pieces in order: when each is due, in ns, and how many bytes it has. They sum up to the whole.
#[derive(Clone, Debug, Default)]
pub struct Pieces {
    recorded: std::vec::IntoIter<(u64, usize)>,
    /// Of all bytes, those that are not given yet.
    left: usize,
    /// The recorded piece that is being given: its time, what is left of it.
    piece: (u64, usize),
    /// What is left of the slice.
    slice_left: usize,
    slices: u64,
    flow: Flow,
    /// When the last piece was due.
    last_ns: u64,
}

/// What slows bytes down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Bytes a second, from 1.
    pub rate: Option<u64>,
    /// Cut into pieces.
    pub slice: Option<Slice>,
}

/// How bytes are cut into pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// About so many bytes each.
    pub size: u64,
    /// That many more or less.
    pub variation: u64,
    /// So many ns apart.
    pub delay_ns: u64,
    /// For their sizes.
    pub key: u64,
}

impl Pieces {
    /// Of so many bytes that came in these pieces, (ns, bytes); bytes beyond them come with the last.
    pub fn new(recorded: Vec<(u64, usize)>, whole: usize, flow: Flow) -> Self {
        Self { recorded: recorded.into_iter(), left: whole, flow, ..Self::default() }
    }

    /// So many bytes more came at this time, once all before were given.
    pub fn more(&mut self, at_ns: u64, bytes: usize) {
        self.recorded = vec![(at_ns, bytes)].into_iter();
        self.left = bytes;
    }

    /// How many bytes the next slice has.
    fn next_slice(&mut self) -> usize {
        let Some(Slice { size, variation, key, .. }) = self.flow.slice else { return usize::MAX };
        self.slices += 1;
        let variation = variation.min(size);
        let least = size.saturating_sub(variation);
        let drawn = mix(key.wrapping_add(self.slices));
        let size = least.saturating_add(drawn % variation.saturating_mul(2).saturating_add(1));
        usize::try_from(size.max(1)).unwrap_or(usize::MAX)
    }
}

impl Iterator for Pieces {
    type Item = (u64, usize);

    fn next(&mut self) -> Option<(u64, usize)> {
        while self.piece.1 == 0 && self.left > 0 {
            let (due, bytes) = self.recorded.next().unwrap_or((self.piece.0, self.left));
            let is_last = self.recorded.len() == 0;
            self.piece = (due, if is_last { self.left } else { bytes.min(self.left) });
        }
        if self.left == 0 {
            return None;
        }
        let mut due = self.piece.0.max(self.last_ns);
        if self.slice_left == 0 {
            if self.slices > 0 {
                due = due.max(self.last_ns.saturating_add(self.flow.slice.map_or(0, |slice| slice.delay_ns)));
            }
            self.slice_left = self.next_slice();
        }
        let mut bytes = self.piece.1.min(self.slice_left);
        if let Some(rate) = self.flow.rate {
            let rate = rate.max(1);
            bytes = bytes.min(usize::try_from((rate / STEPS).max(1)).unwrap_or(usize::MAX));
            let takes = bytes as u128 * SECOND / u128::from(rate);
            due = due.saturating_add(u64::try_from(takes).unwrap_or(u64::MAX));
        }
        self.piece.1 -= bytes;
        self.left -= bytes;
        self.slice_left = self.slice_left.saturating_sub(bytes);
        self.last_ns = due;
        Some((due, bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(recorded: &[(u64, usize)], whole: usize, flow: Flow) -> Vec<(u64, usize)> {
        Pieces::new(recorded.to_vec(), whole, flow).collect()
    }

    #[test]
    fn without_a_fault_it_is_as_recorded() {
        let none = Flow::default();
        assert_eq!(all(&[(0, 3), (50, 2)], 5, none), [(0, 3), (50, 2)]);
        // More, or less, than the recording says.
        assert_eq!(all(&[(0, 3), (50, 2)], 9, none), [(0, 3), (50, 6)]);
        assert_eq!(all(&[(0, 3), (50, 2)], 2, none), [(0, 2)]);
        assert_eq!(all(&[], 7, none), [(0, 7)]);
        assert_eq!(all(&[], 0, none), []);
    }

    #[test]
    fn a_rate_is_kept_from_the_first_byte_on() {
        let flow = Flow { rate: Some(1_000), slice: None };
        let pieces = all(&[], 100, flow);
        assert_eq!(pieces, [20, 40, 60, 80, 100].map(|ms| (ms * 1_000_000, 20)));
        let slowest = all(&[], 2, Flow { rate: Some(1), slice: None });
        assert_eq!(slowest, [(1_000_000_000, 1), (2_000_000_000, 1)]);
    }

    #[test]
    fn slices_are_apart() {
        let flow = Flow { rate: None, slice: Some(Slice { size: 4, delay_ns: 10, ..Slice::default() }) };
        assert_eq!(all(&[], 10, flow), [(0, 4), (10, 4), (20, 2)]);
        let slice = Some(Slice { size: 10, variation: 5, delay_ns: 0, key: 7 });
        let varied = all(&[], 1_000, Flow { rate: None, slice });
        assert!(varied[..varied.len() - 1].iter().all(|(_, bytes)| (5..=15).contains(bytes)), "{varied:?}");
        assert!(varied.iter().any(|(_, bytes)| *bytes != 10));
    }

    #[test]
    fn what_comes_piece_by_piece_keeps_the_rate_and_the_slices() {
        let slice = Some(Slice { size: 4, delay_ns: 10, ..Slice::default() });
        let mut pieces = Pieces::new(Vec::new(), 0, Flow { rate: None, slice });
        let mut came = |at, bytes| {
            pieces.more(at, bytes);
            pieces.by_ref().collect::<Vec<_>>()
        };
        assert_eq!(came(0, 6), [(0, 4), (10, 2)]);
        assert_eq!(came(5, 3), [(10, 2), (20, 1)]);
        let mut pieces = Pieces::new(Vec::new(), 0, Flow { rate: Some(1_000), slice: None });
        pieces.more(0, 20);
        pieces.by_ref().for_each(drop);
        pieces.more(1, 20);
        assert_eq!(pieces.next(), Some((40_000_000, 20)));
    }

    proptest! {
        #[test]
        fn all_bytes_go_out_once_and_in_order(
            recorded in prop::collection::vec((0_u64..1_000, 0_usize..50), 0..8),
            whole in 0_usize..300,
            rate in prop::option::of(1_u64..100_000),
            slice in prop::option::of((0_u64..40, 0_u64..60, 0_u64..100)),
        ) {
            let slice =
                slice.map(|(size, variation, delay_ns)| Slice { size, variation, delay_ns, key: size });
            let pieces = all(&recorded, whole, Flow { rate, slice });
            prop_assert_eq!(pieces.iter().map(|(_, bytes)| bytes).sum::<usize>(), whole);
            prop_assert!(pieces.iter().all(|(_, bytes)| *bytes > 0));
            prop_assert!(pieces.windows(2).all(|two| two[0].0 <= two[1].0));
            if let (Some(rate), Some((due, _))) = (rate, pieces.last()) {
                prop_assert!(u128::from(*due) + 1 + whole as u128 >= whole as u128 * SECOND / u128::from(rate));
            }
        }
    }
}
