use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Gives the connections of a capture their numbers, from 1, whoever sees them.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    given: Arc<AtomicU64>,
}

impl Numbers {
    /// The next one.
    pub fn next(&self) -> u64 {
        self.given.fetch_add(1, Ordering::Relaxed) + 1
    }
}
