//! The way of a body: decoded, read, its secrets replaced, encoded again.

use super::Redactor;
use super::coding::{self, Decoder, Encoder};
use super::echo::{Echo, Values};
use super::media::{Coding, Kind, Media};
use super::shape::Shape;

/// So much may come of compressed content, in bytes: of all of it, and for each byte and above a first MiB.
const MOST_DECODED: u64 = 256 << 20;
const MOST_FOR_EACH: u64 = 200;
const ALWAYS_DECODED: u64 = 1 << 20;
/// So much may tokens add to a body that is held in memory.
const MOST_ADDED: usize = 8 << 20;
/// A body is read in pieces of this size, in bytes.
const PIECE: usize = 64 << 10;

/// What becomes of a body that is there in whole.
#[derive(Debug, PartialEq, Eq)]
pub enum Whole {
    /// There is nothing secret in it.
    Same,
    /// This is to be stored.
    Replaced(Vec<u8>),
    /// This is the beginning of what is to be stored; the rest could not be read.
    Cut(Vec<u8>),
    /// It could not be read, so that nothing of it may be stored.
    Unreadable,
}

/// What became of a body that came in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// What came out is not what went in.
    pub changed: bool,
    /// The end is missing: it could not be decoded, or was too much.
    pub cut: bool,
}

/// Replaces the secrets of a body that comes in pieces.
#[derive(Debug)]
pub struct Filter {
    kind: Kind,
    coding: Option<(Decoder, Encoder)>,
    /// Known once there is content.
    shape: Option<Shape>,
    echo: Echo,
    plain: Vec<u8>,
    replaced: u64,
    taken: u64,
    decoded: u64,
    cut: bool,
}

impl Redactor {
    /// A body that is there in whole.
    pub fn whole(&mut self, media: &Media, values: &Values, bytes: &[u8]) -> Whole {
        if media.is_binary() || bytes.is_empty() {
            return Whole::Same;
        }
        let mut out = Vec::with_capacity(bytes.len() + 64);
        let (first, rest) = bytes.split_at(bytes.len().min(PIECE));
        let Some(mut filter) = Filter::begin(self, media, values, first, &mut out) else {
            return Whole::Unreadable;
        };
        for piece in rest.chunks(PIECE) {
            filter.feed(self, piece, &mut out);
            filter.cut |= out.len() > bytes.len() + MOST_ADDED;
        }
        filter.finish(self, &mut out);
        match (filter.cut, filter.replaced > 0) {
            (true, _) => Whole::Cut(out),
            (false, true) => Whole::Replaced(out),
            (false, false) => Whole::Same,
        }
    }
}

impl Filter {
    /// For a body that begins like this, of which the first of what is to be stored goes to `out`; `None` if it is
    /// compressed in a way that is not read. The secrets of what it answers, `values`, are replaced wherever they stand.
    pub fn begin(
        redactor: &mut Redactor,
        media: &Media,
        values: &Values,
        beginning: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<Self> {
        if media.coding == Coding::Unread {
            return None;
        }
        let coding = coding::of(media.coding, beginning);
        let mut filter = Self {
            kind: media.kind.clone(),
            coding,
            shape: None,
            echo: Echo::of(values.clone()),
            plain: Vec::new(),
            replaced: 0,
            taken: 0,
            decoded: 0,
            cut: false,
        };
        filter.feed(redactor, beginning, out);
        if filter.cut && filter.decoded == 0 {
            // It is not compressed at all, whatever it says.
            (filter.coding, filter.cut) = (None, false);
            filter.feed(redactor, beginning, out);
        }
        Some(filter)
    }

    /// What it may hold between two pieces, in bytes.
    pub const fn memory(&self) -> usize {
        match self.coding {
            // Its window.
            Some((Decoder::Brotli(_), _)) => 17 << 20,
            Some(_) => 1 << 20,
            None => 256 << 10,
        }
    }

    /// Reads on; what is to be stored goes to `out`.
    pub fn feed(&mut self, redactor: &mut Redactor, bytes: &[u8], out: &mut Vec<u8>) {
        if self.cut {
            return;
        }
        let before = redactor.values();
        self.taken += bytes.len() as u64;
        if self.coding.is_some() {
            self.feed_coded(redactor, bytes, out);
        } else {
            self.read(redactor, bytes, out);
        }
        self.replaced += redactor.values() - before;
    }

    /// Content without its coding.
    fn read(&mut self, redactor: &mut Redactor, bytes: &[u8], out: &mut Vec<u8>) {
        let Self { kind, shape, echo, plain, .. } = self;
        let shape = shape.get_or_insert_with(|| Shape::of(kind, bytes));
        if echo.is_idle() {
            return shape.feed(redactor, bytes, out);
        }
        shape.feed(redactor, bytes, plain);
        redactor.tokens.count(echo.feed(plain, out));
        plain.clear();
    }

    fn feed_coded(&mut self, redactor: &mut Redactor, bytes: &[u8], out: &mut Vec<u8>) {
        let Some((mut decoder, mut encoder)) = self.coding.take() else { return };
        let most = MOST_DECODED.min(self.taken * MOST_FOR_EACH + ALWAYS_DECODED);
        let mut read = Vec::new();
        let result = decoder.feed(bytes, &mut |piece| {
            self.decoded += piece.len() as u64;
            if self.decoded > most {
                self.cut = true;
                return false;
            }
            self.read(redactor, piece, &mut read);
            encoder.feed(&read, out);
            read.clear();
            true
        });
        self.cut |= result.is_err();
        self.coding = Some((decoder, encoder));
    }

    /// The body ends here.
    pub fn finish(&mut self, redactor: &mut Redactor, out: &mut Vec<u8>) -> End {
        let before = redactor.values();
        let changed = match self.coding.take() {
            None => {
                self.end(redactor, out);
                false
            }
            Some((mut decoder, mut encoder)) => {
                let mut read = Vec::new();
                decoder.finish(&mut |piece| {
                    self.read(redactor, piece, &mut read);
                    true
                });
                self.end(redactor, &mut read);
                encoder.feed(&read, out);
                encoder.finish(out);
                // What was encoded again is never quite the same.
                true
            }
        };
        self.replaced += redactor.values() - before;
        End { changed: changed || self.replaced > 0, cut: self.cut }
    }

    fn end(&mut self, redactor: &mut Redactor, out: &mut Vec<u8>) {
        let Self { shape, echo, plain, .. } = self;
        if let Some(shape) = shape {
            shape.finish(redactor, plain);
        }
        let count = echo.feed(plain, out) + echo.finish(out);
        redactor.tokens.count(count);
        plain.clear();
    }
}
