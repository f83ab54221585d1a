//! The replay's outcome, and the status to exit with.

use std::fmt;

use super::divergence::Reason;
use crate::error::Exit;

/// What a replay amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All runs are as recorded, and so was what they asked their dependencies.
    PassStrong,
    /// All runs are as recorded, but nothing outbound was exercised, or what was could be told apart only by guessing.
    PassWeak,
    /// The runs are unlike each other in more than values.
    FailNonDeterministic,
    /// The runs are unlike the recording.
    FailDiverged,
    /// An objective was missed.
    FailSloMissed,
    /// The target did not answer any more.
    FailStalled,
    /// Nothing was exercised.
    FailNoCoverage,
    /// This host could not replay.
    FailInvalidEnv,
    /// It was ended before its end, or a fault that was asked for never happened.
    Inconclusive,
}

/// The first word of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Passed.
    Pass,
    /// Failed.
    Fail,
    /// Neither.
    Inconclusive,
}

impl Outcome {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PassStrong => "PASS_STRONG",
            Self::PassWeak => "PASS_WEAK",
            Self::FailNonDeterministic => "FAIL_NON_DETERMINISTIC",
            Self::FailDiverged => "FAIL_DIVERGED",
            Self::FailSloMissed => "FAIL_SLO_MISSED",
            Self::FailStalled => "FAIL_STALLED",
            Self::FailNoCoverage => "FAIL_NO_COVERAGE",
            Self::FailInvalidEnv => "FAIL_INVALID_ENV",
            Self::Inconclusive => "INCONCLUSIVE",
        }
    }

    /// Passed, failed, or neither.
    pub const fn word(self) -> Word {
        match self {
            Self::PassStrong | Self::PassWeak => Word::Pass,
            Self::Inconclusive => Word::Inconclusive,
            _ => Word::Fail,
        }
    }

    /// The status to exit with.
    pub const fn exit(self) -> Exit {
        match self {
            Self::PassStrong | Self::PassWeak => Exit::Pass,
            Self::FailInvalidEnv => Exit::Host,
            Self::FailNoCoverage | Self::Inconclusive => Exit::Incident,
            _ => Exit::Fail,
        }
    }
}

impl Word {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the outcome follows from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    /// This host could not replay.
    pub is_unfit: bool,
    /// The reason of the first divergence.
    pub first: Option<Reason>,
    /// All fingerprints are the same.
    pub is_deterministic: bool,
    /// An objective was missed.
    pub has_missed: bool,
    /// It was ended, or a run is missing.
    pub is_partial: bool,
    /// A fault never happened.
    pub is_unfired: bool,
    /// Exchanges that were sent, over all runs.
    pub sent: u64,
    /// Calls that had their recorded counterpart, over all runs.
    pub matched: u64,
    /// Such calls that could have had another one.
    pub ambiguous: u64,
}

/// What follows from that. A failure beats what is only missing.
pub(super) const fn decide(facts: &Facts) -> Outcome {
    match facts {
        Facts { first: Some(Reason::TimedOut), .. } => Outcome::FailStalled,
        Facts { sent: 1.., is_deterministic: false, .. } => Outcome::FailNonDeterministic,
        Facts { first: Some(_), .. } => Outcome::FailDiverged,
        Facts { is_unfit: true, .. } => Outcome::FailInvalidEnv,
        Facts { sent: 1.., has_missed: true, .. } => Outcome::FailSloMissed,
        Facts { is_partial: true, .. } | Facts { is_unfired: true, .. } => Outcome::Inconclusive,
        Facts { sent: 0, .. } => Outcome::FailNoCoverage,
        Facts { matched: 0, .. } | Facts { ambiguous: 1.., .. } => Outcome::PassWeak,
        _ => Outcome::PassStrong,
    }
}

/// How a run ended, as one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All was sent and answered, or as much as was asked for.
    Completed,
    /// The target was gone.
    TargetExited,
    /// Nothing moved any more, or it took too long.
    Stalled,
    /// The user ended it.
    Interrupted,
}

impl Ended {
    /// As the report has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::TargetExited => "targetExited",
            Self::Stalled => "stalled",
            Self::Interrupted => "interrupted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Facts = Facts {
        is_unfit: false,
        first: None,
        is_deterministic: true,
        has_missed: false,
        is_partial: false,
        is_unfired: false,
        sent: 3,
        matched: 2,
        ambiguous: 0,
    };

    #[test]
    fn each_outcome_has_its_cause() {
        for (facts, outcome, exit) in [
            (GOOD, "PASS_STRONG", 0),
            (Facts { matched: 0, ..GOOD }, "PASS_WEAK", 0),
            (Facts { ambiguous: 1, ..GOOD }, "PASS_WEAK", 0),
            (Facts { sent: 0, matched: 0, ..GOOD }, "FAIL_NO_COVERAGE", 4),
            (Facts { is_partial: true, ..GOOD }, "INCONCLUSIVE", 4),
            (Facts { is_unfired: true, ..GOOD }, "INCONCLUSIVE", 4),
            (Facts { is_unfired: true, first: Some(Reason::OrderChanged), ..GOOD }, "FAIL_DIVERGED", 1),
            (Facts { has_missed: true, ..GOOD }, "FAIL_SLO_MISSED", 1),
            (Facts { has_missed: true, is_partial: true, ..GOOD }, "FAIL_SLO_MISSED", 1),
            (Facts { has_missed: true, sent: 0, ..GOOD }, "FAIL_NO_COVERAGE", 4),
            (Facts { has_missed: true, first: Some(Reason::OrderChanged), ..GOOD }, "FAIL_DIVERGED", 1),
            (Facts { is_partial: true, first: Some(Reason::OrderChanged), ..GOOD }, "FAIL_DIVERGED", 1),
            (
                Facts { is_deterministic: false, first: Some(Reason::OrderChanged), ..GOOD },
                "FAIL_NON_DETERMINISTIC",
                1,
            ),
            (Facts { is_deterministic: false, first: Some(Reason::TimedOut), ..GOOD }, "FAIL_STALLED", 1),
            (Facts { is_unfit: true, ..Facts::default() }, "FAIL_INVALID_ENV", 3),
            (Facts { ambiguous: 1, first: Some(Reason::ResponseMismatch), ..GOOD }, "FAIL_DIVERGED", 1),
        ] {
            let found = decide(&facts);
            assert_eq!((found.as_str(), found.exit() as u8), (outcome, exit), "{facts:?}");
            assert_eq!(found.word() == Word::Pass, exit == 0);
        }
    }
}
