//! Which exchanges stand in another order. What went on at the same time has none.

use super::seen::Seen;

/// From when to when, in each incident.
#[derive(Clone, Copy, Debug)]
struct Spans {
    pair: (usize, usize),
    a: (i64, i64),
    b: (i64, i64),
}

/// The fewest pairs that have to be moved to bring the second incident into the order of the first; of these only such
/// as were over before the other began in the one, and began after the other was over in the other.
pub(super) fn moved(both: &[(usize, usize)], a: &[Seen], b: &[Seen]) -> Vec<(usize, usize)> {
    let ordered: Vec<(usize, usize)> =
        both.iter().copied().filter(|&(at, bt)| a[at].ordered && b[bt].ordered).collect();
    let timed = ordered.iter().all(|&(at, bt)| a[at].began.is_some() && b[bt].began.is_some());
    let span = |seen: &Seen, index: usize| match seen.began {
        Some(began) if timed => (began, began.saturating_add_unsigned(seen.duration)),
        // Old logs without times: the order of their lines.
        _ => {
            let place = i64::try_from(index).unwrap_or(i64::MAX);
            (place, place)
        }
    };
    let mut spans: Vec<Spans> = ordered
        .iter()
        .map(|&(at, bt)| Spans { pair: (at, bt), a: span(&a[at], at), b: span(&b[bt], bt) })
        .collect();
    spans.sort_by_key(|it| (it.a.0, it.pair));
    let stays = longest_rising(&spans);
    // By when they began in A: the earliest end in B of all from there on.
    let mut earliest_end = vec![i64::MAX; spans.len() + 1];
    for at in (0..spans.len()).rev() {
        earliest_end[at] = earliest_end[at + 1].min(spans[at].b.1);
    }
    // By when they ended in A: the latest beginning in B of all up to there.
    let mut by_end: Vec<(i64, i64)> = spans.iter().map(|it| (it.a.1, it.b.0)).collect();
    by_end.sort_unstable();
    let mut latest = i64::MIN;
    for (_, began) in &mut by_end {
        latest = latest.max(*began);
        *began = latest;
    }
    let turned = |it: &Spans| {
        let after = spans.partition_point(|other| other.a.0 <= it.a.1);
        let before = by_end.partition_point(|(end, _)| *end < it.a.0);
        earliest_end[after] < it.b.0 || before > 0 && by_end[before - 1].1 > it.b.1
    };
    spans.iter().zip(stays).filter(|(it, stays)| !stays && turned(it)).map(|(it, _)| it.pair).collect()
}

/// Which of them are in one longest row that rises in both.
fn longest_rising(spans: &[Spans]) -> Vec<bool> {
    let key = |at: usize| (spans[at].b.0, spans[at].pair.1);
    // The last of the best row of each length, and who stands before each.
    let (mut tails, mut before): (Vec<usize>, Vec<Option<usize>>) = (Vec::new(), Vec::new());
    for at in 0..spans.len() {
        let length = tails.partition_point(|&tail| key(tail) < key(at));
        before.push(length.checked_sub(1).map(|shorter| tails[shorter]));
        if length == tails.len() { tails.push(at) } else { tails[length] = at }
    }
    let mut stays = vec![false; spans.len()];
    let mut at = tails.last().copied();
    while let Some(index) = at {
        stays[index] = true;
        at = before[index];
    }
    stays
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Began, took.
    fn seen(spans: &[(i64, u64)]) -> Vec<Seen> {
        let one = |(began, duration): &(i64, u64)| Seen {
            began: Some(*began),
            duration: *duration,
            ordered: true,
            ..Seen::default()
        };
        spans.iter().map(one).collect()
    }

    fn moved_of(a: &[(i64, u64)], b: &[(i64, u64)]) -> Vec<usize> {
        let both: Vec<_> = (0..a.len()).map(|at| (at, at)).collect();
        moved(&both, &seen(a), &seen(b)).into_iter().map(|(at, _)| at).collect()
    }

    #[test]
    fn the_fewest_are_moved() {
        let a = [(0, 5), (10, 5), (20, 5), (30, 5)];
        assert_eq!(moved_of(&a, &a), [0; 0]);
        assert_eq!(moved_of(&a, &[(0, 5), (50, 5), (20, 5), (30, 5)]), [1]);
        assert_eq!(moved_of(&a, &[(30, 1), (0, 1), (10, 1), (20, 1)]), [0]);
    }

    #[test]
    fn what_went_on_together_has_no_order() {
        assert_eq!(moved_of(&[(0, 100), (10, 5)], &[(20, 100), (10, 5)]), [0; 0]);
        assert_eq!(moved_of(&[(0, 5), (10, 5)], &[(20, 100), (10, 50)]), [0; 0]);
    }

    #[test]
    fn without_times_lines_have_an_order() {
        let mut a = seen(&[(0, 0), (0, 0), (0, 0)]);
        a.iter_mut().for_each(|one| one.began = None);
        assert_eq!(moved(&[(0, 2), (1, 0), (2, 1)], &a, &a), [(0, 2)]);
    }
}
