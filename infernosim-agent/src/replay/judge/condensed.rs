//! A run, reduced to what it did otherwise than the recording.

use std::collections::BTreeSet;

use super::JudgeOptions;
use super::calls::Calls;
use super::divergence::Divergence;
use super::exchanges::Exchanges;
use super::load::Load;
use super::place::Place;
use super::rates::Rates;
use super::recording::Recording;
use super::swapped;
use super::verdict::Ended;
use super::volatile::Volatile;
use super::volatile::site::site;
use crate::replay::fields::{Difference, are_times};
use crate::replay::script::ExchangeIndex;
use crate::replay::seen::{End, Run};

/// So many divergences of one run are kept, the first ones.
const MOST_DIVERGENCES: usize = 1000;

/// What is left of a run.
#[derive(Clone, Debug)]
pub struct Condensed {
    /// It was made only to learn what is volatile.
    pub is_learning: bool,
    /// How it ended.
    pub ended: Ended,
    /// Exchanges that were not due, in order.
    pub undue: Vec<ExchangeIndex>,
    /// Messages with fields that are not as recorded, in order; fields that are times on both sides are no such.
    pub notes: Vec<Note>,
    /// Site and name of fields that are times on both sides, and another one.
    pub times: BTreeSet<(String, Box<str>)>,
    /// Messages that were due and were not there, in order.
    pub absent: Vec<Place>,
    /// Calls that were not due, in order.
    pub undue_calls: Vec<crate::replay::script::CallIndex>,
    /// Divergences that do not depend on what is volatile, in causal order.
    pub divergences: Vec<Divergence>,
    /// How many there are.
    pub found: u64,
    /// The exchange at which the target was gone or did not answer any more: what comes behind it does not count.
    pub cut: Option<(ExchangeIndex, &'static str)>,
    /// SHA-256 over what has no recorded counterpart: see docs/replay.md.
    pub extras: [u8; 32],
    /// How much was there.
    pub counts: Counts,
    /// How fast.
    pub rates: Rates,
    /// How much there was to do, and how it went.
    pub load: Load,
}

/// A message that is there on both sides, with fields that are not as recorded.
#[derive(Clone, Debug)]
pub struct Note {
    /// Which.
    pub place: Place,
    /// What differs, in order of the names.
    pub differences: Vec<Difference>,
    /// A call of which nothing tells which request it is of: another of the same site may be meant.
    pub is_guess: bool,
}

/// How much of it there was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Exchanges that were due.
    pub due: u64,
    /// Exchanges that were sent.
    pub sent: u64,
    /// Answers that were due: of exchanges whose answers were recorded, as often as they were to be sent.
    pub inbound_expected: u64,
    /// Whole answers.
    pub inbound_observed: u64,
    /// Calls that were due, as often as their causes were sent.
    pub outbound_expected: u64,
    /// Calls that were made.
    pub outbound_observed: u64,
    /// Calls that had their counterpart.
    pub matched: u64,
    /// Of these, calls that could have had another one.
    pub ambiguous: u64,
}

impl Counts {
    /// Adds those of another run.
    pub(super) const fn add(&mut self, other: &Self) {
        self.due += other.due;
        self.sent += other.sent;
        self.inbound_expected += other.inbound_expected;
        self.inbound_observed += other.inbound_observed;
        self.outbound_expected += other.outbound_expected;
        self.outbound_observed += other.outbound_observed;
        self.matched += other.matched;
        self.ambiguous += other.ambiguous;
    }
}

impl Condensed {
    /// What is left of this run.
    pub(super) fn of(
        recording: &impl Recording,
        run: &Run,
        options: &JudgeOptions,
        is_learning: bool,
    ) -> crate::error::Result<Self> {
        let exchanges = Exchanges::of(recording, run);
        let calls = Calls::of(recording, run, options, &exchanges)?;
        let mut notes = exchanges.notes;
        notes.extend(calls.notes);
        notes.sort_by_key(|it| it.place);
        let times = take_times(recording, options.now_ns, &mut notes);
        swapped::settle(recording, &mut notes)?;
        let mut absent = exchanges.absent;
        absent.extend(calls.absent);
        absent.sort_unstable();
        let mut divergences = exchanges.divergences;
        divergences.extend(calls.divergences);
        divergences.sort_by_key(|it| (it.position, it.reason));
        let found = divergences.len() as u64;
        divergences.truncate(MOST_DIVERGENCES);
        divergences.shrink_to_fit();
        Ok(Self {
            is_learning,
            ended: ended(&run.end),
            undue: exchanges.undue,
            notes,
            times,
            absent,
            undue_calls: calls.undue,
            divergences,
            found,
            cut: exchanges.cut,
            extras: calls.extras.digest(),
            counts: Counts {
                outbound_expected: calls.expected,
                outbound_observed: run.calls.len() as u64,
                matched: run.calls.iter().filter(|it| it.counterpart.is_some()).count() as u64,
                ambiguous: run.calls.iter().filter(|it| it.ambiguous).count() as u64,
                ..exchanges.counts
            },
            rates: Rates::of(run),
            load: Load::of(recording, run, options),
        })
    }

    /// Forgets what is known to be volatile: of many runs that differ in it everywhere, this would be most of what is kept.
    pub(super) fn forget(&mut self, recording: &impl Recording, volatile: &Volatile) {
        for note in &mut self.notes {
            let site = site(recording, note.place);
            note.differences.retain(|it| !volatile.masks(&site, it));
            note.differences.shrink_to_fit();
        }
        self.notes.retain(|note| !note.differences.is_empty());
        self.notes.shrink_to_fit();
    }

    /// Was there a live message to compare?
    pub fn has(&self, place: Place) -> bool {
        let is_due = match place {
            Place::Answer(exchange) => self.undue.binary_search(&exchange).is_err(),
            Place::Call(call) => self.undue_calls.binary_search(&call).is_err(),
        };
        is_due && self.absent.binary_search(&place).is_err()
    }
}

/// Takes out the fields that are times on both sides, each near to its own now.
fn take_times(
    recording: &impl Recording,
    now_ns: i128,
    notes: &mut Vec<Note>,
) -> BTreeSet<(String, Box<str>)> {
    let mut times = BTreeSet::new();
    for note in notes.iter_mut() {
        let start_ns = match note.place {
            Place::Answer(exchange) => recording.exchange(exchange).start_ns,
            Place::Call(call) => recording.call(call).start_ns,
        };
        let recorded_at = recording.began_ns() + i128::from(start_ns);
        note.differences.retain(|it| {
            let (Some(recorded), Some(live)) = (&it.recorded, &it.live) else { return true };
            let are_times = are_times(recorded, recorded_at, live, now_ns);
            if are_times {
                times.insert((site(recording, note.place), it.field.clone()));
            }
            !are_times
        });
    }
    notes.retain(|note| !note.differences.is_empty());
    times
}

const fn ended(end: &End) -> Ended {
    match end {
        End::Completed | End::EnoughEvents => Ended::Completed,
        End::TargetExited(_) => Ended::TargetExited,
        End::Stalled(_) | End::OutOfTime(_) => Ended::Stalled,
        End::Interrupted => Ended::Interrupted,
    }
}
