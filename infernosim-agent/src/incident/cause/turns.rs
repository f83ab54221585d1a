//! When the target wrote on the connections that it opened, and which thread did.

use std::collections::{BTreeMap, VecDeque};

use super::Who;
use crate::clock::Nanos;

/// Connections of which turns are remembered; those with the lowest numbers, which are the oldest, go first.
const MOST: usize = 16_384;
/// Turns that are remembered of each.
const TURNS: usize = 32;

/// The first bytes that the target wrote after it had read, or that another thread wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The place of the first of them in all that it wrote on the connection.
    pub offset: u64,
    /// When they were written.
    pub at: Nanos,
    /// Who did.
    pub who: Who,
}

#[derive(Debug, Default)]
pub(super) struct Turns {
    sockets: BTreeMap<u64, VecDeque<Turn>>,
}

impl Turns {
    pub fn add(&mut self, socket: u64, turn: Turn) {
        if self.sockets.len() >= MOST && !self.sockets.contains_key(&socket) {
            self.sockets.pop_first();
        }
        let turns = self.sockets.entry(socket).or_default();
        if turns.len() >= TURNS {
            turns.pop_front();
        }
        turns.push_back(turn);
    }

    /// The turn that a request belongs to whose first byte is at or behind `from`, and of which there were bytes before
    /// `to`.
    pub fn of(&self, socket: u64, from: u64, to: u64) -> Option<Turn> {
        let turns = self.sockets.get(&socket)?;
        turns.iter().find(|turn| turn.offset >= from && turn.offset < to).copied()
    }

    pub fn forget(&mut self, socket: u64) {
        self.sockets.remove(&socket);
    }
}
