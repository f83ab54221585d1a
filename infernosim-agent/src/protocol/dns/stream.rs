/// A length of two bytes stands before each message (RFC 1035 section 4.2.2).
const PREFIX: usize = 2;

/// Messages out of the bytes of one direction of a TCP connection. Holds one message at most: 64 KiB.
#[derive(Debug, Default)]
pub struct DnsStream {
    /// The prefix, and then the message, as far as they have come.
    held: Vec<u8>,
    /// The message's length, once its prefix has been seen.
    length: Option<usize>,
    /// Bytes of the message that were not seen, and are not in `held`.
    missed: usize,
    /// Where messages begin is not known any more.
    lost: bool,
}

/// What comes out of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsPiece<'a> {
    /// A whole message, without its length.
    Message(&'a [u8]),
    /// A message of which a part was not seen.
    Damaged,
    /// A gap over a message's end: from here on nothing can be read. Said once.
    Lost,
}

impl DnsStream {
    /// Takes in what came next.
    pub fn feed(&mut self, mut bytes: &[u8], emit: &mut impl FnMut(DnsPiece<'_>)) {
        while !bytes.is_empty() && !self.lost {
            bytes = match self.length {
                None => self.prefix(bytes),
                // In one piece: no copy.
                Some(length) if self.held.is_empty() && self.missed == 0 && bytes.len() >= length => {
                    let (message, rest) = bytes.split_at(length);
                    self.length = None;
                    emit(DnsPiece::Message(message));
                    rest
                }
                Some(length) => self.hold(length, bytes, emit),
            };
            self.skip_empty(emit);
        }
    }

    /// Takes in that the next `count` bytes were not seen.
    pub fn gap(&mut self, count: u64, emit: &mut impl FnMut(DnsPiece<'_>)) {
        if self.lost || count == 0 {
            return;
        }
        let left = self.length.map_or(0, |length| length - self.held.len() - self.missed) as u64;
        if count < left {
            // Within a message: where the next one begins is known. It fits, being less than a message's length.
            self.missed += count as usize;
        } else if count == left {
            *self = Self::default();
            emit(DnsPiece::Damaged);
        } else {
            *self = Self { lost: true, ..Self::default() };
            emit(DnsPiece::Lost);
        }
    }

    /// Whether no message is under way.
    pub fn is_between(&self) -> bool {
        self.length.is_none() && self.held.is_empty()
    }

    fn prefix<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (more, rest) = bytes.split_at((PREFIX - self.held.len()).min(bytes.len()));
        self.held.extend_from_slice(more);
        if let [high, low] = self.held[..] {
            self.length = Some(usize::from(u16::from_be_bytes([high, low])));
            self.held.clear();
        }
        rest
    }

    fn hold<'a>(&mut self, length: usize, bytes: &'a [u8], emit: &mut impl FnMut(DnsPiece<'_>)) -> &'a [u8] {
        let left = length - self.held.len() - self.missed;
        let (more, rest) = bytes.split_at(left.min(bytes.len()));
        self.held.extend_from_slice(more);
        if more.len() == left {
            emit(if self.missed > 0 { DnsPiece::Damaged } else { DnsPiece::Message(&self.held) });
            *self = Self::default();
        }
        rest
    }

    /// A message of no bytes is complete with its prefix.
    fn skip_empty(&mut self, emit: &mut impl FnMut(DnsPiece<'_>)) {
        if self.length == Some(0) {
            self.length = None;
            emit(DnsPiece::Message(&[]));
        }
    }
}
