//! How fast a run was.

use crate::replay::seen::{Outcome, Run};

/// How fast a run was, and how late. Times in ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Requests that were sent.
    pub sent: u64,
    /// From the first request to the end.
    pub wall_ns: u64,
    /// What that was meant to be; 0 where no gaps were to be kept.
    pub paced_ns: u64,
    /// From a request's start to its answer's end: the median.
    pub latency_p50_ns: u64,
    /// The same: 99 of 100 were not above.
    pub latency_p99_ns: u64,
    /// How much later than planned requests were sent: the median.
    pub late_p50_ns: u64,
    /// The same: 99 of 100 were not above.
    pub late_p99_ns: u64,
    /// The same: the worst.
    pub late_max_ns: u64,
    /// The most requests that were open at a time.
    pub most_open: u64,
}

impl Rates {
    /// Of a run.
    pub(super) fn of(run: &Run) -> Self {
        let sent = || run.answers.iter().filter(|it| it.outcome != Outcome::NotSent);
        let answered = sent().filter(|it| matches!(it.outcome, Outcome::Answered(_)));
        let latencies = sorted(answered.map(|it| it.ended_ns.saturating_sub(it.sent_ns)));
        let late = sorted(sent().map(|it| it.late_ns));
        let mut steps: Vec<(u64, bool)> =
            sent().flat_map(|it| [(it.sent_ns, true), (it.ended_ns.max(it.sent_ns), false)]).collect();
        // What ends when another begins was not open together with it.
        steps.sort_unstable();
        let (mut open, mut most_open) = (0_u64, 0);
        for (_, is_start) in steps {
            open = if is_start { open + 1 } else { open.saturating_sub(1) };
            most_open = most_open.max(open);
        }
        Self {
            sent: late.len() as u64,
            wall_ns: run.wall_ns,
            paced_ns: run.paced_ns,
            latency_p50_ns: quantile(&latencies, 50),
            latency_p99_ns: quantile(&latencies, 99),
            late_p50_ns: quantile(&late, 50),
            late_p99_ns: quantile(&late, 99),
            late_max_ns: late.last().copied().unwrap_or(0),
            most_open,
        }
    }

    /// Takes in those of another run: sums of what adds up, the worst of what does not.
    pub(super) fn join(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.sent, other.sent),
            (&mut self.wall_ns, other.wall_ns),
            (&mut self.paced_ns, other.paced_ns),
        ] {
            *sum = sum.saturating_add(more);
        }
        for (worst, more) in [
            (&mut self.latency_p50_ns, other.latency_p50_ns),
            (&mut self.latency_p99_ns, other.latency_p99_ns),
            (&mut self.late_p50_ns, other.late_p50_ns),
            (&mut self.late_p99_ns, other.late_p99_ns),
            (&mut self.late_max_ns, other.late_max_ns),
            (&mut self.most_open, other.most_open),
        ] {
            *worst = more.max(*worst);
        }
    }
}

fn sorted(values: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values
}

/// The smallest value that `percent` of 100 are not above; 0 of none.
fn quantile(sorted: &[u64], percent: usize) -> u64 {
    let at = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(at).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::script::ExchangeIndex;
    use crate::replay::seen::Answer;

    fn answer(outcome: Outcome, sent_ns: u64, ended_ns: u64, late_ns: u64) -> Answer {
        Answer {
            exchange: ExchangeIndex(0),
            outcome,
            differences: Vec::new(),
            sent_ns,
            late_ns,
            ended_ns,
            is_second: false,
        }
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        let hundred: Vec<u64> = (1..=100).collect();
        for (values, percent, expected) in [
            (&hundred[..], 50, 50),
            (&hundred, 99, 99),
            (&[7], 99, 7),
            (&[1, 9], 50, 1),
            (&[1, 9], 99, 9),
            (&[], 50, 0),
        ] {
            assert_eq!(quantile(values, percent), expected, "{values:?} {percent}");
        }
    }

    #[test]
    fn what_was_not_sent_does_not_count() {
        let ok = Outcome::Answered(200);
        let run = Run {
            answers: vec![
                answer(ok, 0, 10, 0),
                answer(ok, 5, 35, 2),
                answer(ok, 10, 12, 1),
                answer(Outcome::Unanswered, 20, 99, 9),
                answer(Outcome::NotSent, 0, 0, 0),
            ],
            wall_ns: 2_000_000_000,
            paced_ns: 1_000_000_000,
            ..Run::default()
        };
        let rates = Rates::of(&run);
        assert_eq!((rates.sent, rates.most_open, rates.late_max_ns), (4, 2, 9));
        assert_eq!((rates.latency_p50_ns, rates.latency_p99_ns), (10, 30));
    }
}
