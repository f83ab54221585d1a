//! Which of too many moments are shown: what is off, what is near to it in time, and of all else an even share.

/// A moment of a run.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// In ns since the run began.
    pub at_ns: u64,
    /// It belongs to a divergence.
    pub is_off: bool,
}

/// The places of at most `room` of `moments`, which are in order of time, in that order. First what is off, from the
/// beginning. Of the room that is left one half is for what is nearest to that or to one of `spots`, if there
/// are any, and the rest for an even share of all others.
pub fn sample(moments: &[Moment], spots: &[u64], room: usize) -> Vec<usize> {
    if moments.len() <= room {
        return (0..moments.len()).collect();
    }
    let (off, mut others): (Vec<usize>, Vec<usize>) = (0..moments.len()).partition(|at| moments[*at].is_off);
    let mut kept: Vec<usize> = off.iter().copied().take(room).collect();
    let mut spots: Vec<u64> = spots.iter().copied().chain(kept.iter().map(|at| moments[*at].at_ns)).collect();
    spots.sort_unstable();
    if !spots.is_empty() {
        let near = (room - kept.len()).div_ceil(2).min(others.len());
        // Stable: of those that are equally near the earlier ones.
        others.sort_by_cached_key(|at| distance(moments[*at].at_ns, &spots));
        kept.extend(others.drain(..near));
        others.sort_unstable();
    }
    let left = room - kept.len();
    kept.extend((0..left).map(|nth| others[nth * others.len() / left]));
    kept.sort_unstable();
    kept
}

/// To the nearest of them.
fn distance(at_ns: u64, spots: &[u64]) -> u64 {
    let behind = spots.partition_point(|it| *it < at_ns);
    let before = behind.checked_sub(1).map(|it| spots[it]);
    let to = before.into_iter().chain(spots.get(behind).copied());
    to.map(|it| it.abs_diff(at_ns)).min().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn moments(count: u64, off: &[u64]) -> Vec<Moment> {
        (0..count).map(|at| Moment { at_ns: 10 * at, is_off: off.contains(&at) }).collect()
    }

    #[test]
    fn all_are_kept_where_there_is_room() {
        assert_eq!(sample(&moments(3, &[1]), &[5], 3), [0, 1, 2]);
    }

    #[test]
    fn without_spots_it_is_an_even_share_from_the_first_on() {
        assert_eq!(sample(&moments(10, &[]), &[], 5), [0, 2, 4, 6, 8]);
    }

    #[test]
    fn what_is_off_comes_first_then_what_is_near() {
        // 50 is off; 900 is where a fault fired: half of the seven left are near to one of both.
        assert_eq!(sample(&moments(100, &[50]), &[905], 8), [0, 31, 49, 50, 51, 66, 90, 91]);
        assert_eq!(sample(&moments(10, &[1, 4, 6, 9]), &[0], 3), [1, 4, 6]);
    }

    proptest! {
        #[test]
        fn it_is_as_much_as_there_is_room_for_and_each_once(
            off in prop::collection::vec(any::<bool>(), 0..60),
            spots in prop::collection::vec(0_u64..600, 0..5),
            room in 0_usize..70,
        ) {
            let mut spots = spots;
            spots.sort_unstable();
            let all: Vec<Moment> =
                off.iter().zip(0..).map(|(is_off, at)| Moment { at_ns: 10 * at, is_off: *is_off }).collect();
            let kept = sample(&all, &spots, room);
            prop_assert_eq!(kept.len(), room.min(all.len()));
            prop_assert!(kept.is_sorted_by(|a, b| a < b));
            let is_kept = |at: &usize| kept.contains(at);
            let first_off = (0..all.len()).filter(|at| all[*at].is_off).take(room);
            prop_assert!(first_off.into_iter().all(|at| is_kept(&at)));
        }
    }
}
