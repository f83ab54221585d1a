//! How long a run may take.

/// `--max-wall-time` is at least this where it is not given, in ns.
const LEAST_WALL_NS: u64 = 30_000_000_000;

/// What ends a run that does not end of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `--max-wall-time`, in ns; `u64::MAX` for none.
    pub wall_ns: u64,
    /// `--max-idle-time`, in ns: so long nothing may move while nothing is scheduled and nothing waits on purpose.
    pub idle_ns: u64,
    /// `--window`, in ns: the paced workload is begun again until so much has passed; 0: once.
    pub window_ns: u64,
}

impl Limits {
    /// With the default for a `wall_ns` that is not given: the greater of 30 s and twice the paced length plus the window.
    /// Of both times 0 is no limit.
    pub fn new(wall_ns: Option<u64>, idle_ns: u64, window_ns: u64, paced_ns: u64) -> Self {
        let usual = paced_ns.saturating_mul(2).saturating_add(window_ns).max(LEAST_WALL_NS);
        let or_none = |ns| if ns == 0 { u64::MAX } else { ns };
        Self { wall_ns: or_none(wall_ns.unwrap_or(usual)), idle_ns: or_none(idle_ns), window_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_time_follows_from_what_is_paced() {
        let wall = |given, window, paced| Limits::new(given, 5, window, paced).wall_ns;
        const S: u64 = 1_000_000_000;
        assert_eq!(wall(None, 0, S), 30 * S);
        assert_eq!(wall(None, 0, 20 * S), 40 * S);
        assert_eq!(wall(None, 25 * S, 3 * S), 31 * S);
        assert_eq!(wall(Some(S), 25 * S, 20 * S), S);
        assert_eq!(wall(None, u64::MAX, u64::MAX), u64::MAX);
        assert_eq!(wall(Some(0), 0, S), u64::MAX, "as the original has it");
        assert_eq!(Limits::new(None, 0, 0, S).idle_ns, u64::MAX);
    }
}
