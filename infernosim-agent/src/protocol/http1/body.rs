//! Bodies: by length, chunked (RFC 9112 section 7.1), or up to the end of the connection.

use super::super::Field;
use super::gather::gather;
use super::{Turn, head};

/// The longest chunk-size line, extensions included.
const MAX_CHUNK_LINE: usize = 16 * 1024;

/// What of a body is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// This many bytes, more than 0.
    Length(u64),
    /// All bytes to the end of the connection.
    UntilClose,
    /// A chunk-size line.
    ChunkSize,
    /// This many bytes of a chunk, more than 0.
    ChunkData(u64),
    /// The line end after a chunk.
    ChunkEnd,
    /// Trailer fields and an empty line.
    Trailers,
}

/// A piece of a body.
pub(super) enum Part<'a> {
    Content(&'a [u8]),
    /// The body is complete; its trailer fields.
    End(&'a [Field<'a>]),
}

impl Body {
    /// Reads on: calls `out` with what is found, `held` keeps an element that is not yet whole. Returns what of
    /// `input` lies behind the body, or `None` if the body goes on.
    pub(super) fn read<'i>(
        &mut self,
        held: &mut Vec<u8>,
        mut input: &'i [u8],
        out: &mut impl FnMut(Part<'_>),
    ) -> Result<Option<&'i [u8]>, Turn<'i>> {
        while !input.is_empty() {
            match *self {
                Self::UntilClose => {
                    out(Part::Content(input));
                    return Ok(None);
                }
                Self::Length(left) => {
                    let left = content(left, &mut input, out);
                    *self = Self::Length(left);
                    if left == 0 {
                        out(Part::End(&[]));
                        return Ok(Some(input));
                    }
                }
                Self::ChunkData(left) => {
                    let left = content(left, &mut input, out);
                    *self = if left == 0 { Self::ChunkEnd } else { Self::ChunkData(left) };
                }
                Self::ChunkSize => match chunk_size(held, &mut input)? {
                    Some(0) => *self = Self::Trailers,
                    Some(size) => *self = Self::ChunkData(size),
                    None => return Ok(None),
                },
                Self::ChunkEnd => {
                    if chunk_end(held, &mut input)? {
                        *self = Self::ChunkSize;
                    }
                }
                Self::Trailers => {
                    let done = trailers(held, &mut input, out)?;
                    return Ok(done.then_some(input));
                }
            }
        }
        Ok(None)
    }
}

/// Shows what `input` holds of the next `left` bytes; returns how many are still to come.
fn content(left: u64, input: &mut &[u8], out: &mut impl FnMut(Part<'_>)) -> u64 {
    let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
    let (content, rest) = input.split_at(take);
    *input = rest;
    out(Part::Content(content));
    left - take as u64
}

/// The size that the chunk-size line at the beginning of `input` tells, if the line is whole.
fn chunk_size<'i>(held: &mut Vec<u8>, input: &mut &'i [u8]) -> Result<Option<u64>, Turn<'i>> {
    let end = input.iter().position(|b| *b == b'\n');
    let (line, rest) = input.split_at(end.map_or(input.len(), |at| at + 1));
    if held.len() + line.len() > MAX_CHUNK_LINE {
        return Err(Turn::error("a chunk-size line of more than 16 KiB", input));
    }
    if held.is_empty() && end.is_some() {
        let size = hexadecimal(line).ok_or(Turn::error(BAD_CHUNK_SIZE, input))?;
        *input = rest;
        return Ok(Some(size));
    }
    held.extend_from_slice(line);
    *input = rest;
    if end.is_none() {
        return Ok(None);
    }
    let size = hexadecimal(held).ok_or(Turn::error(BAD_CHUNK_SIZE, rest))?;
    *held = Vec::new();
    Ok(Some(size))
}

const BAD_CHUNK_SIZE: &str = "a malformed chunk size";

/// The value of a chunk-size line: hexadecimal digits, then nothing, white space or an extension (RFC 9112
/// section 7.1.1).
fn hexadecimal(line: &[u8]) -> Option<u64> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let digits = line.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(line.len());
    if digits == 0 || !matches!(line[digits..].trim_ascii_start().first(), None | Some(b';')) {
        return None;
    }
    line[..digits].iter().try_fold(0u64, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        value.checked_mul(16)?.checked_add(u64::from(digit))
    })
}

/// Whether the line end after a chunk is whole; it may be a bare LF.
fn chunk_end<'i>(held: &mut Vec<u8>, input: &mut &'i [u8]) -> Result<bool, Turn<'i>> {
    let done = match input.split_first() {
        Some((b'\n', _)) => true,
        Some((b'\r', _)) if held.is_empty() => false,
        _ => return Err(Turn::error("a chunk longer than its size", input)),
    };
    if done {
        *held = Vec::new();
    } else if input.get(1) == Some(&b'\n') {
        // The usual case, CRLF in one piece, without holding the CR.
        *input = &input[2..];
        return Ok(true);
    } else {
        held.push(b'\r');
    }
    *input = &input[1..];
    Ok(done)
}

/// Whether the trailer section is whole; shows it if so.
fn trailers<'i>(
    held: &mut Vec<u8>,
    input: &mut &'i [u8],
    out: &mut impl FnMut(Part<'_>),
) -> Result<bool, Turn<'i>> {
    if held.is_empty() && input.starts_with(b"\r\n") {
        out(Part::End(&[]));
        *input = &input[2..];
        return Ok(true);
    }
    let section = gather(held, input, |_, _| Ok(()))?;
    let Some(section) = section else { return Ok(false) };
    let parsed = head::lenient(&section, |section| head::trailers(section, |fields| out(Part::End(fields))));
    parsed.map_err(|error| {
        *held = section;
        Turn::error(error, input)
    })?;
    Ok(true)
}
