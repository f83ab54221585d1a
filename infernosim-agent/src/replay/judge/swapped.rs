//! Calls that stand in each other's places.
//!
//! Of calls that several requests make at once nothing but what they say tells which recorded one each of them is. Where that
//! is not enough (all differ in an id) they are paired in the order in which they come, which is another in each run: then
//! `amount` seems to be 5 in the place of 3, and 3 in the place of 5. That is no difference, and must not be learned as a
//! value that runs disagree about, since then any amount would pass.

use std::collections::{BTreeMap, BTreeSet};

use super::condensed::Note;
use super::place::Place;
use super::recording::Recording;
use super::volatile::site::site;
use crate::error::Result;
use crate::replay::fields::{Difference, Fields, Leaf, joined};

/// Takes out the differences of guessed calls of one site that, all together, say what was recorded.
pub fn settle(recording: &impl Recording, notes: &mut Vec<Note>) -> Result<()> {
    let mut sites: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, note) in notes.iter().enumerate().filter(|(_, note)| note.is_guess) {
        sites.entry(site(recording, note.place)).or_default().push(at);
    }
    for places in sites.values().filter(|places| places.len() > 1) {
        let (moved, changed) = fields(places.iter().map(|at| &notes[*at]));
        if moved.is_empty() {
            continue;
        }
        // Field by field is not enough: the amount of one with the account of another is a difference.
        let mut sum = 0_u64;
        for note in places.iter().map(|at| &notes[*at]) {
            sum = sum.wrapping_add(change(recording, note, &changed)?);
        }
        if sum == 0 {
            for at in places {
                notes[*at].differences.retain(|it| !moved.contains(&it.field));
            }
        }
    }
    notes.retain(|note| !note.differences.is_empty());
    Ok(())
}

/// What a difference adds to a sum that is 0 where values only changed places.
pub fn weight(difference: &Difference) -> u64 {
    digest(difference.live.as_ref()).wrapping_sub(digest(difference.recorded.as_ref()))
}

/// The fields whose live values are, all together, the recorded ones; and those that differ otherwise.
fn fields<'a>(notes: impl Iterator<Item = &'a Note>) -> (BTreeSet<Box<str>>, BTreeSet<Box<str>>) {
    let mut sums: BTreeMap<Box<str>, u64> = BTreeMap::new();
    for difference in notes.flat_map(|note| &note.differences) {
        let sum = sums.entry(difference.field.clone()).or_default();
        *sum = sum.wrapping_add(weight(difference));
    }
    let (moved, changed): (Vec<_>, Vec<_>) = sums.into_iter().partition(|(_, sum)| *sum == 0);
    let names = |fields: Vec<(Box<str>, u64)>| fields.into_iter().map(|(field, _)| field).collect();
    (names(moved), names(changed))
}

/// The same as [`weight`], of all fields of a call together but these.
fn change(recording: &impl Recording, note: &Note, but: &BTreeSet<Box<str>>) -> Result<u64> {
    let Place::Call(call) = note.place else { return Ok(0) };
    let mut fields: Fields = recording.asked(call)?;
    fields.retain(|name, _| !but.contains(name));
    // Segments of a path are fields only where they differ.
    for it in note.differences.iter().filter(|it| !but.contains(&it.field)) {
        it.recorded.iter().for_each(|recorded| drop(fields.insert(it.field.clone(), recorded.clone())));
    }
    let before = all(&fields);
    for it in note.differences.iter().filter(|it| !but.contains(&it.field)) {
        match &it.live {
            Some(live) => fields.insert(it.field.clone(), live.clone()),
            None => fields.remove(&it.field),
        };
    }
    Ok(all(&fields).wrapping_sub(before))
}

fn all(fields: &Fields) -> u64 {
    let parts: Vec<String> =
        fields.iter().flat_map(|(name, leaf)| [name.to_string(), super::canonical::text(leaf)]).collect();
    joined(&parts.iter().map(|it| it.as_bytes()).collect::<Vec<_>>())
}

fn digest(leaf: Option<&Leaf>) -> u64 {
    leaf.map_or(0, |leaf| joined(&[super::canonical::text(leaf).as_bytes()]))
}
