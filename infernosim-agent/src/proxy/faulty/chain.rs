use std::collections::VecDeque;

use bytes::Bytes;

use super::Toxic;
use super::toxic::{Direction, Told};

/// What goes through a direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes, at least one.
    Bytes(Bytes),
    /// The sender's FIN, or what stands for it.
    End,
    /// The sender's connection broke: a RST.
    Broken,
    /// The disturbance ends both directions, with a FIN.
    Close,
    /// The disturbance ends both directions, with a RST.
    Reset,
    /// Nothing of it is left; the time is when that was so.
    Nothing,
}

/// A piece and when it is due, in ns on the connection's own clock.
pub struct Due {
    pub at: u64,
    pub piece: Piece,
    /// What is observed once it has been delivered.
    pub notes: Vec<(Told, String)>,
}

/// One disturbance of one direction. Pure: time comes in with what happens, and goes out with it.
pub trait Stage: Send {
    /// The connection begins; as [`Stage::take`].
    fn begin(&mut self, at: u64, out: &mut Vec<(u64, Piece)>) -> Option<String> {
        let _ = (at, out);
        None
    }

    /// A piece arrives; what becomes of it, and when, in order. What is to be said of it, if it is the first that was
    /// disturbed: then once the last that goes out has been delivered.
    fn take(&mut self, at: u64, piece: Piece, out: &mut Vec<(u64, Piece)>) -> Option<String>;
}

/// The stages of a direction.
pub struct Chain {
    stages: Vec<Link>,
}

struct Link {
    stage: Box<dyn Stage>,
    told: Option<Told>,
    /// When the last piece went out: none overtakes another.
    last: u64,
}

impl Chain {
    /// Of those that hit this connection.
    pub fn new(toxics: &[Toxic], direction: Direction, connection: u64) -> Self {
        let hit = toxics.iter().filter(|toxic| toxic.direction == direction && toxic.hits(connection));
        let link = |toxic: &Toxic| Link { stage: toxic.stage(connection), told: toxic.told.clone(), last: 0 };
        Self { stages: hit.map(link).collect() }
    }

    /// The connection begins.
    pub fn begin(&mut self, at: u64, queue: &mut VecDeque<Due>) {
        for place in 0..self.stages.len() {
            let mut out = Vec::new();
            let link = &mut self.stages[place];
            let note = link.stage.begin(at, &mut out);
            let mut notes: Vec<_> =
                note.and_then(|note| Some((link.told.take()?, note))).into_iter().collect();
            let begun =
                out.into_iter().map(|(at, piece)| Due { at, piece, notes: std::mem::take(&mut notes) });
            self.pass(place + 1, begun.collect(), queue);
        }
    }

    /// What becomes of a piece that arrives.
    pub fn push(&mut self, at: u64, piece: Piece, queue: &mut VecDeque<Due>) {
        self.pass(0, vec![Due { at, piece, notes: Vec::new() }], queue);
    }

    fn pass(&mut self, from: usize, mut dues: Vec<Due>, queue: &mut VecDeque<Due>) {
        for link in &mut self.stages[from..] {
            dues = dues.into_iter().flat_map(|due| link.take(due)).collect();
        }
        // What a stage does later on its own is due behind what others do sooner.
        for due in dues {
            let place = queue.partition_point(|queued| queued.at <= due.at);
            queue.insert(place, due);
        }
    }
}

impl Link {
    fn take(&mut self, due: Due) -> Vec<Due> {
        let Due { at, piece, mut notes } = due;
        if piece == Piece::Nothing {
            return vec![Due { at, piece, notes }];
        }
        let mut out = Vec::new();
        // Who hears of it is kept until there is something to hear.
        if let Some(note) = self.stage.take(at, piece, &mut out)
            && let Some(told) = self.told.take()
        {
            notes.push((told, note));
        }
        if out.is_empty() && !notes.is_empty() {
            out.push((at, Piece::Nothing));
        }
        let last = out.len().saturating_sub(1);
        let mut dues: Vec<Due> = Vec::with_capacity(out.len());
        for (place, (at, piece)) in out.into_iter().enumerate() {
            self.last = self.last.max(at);
            let notes = if place == last { std::mem::take(&mut notes) } else { Vec::new() };
            dues.push(Due { at: self.last, piece, notes });
        }
        dues
    }
}
