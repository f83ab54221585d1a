//! Learns from runs that disagree.

use std::collections::BTreeSet;

use super::site::site;
use super::{Volatile, Why, type_of};
use crate::replay::fields::{Difference, Leaf};
use crate::replay::judge::condensed::{Condensed, Note};
use crate::replay::judge::place::Place;
use crate::replay::judge::recording::Recording;

/// Adds what these runs show to be times, and what they disagree about.
pub fn learn(recording: &impl Recording, runs: &[Condensed], injects: bool, volatile: &mut Volatile) {
    for (site, name) in runs.iter().flat_map(|run| &run.times) {
        volatile.add(site, name, Why::Time);
    }
    let runs: Vec<&Condensed> = runs.iter().filter(|run| run.is_learning || !injects).collect();
    // Each run's notes are in order of their places: side by side, no more than one place is at hand at a time.
    let mut notes: Vec<_> = runs.iter().map(|run| run.notes.iter().peekable()).collect();
    while let Some(place) = notes.iter_mut().filter_map(|it| it.peek().map(|note| note.place)).min() {
        let here: Vec<Option<&Note>> =
            notes.iter_mut().map(|it| it.next_if(|note| note.place == place)).collect();
        learn_at(recording, place, &runs, &here, volatile);
    }
}

/// One place: what each run notes of it.
fn learn_at(
    recording: &impl Recording,
    place: Place,
    runs: &[&Condensed],
    here: &[Option<&Note>],
    volatile: &mut Volatile,
) {
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
        if disagree(values) {
            volatile.add(&site, name, Why::Runs);
        }
    }
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
