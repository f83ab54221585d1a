use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::incident::Numbers;
use crate::redirect::Gate;

/// Descriptors that are not relayed sockets: logs, maps, programs, links, pipes, epoll.
const OTHER_DESCRIPTORS: u64 = 192;
/// Connections that may be redirected already and still wait to be accepted when the limit is reached.
const IN_FLIGHT: u64 = 256;
/// However many descriptors there are: the kernel half's maps are sized for this many.
const MOST: u64 = 32_768;

/// Keeps the number of relayed connections below what this process has descriptors for.
pub struct Limit {
    gate: Arc<Gate>,
    max: u64,
    active: AtomicU64,
    exhausted: AtomicBool,
    opened: AtomicU64,
    numbers: Numbers,
}

/// Raises this process's soft limit of open files to its hard limit; returns the limits as they were and how
/// many connections (two descriptors each) the new one is good for.
pub fn raise_open_files() -> ((u64, u64), u64) {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_or(soft, |()| hard);
    ((soft, hard), connections_for(raised))
}

const fn connections_for(descriptors: u64) -> u64 {
    let relayed = descriptors.saturating_sub(OTHER_DESCRIPTORS) / 2;
    match relayed.saturating_sub(IN_FLIGHT) {
        0..16 => 16,
        too_many if too_many > MOST => MOST,
        max => max,
    }
}

impl Limit {
    /// At most `max` connections at a time.
    pub const fn new(gate: Arc<Gate>, max: u64, numbers: Numbers) -> Self {
        Self {
            gate,
            max,
            active: AtomicU64::new(0),
            exhausted: AtomicBool::new(false),
            opened: AtomicU64::new(0),
            numbers,
        }
    }

    /// One more; returns its number in this capture, from 1.
    pub fn opened(&self) -> u64 {
        if self.active.fetch_add(1, Ordering::Relaxed) + 1 >= self.max {
            self.gate.at_limit(true);
        }
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.numbers.next()
    }

    /// How many there have been, and how many there are.
    pub fn opened_and_active(&self) -> (u64, u64) {
        (self.opened.load(Ordering::Relaxed), self.active.load(Ordering::Relaxed))
    }

    /// One less.
    pub fn closed(&self) {
        let active = self.active.fetch_sub(1, Ordering::Relaxed) - 1;
        // A little below, so that the gate does not flap with every connection.
        if active == self.max - self.max / 16 - 1 || self.exhausted.swap(false, Ordering::Relaxed) {
            self.gate.at_limit(false);
        }
    }

    /// Out of descriptors all the same: no more until some are free.
    pub fn exhausted(&self) {
        self.exhausted.store(true, Ordering::Relaxed);
        self.gate.at_limit(true);
    }

    /// How many are open now.
    pub fn active(&self) -> u64 {
        self.active.load(Ordering::Relaxed)
    }

    /// How many there were so far.
    pub fn seen(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_descriptors_a_connection_and_some_to_spare() {
        assert!(connections_for(20_000) >= 8_000);
        for descriptors in [1024, 4096, 20_000, 1 << 20] {
            assert!(connections_for(descriptors) * 2 + OTHER_DESCRIPTORS <= descriptors);
        }
        assert_eq!((connections_for(0), connections_for(1 << 30)), (16, MOST));
    }
}
