//! How long answers took, of any number of them in bounded room.

use std::collections::BTreeMap;

/// So many bits of a time are kept: to a thousandth.
const BITS: u32 = 11;

/// How often each time occurred, to a thousandth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// By (bits that were left out, the others).
    counts: BTreeMap<(u32, u64), u64>,
    count: u64,
    most_ns: u64,
}

impl Latencies {
    /// One more.
    pub fn add(&mut self, ns: u64) {
        let dropped = (u64::BITS - ns.leading_zeros()).saturating_sub(BITS);
        *self.counts.entry((dropped, ns >> dropped)).or_default() += 1;
        self.count += 1;
        self.most_ns = self.most_ns.max(ns);
    }

    /// Those of another run as well.
    pub fn join(&mut self, other: &Self) {
        for (key, count) in &other.counts {
            *self.counts.entry(*key).or_default() += count;
        }
        self.count += other.count;
        self.most_ns = self.most_ns.max(other.most_ns);
    }

    /// The least time, to a thousandth and not too small, that so many of a thousand are not above; none of none.
    pub fn quantile(&self, thousandths: u64) -> Option<u64> {
        let rank = (u128::from(self.count) * u128::from(thousandths)).div_ceil(1000).max(1);
        let mut seen = 0_u128;
        let found = self.counts.iter().find(|(_, count)| {
            seen += u128::from(**count);
            seen >= rank
        });
        found.map(|((dropped, rest), _)| (((rest + 1) << dropped) - 1).min(self.most_ns))
    }

    /// The longest; none of none.
    pub fn most(&self) -> Option<u64> {
        (self.count > 0).then_some(self.most_ns)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn quantiles_are_right_to_a_thousandth(mut all in prop::collection::vec(0_u64..1 << 50, 1..200), thousandths in 1_u64..=1000) {
            let (mut one, mut other) = (Latencies::default(), Latencies::default());
            for (at, ns) in all.iter().enumerate() {
                if at % 2 == 0 { one.add(*ns) } else { other.add(*ns) }
            }
            one.join(&other);
            all.sort_unstable();
            let rank = (all.len() as u64 * thousandths).div_ceil(1000).max(1) as usize;
            let (exact, found) = (all[rank - 1], one.quantile(thousandths).unwrap());
            prop_assert!(found >= exact && found - exact <= exact / 1000, "{found} for {exact}");
            prop_assert_eq!(one.most(), all.last().copied());
        }
    }

    #[test]
    fn of_none_there_is_none() {
        let none = Latencies::default();
        assert_eq!((none.quantile(500), none.most()), (None, None));
    }
}
