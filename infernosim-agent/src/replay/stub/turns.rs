//! Recorded connections of protocols that are not read: which of them a live connection is.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::replay::script::{Call, CallIndex, CallKind, ExchangeIndex};

/// How many unused connections are looked at for one whose first turn fits.
const LOOKED_AT: usize = 256;

/// The recorded connections of all dependencies, and which of their turns were used in this run.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    of: BTreeMap<Arc<str>, Vec<Recorded>>,
}

/// A connection: its turns in the order of the wire.
#[derive(Clone, Debug)]
struct Recorded {
    turns: Vec<Turn>,
}

#[derive(Clone, Debug)]
struct Turn {
    index: CallIndex,
    dependency: Arc<str>,
    connection: Option<u64>,
    cause: Option<ExchangeIndex>,
    sequence: u64,
    /// Equal answers, equal numbers.
    answer: u64,
    used: bool,
}

/// A turn, by where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Which call it is.
    pub index: CallIndex,
    dependency: Arc<str>,
    connection: usize,
    turn: usize,
}

/// How a first turn fits what a live connection has sent so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// All of it was sent.
    Whole,
    /// What was sent is its beginning.
    SoFar,
    /// Something else was sent.
    Not,
}

/// What is known after some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It is this turn, which is used now; and whether it could be another one that is answered otherwise.
    This(Seat, bool),
    /// More bytes will tell.
    Open,
    /// None fits. The first unused connection, which is not used up.
    None(Option<CallIndex>),
}

impl Turns {
    /// Those among the calls of a script, in its order.
    pub fn new(calls: &[Call]) -> Self {
        let turns = (0..).zip(calls).filter(|(_, call)| call.kind == CallKind::Turn);
        Self::of(turns.map(|(index, call)| Turn {
            index: CallIndex(index),
            dependency: Arc::clone(&call.dependency),
            connection: call.connection,
            cause: call.cause,
            sequence: call.sequence,
            answer: call.answer,
            used: false,
        }))
    }

    fn of(all: impl Iterator<Item = Turn>) -> Self {
        let mut connections: BTreeMap<(Arc<str>, u64), Vec<Turn>> = BTreeMap::new();
        let mut order = Vec::new();
        for turn in all {
            // Where connections were not recorded each turn is one.
            let connection = turn.connection.unwrap_or(u64::MAX - u64::from(turn.index.0));
            let key = (Arc::clone(&turn.dependency), connection);
            let turns = connections.entry(key.clone()).or_default();
            if turns.is_empty() {
                order.push(key);
            }
            turns.push(turn);
        }
        let mut of: BTreeMap<Arc<str>, Vec<Recorded>> = BTreeMap::new();
        for key in order {
            let mut turns = connections.remove(&key).unwrap_or_default();
            // Within a connection the order is that of the wire, whatever made each turn happen.
            turns.sort_by_key(|turn| turn.sequence);
            of.entry(key.0).or_default().push(Recorded { turns });
        }
        Self { of }
    }

    /// A new run: none was used.
    pub fn begin(&mut self) {
        let all = self.of.values_mut().flatten().flat_map(|recorded| &mut recorded.turns);
        all.for_each(|turn| turn.used = false);
    }

    /// Whether any of these names has a recorded connection.
    pub fn has(&self, names: &[String]) -> bool {
        names.iter().any(|name| self.of.contains_key(name.as_str()))
    }

    /// Which connection it is, of the first of these names that has any; one of the same cause before others, earlier
    /// ones before later ones. While an earlier one may still turn out to be it, a later one is only chosen when
    /// `no_more` is to be waited for.
    pub fn choose(
        &mut self,
        names: &[String],
        (cause, no_more): (Option<ExchangeIndex>, bool),
        mut fits: impl FnMut(CallIndex) -> Fit,
    ) -> Choice {
        let Some(name) = names.iter().find(|name| self.of.contains_key(name.as_str())) else {
            return Choice::None(None);
        };
        let Some((dependency, all)) = self.of.get_key_value(name.as_str()) else { return Choice::None(None) };
        let mut unused: Vec<(usize, &Recorded)> = all
            .iter()
            .enumerate()
            .filter(|(_, it)| it.turns.first().is_some_and(|turn| !turn.used))
            .collect();
        unused.sort_by_key(|(_, it)| cause.is_some() && it.turns[0].cause != cause);
        let first = unused.first().map(|(_, it)| it.turns[0].index);
        unused.truncate(LOOKED_AT);
        let mut open = false;
        for (at, (connection, recorded)) in unused.iter().enumerate() {
            let index = recorded.turns[0].index;
            match fits(index) {
                Fit::Whole if no_more || !open => {
                    let mut others = unused[at + 1..].iter().filter(|(_, other)| !other.answers_as(recorded));
                    let is_one_of_many = others.any(|(_, other)| fits(other.turns[0].index) == Fit::Whole);
                    let seat =
                        Seat { index, dependency: Arc::clone(dependency), connection: *connection, turn: 0 };
                    self.take(&seat);
                    return Choice::This(seat, is_one_of_many);
                }
                Fit::Whole | Fit::SoFar => open = true,
                Fit::Not => {}
            }
        }
        if open { Choice::Open } else { Choice::None(first) }
    }

    /// The turn behind this one on its recorded connection, if no other connection has had it.
    pub fn next(&self, seat: &Seat) -> Option<Seat> {
        let turn = seat.turn + 1;
        let next = self.of.get(&seat.dependency)?.get(seat.connection)?.turns.get(turn)?;
        (!next.used).then(|| Seat { index: next.index, turn, ..seat.clone() })
    }

    /// Uses a turn; false: another connection was faster.
    pub fn take(&mut self, seat: &Seat) -> bool {
        let all = self.of.get_mut(&seat.dependency).and_then(|all| all.get_mut(seat.connection));
        let turn = all.and_then(|recorded| recorded.turns.get_mut(seat.turn)).filter(|turn| !turn.used);
        turn.map(|turn| turn.used = true).is_some()
    }

    /// An unused turn, of the first of these names that has any, on whichever connection: which of its connections a pool
    /// takes for what it has to say is another in each run. One of the same cause before those of which it is not known, and
    /// these before others.
    pub fn elsewhere(
        &mut self,
        names: &[String],
        cause: Option<ExchangeIndex>,
        mut fits: impl FnMut(CallIndex) -> Fit,
    ) -> Choice {
        let Some((dependency, all)) = names.iter().find_map(|name| self.of.get_key_value(name.as_str()))
        else {
            return Choice::None(None);
        };
        let all = all.iter().enumerate();
        let mut unused: Vec<_> = all
            .flat_map(|(connection, it)| {
                let turns = it.turns.iter().enumerate().filter(|(_, turn)| !turn.used);
                turns.map(move |(at, turn)| {
                    let rank = if turn.cause == cause { 0 } else { 1 + u8::from(turn.cause.is_some()) };
                    (
                        (rank, turn.sequence),
                        Seat { index: turn.index, dependency: Arc::clone(dependency), connection, turn: at },
                    )
                })
            })
            .collect();
        unused.sort_by_key(|(order, _)| *order);
        let mut open = false;
        for (_, seat) in unused.into_iter().take(LOOKED_AT) {
            match fits(seat.index) {
                Fit::Whole => {
                    self.take(&seat);
                    return Choice::This(seat, false);
                }
                Fit::SoFar => open = true,
                Fit::Not => {}
            }
        }
        if open { Choice::Open } else { Choice::None(None) }
    }
}

impl Recorded {
    fn answers_as(&self, other: &Self) -> bool {
        let answers = |it: &Self| it.turns.iter().map(|turn| turn.answer).collect::<Vec<_>>();
        answers(self) == answers(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns() -> Turns {
        let turn = |index, connection, cause: u32, sequence| Turn {
            index: CallIndex(index),
            dependency: "cache.test:6379".into(),
            connection: Some(connection),
            cause: Some(ExchangeIndex(cause)),
            sequence,
            answer: u64::from(index),
            used: false,
        };
        // In causal order; the second turn of connection 7 was before the first of 8 on the wire.
        Turns::of([turn(0, 7, 0, 1), turn(2, 8, 0, 3), turn(3, 7, 1, 2), turn(4, 9, 1, 4)].into_iter())
    }

    fn names() -> Vec<String> {
        vec!["other.test".to_owned(), "cache.test:6379".to_owned()]
    }

    /// The recorded connection that was chosen, by its turns.
    fn chosen(turns: &Turns, choice: &Choice) -> (Vec<u32>, bool) {
        let Choice::This(seat, is_one_of_many) = choice else { panic!("{choice:?}") };
        let mut indices = vec![seat.index.0];
        let mut at = seat.clone();
        while let Some(next) = turns.next(&at) {
            indices.push(next.index.0);
            at = next;
        }
        (indices, *is_one_of_many)
    }

    #[test]
    fn connections_are_used_once_in_their_order() {
        let mut turns = turns();
        for (expected, is_one_of_many) in [(&[0, 3][..], true), (&[2], true), (&[4], false)] {
            let choice = turns.choose(&names(), (None, false), |_| Fit::Whole);
            assert_eq!(chosen(&turns, &choice), (expected.to_vec(), is_one_of_many));
        }
        assert_eq!(turns.choose(&names(), (None, false), |_| Fit::Whole), Choice::None(None));
        turns.begin();
        let choice = turns.choose(&names(), (None, false), |_| Fit::Whole);
        assert_eq!(chosen(&turns, &choice), (vec![0, 3], true));
        assert_eq!(
            turns.choose(&["none.test".to_owned()], (None, false), |_| Fit::Whole),
            Choice::None(None)
        );
    }

    #[test]
    fn the_cause_and_the_bytes_tell_which() {
        let mut turns = turns();
        let choice = turns.choose(&names(), (Some(ExchangeIndex(1)), false), |_| Fit::Whole);
        assert_eq!(chosen(&turns, &choice), (vec![4], true));
        let only_second = |index| if index == CallIndex(2) { Fit::Whole } else { Fit::Not };
        let choice = turns.choose(&names(), (Some(ExchangeIndex(1)), false), only_second);
        assert_eq!(chosen(&turns, &choice), (vec![2], false));
        assert_eq!(turns.choose(&names(), (None, false), |_| Fit::SoFar), Choice::Open);
        assert_eq!(turns.choose(&names(), (None, false), |_| Fit::Not), Choice::None(Some(CallIndex(0))));
        // What is whole for a later one may be the beginning of an earlier one.
        let beginning = |index| if index == CallIndex(0) { Fit::SoFar } else { Fit::Whole };
        turns.begin();
        assert_eq!(turns.choose(&names(), (None, false), beginning), Choice::Open);
        let choice = turns.choose(&names(), (None, true), beginning);
        assert_eq!(chosen(&turns, &choice), (vec![2], true));
    }

    #[test]
    fn a_pool_may_take_another_connection_than_it_did() {
        let mut turns = turns();
        let choice = turns.choose(&names(), (None, false), |_| Fit::Whole);
        let Choice::This(first, _) = choice else { panic!("{choice:?}") };
        let (mine, other) = (turns.next(&first).unwrap(), ExchangeIndex(1));
        // What stands first on another connection, of this cause; then what was to be said here next.
        let is = |wanted: u32| move |index| if index == CallIndex(wanted) { Fit::Whole } else { Fit::Not };
        let Choice::This(seat, _) = turns.elsewhere(&names(), Some(other), is(4)) else { panic!() };
        assert_eq!((seat.index, turns.next(&seat)), (CallIndex(4), None));
        assert_eq!(turns.elsewhere(&names(), None, is(4)), Choice::None(None), "it was used");
        assert!(
            matches!(turns.elsewhere(&names(), Some(other), |_| Fit::Whole), Choice::This(it, _) if it == mine)
        );
        assert!(turns.next(&first).is_none() && !turns.take(&mine), "another connection was faster");
        assert_eq!(turns.elsewhere(&names(), None, |_| Fit::SoFar), Choice::Open);
    }
}
