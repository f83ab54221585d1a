//! A TCP connection to a resolver.

use super::connection::Segment;
use super::lookups::{Lookups, Seen};
use super::stream::{Memory, Piece, Stream};
use crate::clock::Nanos;
use crate::incident::{Lookup, Peer};
use crate::protocol::Sender;

/// Both directions of it, put in order.
#[derive(Debug)]
pub struct DnsConnection {
    pub peer: Peer,
    /// Bytes that are missing in it.
    pub missing: u64,
    client: Stream,
    server: Stream,
}

impl DnsConnection {
    /// One whose first sequence numbers are known, or are to be taken from what is seen first.
    pub fn new(peer: Peer, begin: Option<(u32, u32)>) -> Self {
        let (client, server) = match begin {
            Some((client, server)) => (Stream::begin(client), Stream::begin(server)),
            None => (Stream::joined(), Stream::joined()),
        };
        Self { peer, missing: 0, client, server }
    }

    /// Takes in a segment.
    pub fn segment(
        &mut self,
        (at, cookie): (Nanos, u64),
        segment: &Segment<'_>,
        (lookups, memory): (&mut Lookups, &mut Memory),
        tell: &mut impl FnMut(Lookup),
    ) {
        let Self { peer, missing, client, server } = self;
        let (own, other, opposite) = match segment.from {
            Sender::Client => (client, server, Sender::Server),
            Sender::Server => (server, client, Sender::Client),
        };
        let mut hear = |from: Sender, piece: Piece<'_>| {
            let seen = Seen { at, cookie, peer, from, bytes: &[], unseen: 0 };
            match piece {
                Piece::Bytes(bytes) => lookups.stream(&Seen { bytes, ..seen }, tell),
                Piece::Gap(count) => {
                    *missing += count;
                    lookups.gap(&seen, count, tell);
                }
                Piece::Fin => {}
            }
        };
        if let Some(ack) = segment.ack.filter(|_| !segment.rst) {
            other.acknowledged(ack, memory, &mut |piece| hear(opposite, piece));
        }
        let mut tell = |piece: Piece<'_>| hear(segment.from, piece);
        own.segment(segment.seq, segment.bytes, segment.unseen, memory, &mut tell);
        // It has a number of its own, which the other side acknowledges: no byte that we have not seen.
        if segment.fin {
            let behind = segment.seq.wrapping_add(segment.bytes.len() as u32).wrapping_add(segment.unseen);
            own.fin(behind, memory, &mut tell);
        }
    }

    /// Lets go of what it holds.
    pub fn end(mut self, memory: &mut Memory) {
        self.client.discard(memory);
        self.server.discard(memory);
    }
}
