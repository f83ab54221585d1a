//! What the requests of a run waited for, by dependency. Pure.
//!
//! A call belongs to one of the times its cause was sent: the one under way that has the fewest. Calls whose cause is not
//! known count with their whole length.

use std::collections::BTreeMap;

use super::script::{CallIndex, ExchangeIndex};
use super::seen::{Answer, Call, Outcome, Run};

/// So many dependencies are told apart.
const MOST_DEPENDENCIES: usize = 1000;

/// Of a run, or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// Requests that were sent.
    pub requests: u64,
    /// From the sending of a request to its end, of all together, in ns.
    pub asked_ns: u64,
    /// The same of the same requests in the recording; 0 where it does not tell.
    pub recorded_ns: u64,
    /// By dependency.
    pub dependencies: BTreeMap<String, Wait>,
}

/// What a dependency had to do with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// Calls to it.
    pub calls: u64,
    /// Of these, those that the target gave up, or that were open when the run ended.
    pub given_up: u64,
    /// For how long requests had calls to it open, in ns.
    pub waited_ns: u64,
    /// The most calls that were open at a time.
    pub most: u64,
    /// How long any was open, in ns.
    pub busy_ns: u64,
    /// How long so many were, while requests were open that had no call open to anybody, in ns.
    pub full_ns: u64,
    /// The most requests that were so then.
    pub queued: u64,
}

impl Wait {
    /// For how much of the time in which calls were open as many were as ever, and requests waited: 0 to 1.
    pub fn fullness(&self) -> f64 {
        if self.busy_ns == 0 { 0.0 } else { self.full_ns as f64 / self.busy_ns as f64 }
    }
}

/// A time from and to, in ns since the run began.
type Span = (u64, u64);
/// A time that an exchange was sent, and its calls.
type Time<'a> = (Span, Vec<(&'a str, Span)>);

impl Waits {
    /// Of a run. `dependency` names that of a recorded call, `took_ns` tells how long an exchange took.
    pub fn of<'a>(
        run: &'a Run,
        dependency: impl Fn(CallIndex) -> &'a str,
        took_ns: impl Fn(ExchangeIndex) -> Option<u64>,
    ) -> Self {
        let mut waits = Self::default();
        let sent = |it: &&Answer| !matches!(it.outcome, Outcome::NotSent | Outcome::Cancelled);
        let mut times: BTreeMap<ExchangeIndex, Vec<Time<'_>>> = BTreeMap::new();
        for answer in run.answers.iter().filter(sent) {
            waits.requests += 1;
            waits.asked_ns += answer.ended_ns.saturating_sub(answer.sent_ns);
            waits.recorded_ns += took_ns(answer.exchange).unwrap_or(0);
            times.entry(answer.exchange).or_default().push(((answer.sent_ns, answer.ended_ns), Vec::new()));
        }
        let (mut calls, mut alone) = (Vec::new(), Vec::new());
        for call in &run.calls {
            let asked = || call.asked.as_ref().map(|asked| asked.dependency.as_str());
            let Some(whom) = call.counterpart.map(&dependency).or_else(asked) else { continue };
            let own = call.cause.and_then(|cause| times.get_mut(&cause)).and_then(|times| whose(times, call));
            let until = call.answered_ns.or_else(|| own.as_ref().map(|(span, _)| span.1));
            let span = (call.at_ns, until.unwrap_or(run.wall_ns).max(call.at_ns));
            calls.push((whom, span));
            match own {
                Some((_, own)) => own.push((whom, span)),
                None => alone.push((whom, span)),
            }
            waits.dependency(whom, |it| {
                it.calls += 1;
                it.given_up += u64::from(call.answered_ns.is_none());
            });
        }
        for (span, calls) in times.values().flatten() {
            waits.in_request(*span, calls);
        }
        for (whom, (from, to)) in alone {
            waits.dependency(whom, |it| it.waited_ns += to - from);
        }
        let requests: Vec<Span> = times.values().flatten().map(|(span, _)| *span).collect();
        waits.together(&requests, &calls);
        waits
    }

    fn dependency(&mut self, name: &str, change: impl FnOnce(&mut Wait)) {
        if let Some(wait) = self.dependencies.get_mut(name) {
            change(wait);
        } else if self.dependencies.len() < MOST_DEPENDENCIES {
            change(self.dependencies.entry(name.to_owned()).or_default());
        }
    }

    /// What one request waited: calls to one dependency that overlap count once.
    fn in_request(&mut self, (from, to): Span, calls: &[(&str, Span)]) {
        let mut by: BTreeMap<&str, Vec<Span>> = BTreeMap::new();
        for (whom, (start, end)) in calls {
            by.entry(whom).or_default().push(((*start).max(from), (*end).min(to)));
        }
        for (whom, mut spans) in by {
            spans.sort_unstable();
            let mut reached = 0;
            let mut waited_ns = 0;
            for (start, end) in spans {
                waited_ns += end.saturating_sub(start.max(reached));
                reached = end.max(reached);
            }
            self.dependency(whom, |it| it.waited_ns += waited_ns);
        }
    }

    /// How many calls to each dependency were open at a time, and how many requests waited without one meanwhile.
    fn together(&mut self, requests: &[Span], calls: &[(&str, Span)]) {
        let by: BTreeMap<&str, Vec<Span>> = calls.iter().fold(BTreeMap::new(), |mut by, (whom, span)| {
            by.entry(*whom).or_insert_with(Vec::new).push(*span);
            by
        });
        let all: Vec<Span> = calls.iter().map(|(_, span)| *span).collect();
        for (whom, own) in by {
            let most = steps(&[&own])
                .iter()
                .fold((0_i64, 0_i64), |(now, most), step| (now + step.1[0], most.max(now + step.1[0])));
            let most = most.1;
            let (mut open, mut last) = ([0_i64; 3], 0);
            let (mut busy_ns, mut full_ns, mut queued) = (0, 0, 0);
            for (at, change) in steps(&[&own, requests, &all]) {
                let waiting = open[1] - open[2];
                if open[0] > 0 {
                    busy_ns += at - last;
                }
                if open[0] == most && waiting > 0 && at > last {
                    full_ns += at - last;
                    queued = waiting.max(queued);
                }
                last = at;
                open.iter_mut().zip(change).for_each(|(open, change)| *open += change);
            }
            self.dependency(whom, |it| {
                (it.most, it.queued) = (most.unsigned_abs(), queued.unsigned_abs());
                (it.busy_ns, it.full_ns) = (busy_ns, full_ns);
            });
        }
    }

    /// Takes in those of another run.
    pub fn join(&mut self, other: &Self) {
        self.requests += other.requests;
        self.asked_ns += other.asked_ns;
        self.recorded_ns += other.recorded_ns;
        for (name, more) in &other.dependencies {
            self.dependency(name, |it| {
                it.calls += more.calls;
                it.given_up += more.given_up;
                it.waited_ns += more.waited_ns;
                it.busy_ns += more.busy_ns;
                // Another plateau in another run is none.
                it.full_ns = if it.most == more.most || it.most == 0 { it.full_ns + more.full_ns } else { 0 };
                it.most = it.most.max(more.most);
                it.queued = it.queued.max(more.queued);
            });
        }
    }
}

/// Which time of its cause's a call is of.
fn whose<'t, 'a>(times: &'t mut [Time<'a>], call: &Call) -> Option<&'t mut Time<'a>> {
    let of = |((from, to), _): &&mut (Span, Vec<_>)| (*from..=*to).contains(&call.at_ns);
    times.iter_mut().filter(of).min_by_key(|(_, calls)| calls.len())
}

/// When how many begin (1) and end (-1) of each list, in order; what ends when another begins was not open with it.
fn steps<const N: usize>(lists: &[&[Span]; N]) -> Vec<(u64, [i64; N])> {
    let mut steps: BTreeMap<(u64, bool), [i64; N]> = BTreeMap::new();
    for (which, list) in lists.iter().enumerate() {
        for (from, to) in *list {
            steps.entry((*from, true)).or_insert([0; N])[which] += 1;
            steps.entry((*to, false)).or_insert([0; N])[which] -= 1;
        }
    }
    steps.into_iter().map(|((at, _), change)| (at, change)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::script::Basis;
    use super::*;

    fn answer(exchange: u32, (sent_ns, ended_ns): Span) -> Answer {
        let (outcome, differences) = (Outcome::Answered(200), Vec::new());
        Answer {
            exchange: ExchangeIndex(exchange),
            outcome,
            differences,
            sent_ns,
            late_ns: 0,
            ended_ns,
            is_second: false,
        }
    }

    fn call(cause: Option<u32>, counterpart: u32, at_ns: u64, answered_ns: Option<u64>) -> Call {
        Call {
            counterpart: Some(CallIndex(counterpart)),
            differences: Vec::new(),
            cause: cause.map(ExchangeIndex),
            basis: Basis::Thread,
            ambiguous: false,
            asked: None,
            at_ns,
            answered_ns,
        }
    }

    fn waits(answers: Vec<Answer>, calls: Vec<Call>) -> Waits {
        let run = Run { answers, calls, wall_ns: 1000, ..Run::default() };
        Waits::of(&run, |call| ["a.test", "b.test"][call.0 as usize], |_| Some(50))
    }

    #[test]
    fn calls_that_overlap_in_a_request_are_waited_for_once() {
        let calls = vec![
            call(Some(0), 0, 10, Some(30)),
            call(Some(0), 0, 20, Some(40)),
            call(Some(0), 1, 60, None),
            call(None, 1, 70, Some(75)),
            // Behind its answer.
            call(Some(0), 0, 95, Some(300)),
        ];
        let waits = waits(vec![answer(0, (0, 100))], calls);
        let [a, b] = ["a.test", "b.test"].map(|name| &waits.dependencies[name]);
        assert_eq!((waits.asked_ns, waits.recorded_ns), (100, 50));
        assert_eq!((a.calls, a.given_up, a.waited_ns, a.most), (3, 0, 30 + 5, 2));
        assert_eq!((b.calls, b.given_up, b.waited_ns, b.most), (2, 1, 40 + 5, 2));
    }

    #[test]
    fn a_call_is_of_the_copy_that_has_the_fewest() {
        let answers = vec![answer(0, (0, 100)), answer(0, (0, 100)), answer(0, (0, 100))];
        let calls = (0..3).map(|_| call(Some(0), 0, 10, Some(90))).collect();
        assert_eq!(waits(answers, calls).dependencies["a.test"].waited_ns, 3 * 80);
    }

    #[test]
    fn a_plateau_shows_while_requests_wait() {
        // Eight at once, two calls at a time.
        let answers: Vec<_> = (0..8).map(|at| answer(at, (0, 100 * u64::from(at / 2 + 1)))).collect();
        let turns = |at: u32| 100 * u64::from(at / 2);
        let calls: Vec<_> = (0..8).map(|at| call(Some(at), 0, turns(at), Some(turns(at) + 100))).collect();
        let pool = waits(answers.clone(), calls).dependencies.remove("a.test").unwrap();
        assert_eq!((pool.most, pool.queued, pool.busy_ns, pool.full_ns), (2, 6, 400, 300));
        assert!((pool.fullness() - 0.75).abs() < 1e-9);
        // All at once: nobody waits without a call.
        let calls: Vec<_> = (0..8).map(|at| call(Some(at), 0, 0, Some(100))).collect();
        let open = waits(answers.iter().map(|it| answer(it.exchange.0, (0, 100))).collect(), calls);
        let open = &open.dependencies["a.test"];
        assert_eq!((open.most, open.queued, open.full_ns), (8, 0, 0));
    }

    #[test]
    fn runs_with_other_plateaus_have_none_together() {
        let of = |most, full_ns| {
            let wait = Wait { most, full_ns, busy_ns: 10, calls: 1, ..Wait::default() };
            Waits { dependencies: BTreeMap::from([("a.test".into(), wait)]), ..Waits::default() }
        };
        let mut all = Waits::default();
        all.join(&of(4, 9));
        all.join(&of(4, 8));
        assert_eq!((all.dependencies["a.test"].full_ns, all.dependencies["a.test"].busy_ns), (17, 20));
        all.join(&of(5, 9));
        assert_eq!((all.dependencies["a.test"].full_ns, all.dependencies["a.test"].most), (0, 5));
    }
}
