//! What the runs amount to: which fields are volatile, what diverged and where first, whether the runs are equal to each
//! other, and what that makes of the replay.
//!
//! ```text
//! seen::Run ─▶ condensed ─▶ learned (volatile) ─▶ divergences of each run ─▶ verdict
//!     (what the run did otherwise)        └────────▶ fingerprint of each run ─┘
//! ```
//!
//! Pure: no clock, no file but `volatile.toml`'s text. A run is condensed as soon as it is over, to what it did otherwise
//! than the recording; equal runs cost a few bytes each. What the recording says is read again by place, in one pass.

mod calls;
mod canonical;
mod condensed;
mod divergence;
mod exchanges;
mod judgement;
mod latencies;
mod load;
mod order;
mod place;
mod rates;
mod recording;
mod repeat;
mod sample;
mod surplus;
mod swapped;
#[cfg(test)]
mod tests;
mod timeline;
mod told;
mod verdict;
pub mod volatile;

use std::collections::BTreeMap;
use std::ops::Range;

use super::seen::Run;
use super::slo::Slo;
use crate::error::Result;
use condensed::Condensed;
use volatile::{Volatile, learn};

pub use condensed::Counts;
pub use divergence::{Divergence, Reason, Side};
pub use judgement::{Judged, Judgement};
pub use latencies::Latencies;
pub use load::{Calls, Load};
pub use rates::Rates;
pub use recording::{Called, Exchanged, Recording};
pub use repeat::Repeat;
pub use timeline::{MOST_MARKS, TimedAnswer, TimedCall, Timeline};
pub use told::{Told, ToldCause, ToldField, direction};
pub use verdict::{Ended, Outcome, Word};

/// What the user asked for, as far as it matters here.
#[derive(Clone, Debug, Default)]
pub struct JudgeOptions {
    /// How many runs were asked for, without those for learning.
    pub requested: u32,
    /// Which of the runs, from 0, were made only to learn what is volatile (see [`learning_runs`]).
    pub learning: Range<usize>,
    /// Only this exchange was sent (`--request ID`): what the target does of itself is not missed.
    pub request: Option<String>,
    /// `--ignore`: names of fields, `*` and `?` match. Such a field, and what is below it, is not looked at.
    pub ignore: Vec<String>,
    /// `--strict`: of what was asked, nothing but times may differ.
    pub strict: bool,
    /// What `volatile.toml` says, if it is there.
    pub volatile: Option<volatile::VolatileFile>,
    /// Dependencies that were not stubbed (`--live`), as patterns.
    pub live: Vec<String>,
    /// The manifest's `unmediated`: packets of these kinds were there in the recording as well.
    pub unmediated: BTreeMap<String, u64>,
    /// The runs that were asked for have faults: only the others tell what is volatile.
    pub injects: bool,
    /// The faults that never happened, as they are written.
    pub unfired: Vec<String>,
    /// The user ended the replay before its end.
    pub interrupted: bool,
    /// Why this host could not replay at all.
    pub environment: Option<String>,
    /// The wall clock's time, in ns since the epoch: what a live epoch is near to.
    pub now_ns: i128,
    /// What all runs that count are to keep (`--slo`).
    pub slo: Slo,
    /// What to type to have it again.
    pub repeat: Repeat,
}

/// Judges run after run; see [`judge`] for all at once.
#[derive(Debug)]
pub struct Judge<'a, R: Recording> {
    recording: &'a R,
    options: &'a JudgeOptions,
    runs: Vec<Condensed>,
    volatile: Volatile,
    timelines: timeline::Timelines,
}

impl<'a, R: Recording> Judge<'a, R> {
    /// Of runs against this recording.
    pub fn new(recording: &'a R, options: &'a JudgeOptions) -> Self {
        let volatile = Volatile::known(options.volatile.as_ref(), &options.ignore);
        Self { recording, options, runs: Vec::new(), volatile, timelines: timeline::Timelines::default() }
    }

    /// Takes in a run, of which then nothing more is needed: what it did as recorded is forgotten, and so is what is known
    /// to be volatile by now.
    ///
    /// # Errors
    /// `Exit::Incident` if the recording cannot be read any more.
    pub fn add(&mut self, run: &Run) -> Result<()> {
        let is_learning = self.options.learning.contains(&self.runs.len());
        self.runs.push(Condensed::of(self.recording, run, self.options, is_learning)?);
        learn(self.recording, &self.runs, self.options.injects, &mut self.volatile);
        for run in &mut self.runs {
            run.forget(self.recording, &self.volatile);
        }
        if let Some((last, before)) = self.runs.split_last().filter(|_| !is_learning) {
            self.timelines.add(self.recording, run, last, before.len());
        }
        self.timelines.forget(&self.runs);
        Ok(())
    }

    /// What they amount to.
    ///
    /// # Errors
    /// `Exit::Incident` if the recording cannot be read any more.
    pub fn finish(self) -> Result<Judgement> {
        let options = self.options;
        self.finish_as(options)
    }

    /// The same where only now all is known of what was asked for: how it ended, and what is needed to repeat it.
    ///
    /// # Errors
    /// As [`Judge::finish`].
    pub fn finish_as(self, options: &JudgeOptions) -> Result<Judgement> {
        let mut judgement = Judgement::of(self.recording, &self.runs, self.volatile, options)?;
        let diverged = |run: u32| judgement.runs.get(run as usize - 1).is_some_and(|it| it.divergences > 0);
        judgement.timeline = self.timelines.choose(diverged);
        Ok(judgement)
    }
}

/// What these runs amount to.
///
/// # Errors
/// `Exit::Incident` if the recording cannot be read any more.
pub fn judge<R: Recording>(recording: &R, runs: &[Run], options: &JudgeOptions) -> Result<Judgement> {
    let mut judge = Judge::new(recording, options);
    runs.iter().try_for_each(|run| judge.add(run))?;
    judge.finish()
}

/// How many clean runs are to be made beside those that were asked for, only to learn what is volatile: two where the
/// runs themselves cannot tell (there is but one, or faults are injected) and nobody has said it yet.
pub const fn learning_runs(requested: u32, injects: bool, has_volatile_file: bool) -> u32 {
    if (requested <= 1 || injects) && !has_volatile_file { 2 } else { 0 }
}
