//! One TCP connection of the target's, both directions, as one conversation.

use super::stream::{Memory, Piece, Stream};
use crate::protocol::{Conversation, Message, Protocol, Sender};

/// A TCP segment as the tap saw it.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Who sent it.
    pub from: Sender,
    /// The sequence number of its first byte, or of its SYN.
    pub seq: u32,
    /// The acknowledgement number, where the ACK flag is set.
    pub ack: Option<u32>,
    /// The SYN flag.
    pub syn: bool,
    /// The FIN flag; it stands behind `bytes` and `unseen`.
    pub fin: bool,
    /// The RST flag.
    pub rst: bool,
    /// Its bytes, or the first of them.
    pub bytes: &'a [u8],
    /// Bytes behind those that could not be copied.
    pub unseen: u32,
}

/// How far a connection has come, and who ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Nobody has ended it, as far as was seen.
    Open,
    /// This side sent its FIN, the other has not.
    Half(Sender),
    /// Both sent a FIN, this side first.
    Closed(Sender),
    /// This side reset it before both had sent a FIN.
    Reset(Sender),
}

/// Reads one connection from its segments.
///
/// Call [`Self::end`] before it is dropped: what it holds is counted in a `Memory` that is not its own.
#[derive(Debug)]
pub struct Connection {
    conversation: Conversation,
    client: Stream,
    server: Stream,
    /// Whose segments were made by this host's TCP, and need not be doubted.
    target: Sender,
    how: How,
    /// Who sent a reset that TCP would not believe, if it saw what we saw.
    doubted: Option<Sender>,
}

impl Connection {
    /// A connection of which nothing was seen yet; `target` is the side that is tapped.
    pub fn new(target: Sender) -> Self {
        Self::with(Conversation::new(), target)
    }

    /// A connection that is older than the tap.
    pub fn joined(target: Sender) -> Self {
        Self::with(Conversation::joined(), target)
    }

    fn with(conversation: Conversation, target: Sender) -> Self {
        let (client, server) = (Stream::joined(), Stream::joined());
        Self { conversation, client, server, target, how: How::Open, doubted: None }
    }

    /// The next byte of `from` has the sequence number `next`: for a connection whose SYNs are not seen but whose
    /// state is known. Without it, a stream begins with its SYN, else with the first bytes seen. No effect later.
    pub fn begin(&mut self, from: Sender, next: u32) {
        let stream = match from {
            Sender::Client => &mut self.client,
            Sender::Server => &mut self.server,
        };
        if !stream.has_begun() {
            *stream = Stream::begin(next);
        }
    }

    /// What it speaks, as far as is known.
    pub fn protocol(&self) -> Option<Protocol> {
        self.conversation.protocol()
    }

    /// Bytes that were seen and not understood: see [`Conversation::unread`].
    pub fn unread(&self) -> u64 {
        self.conversation.unread()
    }

    /// How far it has come.
    pub fn how(&self) -> How {
        self.how
    }

    /// Whether nothing more can come: both FINs were shown, or it was reset.
    pub fn is_finished(&self) -> bool {
        matches!(self.how, How::Closed(_) | How::Reset(_))
    }

    /// Reads a segment and shows what it completes. Segments come in the order in which the tap saw them; between the
    /// two directions this order is kept.
    pub fn segment(
        &mut self,
        segment: &Segment<'_>,
        memory: &mut Memory,
        emit: &mut impl FnMut(Message<'_>),
    ) {
        let _ = (segment, memory, emit);
    }

    /// Nothing more will be seen: the socket is gone, or the capture ends. Shows what is held, with its gaps.
    pub fn end(&mut self, memory: &mut Memory, emit: &mut impl FnMut(Message<'_>)) {
        let _ = (memory, emit);
    }
}
