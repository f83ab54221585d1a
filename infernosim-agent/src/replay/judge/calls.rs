//! What became of the calls of a run.

use std::collections::BTreeMap;

use super::JudgeOptions;
use super::condensed::Note;
use super::divergence::{Divergence, Reason, Side};
use super::exchanges::Exchanges;
use super::order::{Ordered, first_disorder};
use super::place::{Phase, Place, Position, calls_at, next_index};
use super::recording::{Called, Recording};
use super::surplus::{self, Extras, Surplus};
use crate::error::Result;
use crate::pattern::matches_service;
use crate::replay::script::{Basis, CallIndex, ExchangeIndex};
use crate::replay::seen::{End, Outcome, Run};

/// The outbound half of a condensed run.
#[derive(Debug, Default)]
pub struct Calls {
    pub undue: Vec<CallIndex>,
    pub notes: Vec<Note>,
    pub absent: Vec<Place>,
    pub divergences: Vec<Divergence>,
    pub expected: u64,
    pub extras: Extras,
}

/// A recorded call that was made.
#[derive(Clone, Copy, Debug)]
pub struct Matched {
    /// Its place among the live calls: of several, the first one's.
    asked: u32,
    /// How often it was made.
    times: u64,
    /// Live, its cause was known and the recorded one.
    is_under_cause: bool,
}

impl Calls {
    pub fn of(
        recording: &impl Recording,
        run: &Run,
        options: &JudgeOptions,
        exchanges: &Exchanges,
    ) -> Result<Self> {
        let mut all = Self { extras: Extras::until(exchanges.cut), ..Self::default() };
        let mut matched: Vec<Option<Matched>> = vec![None; recording.calls()];
        let mut surplus = all.assign(recording, run, exchanges, &mut matched);
        let mut missing = all.account(recording, run, options, exchanges, &matched);
        missing.extend(short(recording, run, options, exchanges));
        surplus::pair(recording, &mut surplus, &mut missing, &mut all.divergences, &mut all.extras)?;
        for one in surplus {
            surplus::tell(one, &mut all.divergences, &mut all.extras);
        }
        for (index, phase) in missing {
            let recorded = recording.call(index);
            let position = Position { anchor: recorded.anchor, phase, index: index.0 };
            let missing = Reason::MissingOutboundCall;
            let divergence = Divergence::outbound(missing, position, Side::Call(index), Side::Nothing);
            all.divergences.push(divergence.caused(recorded.cause, recorded.basis));
        }
        all.orders(recording, &matched);
        all.failures(recording, run);
        all.leaks(recording, run, options);
        Ok(all)
    }

    /// Goes through what was asked, in order: what has its counterpart, and what has none.
    fn assign(
        &mut self,
        recording: &impl Recording,
        run: &Run,
        exchanges: &Exchanges,
        matched: &mut [Option<Matched>],
    ) -> Vec<Surplus> {
        // The furthest recorded call that was asked so far: of each cause, and at each exchange.
        let mut furthest: BTreeMap<(bool, Option<ExchangeIndex>), CallIndex> = BTreeMap::new();
        let mut surplus = Vec::new();
        let place = |cause: Option<ExchangeIndex>, at_ns, furthest: &BTreeMap<_, CallIndex>| {
            let anchor = cause.or_else(|| exchanges.last_by(at_ns));
            let index =
                next_index(recording, cause, anchor, furthest.get(&(cause.is_some(), anchor)).copied());
            Position { anchor, phase: Phase::Calls, index }
        };
        let mut refusals = run.refusals.iter().peekable();
        for (asked, call) in (0_u32..).zip(&run.calls) {
            while let Some(refused) = refusals.next_if(|it| it.at_ns < call.at_ns) {
                surplus.push(Surplus::refused(refused, place(refused.cause, refused.at_ns, &furthest)));
            }
            let its = call.counterpart.and_then(|it| Some((it, matched.get_mut(it.0 as usize)?)));
            let Some((counterpart, slot)) = its else {
                surplus.push(Surplus::call(call, place(call.cause, call.at_ns, &furthest)));
                continue;
            };
            let cause = recording.call(counterpart).cause;
            let is_under_cause = cause.is_some() && call.cause == cause;
            slot.get_or_insert(Matched { asked, times: 0, is_under_cause }).times += 1;
            let anchor = recording.call(counterpart).anchor;
            for key in [(false, anchor), (true, cause)] {
                let furthest = furthest.entry(key).or_insert(counterpart);
                *furthest = counterpart.max(*furthest);
            }
            if !call.differences.is_empty() {
                let mut differences = call.differences.clone();
                differences.sort_by(|a, b| a.field.cmp(&b.field));
                self.notes.push(Note {
                    place: Place::Call(counterpart),
                    differences,
                    is_guess: call.cause.is_none(),
                });
            }
        }
        for refused in refusals {
            surplus.push(Surplus::refused(refused, place(refused.cause, refused.at_ns, &furthest)));
        }
        self.notes.sort_by_key(|it| it.place);
        self.notes.dedup_by_key(|it| it.place);
        surplus
    }

    /// What was due and was not made, with where it is told.
    fn account(
        &mut self,
        recording: &impl Recording,
        run: &Run,
        options: &JudgeOptions,
        exchanges: &Exchanges,
        matched: &[Option<Matched>],
    ) -> Vec<(CallIndex, Phase)> {
        let mut missing = Vec::new();
        for (index, matched) in (0_u32..).map(CallIndex).zip(matched) {
            let call = recording.call(index);
            let is_live = options.live.iter().any(|it| matches_service(it, call.dependency));
            let phase = due(recording, &call, run, options, exchanges).filter(|_| call.is_served && !is_live);
            match (phase, matched) {
                (None, None) => self.undue.push(index),
                // How far the target got until its client gave up is no part of what is the same.
                (None, Some(_)) if is_cancelled(call.cause, exchanges) => self.undue.push(index),
                // Nothing tells whether it was due yet (`--max-events`, `--request`): it has a counterpart, and is not too much.
                (None, Some(matched)) => self.expected += matched.times,
                (Some(_), Some(_)) => self.expected += exchanges.times(call.cause),
                (Some(phase), None) => {
                    self.expected += exchanges.times(call.cause);
                    self.absent.push(Place::Call(index));
                    missing.push((index, phase));
                }
            }
        }
        missing
    }

    /// Whether the calls of each cause came in their order.
    fn orders(&mut self, recording: &impl Recording, matched: &[Option<Matched>]) {
        let (mut indices, mut calls): (Vec<CallIndex>, Vec<Ordered>) = (Vec::new(), Vec::new());
        let mut at = None;
        for (index, matched) in (0_u32..).map(CallIndex).zip(matched) {
            let call = recording.call(index);
            if call.anchor != at {
                self.order(recording, at, &indices, &calls);
                (at, indices, calls) = (call.anchor, Vec::new(), Vec::new());
            }
            if let Some(matched) = matched.filter(|it| it.is_under_cause) {
                indices.push(index);
                calls.push(Ordered { start_ns: call.start_ns, end_ns: call.end_ns, asked: matched.asked });
            }
        }
        self.order(recording, at, &indices, &calls);
    }

    fn order(
        &mut self,
        recording: &impl Recording,
        cause: Option<ExchangeIndex>,
        indices: &[CallIndex],
        calls: &[Ordered],
    ) {
        let Some((late, early)) = first_disorder(calls) else { return };
        let (late, early) = (indices[late], indices[early]);
        let position = Position { anchor: cause, phase: Phase::Calls, index: late.0 };
        let (expected, actual) = (Side::Call(late), Side::Call(early));
        let divergence = Divergence::outbound(Reason::OrderChanged, position, expected, actual);
        self.divergences.push(divergence.caused(cause, recording.call(late).basis));
        self.extras.add(cause, format!("order {} {}", late.0, early.0));
    }

    /// Connects that failed in the recording, and were not made.
    fn failures(&mut self, recording: &impl Recording, run: &Run) {
        if run.end == End::Interrupted {
            return;
        }
        for (dependency, missing) in &run.missing_failures {
            let recorded = recording.failed_connects(dependency);
            let last = recorded.len().saturating_sub(usize::try_from(*missing).unwrap_or(usize::MAX));
            let (cause, basis) = recorded.get(last).copied().unwrap_or((None, Basis::None));
            let anchor = cause.or_else(|| last_anchor(recording));
            let index = cause.map_or_else(|| calls_of(recording), |_| calls_at(recording, anchor).end);
            let position = Position { anchor, phase: Phase::Calls, index };
            let expected = Side::FailedConnects(dependency.clone(), *missing);
            let divergence =
                Divergence::outbound(Reason::MissingOutboundCall, position, expected, Side::Nothing);
            self.divergences.push(divergence.caused(cause, basis));
            self.extras.add(anchor, format!("missing connect {index}"));
        }
    }

    /// Packets that were dropped.
    fn leaks(&mut self, recording: &impl Recording, run: &Run, options: &JudgeOptions) {
        for (kind, packets) in unexpected_packets(run, options) {
            let position =
                Position { anchor: last_anchor(recording), phase: Phase::Lost, index: calls_of(recording) };
            let actual = Side::Packets(kind.clone(), *packets);
            let unexpected = Reason::UnexpectedOutboundCall;
            let divergence = Divergence::outbound(unexpected, position, Side::Nothing, actual);
            self.divergences.push(divergence);
            self.extras.add(None, format!("leak {kind}"));
        }
    }
}

/// The calls that some workers, or rounds, of several did not make, though others did; each that is the first of its kind
/// (dependency and method). Nothing tells which worker it was: all of a kind are counted together, and only where they come
/// before the answers of their causes, which were waited for.
fn short(
    recording: &impl Recording,
    run: &Run,
    options: &JudgeOptions,
    exchanges: &Exchanges,
) -> Vec<(CallIndex, Phase)> {
    if run.end != End::Completed || exchanges.times(None) <= 1 {
        return Vec::new();
    }
    let mut made = vec![0_u64; recording.calls()];
    for call in run.calls.iter().filter_map(|call| call.counterpart) {
        made.iter_mut().skip(call.0 as usize).take(1).for_each(|count| *count += 1);
    }
    let mut kinds: BTreeMap<(&str, &str), Kind> = BTreeMap::new();
    for (index, made) in (0_u32..).map(CallIndex).zip(&made) {
        let call = recording.call(index);
        let is_live = options.live.iter().any(|it| matches_service(it, call.dependency));
        if !call.is_served || is_live {
            continue;
        }
        let is_sure = call.cause.is_some_and(|cause| {
            let is_before = recording.exchange(cause).end_ns.is_some_and(|end| call.start_ns < end);
            is_before && matches!(exchanges.outcome(cause), Some(Outcome::Answered(_)))
        });
        let due = exchanges.times(call.cause);
        let kind = kinds.entry((call.dependency, call.method)).or_default();
        kind.is_unsure |= !is_sure;
        kind.due += due;
        kind.made += made;
        // Of one that nobody made that is told already.
        if (1..due).contains(made) {
            kind.first.get_or_insert(index);
        }
    }
    let short = kinds.into_values().filter(|kind| !kind.is_unsure && kind.made < kind.due);
    short.filter_map(|kind| Some((kind.first?, Phase::Calls))).collect()
}

/// Calls to a dependency by one method.
#[derive(Clone, Copy, Debug, Default)]
struct Kind {
    due: u64,
    made: u64,
    /// The first that was made less often than it was due.
    first: Option<CallIndex>,
    is_unsure: bool,
}

/// Whether a call is due, and whether it is missed only since its cause was not answered.
fn due(
    recording: &impl Recording,
    call: &Called<'_>,
    run: &Run,
    options: &JudgeOptions,
    exchanges: &Exchanges,
) -> Option<Phase> {
    let is_whole = run.end == End::Completed;
    let Some(cause) = call.cause else {
        return (is_whole && options.request.is_none()).then_some(Phase::Calls);
    };
    match exchanges.outcome(cause)? {
        Outcome::Answered(_) => {
            // Of a run that was ended, what the target does behind an answer may not have been due yet.
            let is_before_answer = || recording.exchange(cause).end_ns.is_none_or(|end| call.start_ns < end);
            (is_whole || is_before_answer()).then_some(Phase::Calls)
        }
        // What the user did not wait for may have been made later.
        Outcome::Closed | Outcome::Unanswered => (run.end != End::Interrupted).then_some(Phase::Lost),
        Outcome::NotSent | Outcome::Cancelled => None,
    }
}

fn is_cancelled(cause: Option<ExchangeIndex>, exchanges: &Exchanges) -> bool {
    cause.and_then(|cause| exchanges.outcome(cause)) == Some(Outcome::Cancelled)
}

/// Packets that were dropped, of kinds that the recording did not have.
fn unexpected_packets<'a>(
    run: &'a Run,
    options: &'a JudgeOptions,
) -> impl Iterator<Item = (&'a String, &'a u64)> {
    run.leaked.iter().filter(|(kind, packets)| **packets > 0 && !options.unmediated.contains_key(*kind))
}

fn calls_of(recording: &impl Recording) -> u32 {
    u32::try_from(recording.calls()).unwrap_or(u32::MAX)
}

fn last_anchor(recording: &impl Recording) -> Option<ExchangeIndex> {
    u32::try_from(recording.exchanges()).ok()?.checked_sub(1).map(ExchangeIndex)
}
