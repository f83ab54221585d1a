//! Content codings: decoded and encoded again as the bytes come.

use std::io::{self, Write as _};

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::Compression;
use flate2::write::{DeflateDecoder, DeflateEncoder, GzEncoder, MultiGzDecoder, ZlibDecoder, ZlibEncoder};

use super::media::Coding;

/// Of what is compressed so much is decoded at a time, so that what comes of it is bounded.
const STEP: usize = 1 << 10;
/// What brotli's reader gives at a time, in bytes.
const BROTLI_BUFFER: usize = 32 << 10;
/// A stored brotli block holds at most so much.
const BROTLI_BLOCK: usize = 1 << 16;

/// Decodes what comes in pieces.
pub enum Decoder {
    Gzip(MultiGzDecoder<Vec<u8>>),
    Zlib(ZlibDecoder<Vec<u8>>),
    Deflate(DeflateDecoder<Vec<u8>>),
    Brotli(Box<Brotli>),
}

/// Decodes brotli. Strictly by RFC 7932: windows are of 16 MiB at most.
pub struct Brotli {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    buffer: Vec<u8>,
}

/// Encodes what comes in pieces.
#[derive(Debug)]
pub enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Zlib(ZlibEncoder<Vec<u8>>),
    Deflate(DeflateEncoder<Vec<u8>>),
    Brotli(Stored),
}

/// A brotli stream of blocks that are stored as they are (RFC 7932 section 9.2): all decoders read it, and none of
/// ours has to write more.
#[derive(Debug, Default)]
pub struct Stored {
    begun: bool,
}

/// A way to decode content that begins like this, and to encode it again; `None` if it is not what it says it is.
pub fn of(coding: Coding, beginning: &[u8]) -> Option<(Decoder, Encoder)> {
    let fast = Compression::fast();
    match (coding, beginning) {
        (Coding::Gzip, [0x1f, 0x8b, ..]) => Some((
            Decoder::Gzip(MultiGzDecoder::new(Vec::new())),
            Encoder::Gzip(GzEncoder::new(Vec::new(), fast)),
        )),
        // RFC 1950 section 2.2: the method is 8 and the two bytes are a multiple of 31.
        (Coding::Deflate, [method, flags, ..])
            if method & 15 == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0 =>
        {
            Some((
                Decoder::Zlib(ZlibDecoder::new(Vec::new())),
                Encoder::Zlib(ZlibEncoder::new(Vec::new(), fast)),
            ))
        }
        (Coding::Deflate, [_, ..]) => Some((
            Decoder::Deflate(DeflateDecoder::new(Vec::new())),
            Encoder::Deflate(DeflateEncoder::new(Vec::new(), fast)),
        )),
        (Coding::Brotli, [_, ..]) => {
            Some((Decoder::Brotli(Box::default()), Encoder::Brotli(Stored::default())))
        }
        _ => None,
    }
}

impl Decoder {
    /// Decodes more, a bounded piece at a time; `sink` says whether to go on.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        for step in bytes.chunks(STEP) {
            let result = match self {
                Self::Gzip(it) => it.write_all(step).and_then(|()| it.flush()),
                Self::Zlib(it) => it.write_all(step).and_then(|()| it.flush()),
                Self::Deflate(it) => it.write_all(step).and_then(|()| it.flush()),
                Self::Brotli(it) => {
                    if !it.feed(step, sink)? {
                        return Ok(());
                    }
                    continue;
                }
            };
            let more = self.take(sink);
            result?;
            if !more {
                break;
            }
        }
        Ok(())
    }

    /// The bytes end here, in order or not.
    pub fn finish(&mut self, sink: &mut impl FnMut(&[u8]) -> bool) {
        let _ = match self {
            Self::Gzip(it) => it.try_finish(),
            Self::Zlib(it) => it.try_finish(),
            Self::Deflate(it) => it.try_finish(),
            // It holds nothing back.
            Self::Brotli(_) => return,
        };
        self.take(sink);
    }

    fn take(&mut self, sink: &mut impl FnMut(&[u8]) -> bool) -> bool {
        let decoded = match self {
            Self::Gzip(it) => it.get_mut(),
            Self::Zlib(it) => it.get_mut(),
            Self::Deflate(it) => it.get_mut(),
            Self::Brotli(_) => return true,
        };
        let more = decoded.is_empty() || sink(decoded);
        decoded.clear();
        decoded.shrink_to(64 << 10);
        more
    }
}

impl Default for Brotli {
    fn default() -> Self {
        let (bytes, words, codes) = Default::default();
        Self { state: BrotliState::new_strict(bytes, words, codes), buffer: vec![0; BROTLI_BUFFER] }
    }
}

impl Brotli {
    /// False: the sink wants no more.
    fn feed(&mut self, bytes: &[u8], sink: &mut impl FnMut(&[u8]) -> bool) -> io::Result<bool> {
        let (mut left, mut at, mut total) = (bytes.len(), 0, 0);
        loop {
            let (mut room, mut length) = (self.buffer.len(), 0);
            let result = BrotliDecompressStream(
                &mut left,
                &mut at,
                bytes,
                &mut room,
                &mut length,
                &mut self.buffer,
                &mut total,
                &mut self.state,
            );
            if length > 0 && !sink(&self.buffer[..length]) {
                return Ok(false);
            }
            match result {
                BrotliResult::NeedsMoreOutput => {}
                BrotliResult::NeedsMoreInput => return Ok(true),
                BrotliResult::ResultSuccess if left == 0 => return Ok(true),
                BrotliResult::ResultSuccess | BrotliResult::ResultFailure => {
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
        }
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

impl Encoder {
    /// Encodes more.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        // Writing to memory does not fail.
        let (_, encoded) = match self {
            Self::Gzip(it) => (it.write_all(bytes), it.get_mut()),
            Self::Zlib(it) => (it.write_all(bytes), it.get_mut()),
            Self::Deflate(it) => (it.write_all(bytes), it.get_mut()),
            Self::Brotli(it) => return it.feed(bytes, out),
        };
        out.append(encoded);
    }

    /// Writes the end.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let (_, encoded) = match self {
            Self::Gzip(it) => (it.try_finish(), it.get_mut()),
            Self::Zlib(it) => (it.try_finish(), it.get_mut()),
            Self::Deflate(it) => (it.try_finish(), it.get_mut()),
            Self::Brotli(it) => return it.finish(out),
        };
        out.append(encoded);
    }
}

impl Stored {
    fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for block in bytes.chunks(BROTLI_BLOCK) {
            // From the lowest bit: not the last, four nibbles of length less one, stored. Before the first block one
            // bit says that the window is of 64 KiB.
            let header = (block.len() as u32 - 1) << 3 | 1 << 19;
            let header = if std::mem::replace(&mut self.begun, true) { header } else { header << 1 };
            out.extend_from_slice(&header.to_le_bytes()[..3]);
            out.extend_from_slice(block);
        }
    }

    fn finish(&self, out: &mut Vec<u8>) {
        // The last block, and empty.
        out.push(if self.begun { 3 } else { 6 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(coding: Coding, bytes: &[u8], piece: usize) -> Vec<u8> {
        let (mut decoder, _) = of(coding, bytes).unwrap();
        let mut out = Vec::new();
        let mut sink = |more: &[u8]| {
            out.extend_from_slice(more);
            true
        };
        bytes.chunks(piece).for_each(|piece| decoder.feed(piece, &mut sink).unwrap());
        decoder.finish(&mut sink);
        out
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let deflated = {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(b"x").unwrap();
            encoder.finish().unwrap()
        };
        for (coding, beginning) in [
            (Coding::Gzip, &[0x1f, 0x8b][..]),
            (Coding::Deflate, &[0x78, 0x9c]),
            (Coding::Deflate, &deflated),
            (Coding::Brotli, &[0]),
        ] {
            for length in [0, 1, 65_536, 65_537, 300_000] {
                let plain: Vec<u8> = (0..length).map(|at| (at % 251 * at % 83) as u8).collect();
                let (_, mut encoder) = of(coding, beginning).unwrap();
                let mut encoded = Vec::new();
                plain.chunks(70_000).for_each(|piece| encoder.feed(piece, &mut encoded));
                encoder.finish(&mut encoded);
                for piece in [1, 777, usize::MAX] {
                    assert!(decoded(coding, &encoded, piece) == plain, "{coding:?} {length} {piece}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_what_it_says_is_not_decoded() {
        assert!(of(Coding::Gzip, b"{}").is_none());
        assert!(of(Coding::Unread, b"\x1f\x8b").is_none());
        let (mut decoder, _) = of(Coding::Brotli, b"{\"a\":1}").unwrap();
        assert!(decoder.feed(&[b'{'; 100], &mut |_| true).is_err());
    }
}
