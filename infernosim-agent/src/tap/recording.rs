use nix::errno::Errno;

use super::connection::{Connection, How, Segment};
use super::stream::Memory;
use crate::clock::Nanos;
use crate::incident::{Ending, Exchanges, Lines};
use crate::protocol::Message;

/// A connection being recorded.
#[derive(Debug)]
pub struct Recording {
    /// Its number in the capture.
    pub number: u64,
    pub connection: Connection,
    /// Until its end has been told.
    pub exchanges: Option<Exchanges>,
    /// Bytes that are missing in it.
    pub missing: u64,
}

impl Recording {
    /// Of which nothing was read yet.
    pub const fn new(number: u64, connection: Connection, exchanges: Exchanges) -> Self {
        Self { number, connection, exchanges: Some(exchanges), missing: 0 }
    }

    /// Takes in a segment; tells of the end as soon as nothing more can come.
    pub fn segment(&mut self, at: Nanos, segment: &Segment<'_>, memory: &mut Memory, lines: &mut Lines) {
        let Self { connection, exchanges: Some(exchanges), missing, .. } = self else { return };
        connection.segment(segment, memory, &mut |message| {
            *missing += gap(&message);
            exchanges.message(at, message, lines);
        });
        if self.connection.is_finished() {
            self.end(at, None, memory, lines);
        }
    }

    /// Nothing more will come, because of `ending` if that is not what was seen.
    pub fn end(&mut self, at: Nanos, ending: Option<Ending>, memory: &mut Memory, lines: &mut Lines) {
        let Some(mut exchanges) = self.exchanges.take() else { return };
        let Self { connection, missing, .. } = self;
        connection.end(memory, &mut |message| {
            *missing += gap(&message);
            exchanges.message(at, message, lines);
        });
        if self.is_unread() {
            return;
        }
        let seen = match self.connection.how() {
            How::Open => ending.unwrap_or(Ending::Closed),
            How::Half(first) | How::Closed(first) => ending.unwrap_or(Ending::ClosedBy(first)),
            How::Reset(from) => Ending::Broke(from, Errno::ECONNRESET),
            How::Refused => Ending::DialFailed(Errno::ECONNREFUSED),
        };
        exchanges.end(at, seen, lines);
    }

    /// Whether it was joined in its middle and nothing could be made of it so far.
    pub fn is_unread(&self) -> bool {
        self.connection.protocol().is_none() && self.connection.unread() > 0
    }
}

const fn gap(message: &Message<'_>) -> u64 {
    if let Message::Gap(_, bytes) = message { *bytes } else { 0 }
}
