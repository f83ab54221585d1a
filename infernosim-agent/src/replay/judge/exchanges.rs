//! What became of the exchanges of a run.

use super::condensed::{Counts, Note};
use super::divergence::{Divergence, Reason, Side};
use super::place::Place;
use super::recording::Recording;
use crate::replay::fields::{Difference, Leaf};
use crate::replay::script::ExchangeIndex;
use crate::replay::seen::{Answer, End, Outcome, Run};

/// The inbound half of a condensed run.
#[derive(Debug, Default)]
pub struct Exchanges {
    /// Of each recorded exchange what became of it; none if it was not due.
    outcomes: Vec<Option<Outcome>>,
    /// How often each was due: workers and windows send it again and again.
    times: Vec<u64>,
    /// When something was sent, and the highest exchange of which that is so by then; in order.
    sent: Vec<(u64, ExchangeIndex)>,
    /// When the target took a request last that it then answered.
    alive_ns: u64,
    pub undue: Vec<ExchangeIndex>,
    pub notes: Vec<Note>,
    pub absent: Vec<Place>,
    pub divergences: Vec<Divergence>,
    pub cut: Option<(ExchangeIndex, &'static str)>,
    pub counts: Counts,
}

/// When calls were made of which nothing tells whose they are, although they have recorded counterparts with other answers.
fn unsure_at(run: &Run) -> Vec<u64> {
    let mut times: Vec<u64> = run.calls.iter().filter(|it| it.ambiguous).map(|it| it.at_ns).collect();
    times.sort_unstable();
    times
}

/// Whether such a call may have been this exchange's: then it may have been given another's answer, and what the target made
/// of that says nothing. The replay passes weakly at best.
fn is_unsure(answer: &Answer, times: &[u64]) -> bool {
    let first = times.partition_point(|at| *at < answer.sent_ns);
    times.get(first).is_some_and(|at| *at <= answer.ended_ns)
}

impl Exchanges {
    pub fn of(recording: &impl Recording, run: &Run) -> Self {
        let count = recording.exchanges();
        let mut all = Self { outcomes: vec![None; count], times: vec![0; count], ..Self::default() };
        for answer in &run.answers {
            let at = answer.exchange.0 as usize;
            let Some(outcome) = all.outcomes.get_mut(at) else { continue };
            all.times[at] += u64::from(answer.outcome != Outcome::Cancelled && !answer.is_second);
            // Of one that was sent several times, the worst counts.
            *outcome = Some(outcome.map_or(answer.outcome, |other| worse(other, answer.outcome)));
            if answer.outcome != Outcome::NotSent {
                all.sent.push((answer.sent_ns, answer.exchange));
            }
        }
        all.sent.sort_unstable();
        let mut highest = ExchangeIndex(0);
        for (_, exchange) in &mut all.sent {
            highest = highest.max(*exchange);
            *exchange = highest;
        }
        let answered = run.answers.iter().filter(|it| matches!(it.outcome, Outcome::Answered(_)));
        all.alive_ns = answered.map(|it| it.sent_ns).max().unwrap_or(0);
        all.counts.sent = all.sent.len() as u64;
        all.end(recording, run);
        let unsure = unsure_at(run);
        for answer in &run.answers {
            if is_unsure(answer, &unsure) {
                let mut sure = answer.clone();
                sure.differences.retain(|it| &*it.field == "status");
                all.compare(recording, run, &sure);
            } else {
                all.compare(recording, run, answer);
            }
        }
        all.notes.sort_by_key(|it| it.place);
        all.notes.dedup_by_key(|it| it.place);
        all.account(recording, run);
        all
    }

    /// What became of an exchange; none if it was not due.
    pub fn outcome(&self, exchange: ExchangeIndex) -> Option<Outcome> {
        self.outcomes.get(exchange.0 as usize).copied().flatten()
    }

    /// How often the calls of an exchange were due; of none, those that the target makes of itself.
    pub fn times(&self, cause: Option<ExchangeIndex>) -> u64 {
        let times = match cause {
            Some(cause) => self.times.get(cause.0 as usize).copied(),
            None => self.times.iter().copied().max(),
        };
        times.unwrap_or(1).max(1)
    }

    /// The last exchange that was sent by this time.
    pub fn last_by(&self, at_ns: u64) -> Option<ExchangeIndex> {
        let at = self.sent.partition_point(|(sent, _)| *sent <= at_ns);
        at.checked_sub(1).map(|at| self.sent[at].1)
    }

    fn all(&self) -> impl Iterator<Item = (ExchangeIndex, Option<Outcome>)> {
        (0_u32..).map(ExchangeIndex).zip(self.outcomes.iter().copied())
    }

    /// The first exchange of which an answer was recorded and that had this outcome.
    fn first(&self, recording: &impl Recording, is_it: impl Fn(Outcome) -> bool) -> Option<ExchangeIndex> {
        let due = self.all().filter(|(_, outcome)| outcome.is_some_and(&is_it));
        due.map(|it| it.0).find(|it| recording.exchange(*it).status.is_some())
    }

    /// Where the target was gone, or did not answer any more.
    fn end(&mut self, recording: &impl Recording, run: &Run) {
        let is_open = |outcome| outcome == Outcome::Unanswered;
        let is_unsent = |outcome| outcome == Outcome::NotSent;
        let (at, reason, side) = match run.end {
            End::TargetExited(status) => {
                let lost = run.answers.iter().filter(|it| self.is_lost(it)).map(|it| it.exchange);
                let known = lost.filter(|it| (it.0 as usize) < self.outcomes.len());
                let lost = known.filter(|it| recording.exchange(*it).status.is_some()).min();
                let one_past = || {
                    let count = u32::try_from(self.outcomes.len()).unwrap_or(u32::MAX);
                    (status != Some(0)).then_some(ExchangeIndex(count))
                };
                (lost.or_else(one_past), Reason::TargetExited, Side::Exit(status))
            }
            End::Stalled(ns) | End::OutOfTime(ns) => {
                let at = self.first(recording, is_open).or_else(|| self.first(recording, is_unsent));
                (at, Reason::TimedOut, Side::Silence(ns))
            }
            End::Interrupted => {
                // Nobody waited for its answer, nor for the calls that lead to it; and the same Ctrl-C may have ended the target.
                let lost = run.answers.iter().filter(|it| self.is_lost(it)).map(|it| it.exchange);
                let known = lost.filter(|it| (it.0 as usize) < self.outcomes.len());
                let at = known.filter(|it| recording.exchange(*it).status.is_some()).min();
                self.cut = at.map(|at| (at, "interrupted"));
                return;
            }
            End::Completed | End::EnoughEvents => return,
        };
        let Some(at) = at else { return };
        self.cut = Some((at, reason.as_str()));
        let expected = recorded_answer(recording, at);
        self.divergences.push(Divergence::inbound(reason, at, expected, side));
    }

    fn compare(&mut self, recording: &impl Recording, run: &Run, answer: &Answer) {
        if answer.exchange.0 as usize >= self.outcomes.len() {
            return;
        }
        let Some(recorded) = recording.exchange(answer.exchange).status else { return };
        match answer.outcome {
            Outcome::Answered(status) => {
                let mut differences = answer.differences.clone();
                if status != recorded && !differences.iter().any(|it| &*it.field == "status") {
                    differences.push(other_status(recorded, Some(status)));
                }
                if !differences.is_empty() {
                    differences.sort_by(|a, b| a.field.cmp(&b.field));
                    let place = Place::Answer(answer.exchange);
                    self.notes.push(Note { place, differences, is_guess: false });
                }
            }
            Outcome::Closed => {
                let is_end = matches!(run.end, End::TargetExited(_) | End::Interrupted);
                if !(is_end && self.is_lost(answer)) {
                    let divergence = Divergence::inbound(
                        Reason::ResponseMismatch,
                        answer.exchange,
                        Side::Answer(recorded),
                        Side::Closed,
                    );
                    self.divergences.push(divergence.differing(vec![other_status(recorded, None)]));
                }
            }
            Outcome::Unanswered | Outcome::NotSent | Outcome::Cancelled => {}
        }
    }

    /// Can that the target was gone be why it was not answered? Not if it answered what was sent later.
    const fn is_lost(&self, answer: &Answer) -> bool {
        match answer.outcome {
            Outcome::Answered(_) | Outcome::Cancelled => false,
            Outcome::Closed => answer.ended_ns >= self.alive_ns,
            Outcome::Unanswered | Outcome::NotSent => true,
        }
    }

    fn account(&mut self, recording: &impl Recording, run: &Run) {
        let (mut undue, mut absent, mut counts) = (Vec::new(), Vec::new(), self.counts);
        for (exchange, outcome) in self.all() {
            // Of one whose client gave up nothing is expected.
            let Some(outcome) = outcome.filter(|outcome| *outcome != Outcome::Cancelled) else {
                undue.push(exchange);
                continue;
            };
            counts.due += 1;
            let is_answered = matches!(outcome, Outcome::Answered(_));
            if !is_answered && recording.exchange(exchange).status.is_some() {
                absent.push(Place::Answer(exchange));
            }
        }
        let known = run.answers.iter().filter(|it| (it.exchange.0 as usize) < self.outcomes.len());
        for answer in known.filter(|it| it.outcome != Outcome::Cancelled && !it.is_second) {
            counts.inbound_observed += u64::from(matches!(answer.outcome, Outcome::Answered(_)));
            counts.inbound_expected += u64::from(recording.exchange(answer.exchange).status.is_some());
        }
        (self.undue, self.absent, self.counts) = (undue, absent, counts);
    }
}

fn worse(a: Outcome, b: Outcome) -> Outcome {
    let rank = |outcome: &Outcome| match outcome {
        Outcome::Cancelled => 0,
        Outcome::Answered(_) => 1,
        Outcome::NotSent => 2,
        Outcome::Closed => 3,
        Outcome::Unanswered => 4,
    };
    if rank(&b) > rank(&a) { b } else { a }
}

fn recorded_answer(recording: &impl Recording, at: ExchangeIndex) -> Side {
    let is_there = (at.0 as usize) < recording.exchanges();
    is_there.then(|| recording.exchange(at).status).flatten().map_or(Side::Nothing, Side::Answer)
}

fn other_status(recorded: u16, live: Option<u16>) -> Difference {
    let leaf = |status: u16| Leaf::Number(status.to_string().into());
    Difference { field: "status".into(), recorded: Some(leaf(recorded)), live: live.map(leaf) }
}
