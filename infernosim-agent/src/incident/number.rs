use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Gives the connections of a capture their numbers, from 1, whoever sees them.
#[derive(Clone, Debug)]
pub struct Numbers {
    next: Arc<AtomicU64>,
    step: u64,
}

impl Default for Numbers {
    fn default() -> Self {
        Self::from(1, 1)
    }
}

impl Numbers {
    /// From `first` on, each so much more than the last.
    pub fn from(first: u64, step: u64) -> Self {
        Self { next: Arc::new(AtomicU64::new(first)), step }
    }

    /// The next one.
    pub fn next(&self) -> u64 {
        self.next.fetch_add(self.step, Ordering::Relaxed)
    }
}
