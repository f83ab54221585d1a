//! What one process writes of an incident that another one may write as well.

use super::super::Direction;
use super::super::manifest::Clocked;
use super::sequence::Sequence;
use super::{Limits, Lines};
use crate::clock::Nanos;

/// The longest body that is held in memory until its end: see `body::HOLD`.
const LONGEST_INLINE: u64 = 1 << 20;

/// One log of an incident, or lines that go to no incident.
#[derive(Clone, Debug)]
pub struct Share {
    /// Its log has all lines of this process.
    pub(in crate::incident) side: Direction,
    /// How lines are numbered, and the largest number in the log so far; `None` where there is only this log.
    pub(in crate::incident) clocked: Option<(Clocked, u64)>,
    /// There are no files for bodies.
    pub(in crate::incident) only_lines: bool,
}

impl Share {
    /// The number of a line about something that happened then, in an incident of two processes.
    pub(in crate::incident) fn number(&self, at: Nanos) -> Option<u64> {
        self.clocked.as_ref().map(|(clocked, _)| Sequence::clocked(clocked, self.side, 0).next(at))
    }
}

impl Lines {
    /// Writes one log of an incident of which somebody else may write the other. To be said before anything else.
    ///
    /// Lines are then numbered by when what they tell of happened. So that causes come first, things are to be told
    /// in the order in which they happened: of a relay with several threads, the notes of all of them merged.
    pub fn share(&mut self, share: Share) {
        self.only = Some(share.side);
        if let Some((clocked, last)) = &share.clocked {
            self.sequence = Sequence::clocked(clocked, share.side, *last);
            self.began = Nanos(clocked.monotonic_ns);
        }
        if share.only_lines {
            self.only_lines = true;
            let inline_body = self.limits.inline_body.min(LONGEST_INLINE);
            self.limits = Limits { inline_body, max_body: self.limits.max_body.min(inline_body) };
        }
    }
}
