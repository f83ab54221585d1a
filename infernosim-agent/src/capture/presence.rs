use std::cell::{Cell, RefCell};

use crate::redirect::Targets;
use crate::target::Scope;
use crate::target::processes::Process;

/// Whether anybody of the target is left.
pub struct Presence {
    followed: Option<RefCell<Followed>>,
    /// A cgroup may be empty at first, and is waited for.
    was_inhabited: Cell<bool>,
}

/// Processes that are followed.
pub struct Followed {
    /// What the kernel half follows.
    pub targets: Targets,
    /// Those that were running already, and their numbers in the initial pid namespace. One that was exiting when
    /// it was added nobody else removes: the kernel half was told of its exit before.
    pub found: Vec<(Process, u32)>,
}

impl Presence {
    /// Of processes that are followed, or else of the cgroups.
    pub fn new(followed: Option<Followed>) -> Self {
        Self { followed: followed.map(RefCell::new), was_inhabited: Cell::new(false) }
    }

    /// Whether no process is left, of those there were.
    pub fn is_gone(&self, scope: &Scope) -> bool {
        if let Some(followed) = &self.followed {
            return followed.borrow_mut().is_empty();
        }
        let deserted = scope.is_deserted();
        if !deserted {
            self.was_inhabited.set(true);
        }
        deserted && self.was_inhabited.get()
    }
}

impl Followed {
    fn is_empty(&mut self) -> bool {
        let Self { targets, found } = self;
        found.retain(|(process, number)| {
            let runs = process.runs();
            if !runs {
                targets.remove(*number);
            }
            runs
        });
        targets.is_empty()
    }
}
