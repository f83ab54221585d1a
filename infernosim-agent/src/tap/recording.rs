use nix::errno::Errno;

use super::connection::{Connection, How, Segment};
use super::stream::Memory;
use crate::clock::Nanos;
use crate::incident::{Ending, Exchanges, Lines};
use crate::protocol::{Message, Sender};

/// A connection being recorded.
#[derive(Debug)]
pub struct Recording {
    /// Its number in the capture.
    pub number: u64,
    /// It was there before the capture.
    older: bool,
    pub connection: Connection,
    /// Until its end has been told.
    pub exchanges: Option<Exchanges>,
    /// Bytes that are missing in it.
    pub missing: u64,
    /// Of a connection that was seen from its beginning: how far each side has come.
    places: Option<[Place; 2]>,
}

/// How far one side has come: the sequence number of its first byte, and what it has sent.
#[derive(Clone, Copy, Debug)]
struct Place {
    first: u32,
    sent: u64,
}

impl Recording {
    /// From its beginning.
    pub const fn new(number: u64, connection: Connection, exchanges: Exchanges) -> Self {
        let exchanges = Some(exchanges);
        Self { number, older: false, connection, exchanges, missing: 0, places: None }
    }

    /// These are the sequence numbers of the client's and the server's first bytes.
    pub fn begins_at(mut self, firsts: [u32; 2]) -> Self {
        self.places = Some(firsts.map(|first| Place { first, sent: 0 }));
        self
    }

    /// From its middle.
    pub fn joined(number: u64, target: Sender, exchanges: Exchanges, older: bool) -> Self {
        let connection = Connection::joined(target);
        Self { number, older, connection, exchanges: Some(exchanges), missing: 0, places: None }
    }

    /// Takes in a segment; tells of the end as soon as nothing more can come.
    pub fn segment(&mut self, at: Nanos, segment: &Segment<'_>, memory: &mut Memory, lines: &mut Lines) {
        let Self { connection, exchanges: Some(exchanges), missing, places, .. } = self else { return };
        if let Some([client, server]) = places {
            let place = if segment.from == Sender::Client { client } else { server };
            exchanges.sent_so_far(segment.from, place.advance(segment));
        }
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

    /// It is not the target's after all.
    pub fn forget(&mut self, memory: &mut Memory, lines: &mut Lines) {
        self.connection.end(memory, &mut |_| {});
        if let Some(exchanges) = self.exchanges.take() {
            exchanges.forget(lines);
        }
    }

    /// Whether nobody has ended it in order, nor broken it, so that the target may be about to reset it.
    pub fn may_be_reset(&self) -> bool {
        let target = self.connection.target();
        match self.connection.how() {
            How::Open => true,
            How::Half(first) => first != target,
            How::Closed(_) | How::Reset(_) | How::Refused => false,
        }
    }

    /// Whether the target can say no more: it has ended its side, or the connection is over.
    pub fn has_heard_target(&self) -> bool {
        let target = self.connection.target();
        self.connection.is_finished() || self.connection.how() == How::Half(target)
    }

    /// Whether it was there before and nothing could be made of it so far.
    pub fn is_unread(&self) -> bool {
        self.older && self.connection.protocol().is_none() && self.connection.unread() > 0
    }
}

impl Place {
    /// All that was sent by the end of this segment, or of one before it.
    fn advance(&mut self, segment: &Segment<'_>) -> u64 {
        let length = segment.bytes.len() as u32;
        let end = segment.seq.wrapping_add(length).wrapping_add(segment.unseen);
        // Sequence numbers begin again after 4 GiB; a window is smaller than half of that (RFC 9293 section 3.4).
        let more = end.wrapping_sub(self.first.wrapping_add(self.sent as u32)).cast_signed();
        self.sent += u64::from(more.max(0).cast_unsigned());
        self.sent
    }
}

const fn gap(message: &Message<'_>) -> u64 {
    if let Message::Gap(_, bytes) = message { *bytes } else { 0 }
}
