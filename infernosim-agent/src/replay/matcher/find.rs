//! The search for a counterpart.

use super::loans::Loan;
use super::sites::{Level, Of};
use super::{Matcher, Said, Sought, wall_now};
use crate::error::Result;
use crate::replay::fields::{self, Difference};
use crate::replay::script::CallIndex;

/// So many candidates are compared field by field, or looked at for other answers.
const MOST_COMPARED: usize = 32;

impl Matcher {
    /// The counterpart, and how alike they are.
    pub(super) fn find(&mut self, sought: &Sought, said: &Said) -> Result<Option<(CallIndex, Level)>> {
        for level in Level::ALL {
            if let Some(call) = self.unused(sought, said, level)? {
                return Ok(Some((call, level)));
            }
            // One that a worse pair took before.
            if let Some(call) = self.loans.better(sought, level)
                && (level <= Level::Masked || self.may_be(said, call)?)
            {
                return Ok(Some((call, level)));
            }
        }
        Ok(None)
    }

    /// The first that nothing live stands for yet.
    fn unused(&mut self, sought: &Sought, said: &Said, level: Level) -> Result<Option<CallIndex>> {
        let Some(first) = self.first(sought, level) else { return Ok(None) };
        if level <= Level::Masked || !self.options.strict {
            return Ok(Some(first));
        }
        // In strict matching only what is volatile may differ: one of the next ones may do.
        for call in self.some(sought, level) {
            if self.may_be(said, call)? {
                return Ok(Some(call));
            }
        }
        Ok(None)
    }

    /// Of its cause, else of those of which the cause is not known; where its own is not known, of those and of those whose
    /// exchange is open, else of all.
    fn first(&mut self, sought: &Sought, level: Level) -> Option<CallIndex> {
        let Sought { site, keys, cause, open } = sought;
        if let Some(cause) = cause {
            let own = self.sites.first(*site, level, keys, Of::Cause(*cause));
            return own.or_else(|| self.sites.first(*site, level, keys, Of::Nobody));
        }
        let mut first = self.sites.first(*site, level, keys, Of::Nobody);
        for cause in open {
            let call = self.sites.first(*site, level, keys, Of::Cause(*cause));
            first = first.into_iter().chain(call).min();
        }
        first.or_else(|| self.sites.first(*site, level, keys, Of::Somebody))
    }

    fn some(&mut self, sought: &Sought, level: Level) -> Vec<CallIndex> {
        let Sought { site, keys, cause, .. } = sought;
        let mut found = self.sites.some(*site, level, keys, Of::Nobody, MOST_COMPARED);
        let of = cause.map_or(Of::Somebody, Of::Cause);
        found.extend(self.sites.some(*site, level, keys, of, MOST_COMPARED));
        found.sort_unstable();
        found
    }

    /// Whether strict matching allows it.
    fn may_be(&self, said: &Said, call: CallIndex) -> Result<bool> {
        if !self.options.strict {
            return Ok(true);
        }
        let differences = self.differences(said, call)?;
        Ok(differences.iter().all(|difference| self.is_volatile(difference, call)))
    }

    fn is_volatile(&self, difference: &Difference, call: CallIndex) -> bool {
        if self.options.ignore.iter().any(|pattern| crate::pattern::matches(pattern, &difference.field)) {
            return true;
        }
        let (Some(recorded), Some(live)) = (&difference.recorded, &difference.live) else { return false };
        let recorded_at = self.script.recorded_at() + i128::from(self.script.call(call).start_ns);
        fields::are_times(recorded, recorded_at, live, wall_now())
            || fields::is_id_like(recorded) && fields::is_id_like(live)
    }

    /// It stands for this live call from now on. Whichever had it before, being less alike, gets another, or none.
    pub(super) fn take(&mut self, call: CallIndex, level: Level, id: usize, sought: &Sought) -> Result<()> {
        // Unless it has room for both.
        let before = if self.sites.is_used(call) { self.loans.end(call, &self.sites) } else { None };
        self.hold(call, level, id, sought);
        let Some(Loan { id: loser, sought, .. }) = before else { return Ok(()) };
        self.calls[loser].counterpart = None;
        self.calls[loser].differences = Vec::new();
        // What it said is not known of all of them: without it there is nothing to tell of a pair.
        let Some(asked) = self.calls[loser].asked.clone() else { return Ok(()) };
        let said = Said { target: asked.target, fields: Some(asked.fields), ..Said::default() };
        for level in [Level::Masked, Level::Path, Level::Template] {
            if let Some(other) = self.unused(&sought, &said, level)? {
                self.calls[loser].counterpart = Some(other);
                self.calls[loser].differences = self.differences(&said, other)?;
                self.hold(other, level, loser, &sought);
                break;
            }
        }
        Ok(())
    }

    fn hold(&mut self, call: CallIndex, level: Level, id: usize, sought: &Sought) {
        self.sites.mark(call);
        if level != Level::Exact {
            self.loans.lend(call, Loan { id, level, sought: sought.clone() }, &self.sites);
        }
    }

    /// Whether another could be meant as well, and would be answered otherwise: several requests are open, nothing tells
    /// which of them this call is of, and neither did anything when they were recorded.
    pub(super) fn is_ambiguous(&mut self, sought: &Sought, chosen: CallIndex, level: Level) -> bool {
        let Sought { site, keys, cause, open } = sought;
        if cause.is_some() || open.len() < 2 {
            return false;
        }
        let mut others = Vec::new();
        if let Some(together) = self.sites.together(chosen) {
            // Those that were given away, too: the last one that is left need not be whose it seems.
            let around = self.sites.around(*site, level, keys, chosen, MOST_COMPARED);
            others.extend(around.iter().copied().map(CallIndex));
            others.retain(|call| self.sites.together(*call) == Some(together));
        }
        for cause in open.iter().take(MOST_COMPARED) {
            others.extend(self.sites.first(*site, level, keys, Of::Cause(*cause)));
        }
        let answer = self.sites.answer(chosen);
        others.into_iter().any(|call| self.sites.answer(call) != answer)
    }

    /// What differs from a recorded call.
    pub(super) fn differences(&self, said: &Said, call: CallIndex) -> Result<Vec<Difference>> {
        let line = self.script.call_line(call)?;
        let recorded = line.target.as_deref().unwrap_or(line.path_and_query());
        let (recorded, live) = (fields::split_target(recorded).0, fields::split_target(&said.target).0);
        let mut differences = match &said.fields {
            Some(live) => fields::compare(&self.script.asked(call)?, live),
            None => Vec::new(),
        };
        differences.extend(fields::compare_paths(recorded, live));
        Ok(differences)
    }
}
