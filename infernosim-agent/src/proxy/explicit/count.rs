use std::sync::atomic::{AtomicU64, Ordering};

/// What the engine did not forward, by reason. None of it is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections from addresses that are not allowed (403).
    pub not_allowed: u64,
    /// Requests that are malformed, or mean different things to different readers (400).
    pub malformed: u64,
    /// Requests to the forward proxy that name no host: the client takes us for its server (400).
    pub not_for_a_proxy: u64,
    /// Heads of more than 64 KiB (431).
    pub too_large: u64,
    /// HTTP/2 without TLS, and versions that we do not speak (505).
    pub version: u64,
    /// Requests that would have come back to us (508).
    pub loops: u64,
    /// Heads that were not whole in time (408).
    pub too_slow: u64,
    /// Connections closed at once because there were too many.
    pub too_many: u64,
    /// `/healthz`, answered.
    pub health: u64,
}

/// The counters behind it.
#[derive(Debug, Default)]
pub struct Counters([AtomicU64; 10]);

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    Accepted,
    NotAllowed,
    Malformed,
    NotForAProxy,
    TooLarge,
    Version,
    Loop,
    TooSlow,
    TooMany,
    Health,
}

impl Counters {
    pub fn count(&self, what: Counted) {
        self.0[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn read(&self) -> Counts {
        let of = |what: Counted| self.0[what as usize].load(Ordering::Relaxed);
        Counts {
            accepted: of(Counted::Accepted),
            not_allowed: of(Counted::NotAllowed),
            malformed: of(Counted::Malformed),
            not_for_a_proxy: of(Counted::NotForAProxy),
            too_large: of(Counted::TooLarge),
            version: of(Counted::Version),
            loops: of(Counted::Loop),
            too_slow: of(Counted::TooSlow),
            too_many: of(Counted::TooMany),
            health: of(Counted::Health),
        }
    }
}
