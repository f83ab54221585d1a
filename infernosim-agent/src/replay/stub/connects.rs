//! Recorded connect failures: which connects fail next, and with what.
//!
//! A failure stands behind so many calls to its address. Once so many have begun, the next connect there fails as
//! recorded; failures in a row are given to the kernel half as one countdown, so that several connects at once are not
//! all one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use nix::errno::Errno;

use crate::redirect::{Action, Verdict};
use crate::replay::script::{Dependency, FailedConnect};

/// How the next connect to an address is met, where the kernel half cannot do it: after it was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// It is served.
    Served,
    /// It is reset before any byte, as recorded.
    Reset,
}

/// The failures of all addresses in a run.
#[derive(Clone, Debug, Default)]
pub struct Connects {
    at: BTreeMap<SocketAddr, Failures>,
}

#[derive(Clone, Debug, Default)]
struct Failures {
    dependency: Arc<str>,
    /// In order.
    all: Vec<Failure>,
    /// How many of them happened again.
    met: usize,
    /// Calls that have begun.
    begun: u32,
    /// No call was ever answered there: nor is any connect beyond the recorded ones.
    down: bool,
}

#[derive(Clone, Copy, Debug)]
struct Failure {
    /// How many calls come before it.
    position: u32,
    errno: Errno,
    took_ns: u64,
}

/// What a failed connect was to the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// One that it has: it took so many ns; and whether the address's verdict is another now.
    Recorded(u64, bool),
    /// One more than it has.
    Surplus,
}

impl Connects {
    /// Those of the recording; none has happened again.
    pub fn new(dependencies: &[Dependency]) -> Self {
        let mut connects = Self::default();
        for dependency in dependencies {
            for failed in &dependency.failed {
                let at = connects.at.entry(failed.address).or_default();
                at.dependency = Arc::clone(&dependency.name);
                at.down = dependency.served + dependency.unserved == 0;
                let FailedConnect { position, errno, took_ns, .. } = *failed;
                at.all.push(Failure { position, errno, took_ns });
            }
        }
        connects.at.values_mut().for_each(|failures| failures.all.sort_by_key(|failure| failure.position));
        connects
    }

    /// What becomes of the next connects to an address. `Stub` for all, where the recording has no failure for it.
    pub fn verdict(&self, address: SocketAddr) -> Verdict {
        self.at.get(&address).map_or(Verdict::always(Action::Stub), Failures::verdict)
    }

    /// A call to an address has begun; whether its verdict is another now.
    pub fn called(&mut self, address: SocketAddr) -> bool {
        self.change(address, |failures| failures.begun = failures.begun.saturating_add(1))
    }

    /// A connect to an address failed, as its verdict said.
    pub fn failed(&mut self, address: SocketAddr) -> Met {
        let next = self.at.get(&address).and_then(|failures| failures.all.get(failures.met)).copied();
        next.map_or(Met::Surplus, |failure| {
            Met::Recorded(failure.took_ns, self.change(address, |failures| failures.met += 1))
        })
    }

    /// A connection to an address was accepted: how it is met.
    pub fn accepted(&mut self, address: SocketAddr) -> Meeting {
        let due = self.at.get(&address).and_then(Failures::due);
        if due != Some(Errno::ECONNRESET) {
            return Meeting::Served;
        }
        self.failed(address);
        Meeting::Reset
    }

    /// The addresses that have failures.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.at.keys().copied()
    }

    /// What did not happen again: (dependency, how many).
    pub fn missing(&self) -> Vec<(String, u64)> {
        let mut missing: BTreeMap<&str, u64> = BTreeMap::new();
        for failures in self.at.values() {
            let left = (failures.all.len() - failures.met) as u64;
            *missing.entry(&failures.dependency).or_default() += left;
        }
        let left = missing.into_iter().filter(|(_, left)| *left > 0);
        left.map(|(dependency, left)| (dependency.to_owned(), left)).collect()
    }

    fn change(&mut self, address: SocketAddr, how: impl FnOnce(&mut Failures)) -> bool {
        let Some(failures) = self.at.get_mut(&address) else { return false };
        let before = failures.verdict();
        how(failures);
        let after = failures.verdict();
        // The kernel half counts down of itself: that is no change.
        let counted = Verdict { times: before.times.saturating_sub(1), ..before };
        after != before && (after != counted || after.times == 0)
    }
}

impl Failures {
    /// What fails next, if it is due.
    fn due(&self) -> Option<Errno> {
        let failure = self.all.get(self.met)?;
        (failure.position <= self.begun).then_some(failure.errno)
    }

    fn verdict(&self) -> Verdict {
        let rest = if self.down { Action::Refuse } else { Action::Stub };
        let Some(first) = self.due().map(action) else { return Verdict::always(rest) };
        let due = self.all[self.met..].iter().take_while(|failure| failure.position <= self.begun);
        let due: Vec<Action> = due.map(|failure| action(failure.errno)).collect();
        let alike = due.iter().take_while(|action| **action == first).count();
        // The next ones, where they are of another kind, are set once these have happened; if a connect is quicker than
        // we are, it is at least not served.
        let then = due.get(alike).copied().unwrap_or(rest);
        Verdict { first, times: u32::try_from(alike).unwrap_or(u32::MAX), then }
    }
}

/// What makes the kernel half fail a connect so.
fn action(errno: Errno) -> Action {
    match errno {
        Errno::ECONNREFUSED => Action::Refuse,
        Errno::ETIMEDOUT => Action::Hang,
        // The connection was there, and broke: ours to do.
        Errno::ECONNRESET | Errno::EPIPE => Action::Stub,
        errno => Action::Fail(errno),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::replay::script::Basis;

    fn address() -> SocketAddr {
        "10.0.0.7:80".parse().unwrap()
    }

    fn connects(failed: &[(u32, Errno)]) -> Connects {
        let failed = failed.iter().map(|(position, errno)| FailedConnect {
            address: address(),
            errno: *errno,
            position: *position,
            took_ns: 9,
            cause: None,
            basis: Basis::None,
        });
        Connects::new(&[Dependency {
            name: "stock.test".into(),
            addresses: vec![address()],
            protocol: "http/1.1".into(),
            served: 1,
            unserved: 0,
            failed: failed.collect(),
        }])
    }

    const SERVED: Verdict = Verdict::always(Action::Stub);

    #[test]
    fn failures_come_where_they_were() {
        let refused = Errno::ECONNREFUSED;
        let mut connects = connects(&[(0, refused), (0, refused), (2, Errno::ETIMEDOUT)]);
        let twice = Verdict { first: Action::Refuse, times: 2, then: Action::Stub };
        assert_eq!(connects.verdict(address()), twice);
        // The kernel half has counted down: nothing to say until none is left.
        assert_eq!(connects.failed(address()), Met::Recorded(9, false));
        assert_eq!(connects.failed(address()), Met::Recorded(9, true));
        assert_eq!(connects.verdict(address()), SERVED);
        assert!(!connects.called(address()));
        assert_eq!(connects.missing(), [("stock.test".to_owned(), 1)]);
        assert!(connects.called(address()));
        let hangs = Verdict { first: Action::Hang, times: 1, then: Action::Stub };
        assert_eq!(connects.verdict(address()), hangs);
        assert_eq!(connects.failed(address()), Met::Recorded(9, true));
        assert_eq!((connects.verdict(address()), connects.missing()), (SERVED, Vec::new()));
        assert_eq!(connects.failed(address()), Met::Surplus);
    }

    #[test]
    fn failures_of_several_kinds_in_a_row() {
        let mut connects = connects(&[(0, Errno::ECONNREFUSED), (0, Errno::ENETUNREACH)]);
        let unreachable = Action::Fail(Errno::ENETUNREACH);
        assert_eq!(
            connects.verdict(address()),
            Verdict { first: Action::Refuse, times: 1, then: unreachable }
        );
        assert_eq!(connects.failed(address()), Met::Recorded(9, true));
        assert_eq!(connects.verdict(address()), Verdict { first: unreachable, times: 1, then: Action::Stub });
    }

    #[test]
    fn a_connection_that_broke_before_any_byte_is_accepted_and_reset() {
        let mut connects = connects(&[(1, Errno::ECONNRESET)]);
        assert_eq!(connects.accepted(address()), Meeting::Served);
        connects.called(address());
        assert_eq!(connects.verdict(address()).first, Action::Stub);
        assert_eq!(connects.accepted(address()), Meeting::Reset);
        assert_eq!(connects.accepted(address()), Meeting::Served);
        assert_eq!(connects.accepted("10.9.9.9:80".parse().unwrap()), Meeting::Served);
    }

    #[test]
    fn what_was_never_there_is_not_there_after_its_failures_either() {
        let refused = |at| FailedConnect {
            address: address(),
            errno: Errno::ECONNREFUSED,
            position: at,
            took_ns: 0,
            cause: None,
            basis: Basis::None,
        };
        let mut connects = Connects::new(&[Dependency {
            name: "stock.test".into(),
            addresses: vec![address()],
            protocol: "".into(),
            served: 0,
            unserved: 0,
            failed: vec![refused(0)],
        }]);
        assert_eq!(connects.failed(address()), Met::Recorded(0, true));
        assert_eq!(connects.verdict(address()), Verdict::always(Action::Refuse));
        assert_eq!(connects.failed(address()), Met::Surplus);
    }

    /// The kernel half as it counts.
    fn connect(kernel: &mut Verdict) -> Action {
        if kernel.times == 0 {
            return kernel.then;
        }
        kernel.times -= 1;
        kernel.first
    }

    proptest! {
        #[test]
        fn each_failure_happens_once_and_in_order(
            recorded in prop::collection::vec((0_u32..4, 0_usize..3), 0..6),
        ) {
            const KINDS: [Errno; 3] = [Errno::ECONNREFUSED, Errno::ETIMEDOUT, Errno::ENETUNREACH];
            let mut recorded: Vec<(u32, Errno)> =
                recorded.into_iter().map(|(position, kind)| (position, KINDS[kind])).collect();
            recorded.sort_by_key(|(position, _)| *position);
            let mut connects = connects(&recorded);
            let mut kernel = connects.verdict(address());
            let mut happened = Vec::new();
            for begun in 0..5 {
                // A target that tries until it is served.
                loop {
                    let met = connect(&mut kernel);
                    if met == Action::Stub {
                        break;
                    }
                    happened.push((begun, met));
                    if matches!(connects.failed(address()), Met::Recorded(_, true)) {
                        kernel = connects.verdict(address());
                    }
                }
                if connects.called(address()) {
                    kernel = connects.verdict(address());
                }
            }
            let expected: Vec<_> = recorded.iter().map(|(at, errno)| (*at, action(*errno))).collect();
            prop_assert_eq!(happened, expected);
            prop_assert!(connects.missing().is_empty());
        }
    }
}
