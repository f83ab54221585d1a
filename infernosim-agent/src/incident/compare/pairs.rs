//! Which exchange of the one incident is which of the other.

use std::collections::{BTreeMap, BTreeSet};

use super::super::site::without_local_ports as ports;
use super::seen::{Seen, Sites};

/// Indices into both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Paired {
    /// By the first one's.
    pub both: Vec<(usize, usize)>,
    pub only_a: Vec<usize>,
    pub only_b: Vec<usize>,
}

/// Pairs by site and occurrence. What is then left is paired by sites without the ports of this host, which are others in
/// each run.
pub(super) fn pair(a: &[Seen], b: &[Seen], sites: &Sites) -> Paired {
    let mut paired =
        Paired { only_a: (0..a.len()).collect(), only_b: (0..b.len()).collect(), ..Paired::default() };
    round(a, b, &mut paired, |seen| seen.site);
    let mut numbers = BTreeMap::new();
    let mut portless = |site: u32| {
        let next = numbers.len();
        *numbers.entry(ports(sites.text(site)).into_owned()).or_insert(next)
    };
    let left = |of: &[Seen], left: &[usize], portless: &mut dyn FnMut(u32) -> usize| {
        left.iter().map(|at| (*at, portless(of[*at].site))).collect::<BTreeMap<_, _>>()
    };
    let names = [left(a, &paired.only_a, &mut portless), left(b, &paired.only_b, &mut portless)];
    let mut again = Paired { only_a: paired.only_a, only_b: paired.only_b, both: Vec::new() };
    let groups_a = group(&again.only_a, |at| names[0].get(&at).copied());
    let groups_b = group(&again.only_b, |at| names[1].get(&at).copied());
    meet(a, b, &groups_a, &groups_b, &mut again);
    paired.both.extend(again.both);
    paired.both.sort_unstable();
    Paired { both: paired.both, ..again }
}

fn round(a: &[Seen], b: &[Seen], paired: &mut Paired, key: impl Fn(&Seen) -> u32) {
    let groups_a = group(&paired.only_a, |at| key(&a[at]));
    let groups_b = group(&paired.only_b, |at| key(&b[at]));
    meet(a, b, &groups_a, &groups_b, paired);
}

fn group<K: Ord>(left: &[usize], key: impl Fn(usize) -> K) -> BTreeMap<K, Vec<usize>> {
    let mut groups = BTreeMap::<K, Vec<usize>>::new();
    left.iter().for_each(|&at| groups.entry(key(at)).or_default().push(at));
    groups
}

/// Pairs the members of equal groups; takes them from what is left.
fn meet<K: Ord>(
    a: &[Seen],
    b: &[Seen],
    groups_a: &BTreeMap<K, Vec<usize>>,
    groups_b: &BTreeMap<K, Vec<usize>>,
    paired: &mut Paired,
) {
    let before = paired.both.len();
    let common = || groups_a.iter().filter_map(|(key, of_a)| Some((of_a, groups_b.get(key)?)));
    for (of_a, of_b) in common().filter(|(of_a, of_b)| of_a.len() == of_b.len()) {
        paired.both.extend(of_a.iter().copied().zip(of_b.iter().copied()));
    }
    // What is sure by now tells where the others stand: by the second one's index.
    let mut sure: Vec<(usize, usize)> = paired.both.iter().map(|&(at, bt)| (bt, at)).collect();
    sure.sort_unstable();
    for (of_a, of_b) in common().filter(|(of_a, of_b)| of_a.len() != of_b.len()) {
        paired.both.extend(by_content(a, b, of_a, of_b, &sure));
    }
    let (mut taken_a, mut taken_b): (Vec<usize>, Vec<usize>) = paired.both[before..].iter().copied().unzip();
    taken_a.sort_unstable();
    taken_b.sort_unstable();
    paired.only_a.retain(|at| taken_a.binary_search(at).is_err());
    paired.only_b.retain(|at| taken_b.binary_search(at).is_err());
}

/// Where one of several is missing, those that are equal tell which, and of equal ones their neighbours do; the others go
/// by occurrence.
fn by_content(
    a: &[Seen],
    b: &[Seen],
    of_a: &[usize],
    of_b: &[usize],
    sure: &[(usize, usize)],
) -> Vec<(usize, usize)> {
    let mut waiting = BTreeMap::<[u64; 6], BTreeSet<usize>>::new();
    of_a.iter().for_each(|&at| {
        waiting.entry(a[at].parts).or_default().insert(at);
    });
    let (mut pairs, mut rest) = (Vec::new(), Vec::new());
    for &bt in of_b {
        let before = sure.partition_point(|(other, _)| *other < bt).checked_sub(1).map(|index| sure[index].1);
        let equal = waiting.get_mut(&b[bt].parts);
        let found = equal.and_then(|equal| {
            let next = before.and_then(|before| equal.range(before..).next().copied());
            let at = next.or_else(|| equal.first().copied())?;
            equal.remove(&at);
            Some(at)
        });
        match found {
            Some(at) => pairs.push((at, bt)),
            None => rest.push(bt),
        }
    }
    let mut unequal: Vec<usize> = waiting.into_values().flatten().collect();
    unequal.sort_unstable();
    pairs.extend(unequal.into_iter().zip(rest));
    pairs
}
