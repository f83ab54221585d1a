//! One direction of a TCP connection: segments in, bytes in order out (RFC 9293 section 3.4).

use std::collections::BTreeMap;

/// The greatest window that TCP can offer (RFC 7323 section 2.2): what lies further ahead or behind belongs to
/// another connection, or is meant to confuse.
const WINDOW: u64 = 1 << 30;
/// Bytes that one stream may hold while it waits for a hole to be filled: over twice the receive buffer that Linux
/// allows by default (tcp_rmem in tcp(7)).
const MAX_HELD: usize = 16 << 20;
/// What a held segment costs besides its bytes: its allocation and its place in the tree. Counted, so that many
/// segments of one byte do not take more than they seem to.
const OVERHEAD: usize = 128;

/// What a stream shows next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The next bytes, at least one.
    Bytes(&'a [u8]),
    /// This many bytes, at least one, came next and were not seen.
    Gap(u64),
    /// The sender will send nothing more. Shown once, and nothing after it.
    Fin,
}

/// The memory that all streams together may hold.
#[derive(Debug)]
pub struct Memory {
    used: usize,
    most: usize,
}

impl Memory {
    /// At most `most` bytes.
    pub const fn new(most: usize) -> Self {
        Self { used: 0, most }
    }

    /// Bytes held now, with what it costs to keep them.
    pub const fn used(&self) -> usize {
        self.used
    }
}

/// Puts the segments of one direction in order. Takes 72 bytes while nothing is held, and no heap.
#[derive(Debug, Default)]
pub struct Stream {
    /// Where the next byte to show stands: its sequence number in the lower half, so that a position is never
    /// met twice however long the connection. 0 until the stream has begun.
    next: u64,
    /// The furthest byte that is known to have been sent, plus one.
    known: u64,
    /// Where the FIN stands, once seen.
    fin: Option<u64>,
    /// Bytes ahead of `next`, by position; no two overlap.
    held: BTreeMap<u64, Box<[u8]>>,
    /// What `held` costs.
    cost: usize,
    ignored: u32,
    over: bool,
}

impl Stream {
    /// A stream whose next byte has the sequence number `next`: one more than that of the SYN.
    pub fn begin(next: u32) -> Self {
        let next = first(next);
        Self { next, known: next, ..Self::default() }
    }

    /// A stream whose beginning was not seen: the first bytes seen are its first.
    pub fn joined() -> Self {
        Self::default()
    }

    /// Whether it is known where the stream begins.
    pub fn has_begun(&self) -> bool {
        self.next != 0
    }

    /// Whether TCP would take a reset of the sender's with this sequence number (RFC 5961 section 3.2: only exactly the
    /// next one). After a FIN either of two will do, as Linux has it (`tcp_reset_check`). While something is
    /// missing here, TCP may be further than we are.
    pub fn takes_reset(&self, seq: u32) -> bool {
        if !self.has_begun() {
            return true;
        }
        self.place(seq).is_some_and(|at| {
            at == self.next || at == self.next + 1 && self.over || at > self.next && self.known > self.next
        })
    }

    /// Segments that were not used: all their bytes were seen before, or they cannot belong to this connection.
    pub fn ignored(&self) -> u32 {
        self.ignored
    }

    /// A segment: `bytes` from the sequence number `seq` on, and behind them `unseen` bytes that could not be copied.
    ///
    /// Bytes that come next are shown as the slice that they are, even where a copy is held: TCP takes them so. Of
    /// those ahead the first copy is held. Without any bytes it is a bare acknowledgement, or a probe: nothing happens.
    pub fn segment(
        &mut self,
        seq: u32,
        bytes: &[u8],
        unseen: u32,
        memory: &mut Memory,
        emit: &mut impl FnMut(Piece<'_>),
    ) {
        let seen = bytes.len() as u64;
        let length = seen + u64::from(unseen);
        if length == 0 {
            return;
        }
        if !self.has_begun() {
            self.next = first(seq);
        }
        let Some(start) = self.place(seq).filter(|start| start + length > self.next && !self.over) else {
            self.ignored = self.ignored.saturating_add(1);
            return;
        };
        self.known = self.known.max(start + length);
        if self.fin.is_some_and(|fin| fin < start + length) {
            // Bytes behind it: it was none of this connection's.
            self.fin = None;
        }
        self.make_room(start, bytes.len(), memory, emit);
        if start > self.next {
            self.hold(start, bytes, memory);
            return;
        }
        let old = (self.next - start).min(seen) as usize;
        self.show(&bytes[old..], emit);
        self.drain(memory, emit);
        self.lose_until(start + length, memory, emit);
    }

    /// The other side's TCP has everything before `ack`: what is missing of it will not come any more.
    ///
    /// A hole above it waits: the network lost or delayed a segment, and it will be sent again.
    pub fn acknowledged(&mut self, ack: u32, memory: &mut Memory, emit: &mut impl FnMut(Piece<'_>)) {
        if !self.has_begun() || self.over || ack == self.next as u32 {
            return;
        }
        let Some(ack) = self.place(ack) else { return };
        // The FIN has a sequence number, too.
        self.lose_until(self.fin.map_or(ack, |fin| fin.min(ack)), memory, emit);
    }

    /// Whether bytes before `ack` are missing.
    pub fn misses(&self, ack: u32) -> bool {
        let known = self.fin.unwrap_or(u64::MAX);
        self.has_begun() && !self.over && self.place(ack).is_some_and(|ack| ack.min(known) > self.next)
    }

    /// Shows what is held before `seq`, with a gap for each hole in front of it; behind it a hole goes on waiting.
    pub fn release(&mut self, seq: u32, memory: &mut Memory, emit: &mut impl FnMut(Piece<'_>)) {
        let Some(before) = self.place(seq) else { return };
        if let Some((at, bytes)) = self.held.range(..before).next_back() {
            self.lose_until(before.min(at + bytes.len() as u64), memory, emit);
        }
    }

    /// The sender's FIN, which stands at `seq`, behind its last byte.
    pub fn fin(&mut self, seq: u32, memory: &mut Memory, emit: &mut impl FnMut(Piece<'_>)) {
        if !self.has_begun() {
            self.next = first(seq);
        }
        let Some(fin) = self.place(seq) else { return };
        // Behind a FIN there are no bytes; but one that comes next is as true as bytes that come next.
        if !self.over && (fin == self.next || fin > self.next && fin >= self.known) {
            self.fin = Some(fin);
            self.known = self.known.max(fin);
            self.finish(memory, emit);
        }
    }

    /// Nothing more will be seen: shows what is held, with a gap for each hole.
    pub fn end(&mut self, memory: &mut Memory, emit: &mut impl FnMut(Piece<'_>)) {
        if !self.over {
            self.lose_until(self.known, memory, emit);
            self.over = true;
        }
    }

    /// Nothing more will come, and what is held never reached a program: TCP keeps back what waits for a hole. Gives
    /// how many bytes were known to have been sent, from the hole on.
    pub fn discard(&mut self, memory: &mut Memory) -> u64 {
        memory.used -= self.cost;
        self.cost = 0;
        self.held = BTreeMap::new();
        self.over = true;
        self.known.saturating_sub(self.next)
    }

    /// The position of a sequence number: the one nearest to the next byte's.
    fn place(&self, seq: u32) -> Option<u64> {
        let ahead = seq.wrapping_sub(self.next as u32).cast_signed();
        (u64::from(ahead.unsigned_abs()) <= WINDOW).then(|| self.next.wrapping_add_signed(ahead.into()))
    }

    /// Gives up holes until a segment of `length` bytes at `start` can be held, or is the next.
    fn make_room(
        &mut self,
        start: u64,
        length: usize,
        memory: &mut Memory,
        emit: &mut impl FnMut(Piece<'_>),
    ) {
        while start > self.next && !self.fits(length, memory) {
            let hole = self.held.first_key_value().map_or(start, |(at, _)| start.min(*at));
            self.lose_until(hole, memory, emit);
        }
    }

    fn fits(&self, length: usize, memory: &Memory) -> bool {
        let cost = length + OVERHEAD;
        self.cost + cost <= MAX_HELD && memory.used + cost <= memory.most
    }

    /// Keeps what is new of `bytes`.
    fn hold(&mut self, start: u64, bytes: &[u8], memory: &mut Memory) {
        let end = start + bytes.len() as u64;
        let mut at = start;
        while at < end {
            let before = self.held.range(..=at).next_back().map(|(at, held)| at + held.len() as u64);
            if let Some(covered) = before.filter(|covered| *covered > at) {
                at = covered;
                continue;
            }
            let until = self.held.range(at..end).next().map_or(end, |(next, _)| *next);
            let piece = &bytes[(at - start) as usize..(until - start) as usize];
            if !self.fits(piece.len(), memory) {
                // There was room for one piece, not for several: the rest stays a hole.
                return;
            }
            self.cost += piece.len() + OVERHEAD;
            memory.used += piece.len() + OVERHEAD;
            self.held.insert(at, piece.into());
            at = until;
        }
    }

    /// Shows bytes up to `until`, those that are missing as gaps, and what follows them without a hole.
    fn lose_until(&mut self, until: u64, memory: &mut Memory, emit: &mut impl FnMut(Piece<'_>)) {
        while self.next < until {
            let hole = self.held.first_key_value().map_or(until, |(at, _)| until.min(*at));
            if hole > self.next {
                emit(Piece::Gap(hole - self.next));
                self.next = hole;
            }
            self.drain(memory, emit);
        }
        self.known = self.known.max(self.next);
        self.finish(memory, emit);
    }

    /// Shows what is held and comes next.
    fn drain(&mut self, memory: &mut Memory, emit: &mut impl FnMut(Piece<'_>)) {
        while let Some(entry) = self.held.first_entry().filter(|entry| *entry.key() <= self.next) {
            let (start, bytes) = entry.remove_entry();
            self.cost -= bytes.len() + OVERHEAD;
            memory.used -= bytes.len() + OVERHEAD;
            let old = (self.next - start).min(bytes.len() as u64) as usize;
            self.show(&bytes[old..], emit);
            if self.held.is_empty() {
                // An emptied tree keeps its root.
                self.held = BTreeMap::new();
            }
        }
    }

    fn show(&mut self, bytes: &[u8], emit: &mut impl FnMut(Piece<'_>)) {
        if !bytes.is_empty() {
            self.next += bytes.len() as u64;
            emit(Piece::Bytes(bytes));
        }
    }

    fn finish(&mut self, memory: &mut Memory, emit: &mut impl FnMut(Piece<'_>)) {
        if self.fin == Some(self.next) && !self.over {
            self.discard(memory);
            emit(Piece::Fin);
        }
    }
}

/// The position of a stream's first byte: one round up, so that what comes before it has a position, too.
fn first(seq: u32) -> u64 {
    u64::from(seq) + (1 << 32)
}

#[cfg(test)]
mod tests;
