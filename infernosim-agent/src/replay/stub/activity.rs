use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::{self, Nanos};

/// When something last happened, and whether nothing happens on purpose.
#[derive(Debug, Default)]
pub struct Activity {
    last: AtomicU64,
    waiting: AtomicU64,
    /// Until then a wait is meant that nothing here holds.
    meant_until: AtomicU64,
    /// Connections of runs with an even number, and with an odd one.
    open: [AtomicU64; 2],
}

/// Held while the recording says to wait: that is not idle.
#[derive(Debug)]
pub struct Purpose(Arc<Activity>);

/// Held while a connection is open.
#[derive(Debug)]
pub struct Open(Arc<Activity>, u64);

impl Activity {
    /// Something happened.
    pub fn moved(&self) {
        self.last.store(clock::now().0, Ordering::Relaxed);
    }

    /// From now on a wait is meant, until the value is dropped.
    pub fn on_purpose(self: &Arc<Self>) -> Purpose {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Purpose(Arc::clone(self))
    }

    /// A wait is meant for so many ns from now: the target's own, of which we see nothing.
    pub fn meant_for(&self, ns: u64) {
        self.meant_until.fetch_max(clock::now().0.saturating_add(ns), Ordering::Relaxed);
    }

    /// A connection of this run is open until the value is dropped.
    pub fn open(self: &Arc<Self>, run: u64) -> Open {
        self.connections_of(run).fetch_add(1, Ordering::Relaxed);
        self.moved();
        Open(Arc::clone(self), run)
    }

    /// Connections of this run, or the next but one, that are open.
    pub fn connections(&self, run: u64) -> u64 {
        self.connections_of(run).load(Ordering::Relaxed)
    }

    fn connections_of(&self, run: u64) -> &AtomicU64 {
        &self.open[usize::from(run % 2 == 1)]
    }

    /// Since when nothing happens; now, while that is meant.
    pub fn idle_since(&self) -> Nanos {
        let now = clock::now();
        let meant_until = self.meant_until.load(Ordering::Relaxed);
        if self.waiting.load(Ordering::Relaxed) > 0 || now.0 < meant_until {
            return now;
        }
        Nanos(self.last.load(Ordering::Relaxed).max(meant_until))
    }
}

impl Drop for Purpose {
    fn drop(&mut self) {
        self.0.moved();
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections_of(self.1).fetch_sub(1, Ordering::Relaxed);
    }
}
