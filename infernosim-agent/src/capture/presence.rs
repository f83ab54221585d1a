use std::cell::Cell;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::redirect::Targets;
use crate::target::Scope;

/// Whether anybody of the target is left.
pub struct Presence {
    /// Where processes are followed.
    targets: Option<Targets>,
    /// A cgroup may be empty at first, and is waited for.
    was_inhabited: Cell<bool>,
    /// Tells of inhabitants that came and went between two looks.
    changes: Option<Inotify>,
}

impl Presence {
    /// Of processes that are followed, or else of the cgroups.
    pub fn new(targets: Option<Targets>, scope: &Scope) -> Self {
        let changes = if targets.is_none() { watch(scope) } else { None };
        Self { targets, was_inhabited: Cell::new(false), changes }
    }

    /// Whether no process is left, of those there were, or none can ever come.
    pub fn is_gone(&self, scope: &Scope) -> bool {
        if let Some(targets) = &self.targets {
            return targets.is_empty();
        }
        // Asked first: whoever comes after it is found by the next look.
        let changed = self.changes.as_ref().is_some_and(|changes| changes.read_events().is_ok());
        let deserted = scope.is_deserted();
        if changed || !deserted {
            self.was_inhabited.set(true);
        }
        deserted && (self.was_inhabited.get() || scope.is_removed())
    }
}

/// Watches `cgroup.events` of each cgroup (cgroups(7): a modification is notified). Without it a process that
/// lives for less than the time between two looks, alone in its cgroup, is not noticed.
fn watch(scope: &Scope) -> Option<Inotify> {
    let changes = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok()?;
    for (path, _) in scope.cgroups() {
        changes.add_watch(&path.join("cgroup.events"), AddWatchFlags::IN_MODIFY).ok()?;
    }
    Some(changes)
}
