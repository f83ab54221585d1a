//! The numbers of lines: their order.
//!
//! One process that writes both logs counts. Two processes that write one each would have to wait for each other to
//! count; they go by the clock that they have in common instead.

use super::super::Direction;
use super::super::manifest::Clocked;
use crate::clock::Nanos;

/// Gives lines their numbers.
#[derive(Debug)]
pub struct Sequence {
    /// The least that the next one may get.
    least: u64,
    clock: Option<Clock>,
}

#[derive(Debug)]
struct Clock {
    epoch: Nanos,
    base: u64,
}

impl Default for Sequence {
    /// Counts from 1.
    fn default() -> Self {
        Self { least: 1, clock: None }
    }
}

impl Sequence {
    /// By the clock; `last` is the largest number in the log so far. Inbound lines get the numbers that are even from
    /// the base on, all others the odd ones, so that neither process can give one that the other gives.
    pub fn clocked(clocked: &Clocked, side: Direction, last: u64) -> Self {
        let base = clocked.base.saturating_add(u64::from(side == Direction::Outbound));
        let least = if last >= base { last.saturating_add(2) } else { base };
        Self { least, clock: Some(Clock { epoch: Nanos(clocked.monotonic_ns), base }) }
    }

    /// The number of a line about something that happened then: what happened earlier gets a lower one in whichever
    /// log, as long as lines are written in the order in which things happened, and fewer than one a microsecond.
    pub fn next(&self, happened: Nanos) -> u64 {
        let Some(Clock { epoch, base }) = &self.clock else { return self.least };
        base.saturating_add(happened.since(*epoch) / 1000 * 2).max(self.least)
    }

    /// There is a line with this number.
    pub fn used(&mut self, number: u64) {
        self.least = number.saturating_add(if self.clock.is_some() { 2 } else { 1 });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const EPOCH: u64 = 7_000_000_000;

    fn clocked(base: u64) -> Clocked {
        Clocked { boot_id: String::new(), monotonic_ns: EPOCH, base }
    }

    #[test]
    fn alone_it_counts() {
        let mut sequence = Sequence::default();
        for expected in 1..5 {
            assert_eq!(sequence.next(Nanos(9)), expected);
            assert_eq!(sequence.next(Nanos(9)), expected, "until it is used");
            sequence.used(expected);
        }
    }

    #[test]
    fn by_the_clock_it_goes_on_where_the_log_ends() {
        let at = |base, side, last, us: u64| {
            Sequence::clocked(&clocked(base), side, last).next(Nanos(EPOCH + us * 1000 + 999))
        };
        assert_eq!(at(1, Direction::Inbound, 0, 0), 1);
        assert_eq!(at(1, Direction::Outbound, 0, 0), 2);
        assert_eq!(at(1, Direction::Inbound, 0, 5), 11);
        // The last session wrote more than a line a microsecond: no number is given twice.
        assert_eq!(at(1, Direction::Outbound, 20, 5), 22);
        // A new base, after a boot: the largest number of the old one has any parity.
        for largest in [40, 41] {
            assert_eq!(at(largest + 1, Direction::Inbound, largest, 0), largest + 1);
            assert_eq!(at(largest + 1, Direction::Outbound, largest, 0), largest + 2);
        }
        // What came before the folder was joined.
        let early = Sequence::clocked(&clocked(1), Direction::Inbound, 0).next(Nanos(3));
        assert_eq!(early, 1);
    }

    /// One request of a client: microseconds until it is whole, then until each call it makes is over, and until it
    /// is answered.
    #[derive(Clone, Debug)]
    struct Served {
        asked: u64,
        calls: Vec<u64>,
        answered: u64,
    }

    fn served() -> impl Strategy<Value = Served> {
        (0..2000_u64, prop::collection::vec(1..300_u64, 0..4), 1..300_u64)
            .prop_map(|(asked, calls, answered)| Served { asked, calls, answered })
    }

    /// Two processes, each of which sees what happens to it in its order, and neither when the other writes.
    fn numbers(requests: &[Served], base: u64) -> BTreeMap<(usize, usize), (Direction, u64)> {
        let mut happened = Vec::new();
        for (which, request) in requests.iter().enumerate() {
            let mut now = request.asked;
            happened.push((now, Direction::Inbound, which, 0));
            for (call, after) in request.calls.iter().enumerate() {
                now += after;
                happened.push((now, Direction::Outbound, which, call + 1));
            }
            happened.push((now + request.answered, Direction::Inbound, which, request.calls.len() + 1));
        }
        happened.sort_unstable();
        // No process sees more than one thing a microsecond.
        let mut last = BTreeMap::new();
        happened.retain(|(at, side, ..)| last.insert(*side, *at) != Some(*at));
        let mut given = BTreeMap::new();
        for side in Direction::ALL {
            let mut sequence = Sequence::clocked(&clocked(base), side, base - 1);
            for (at, _, which, step) in happened.iter().filter(|(_, of, ..)| *of == side) {
                let number = sequence.next(Nanos(EPOCH + at * 1000));
                sequence.used(number);
                given.insert((*which, *step), (side, number));
            }
        }
        given
    }

    proptest! {
        #[test]
        fn two_writers_never_meet_and_causes_come_first(
            requests in prop::collection::vec(served(), 1..20),
            base in 1..1000_u64,
        ) {
            let given = numbers(&requests, base);
            let mut all: Vec<u64> = given.values().map(|(_, number)| *number).collect();
            all.sort_unstable();
            prop_assert!(all.windows(2).all(|two| two[0] < two[1]), "unique: {all:?}");
            prop_assert!(all[0] >= base);
            for ((which, step), (_, number)) in &given {
                let earlier = given.range((*which, 0)..(*which, *step));
                prop_assert!(earlier.clone().all(|(_, (_, before))| before < number), "{which} {step}");
            }
        }

        #[test]
        fn each_log_only_grows_however_much_happens_at_once(
            steps in prop::collection::vec((0..3_u64, any::<bool>()), 1..200),
            last in 0..50_u64,
        ) {
            let base = 10;
            let mut given = std::collections::BTreeSet::new();
            let mut logs = [Direction::Inbound, Direction::Outbound]
                .map(|side| {
                    // Its last number is of its own parity, or of before the base.
                    let own = last.max(base) / 2 * 2 + u64::from(side == Direction::Outbound);
                    (Sequence::clocked(&clocked(base), side, own), own)
                });
            let mut at = 0;
            for (later, outbound) in steps {
                at += later;
                let (sequence, before) = &mut logs[usize::from(outbound)];
                let number = sequence.next(Nanos(EPOCH + at * 1000));
                sequence.used(number);
                prop_assert!(number > *before);
                prop_assert!(given.insert(number), "{number} twice");
                *before = number;
            }
        }
    }
}
