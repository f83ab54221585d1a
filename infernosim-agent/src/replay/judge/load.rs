//! What a run had to do and how it went: what objectives are held against, and how often calls were made again.

use std::collections::BTreeMap;

use super::JudgeOptions;
use super::latencies::Latencies;
use super::recording::Recording;
use crate::pattern::matches_service;
use crate::replay::script::ExchangeIndex;
use crate::replay::seen::{Call, End, Outcome, Run};

/// So many dependencies are told apart.
const MOST_DEPENDENCIES: usize = 1000;

/// Of a run, or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// From a request to its whole answer.
    pub latencies: Latencies,
    /// Requests whose clients waited for answers, and had some in the recording.
    pub sent: u64,
    /// Of these, those that were answered with 5xx, or not.
    pub errors: u64,
    /// From the first request to the end, in ns.
    pub wall_ns: u64,
    /// By dependency.
    pub calls: BTreeMap<String, Calls>,
}

/// Calls to a dependency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// That were made.
    pub made: u64,
    /// That the recording has, as often as their causes were sent.
    pub expected: u64,
}

impl Load {
    /// Of a run.
    pub(super) fn of(recording: &impl Recording, run: &Run, options: &JudgeOptions) -> Self {
        let mut load = Self { wall_ns: run.wall_ns, ..Self::default() };
        let mut times: Vec<u64> = vec![0; recording.exchanges()];
        for answer in &run.answers {
            // What the user did not wait for any more is no error of the target's.
            let was_left = run.end == End::Interrupted && !matches!(answer.outcome, Outcome::Answered(_));
            if was_left || matches!(answer.outcome, Outcome::NotSent | Outcome::Cancelled) {
                continue;
            }
            let Some(times) = times.get_mut(answer.exchange.0 as usize) else { continue };
            *times += u64::from(!answer.is_second);
            if recording.exchange(answer.exchange).status.is_none() {
                continue;
            }
            load.sent += 1;
            if let Outcome::Answered(status) = answer.outcome {
                load.latencies.add(answer.ended_ns.saturating_sub(answer.sent_ns));
                load.errors += u64::from(status >= 500);
            } else {
                load.errors += 1;
            }
        }
        load.calls(recording, run, options, &times);
        load
    }

    fn calls(&mut self, recording: &impl Recording, run: &Run, options: &JudgeOptions, times: &[u64]) {
        // What the target does of itself is not all due where not all is sent.
        let is_whole = run.end == End::Completed && options.request.is_none();
        let all = if is_whole { times.iter().copied().max().unwrap_or(0) } else { 0 };
        let due = |cause: Option<ExchangeIndex>| {
            cause.map_or(all, |cause| times.get(cause.0 as usize).copied().unwrap_or(0))
        };
        let indices = 0..u32::try_from(recording.calls()).unwrap_or(u32::MAX);
        for call in indices.map(|index| recording.call(crate::replay::script::CallIndex(index))) {
            let is_live = options.live.iter().any(|it| matches_service(it, call.dependency));
            let times = due(call.cause);
            if call.is_served && !is_live && times > 0 {
                self.of_dependency(call.dependency, |it| it.expected += times);
            }
        }
        // What those made whose clients gave up is not due, and not too much either.
        let counts =
            |call: &&Call| call.cause.is_none_or(|it| times.get(it.0 as usize).is_none_or(|it| *it > 0));
        for call in run.calls.iter().filter(counts) {
            let index = call.counterpart.filter(|index| (index.0 as usize) < recording.calls());
            let recorded = index.map(|index| recording.call(index));
            let whom = match (&recorded, &call.asked) {
                (Some(recorded), _) => recorded.dependency,
                (_, Some(asked)) => &asked.dependency,
                // Of so many calls not all are kept.
                _ => continue,
            };
            // The recording has it, only nobody knows whether it was due yet.
            let expected = recorded.as_ref().is_some_and(|it| due(it.cause) == 0);
            self.of_dependency(whom, |it| {
                it.made += 1;
                it.expected += u64::from(expected);
            });
        }
    }

    fn of_dependency(&mut self, name: &str, change: impl FnOnce(&mut Calls)) {
        if let Some(calls) = self.calls.get_mut(name) {
            change(calls);
        } else if self.calls.len() < MOST_DEPENDENCIES {
            change(self.calls.entry(name.to_owned()).or_default());
        }
    }

    /// Takes in that of another run.
    pub(super) fn join(&mut self, other: &Self) {
        self.latencies.join(&other.latencies);
        self.sent += other.sent;
        self.errors += other.errors;
        self.wall_ns = self.wall_ns.saturating_add(other.wall_ns);
        for (name, calls) in &other.calls {
            self.of_dependency(name, |it| {
                it.made += calls.made;
                it.expected += calls.expected;
            });
        }
    }

    /// Calls beyond those that were expected, and those.
    pub fn retries(&self) -> (u64, u64) {
        let beyond = self.calls.values().map(|it| it.made.saturating_sub(it.expected)).sum();
        (beyond, self.calls.values().map(|it| it.expected).sum())
    }
}
