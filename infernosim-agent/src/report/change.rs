//! What is otherwise than in the replay before.

use super::document::{Change, Divergence, Report};

/// From `previous` to `report`.
pub fn between(previous: &Report, report: &Report) -> Change {
    let fingerprint = if previous.volatile_set != report.volatile_set {
        "not comparable"
    } else if previous.fingerprint == report.fingerprint {
        "same"
    } else {
        "other"
    };
    Change {
        previous_at: previous.at.clone(),
        previous_outcome: previous.outcome.clone(),
        fingerprint: fingerprint.to_owned(),
        newly_failing: lacking(&report.divergences, &previous.divergences),
        newly_passing: lacking(&previous.divergences, &report.divergences),
        rate_percent: rate(previous, report),
    }
}

/// The places of `these` that `those` lack.
fn lacking(these: &[Divergence], those: &[Divergence]) -> Vec<String> {
    let new = these.iter().filter(|it| !those.iter().any(|other| comparable(it, other)));
    new.map(Divergence::place).collect()
}

/// At the same place, for the same reason?
pub(super) fn comparable(a: &Divergence, b: &Divergence) -> bool {
    (&a.direction, a.index, &a.reason) == (&b.direction, b.index, &b.reason)
}

fn rate(previous: &Report, report: &Report) -> Option<f64> {
    let (before, now) = (previous.rates.achieved()?, report.rates.achieved()?);
    (before > 0.0).then(|| (now / before - 1.0) * 100.0)
}
