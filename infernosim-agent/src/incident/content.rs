//! The content of a message as it is read back: decoded, as text or as base64, of any length.

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek as _};

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use serde::{Serialize, Serializer};

use crate::error::Result;
use crate::incident::event::Body;
use crate::incident::reader::Incident;

/// What unpacks to more than this, in bytes, and to more than so many times its length, stays packed.
const MOST_DECODED: u64 = 256 << 20;
const MOST_RATIO: u64 = 200;
const ALWAYS_DECODED: u64 = 1 << 20;

/// A multiple of three: base64 of the pieces is then the base64 of the whole.
const PIECE: usize = 48 << 10;

/// How content is coded (RFC 9110 section 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
}

/// Where it is.
#[derive(Debug)]
enum Source<'a> {
    Bytes(&'a [u8]),
    File(File),
}

/// Content that was looked through.
#[derive(Debug)]
pub struct Content<'a> {
    source: Source<'a>,
    coding: Option<Coding>,
    /// Bytes, decoded.
    pub size: u64,
    /// UTF-8.
    pub is_text: bool,
    /// Why reading it failed, where it did so after it had been looked through.
    failed: RefCell<Option<io::Error>>,
}

impl<'a> Content<'a> {
    /// Of a body with this `Content-Encoding`. What cannot be decoded is taken as it is; `None`: there is none, or it was
    /// not kept.
    ///
    /// # Errors
    /// As [`Incident::open_body`].
    pub fn of(body: Body<'a>, coding: Option<&str>, incident: &Incident) -> Result<Option<Self>> {
        let source = match body {
            Body::Empty | Body::Dropped { .. } => return Ok(None),
            Body::Text(text) => Source::Bytes(text.as_bytes()),
            Body::Base64(bytes) => Source::Bytes(bytes),
            Body::File { sha256, .. } => Source::File(incident.open_body(sha256)?),
        };
        let mut content = Self { source, coding: None, size: 0, is_text: true, failed: RefCell::new(None) };
        let cannot = |e: io::Error| {
            crate::error::ExpectedError::new(
                crate::error::Exit::Incident,
                format!("a body of {} cannot be read: {e}", incident.dir().display()),
            )
        };
        let length = content.look(u64::MAX).map_err(cannot)?;
        content.coding = match coding.map(str::trim).map(str::to_ascii_lowercase).as_deref() {
            Some("gzip" | "x-gzip") => Some(Coding::Gzip),
            Some("deflate") => Some(Coding::Deflate),
            Some("br") => Some(Coding::Brotli),
            _ => None,
        };
        let most = length.saturating_mul(MOST_RATIO).clamp(ALWAYS_DECODED, MOST_DECODED);
        if content.coding.is_some() && content.look(most).is_err() {
            content.coding = None;
            content.look(u64::MAX).map_err(cannot)?;
        }
        Ok(Some(content))
    }

    /// It is not as it was sent: its coding was taken off.
    pub const fn is_decoded(&self) -> bool {
        self.coding.is_some()
    }

    /// All of it, unless it is longer than `most` bytes.
    pub fn bytes(&self, most: u64) -> Option<Vec<u8>> {
        if self.size > most {
            return None;
        }
        let mut bytes = Vec::new();
        self.open().ok()?.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Finds out what it is, and how long.
    fn look(&mut self, most: u64) -> io::Result<u64> {
        let (mut size, mut is_text) = (0, true);
        self.pieces(|piece, text| {
            size += piece.len() as u64;
            is_text &= text.is_some();
            if size > most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(()) }
        })?;
        (self.size, self.is_text) = (size, is_text);
        Ok(size)
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        let raw: Box<dyn Read + '_> = match &self.source {
            Source::Bytes(bytes) => Box::new(*bytes),
            Source::File(file) => {
                let mut file = file;
                file.rewind()?;
                Box::new(file)
            }
        };
        Ok(match self.coding {
            None => raw,
            Some(Coding::Gzip) => Box::new(MultiGzDecoder::new(raw)),
            Some(Coding::Brotli) => Box::new(brotli_decompressor::Decompressor::new(raw, 4096)),
            Some(Coding::Deflate) => {
                let mut raw = raw;
                let mut first = Vec::new();
                raw.by_ref().take(2).read_to_end(&mut first)?;
                // Some send it without the wrapper that it is to have. RFC 1950 section 2.2: the method is 8 and the two
                // bytes are a multiple of 31.
                let wrapped = matches!(first[..], [method, flags]
                    if method & 15 == 8 && u16::from_be_bytes([method, flags]) % 31 == 0);
                let whole = io::Cursor::new(first).chain(raw);
                if wrapped { Box::new(ZlibDecoder::new(whole)) } else { Box::new(DeflateDecoder::new(whole)) }
            }
        })
    }

    /// Shows it in pieces of `PIECE` bytes or a little less (text: whole characters), each with its text as long as it is
    /// text.
    fn pieces(&self, mut show: impl FnMut(&[u8], Option<&str>) -> io::Result<()>) -> io::Result<()> {
        let mut reader = self.open()?;
        let mut buffer = Vec::with_capacity(PIECE);
        let mut is_text = true;
        loop {
            let missing = (PIECE - buffer.len()) as u64;
            let ended = reader.by_ref().take(missing).read_to_end(&mut buffer)? < missing as usize;
            let mut used = buffer.len();
            let mut text = None;
            if is_text {
                match std::str::from_utf8(&buffer) {
                    Ok(whole) => text = Some(whole),
                    // The rest of the last character comes with the next piece.
                    Err(e) if e.error_len().is_none() && !ended => {
                        used = e.valid_up_to();
                        text = std::str::from_utf8(&buffer[..used]).ok();
                    }
                    Err(_) => is_text = false,
                }
            }
            show(&buffer[..used], text)?;
            buffer.drain(..used);
            if ended {
                return Ok(());
            }
        }
    }

    /// What went wrong while it was written.
    pub fn take_error(&self) -> Option<io::Error> {
        self.failed.take()
    }
}

impl fmt::Display for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut written = Ok(());
        let mut rest = Vec::new();
        let mut base64 = |bytes: &[u8]| f.write_str(&base64_simd::STANDARD.encode_to_string(bytes));
        let ended = if self.is_text {
            self.pieces(|_, text| {
                written = f.write_str(text.ok_or(io::ErrorKind::InvalidData)?);
                written.map_err(io::Error::other)
            })
        } else {
            // What begins like text comes in pieces of any length.
            let ended = self.pieces(|piece, _| {
                rest.extend_from_slice(piece);
                let whole = rest.len() / 3 * 3;
                written = base64(&rest[..whole]);
                rest.drain(..whole);
                written.map_err(io::Error::other)
            });
            written = written.and_then(|()| base64(&rest));
            ended
        };
        if let Err(error) = ended {
            // An error of ours must not be taken for one of the writer's, which is what `fmt::Error` says.
            *self.failed.borrow_mut() = Some(error);
        }
        written
    }
}

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
