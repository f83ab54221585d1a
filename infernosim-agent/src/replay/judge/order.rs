//! Whether the calls of one cause came in their recorded order.

/// A call that has its counterpart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// When the recorded one began, in ns.
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// Its place among the live calls.
    pub asked: u32,
}

/// The first of these calls (in recorded order) before which another one came that began only after it was over in the
/// recording; and that other one, the first that came. What overlapped in the recording has no order.
pub fn first_disorder(calls: &[Ordered]) -> Option<(usize, usize)> {
    // Stable: what began at the same time stays in recorded order.
    let mut by_start: Vec<usize> = (0..calls.len()).collect();
    by_start.sort_by_key(|&at| calls[at].start_ns);
    let mut rank = vec![0; calls.len()];
    by_start.iter().enumerate().for_each(|(place, &at)| rank[at] = place);
    // From each place on, the one that came first.
    let mut earliest = by_start.clone();
    for at in (0..earliest.len().saturating_sub(1)).rev() {
        if calls[earliest[at + 1]].asked < calls[earliest[at]].asked {
            earliest[at] = earliest[at + 1];
        }
    }
    calls.iter().enumerate().find_map(|(at, call)| {
        let later = by_start.partition_point(|&other| calls[other].start_ns < call.end_ns);
        let other = *earliest.get(later.max(rank[at] + 1))?;
        (calls[other].asked < call.asked).then_some((at, other))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn calls(calls: &[(u64, u64, u32)]) -> Vec<Ordered> {
        calls.iter().map(|&(start_ns, end_ns, asked)| Ordered { start_ns, end_ns, asked }).collect()
    }

    #[test]
    fn the_first_that_came_too_late_is_told() {
        for (list, expected) in [
            (&[][..], None),
            (&[(0, 1, 0)], None),
            (&[(0, 1, 0), (1, 2, 1), (2, 3, 2)], None),
            (&[(0, 1, 1), (1, 2, 0), (2, 3, 2)], Some((0, 1))),
            (&[(0, 1, 0), (1, 2, 2), (2, 3, 1)], Some((1, 2))),
            (&[(0, 1, 2), (1, 2, 1), (2, 3, 0)], Some((0, 2))),
            // Together in the recording.
            (&[(0, 5, 1), (1, 4, 0)], None),
            (&[(0, 5, 2), (1, 4, 0), (6, 7, 1)], Some((0, 2))),
            // Logs that know no durations.
            (&[(3, 3, 0), (3, 3, 1)], None),
            (&[(3, 3, 1), (3, 3, 0)], Some((0, 1))),
        ] {
            assert_eq!(first_disorder(&calls(list)), expected, "{list:?}");
        }
    }

    proptest! {
        #[test]
        fn as_defined(
            times in proptest::collection::vec((0_u64..20, 0_u64..6), 0..8), shuffle in Just((0..8_u32).collect::<Vec<_>>()).prop_shuffle()
        ) {
            let mut times = times;
            times.sort_unstable();
            let list: Vec<_> =
                times.iter().zip(shuffle).map(|(&(start, took), asked)| (start, start + took, asked)).collect();
            let list = calls(&list);
            let is_wrong = |a: usize, b: usize| {
                a < b && list[a].end_ns <= list[b].start_ns && list[b].asked < list[a].asked
            };
            let expected = (0..list.len()).find(|&a| (0..list.len()).any(|b| is_wrong(a, b)));
            let found = first_disorder(&list);
            prop_assert_eq!(found.map(|it| it.0), expected);
            if let Some((a, b)) = found {
                prop_assert!(is_wrong(a, b));
                prop_assert!((0..list.len()).all(|c| !is_wrong(a, c) || list[b].asked <= list[c].asked));
            }
        }
    }
}
