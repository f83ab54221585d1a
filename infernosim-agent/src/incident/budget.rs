use std::sync::atomic::{AtomicUsize, Ordering};

/// How much memory the recording may hold between the wire and the disk, in bytes. Over it events are dropped
/// whole and counted; the traffic never waits.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    held: AtomicUsize,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub const fn new(limit: usize) -> Self {
        Self { limit, held: AtomicUsize::new(0) }
    }

    /// Takes `bytes` if they fit.
    pub fn take(&self, bytes: usize) -> bool {
        // Only the recorder takes, so between the look and the add it can only become less.
        if self.held.load(Ordering::Relaxed) + bytes > self.limit {
            return false;
        }
        self.held.fetch_add(bytes, Ordering::Relaxed);
        true
    }

    /// Gives back what was taken.
    pub fn give(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// What is held now.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}
