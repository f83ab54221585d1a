//! When things happened in one run, for a picture of it: the first run that diverged, else the last one.

use std::collections::BTreeSet;

use super::condensed::Condensed;
use super::place::Place;
use super::recording::Recording;
use super::sample::{Moment, sample};
use super::told::shortened;
use crate::replay::script::ExchangeIndex;
use crate::replay::seen::{Call, Outcome, Refused, Run};

/// So many exchanges and calls of a run are kept: those of divergences, those near to these and to faults, and an even share.
pub const MOST_MARKS: usize = 2000;
/// So many runs that may turn out to diverge are kept until it is known whether they do.
const MOST_SUSPECTS: usize = 3;

/// When things happened in a run. Times in ns since it began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    /// Which run, from 1; those for learning do not count.
    pub run: u32,
    /// What was sent to the target, in order.
    pub inbound: Vec<TimedAnswer>,
    /// What the target asked, in order.
    pub calls: Vec<TimedCall>,
    /// Exchanges and calls that are left out.
    pub more: u64,
}

/// A request to the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedAnswer {
    /// Its inbound index.
    pub index: u32,
    /// `POST /orders`.
    pub asked: String,
    /// When it was sent.
    pub sent_ns: u64,
    /// When its answer was whole, or it ended otherwise; none if it was still open when the run ended.
    pub ended_ns: Option<u64>,
    /// Of a whole answer.
    pub status: Option<u16>,
}

/// A call, or a connect or lookup that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedCall {
    /// The outbound index of its recorded counterpart.
    pub index: Option<u32>,
    /// Whom; empty where that was not kept.
    pub dependency: String,
    /// `POST /charge`, `connect`, `lookup`.
    pub asked: String,
    /// When it was whole.
    pub at_ns: u64,
    /// When its answer had been sent.
    pub answered_ns: Option<u64>,
    /// The inbound index of what made it happen, if that is known.
    pub cause: Option<u32>,
}

/// The timelines that may be the one to be told.
#[derive(Debug, Default)]
pub(super) struct Timelines {
    /// With the run's place among all that were made.
    suspects: Vec<(usize, Timeline)>,
    last: Option<Timeline>,
    runs: u32,
}

impl Timelines {
    /// Takes in a run that was asked for, and its place among all that were made.
    pub fn add(&mut self, recording: &impl Recording, run: &Run, condensed: &Condensed, place: usize) {
        self.runs += 1;
        let timeline = Timeline::of(recording, run, condensed, self.runs);
        if condensed.is_suspect() && self.suspects.len() < MOST_SUSPECTS {
            self.suspects.push((place, timeline.clone()));
        }
        self.last = Some(timeline);
    }

    /// Forgets runs that are known not to have diverged by now; `runs` are all that were made.
    pub fn forget(&mut self, runs: &[Condensed]) {
        self.suspects.retain(|(place, _)| runs.get(*place).is_some_and(Condensed::is_suspect));
    }

    /// That of the first run that diverged, as far as it was kept, else of the last run.
    pub fn choose(self, diverged: impl Fn(u32) -> bool) -> Option<Timeline> {
        self.suspects.into_iter().map(|it| it.1).find(|it| diverged(it.run)).or(self.last)
    }
}

/// What there is to be placed: an answer, a call or a refusal by its place in the run.
enum Mark {
    Answer(usize),
    Call(usize),
    Refusal(usize),
}

impl Timeline {
    fn of(recording: &impl Recording, run: &Run, condensed: &Condensed, number: u32) -> Self {
        let mut marks = marks(run, &condensed.off(recording));
        marks.sort_by_key(|it| it.0.at_ns);
        let moments: Vec<Moment> = marks.iter().map(|it| it.0).collect();
        let kept = sample(&moments, &run.fired_ns, MOST_MARKS);
        let mut all = Self { run: number, more: (marks.len() - kept.len()) as u64, ..Self::default() };
        for at in kept {
            match marks[at].1 {
                Mark::Answer(at) => all.inbound.extend(answer(recording, run, at)),
                Mark::Call(at) => all.calls.push(call(recording, &run.calls[at])),
                Mark::Refusal(at) => all.calls.push(refusal(run, at)),
            }
        }
        all
    }
}

/// All of a run: when, and what.
fn marks(run: &Run, off: &BTreeSet<ExchangeIndex>) -> Vec<(Moment, Mark)> {
    let is_due = |cause: Option<ExchangeIndex>| cause.is_none_or(|it| !off.contains(&it));
    let answers = run.answers.iter().enumerate().filter(|(_, it)| it.outcome != Outcome::NotSent);
    let answers = answers
        .map(|(at, it)| (Moment { at_ns: it.sent_ns, is_off: off.contains(&it.exchange) }, Mark::Answer(at)));
    let calls = run.calls.iter().enumerate().map(|(at, it)| {
        let is_off = it.counterpart.is_none() || !is_due(it.cause);
        (Moment { at_ns: it.at_ns, is_off }, Mark::Call(at))
    });
    let refusals = run.refusals.iter().enumerate();
    let refusals = refusals.map(|(at, it)| (Moment { at_ns: it.at_ns, is_off: true }, Mark::Refusal(at)));
    answers.chain(calls).chain(refusals).collect()
}

fn answer(recording: &impl Recording, run: &Run, at: usize) -> Option<TimedAnswer> {
    let it = &run.answers[at];
    let is_known = (it.exchange.0 as usize) < recording.exchanges();
    is_known.then(|| TimedAnswer {
        index: it.exchange.0,
        asked: shortened(recording.exchange(it.exchange).asked),
        sent_ns: it.sent_ns,
        ended_ns: (it.outcome != Outcome::Unanswered).then_some(it.ended_ns),
        status: match it.outcome {
            Outcome::Answered(status) => Some(status),
            _ => None,
        },
    })
}

fn call(recording: &impl Recording, call: &Call) -> TimedCall {
    let known = call.counterpart.filter(|it| (it.0 as usize) < recording.calls());
    let recorded = known.map(|it| recording.call(it));
    let (dependency, method, target) = match (&call.asked, &recorded) {
        (Some(asked), _) => (&*asked.dependency, &*asked.method, &*asked.target),
        (None, Some(it)) => (it.dependency, it.method, it.target),
        (None, None) => ("", "a call, of so many not kept", ""),
    };
    TimedCall {
        index: known.map(|it| it.0),
        dependency: shortened(dependency),
        asked: shortened(format!("{method} {target}").trim()),
        at_ns: call.at_ns,
        answered_ns: call.answered_ns,
        cause: call.cause.map(|it| it.0),
    }
}

fn refusal(run: &Run, at: usize) -> TimedCall {
    let it = &run.refusals[at];
    let (dependency, asked) = match &it.what {
        Refused::Connect(address) => (address.to_string(), "connect, refused"),
        Refused::Lookup(name) => (shortened(name), "lookup, unknown"),
    };
    TimedCall {
        index: None,
        dependency,
        asked: asked.to_owned(),
        at_ns: it.at_ns,
        answered_ns: Some(it.at_ns),
        cause: it.cause.map(|it| it.0),
    }
}

impl Condensed {
    /// May it have diverged, by what is known now?
    fn is_suspect(&self) -> bool {
        self.found > 0 || !self.notes.is_empty()
    }

    /// The exchanges at which it is not as recorded.
    fn off(&self, recording: &impl Recording) -> BTreeSet<ExchangeIndex> {
        let noted = self.notes.iter().filter_map(|note| match note.place {
            Place::Answer(exchange) => Some(exchange),
            Place::Call(call) => recording.call(call).anchor,
        });
        noted.chain(self.divergences.iter().filter_map(|it| it.position.anchor)).collect()
    }
}
