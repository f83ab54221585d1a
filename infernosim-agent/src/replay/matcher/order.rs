//! The recorded calls in an order in which all that may stand for a live one stand together, and which of them are left.

use std::ops::Range;

/// Calls, sorted; and where the next unused one is.
#[derive(Debug)]
pub struct Order {
    /// Indices of calls.
    calls: Vec<u32>,
    /// By place: a later place before which all from here on are used. Shortened while it is walked, so that a long run of
    /// used ones is walked once.
    next: Vec<u32>,
}

impl Order {
    /// Of so many calls.
    pub fn new<K: Ord>(count: usize, key: impl Fn(u32) -> K) -> Self {
        let mut calls: Vec<u32> = (0..count as u32).collect();
        calls.sort_by_cached_key(|call| (key(*call), *call));
        let next = (0..calls.len() as u32).collect();
        Self { calls, next }
    }

    /// All are unused again.
    pub fn reset(&mut self) {
        for (place, next) in self.next.iter_mut().enumerate() {
            *next = place as u32;
        }
    }

    /// The places of those that are neither less nor greater.
    pub fn range(&self, compare: impl Fn(u32) -> std::cmp::Ordering) -> Range<usize> {
        let start = self.calls.partition_point(|call| compare(*call).is_lt());
        // There are few of them as a rule: in steps that grow.
        let rest = &self.calls[start..];
        let mut reached = 0;
        let mut step = 1;
        while rest.get(reached + step - 1).is_some_and(|call| compare(*call).is_eq()) {
            reached += step;
            step *= 2;
        }
        let last = &rest[reached..rest.len().min(reached + step)];
        start..start + reached + last.partition_point(|call| compare(*call).is_eq())
    }

    /// The first of these places whose call is unused, and the call.
    pub fn first(&mut self, range: Range<usize>, used: &[bool]) -> Option<(usize, u32)> {
        let place = self.find(range.start, used);
        (place < range.end).then(|| (place, self.calls[place]))
    }

    /// The calls at these places, used or not.
    pub fn all(&self, range: Range<usize>) -> &[u32] {
        &self.calls[range]
    }

    /// The first place from this one on whose call is unused; the length if there is none.
    fn find(&mut self, start: usize, used: &[bool]) -> usize {
        let mut place = start;
        while place < self.calls.len() && used[self.calls[place] as usize] {
            place = (self.next[place] as usize).max(place + 1);
        }
        // All that were walked over lead here from now on.
        let (mut at, end) = (start, place as u32);
        while at < place {
            let step = (self.next[at] as usize).max(at + 1);
            self.next[at] = end;
            at = step;
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_unused_is_found_however_they_are_used(keys in prop::collection::vec(0u8..3, 1..40), asked in prop::collection::vec(0u8..4, 0..60)) {
            let mut order = Order::new(keys.len(), |call| keys[call as usize]);
            let mut used = vec![false; keys.len()];
            for key in asked {
                let range = order.range(|call| keys[call as usize].cmp(&key));
                let expected = (0..keys.len()).find(|call| keys[*call] == key && !used[*call]);
                let found = order.first(range, &used).map(|(_, call)| call as usize);
                prop_assert_eq!(found, expected);
                if let Some(call) = found {
                    used[call] = true;
                }
            }
        }
    }
}
