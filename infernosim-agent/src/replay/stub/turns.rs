//! Recorded connections of protocols that are not read: which of them a live connection is.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::replay::script::{Call, CallIndex, CallKind, ExchangeIndex};

/// How many unused connections are looked at for one whose first turn fits.
const LOOKED_AT: usize = 256;

/// The recorded connections of all dependencies, and which of them were used in this run.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    of: BTreeMap<Arc<str>, Vec<Recorded>>,
}

#[derive(Clone, Debug)]
struct Recorded {
    cause: Option<ExchangeIndex>,
    turns: Arc<[CallIndex]>,
    /// Equal answers to all turns, equal numbers.
    answers: Vec<u64>,
    used: bool,
}

struct Turn {
    index: CallIndex,
    dependency: Arc<str>,
    connection: Option<u64>,
    cause: Option<ExchangeIndex>,
    sequence: u64,
    answer: u64,
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
    /// It is this connection: its turns; and whether another one that is answered otherwise begins as this one did.
    This(Arc<[CallIndex]>, bool),
    /// More bytes will tell.
    Open,
    /// None fits. The first unused one, which is not used up.
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
            let cause = turns.first().and_then(|turn| turn.cause);
            let answers = turns.iter().map(|turn| turn.answer).collect();
            let turns = turns.iter().map(|turn| turn.index).collect();
            of.entry(key.0).or_default().push(Recorded { cause, turns, answers, used: false });
        }
        Self { of }
    }

    /// A new run: none was used.
    pub fn begin(&mut self) {
        self.of.values_mut().flatten().for_each(|recorded| recorded.used = false);
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
        let all = self.of.get_mut(name.as_str()).into_iter().flatten();
        let mut unused: Vec<&mut Recorded> = all.filter(|recorded| !recorded.used).collect();
        unused.sort_by_key(|recorded| cause.is_some() && recorded.cause != cause);
        let first = unused.first().and_then(|recorded| recorded.turns.first()).copied();
        let mut open = false;
        unused.truncate(LOOKED_AT);
        for at in 0..unused.len() {
            match unused[at].turns.first().map_or(Fit::Not, |turn| fits(*turn)) {
                Fit::Whole if no_more || !open => {
                    let others = unused[at + 1..].iter().filter(|other| other.answers != unused[at].answers);
                    let is_one_of_many =
                        others.filter_map(|other| other.turns.first()).any(|turn| fits(*turn) == Fit::Whole);
                    unused[at].used = true;
                    return Choice::This(Arc::clone(&unused[at].turns), is_one_of_many);
                }
                Fit::Whole | Fit::SoFar => open = true,
                Fit::Not => {}
            }
        }
        if open { Choice::Open } else { Choice::None(first) }
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
        };
        // In causal order; the second turn of connection 7 was before the first of 8 on the wire.
        Turns::of([turn(0, 7, 0, 1), turn(2, 8, 0, 3), turn(3, 7, 1, 2), turn(4, 9, 1, 4)].into_iter())
    }

    fn names() -> Vec<String> {
        vec!["other.test".to_owned(), "cache.test:6379".to_owned()]
    }

    fn this(turns: &[u32], is_one_of_many: bool) -> Choice {
        Choice::This(turns.iter().map(|index| CallIndex(*index)).collect(), is_one_of_many)
    }

    #[test]
    fn connections_are_used_once_in_their_order() {
        let mut turns = turns();
        for (expected, is_one_of_many) in [(&[0, 3][..], true), (&[2], true), (&[4], false)] {
            let chosen = turns.choose(&names(), (None, false), |_| Fit::Whole);
            assert_eq!(chosen, this(expected, is_one_of_many));
        }
        assert_eq!(turns.choose(&names(), (None, false), |_| Fit::Whole), Choice::None(None));
        turns.begin();
        assert_eq!(turns.choose(&names(), (None, false), |_| Fit::Whole), this(&[0, 3], true));
        assert_eq!(
            turns.choose(&["none.test".to_owned()], (None, false), |_| Fit::Whole),
            Choice::None(None)
        );
    }

    #[test]
    fn the_cause_and_the_bytes_tell_which() {
        let mut turns = turns();
        assert_eq!(turns.choose(&names(), (Some(ExchangeIndex(1)), false), |_| Fit::Whole), this(&[4], true));
        let only_second = |index| if index == CallIndex(2) { Fit::Whole } else { Fit::Not };
        assert_eq!(turns.choose(&names(), (Some(ExchangeIndex(1)), false), only_second), this(&[2], false));
        assert_eq!(turns.choose(&names(), (None, false), |_| Fit::SoFar), Choice::Open);
        assert_eq!(turns.choose(&names(), (None, false), |_| Fit::Not), Choice::None(Some(CallIndex(0))));
        // What is whole for a later one may be the beginning of an earlier one.
        let beginning = |index| if index == CallIndex(0) { Fit::SoFar } else { Fit::Whole };
        turns.begin();
        assert_eq!(turns.choose(&names(), (None, false), beginning), Choice::Open);
        assert_eq!(turns.choose(&names(), (None, true), beginning), this(&[2], true));
    }
}
