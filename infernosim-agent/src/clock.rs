//! The only reader of time. Monotonic time orders and measures; wall time is only ever printed.

use std::sync::OnceLock;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds of CLOCK_MONOTONIC, the clock that `bpf_ktime_get_ns` reads too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The time from `earlier` to `self` in nanoseconds; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

fn read(id: ClockId) -> u64 {
    // Neither clock can fail on Linux; a zero would only misprint.
    let time = clock_gettime(id).map(Duration::from).unwrap_or_default();
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Now.
pub fn now() -> Nanos {
    Nanos(read(ClockId::CLOCK_MONOTONIC))
}

/// The wall time of a moment, in nanoseconds since the Unix epoch: the wall clock as it stood at the first
/// call, moved on by monotonic time, so that times in a log never run backwards when the wall clock is set.
pub fn wall(at: Nanos) -> u64 {
    static OFFSET: OnceLock<u64> = OnceLock::new();
    let offset =
        *OFFSET.get_or_init(|| read(ClockId::CLOCK_REALTIME).saturating_sub(read(ClockId::CLOCK_MONOTONIC)));
    offset.saturating_add(at.0)
}

/// Which boot of the machine it is, whose monotonic time this is: random(4). Empty where the kernel does not tell.
pub fn boot_id() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_moves_with_monotonic_time() {
        let at = now();
        assert_eq!(wall(Nanos(at.0 + 5)) - wall(at), 5);
        // 2020 to 2100: the offset is that of the wall clock, not of the boot.
        assert!((1_577_836_800_000_000_000..4_102_444_800_000_000_000).contains(&wall(at)));
    }
}
