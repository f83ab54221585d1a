//! How a report is made of what was judged.

use super::change;
use super::document::{
    Calls, Cause, Counted, Divergence, Envelope, Field, Limiting, Objective, Rates, Report, RunReport, Runs,
    Substituted, Untested, VERSION, VolatileField,
};
use super::facts::Facts;
use super::timeline::Timeline;
use crate::incident::manifest::Tool;
use crate::replay::judge::{self, Judgement, Told, direction};
use crate::replay::limiting;
use crate::replay::minted::Substitution;
use crate::replay::script;
use crate::replay::slo::Held;

impl Report {
    /// Of a replay; `previous` is the one before, in the same incident.
    pub fn of(judgement: &Judgement, facts: &Facts, previous: Option<&Self>) -> Self {
        let counts = &judgement.counts;
        let mut report = Self {
            report_version: VERSION,
            tool: Tool::this(),
            at: facts.at.clone(),
            incident: facts.incident.clone(),
            result: judgement.outcome.word().as_str().to_owned(),
            outcome: judgement.outcome.as_str().to_owned(),
            reason: judgement.reason.clone(),
            exit: judgement.outcome.exit() as u8,
            fingerprint: judgement.fingerprint.clone(),
            volatile_set: judgement.volatile_set.clone(),
            volatile: judgement.volatile.fields().map(VolatileField::of).collect(),
            ignored: judgement.volatile.ignored().to_vec(),
            time_scale: facts.time_scale,
            density: facts.density,
            fanout: facts.fanout,
            window_ns: facts.window_ns,
            seed: facts.faults.as_ref().map(|faults| faults.seed),
            faults: facts.faults.clone(),
            runs: Runs::of(judgement),
            inbound: Counted::inbound(counts),
            outbound: Counted::outbound(counts),
            rates: Rates::of(&judgement.rates),
            slo: judgement.slo.iter().map(Objective::of).collect(),
            calls: judgement.load.calls.iter().map(|(name, calls)| Calls::of(name, calls)).collect(),
            limiting: facts.limiting.as_ref().map(Limiting::of),
            envelope: Envelope::of(judgement),
            divergences: judgement.told.iter().map(Divergence::of).collect(),
            divergences_found: judgement.found,
            timeline: judgement.timeline.as_ref().map(Timeline::of),
            leaked: facts.leaked.clone(),
            stderr: facts.stderr.clone(),
            substituted: facts.substituted.iter().map(Substituted::of).collect(),
            untested: facts.untested.iter().map(Untested::of).collect(),
            problems: facts.problems.clone(),
            change: None,
            repeat: judgement.repeat.clone(),
        };
        report.change = previous.map(|previous| change::between(previous, &report));
        report
    }
}

impl VolatileField {
    fn of((site, name, why): (&str, &str, judge::volatile::Why)) -> Self {
        Self { site: site.to_owned(), name: name.to_owned(), why: why.as_str().to_owned() }
    }
}

impl Runs {
    fn of(judgement: &Judgement) -> Self {
        let each = judgement.runs.iter().map(|run| RunReport {
            fingerprint: run.fingerprint.clone(),
            ended: run.ended.as_str().to_owned(),
            divergences: run.divergences,
            inbound: Counted::inbound(&run.counts),
            outbound: Counted::outbound(&run.counts),
            rates: Rates::of(&run.rates),
        });
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            requested: judgement.requested,
            executed: count(judgement.runs.len()),
            completed: count(judgement.completed()),
            learning: judgement.learning,
            deterministic: judgement.deterministic,
            each: each.collect(),
        }
    }
}

impl Counted {
    const fn inbound(counts: &judge::Counts) -> Self {
        Self {
            observed: counts.inbound_observed,
            expected: counts.inbound_expected,
            matched: counts.sent,
            ambiguous: 0,
        }
    }

    const fn outbound(counts: &judge::Counts) -> Self {
        Self {
            observed: counts.outbound_observed,
            expected: counts.outbound_expected,
            matched: counts.matched,
            ambiguous: counts.ambiguous,
        }
    }
}

impl Rates {
    const fn of(rates: &judge::Rates) -> Self {
        Self {
            sent: rates.sent,
            wall_ns: rates.wall_ns,
            paced_ns: rates.paced_ns,
            latency_p50_ns: rates.latency_p50_ns,
            latency_p99_ns: rates.latency_p99_ns,
            late_p50_ns: rates.late_p50_ns,
            late_p99_ns: rates.late_p99_ns,
            late_max_ns: rates.late_max_ns,
            most_open: rates.most_open,
        }
    }

    /// Requests a second that were sent; none if no time passed.
    pub fn achieved(&self) -> Option<f64> {
        per_second(self.sent, self.wall_ns)
    }

    /// Requests a second that were to be sent; none where no gaps were to be kept.
    pub fn target(&self) -> Option<f64> {
        per_second(self.sent, self.paced_ns)
    }
}

#[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
fn per_second(n: u64, ns: u64) -> Option<f64> {
    (ns > 0).then(|| n as f64 * 1e9 / ns as f64)
}

impl Limiting {
    fn of(found: &limiting::Limiting) -> Self {
        let limiting::Limiting { factor, evidence, measured } = found;
        Self { factor: factor.as_str().to_owned(), evidence: evidence.clone(), measured: measured.clone() }
    }
}

impl Objective {
    fn of(held: &Held) -> Self {
        let Held { objective, measured, is_met } = held;
        Self { objective: objective.clone(), measured: measured.clone(), met: *is_met }
    }
}

impl Calls {
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    fn of(dependency: &str, calls: &judge::Calls) -> Self {
        let judge::Calls { made, expected } = *calls;
        let amplification = (expected > 0).then(|| made as f64 / expected as f64);
        Self { dependency: dependency.to_owned(), made, expected, amplification }
    }
}

impl Envelope {
    fn of(judgement: &Judgement) -> Option<Self> {
        let rates = Rates::of(&judgement.rates);
        let has_passed = judgement.outcome.word() == judge::Word::Pass;
        rates.achieved().filter(|_| has_passed).map(|per_second| Self {
            per_second,
            most_open: rates.most_open,
            latency_p99_ns: rates.latency_p99_ns,
        })
    }
}

impl Divergence {
    fn of(told: &Told) -> Self {
        Self {
            direction: direction(told.direction).to_owned(),
            index: told.index,
            reason: told.reason.as_str().to_owned(),
            runs: told.runs.clone(),
            count: told.count,
            expected: told.expected.clone(),
            actual: told.actual.clone(),
            fields: told
                .fields
                .iter()
                .map(|it| Field {
                    name: it.name.clone(),
                    recorded: it.recorded.clone(),
                    live: it.live.clone(),
                })
                .collect(),
            more_fields: told.more,
            cause: told.cause.as_ref().map(|it| Cause {
                index: it.index,
                asked: it.asked.clone(),
                id: it.id.clone(),
                basis: it.basis.map(str::to_owned),
            }),
        }
    }

    /// `unexpected_outbound_call at outbound event index=1`.
    pub fn place(&self) -> String {
        format!("{} at {} event index={}", self.reason, self.direction, self.index)
    }
}

impl Substituted {
    fn of(it: &Substitution) -> Self {
        Self {
            minted_by: it.minted_by.0,
            field: it.field.to_string(),
            used_in: it.used_in.0,
            place: it.place.to_string(),
        }
    }
}

impl Untested {
    fn of(it: &script::Untested) -> Self {
        Self { what: it.what.clone(), count: it.count, why: it.why.clone() }
    }
}
