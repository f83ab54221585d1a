use crate::clock::Nanos;
use crate::incident::{Lookup, Peer};
use crate::protocol::Sender;

/// Pairs questions to resolvers with their answers.
///
/// To be called with everything that the target's sockets send to and receive from port 53, in the order in which
/// it was seen. What comes of it goes to `tell`, whole: for each `Lookup`, `names.learn(&lookup)` and then
/// `lines.dns(&lookup)`.
///
/// ```text
/// UDP        lookups.datagram(&seen, tell)
/// TCP        lookups.stream(&seen, tell) for bytes in order, lookups.gap(&seen, n, tell), lookups.closed(at, cookie, tell)
/// now and then (every 50 ms or so)   lookups.tick(now, tell)
/// the end    lookups.end(now, tell)
/// ```
#[derive(Debug, Default)]
pub struct Lookups {}

/// Bytes on their way between the target and a resolver.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// When.
    pub at: Nanos,
    /// The socket's cookie: questions and answers of one socket belong together.
    pub cookie: u64,
    /// The target's end, the resolver, and the process where it is known.
    pub peer: &'a Peer,
    /// The target is the client.
    pub from: Sender,
    /// A datagram's content, or bytes of a stream in order.
    pub bytes: &'a [u8],
    /// Of a datagram: bytes behind these that could not be copied. Of a stream 0: it has gaps.
    pub unseen: u64,
}

impl Lookups {
    /// Takes in a datagram's content.
    pub fn datagram(&mut self, seen: &Seen<'_>, tell: &mut impl FnMut(Lookup)) {
        let _ = (seen, tell);
    }

    /// Takes in bytes of a TCP connection, those of each direction in order.
    pub fn stream(&mut self, seen: &Seen<'_>, tell: &mut impl FnMut(Lookup)) {
        let _ = (seen, tell);
    }

    /// Takes in that `count` bytes of that connection, from `seen.from`, were not seen. `seen.bytes` is not looked at.
    pub fn gap(&mut self, seen: &Seen<'_>, count: u64, tell: &mut impl FnMut(Lookup)) {
        let _ = (seen, count, tell);
    }

    /// The TCP connection has ended: what is open on it will not be answered.
    pub fn closed(&mut self, at: Nanos, cookie: u64, tell: &mut impl FnMut(Lookup)) {
        let _ = (at, cookie, tell);
    }

    /// Tells of the questions that have waited for 10 s.
    pub fn tick(&mut self, now: Nanos, tell: &mut impl FnMut(Lookup)) {
        let _ = (now, tell);
    }

    /// Tells of all that are still open.
    pub fn end(&mut self, now: Nanos, tell: &mut impl FnMut(Lookup)) {
        let _ = (now, tell);
    }
}
