use std::cell::Cell;

use crate::redirect::Targets;
use crate::target::Scope;

/// Whether anybody of the target is left.
pub struct Presence {
    /// Where processes are followed.
    targets: Option<Targets>,
    /// A cgroup may be empty at first, and is waited for.
    was_inhabited: Cell<bool>,
}

impl Presence {
    /// Of processes that are followed, or else of the cgroups.
    pub const fn new(targets: Option<Targets>) -> Self {
        Self { targets, was_inhabited: Cell::new(false) }
    }

    /// Whether no process is left, of those there were.
    pub fn is_gone(&self, scope: &Scope) -> bool {
        if let Some(targets) = &self.targets {
            return targets.is_empty();
        }
        let deserted = scope.is_deserted();
        if !deserted {
            self.was_inhabited.set(true);
        }
        deserted && self.was_inhabited.get()
    }
}
