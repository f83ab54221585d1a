//! Learns from runs that disagree.

use std::collections::{BTreeMap, BTreeSet};

use super::site::site;
use super::{Volatile, Why, type_of};
use crate::replay::fields::{Difference, Leaf};
use crate::replay::judge::condensed::{Condensed, Note};
use crate::replay::judge::place::Place;
use crate::replay::judge::recording::Recording;
use crate::replay::judge::swapped::weight;

/// Adds what these runs show to be times, and what they disagree about.
pub fn learn(recording: &impl Recording, runs: &[Condensed], injects: bool, volatile: &mut Volatile) {
    for (site, name) in runs.iter().flat_map(|run| &run.times) {
        volatile.add(site, name, Why::Time);
    }
    let runs: Vec<&Condensed> = runs.iter().filter(|run| run.is_learning || !injects).collect();
    let moved = moved(recording, &runs);
    // Each run's notes are in order of their places: side by side, no more than one place is at hand at a time.
    let mut notes: Vec<_> = runs.iter().map(|run| run.notes.iter().peekable()).collect();
    while let Some(place) = notes.iter_mut().filter_map(|it| it.peek().map(|note| note.place)).min() {
        let here: Vec<Option<&Note>> =
            notes.iter_mut().map(|it| it.next_if(|note| note.place == place)).collect();
        learn_at(recording, place, &runs, &here, &moved, volatile);
    }
}

/// One place: what each run notes of it.
fn learn_at(
    recording: &impl Recording,
    place: Place,
    runs: &[&Condensed],
    here: &[Option<&Note>],
    moved: &BTreeSet<(String, Box<str>)>,
    volatile: &mut Volatile,
) {
    // Of what is not read any other byte ended the connection: that has consequences, so that it is no mood.
    if matches!(place, Place::Call(call) if recording.call(call).method.is_empty()) {
        return;
    }
    let names: BTreeSet<&str> =
        here.iter().flatten().flat_map(|note| note.differences.iter().map(|it| &*it.field)).collect();
    let site = site(recording, place);
    for name in names {
        let recorded = here.iter().flatten().find_map(|note| find(note, name)?.recorded.as_ref());
        // A run that notes nothing has what was recorded, or a time where it is one.
        let has = |(run, note): &(&&Condensed, &Option<&Note>)| note.is_some() || run.has(place);
        let values =
            runs.iter().zip(here).filter(has).map(|(_, note)| {
                note.and_then(|note| find(note, name)).map_or(recorded, |it| it.live.as_ref())
            });
        if disagree(values) && !moved.contains(&(site.clone(), name.into())) {
            volatile.add(&site, name, Why::Runs);
        }
    }
}

/// Fields (site, name) of calls of which it was guessed which is which, whose values are the same in all runs, if in other
/// places: what differs from the recording is no mood of theirs.
fn moved(recording: &impl Recording, runs: &[&Condensed]) -> BTreeSet<(String, Box<str>)> {
    let mut sums: BTreeMap<(String, Box<str>), Sums> = BTreeMap::new();
    for (run, note) in (0..).zip(runs).flat_map(|(at, run)| run.notes.iter().map(move |note| (at, note))) {
        if !matches!(note.place, Place::Call(_)) {
            continue;
        }
        let site = site(recording, note.place);
        for difference in &note.differences {
            let field = sums.entry((site.clone(), difference.field.clone())).or_default();
            field.is_guess |= note.is_guess;
            let sum = field.of.entry(run).or_default();
            *sum = sum.wrapping_add(weight(difference));
        }
    }
    let is_moved = |sums: &Sums| {
        let mut all = sums.of.values();
        let first = all.next();
        sums.is_guess && sums.of.len() == runs.len() && all.all(|sum| Some(sum) == first)
    };
    sums.into_iter().filter(|(_, sums)| is_moved(sums)).map(|(field, _)| field).collect()
}

/// Of one field: for each run the sum over its differences.
#[derive(Debug, Default)]
struct Sums {
    of: BTreeMap<usize, u64>,
    is_guess: bool,
}

fn find<'a>(note: &'a Note, name: &str) -> Option<&'a Difference> {
    note.differences.binary_search_by(|it| (*it.field).cmp(name)).ok().map(|at| &note.differences[at])
}

/// Values of one type, all there, and not all the same.
fn disagree<'a>(mut values: impl Iterator<Item = Option<&'a Leaf>>) -> bool {
    let Some(Some(first)) = values.next() else { return false };
    let mut is_other = false;
    for value in values {
        let Some(value) = value.filter(|it| type_of(it) == type_of(first)) else { return false };
        is_other |= value != first;
    }
    is_other
}
