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
    /// The server answered the client's SYN with a reset: connect(2) failed with ECONNREFUSED.
    Refused,
}

/// Reads one connection from its segments.
///
/// Call [`Self::end`] before it is dropped: what it holds is counted in a `Memory` that is not its own.
#[derive(Debug)]
pub struct Connection {
    client: Stream,
    server: Stream,
    /// The side whose segments this host's TCP made: they need not be doubted.
    target: Sender,
    /// Whether the client's SYN was seen.
    asked: bool,
    talk: Talk,
}

/// What is made of the two streams.
#[derive(Debug)]
struct Talk {
    conversation: Conversation,
    how: How,
    /// Who sent a reset that TCP would not have taken, if it had seen what we saw.
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
        Self { client, server, target, asked: false, talk: Talk::new(conversation) }
    }

    /// The next byte of `from` has the sequence number `next`: for a connection whose SYNs are not seen but whose
    /// state is known. Without it, a stream begins with its SYN, or with what the other side expects, or with the
    /// first bytes seen. No effect later.
    pub fn begin(&mut self, from: Sender, next: u32) {
        let stream = if from == Sender::Client { &mut self.client } else { &mut self.server };
        if !stream.has_begun() {
            *stream = Stream::begin(next);
        }
    }

    /// The side that is tapped.
    pub const fn target(&self) -> Sender {
        self.target
    }

    /// What it speaks, as far as is known.
    pub fn protocol(&self) -> Option<Protocol> {
        self.talk.conversation.protocol()
    }

    /// Bytes that were seen and not understood: see [`Conversation::unread`].
    pub fn unread(&self) -> u64 {
        self.talk.conversation.unread()
    }

    /// How far it has come.
    pub fn how(&self) -> How {
        self.talk.how
    }

    /// Whether nothing more can come: both FINs were shown, or it was reset.
    pub fn is_finished(&self) -> bool {
        matches!(self.talk.how, How::Closed(_) | How::Reset(_) | How::Refused)
    }

    /// Reads a segment and shows what it completes. Segments come in the order in which the tap saw them, and so
    /// what the two sides said is shown.
    pub fn segment(
        &mut self,
        segment: &Segment<'_>,
        memory: &mut Memory,
        emit: &mut impl FnMut(Message<'_>),
    ) {
        if self.is_finished() {
            return;
        }
        let Segment { from, bytes, unseen, .. } = *segment;
        // The target's TCP may be believed; a peer's reset may be anybody's.
        if let Some(ack) = segment.ack.filter(|_| !segment.rst || from == self.target) {
            if !segment.rst {
                self.begin(opposite(from), ack);
            }
            self.acknowledge(segment, ack, memory, emit);
        }
        if segment.rst {
            self.reset(from, segment.seq, memory, emit);
            return;
        }
        let seq = segment.seq.wrapping_add(u32::from(segment.syn));
        if segment.syn {
            self.asked |= from == Sender::Client;
            self.begin(from, seq);
        }
        let (stream, talk) = self.side(from);
        let mut tell = |piece: Piece<'_>| talk.hear(from, piece, emit);
        stream.segment(seq, bytes, unseen, memory, &mut tell);
        if segment.fin {
            let behind = seq.wrapping_add(bytes.len() as u32).wrapping_add(unseen);
            stream.fin(behind, memory, &mut tell);
        }
    }

    /// Nothing more will be seen: the socket is gone, the capture ends, or the connection is finished. Shows what
    /// is held of the target's, with its gaps.
    pub fn end(&mut self, memory: &mut Memory, emit: &mut impl FnMut(Message<'_>)) {
        // What waits for a hole in the peer's stream never reached the target, as far as its TCP has said: the network
        // may have lost a segment, or somebody else may have sent one.
        let (target, peer) = (self.target, opposite(self.target));
        let (stream, talk) = self.side(target);
        stream.end(memory, &mut |piece| talk.hear(target, piece, emit));
        let (stream, talk) = self.side(peer);
        let waiting = stream.discard(memory);
        if waiting > 0 && talk.is_opaque() {
            // Without it, its last turn would pass for whole.
            talk.hear(peer, Piece::Gap(waiting), emit);
        }
        let Talk { conversation, how, doubted } = &mut self.talk;
        if conversation.protocol().is_none() {
            // Bytes held until it is known what they are: now it never will be. (A known protocol must not be
            // told of a FIN that did not come: it would take a broken body for a whole one.)
            conversation.fin(Sender::Client, emit);
            conversation.fin(Sender::Server, emit);
        }
        if let (Some(from), How::Open | How::Half(_)) = (*doubted, *how) {
            *how = How::Reset(from);
        }
    }

    /// The sender of `segment` has all that the other side sent before `ack`.
    fn acknowledge(
        &mut self,
        segment: &Segment<'_>,
        ack: u32,
        memory: &mut Memory,
        emit: &mut impl FnMut(Message<'_>),
    ) {
        let (from, other) = (segment.from, opposite(segment.from));
        if self.side(other).0.misses(ack) {
            // The tap is losing segments. What waits for such was sent before what is missing now: shown after it, a
            // request would look as if it had been sent before the answer to an earlier one.
            let (stream, talk) = self.side(from);
            stream.release(segment.seq, memory, &mut |piece| talk.hear(from, piece, emit));
            let (stream, talk) = self.side(other);
            stream.release(ack, memory, &mut |piece| talk.hear(other, piece, emit));
            if from == Sender::Server {
                // If bytes of the server's are missing, too, they are likely an earlier answer.
                let (stream, talk) = self.side(from);
                stream.acknowledged(segment.seq, memory, &mut |piece| talk.hear(from, piece, emit));
            }
            let (stream, talk) = self.side(other);
            stream.acknowledged(ack, memory, &mut |piece| talk.hear(other, piece, emit));
        }
    }

    fn reset(&mut self, from: Sender, seq: u32, memory: &mut Memory, emit: &mut impl FnMut(Message<'_>)) {
        let stream = if from == Sender::Client { &self.client } else { &self.server };
        if from != self.target && !stream.takes_reset(seq) {
            self.talk.doubted = Some(from);
            return;
        }
        let refused = from == Sender::Server && self.asked && !stream.has_begun();
        // The target sends in order, so what is missing of it was lost to us; what is missing of its peer never came.
        let target = self.target;
        let (stream, talk) = self.side(target);
        stream.end(memory, &mut |piece| talk.hear(target, piece, emit));
        self.side(opposite(target)).0.discard(memory);
        self.talk.how = if refused { How::Refused } else { How::Reset(from) };
    }

    /// The stream of what `from` sends, and what is made of it.
    fn side(&mut self, from: Sender) -> (&mut Stream, &mut Talk) {
        let stream = if from == Sender::Client { &mut self.client } else { &mut self.server };
        (stream, &mut self.talk)
    }
}

impl Talk {
    fn new(conversation: Conversation) -> Self {
        Self { conversation, how: How::Open, doubted: None }
    }

    fn is_opaque(&self) -> bool {
        matches!(self.conversation.protocol(), Some(Protocol::Tcp | Protocol::Tls | Protocol::H2))
    }

    fn hear(&mut self, from: Sender, piece: Piece<'_>, emit: &mut impl FnMut(Message<'_>)) {
        match piece {
            Piece::Bytes(bytes) => {
                if self.doubted == Some(from) {
                    // It goes on: the reset was not its own.
                    self.doubted = None;
                }
                self.conversation.feed(from, bytes, emit);
            }
            Piece::Gap(bytes) => self.conversation.gap(from, bytes, emit),
            Piece::Fin => {
                self.how = match self.how {
                    How::Half(first) if first != from => How::Closed(first),
                    _ => How::Half(from),
                };
                self.conversation.fin(from, emit);
            }
        }
    }
}

/// The other side.
pub(super) const fn opposite(from: Sender) -> Sender {
    match from {
        Sender::Client => Sender::Server,
        Sender::Server => Sender::Client,
    }
}

#[cfg(test)]
mod tests;
