//! One exchange: a request and its answer, as far as they have come.

use nix::errno::Errno;

use super::super::body::Content;
use super::super::head;
use super::super::json;
use super::super::line::Lines;
use super::{Causal, Why};
use crate::clock::Nanos;
use crate::protocol::Protocol;

/// Response pieces closer together than this are one entry of `responseChunks`, in ns.
const CHUNK_GAP_NS: u64 = 1_000_000;
/// Finished exchanges whose buffers are kept for new ones.
const SPARES: usize = 64;
/// Entries of `responseChunks`; later pieces are added to the last.
const MAX_CHUNKS: usize = 100_000;

/// A request and its answer, as far as they have come.
#[derive(Debug, Default)]
pub(in crate::incident) struct Exchange {
    pub started: Nanos,
    /// When the last of the request came.
    pub asked: Nanos,
    pub service: String,
    pub protocol: Option<Protocol>,
    /// Fields of the line, ready to be written: those of the request's head, trailers, interim responses, and
    /// those of the response's head.
    pub request_head: Vec<u8>,
    /// Up to here `request_head` says what was asked: the line about an inbound answer says it again.
    pub named: usize,
    pub interim: Vec<u8>,
    pub response_head: Vec<u8>,
    pub request: Content,
    pub response: Content,
    pub request_ended: bool,
    pub answered: bool,
    pub response_ended: bool,
    pub chunks: Vec<(u64, u64)>,
    pub last_chunk: u64,
    /// What the codec says of the bytes with which it begins.
    pub remark: Option<&'static str>,
    /// It began where bytes had not been seen, so that its own first ones may be missing.
    pub unseen: bool,
    /// Not to be recorded.
    pub excluded: bool,
    pub told: Told,
    /// Of a CONNECT, what it asks for. What its tunnel carries is known later, so that `request_head` has no `protocol`.
    pub connect: Option<String>,
    /// That was granted: all that comes is its content.
    pub tunnel: bool,
    /// The id that the line about an inbound request gets, if it has one already.
    pub name: Option<u128>,
    /// The answer is our own, since there was none.
    pub failed: Option<Box<Failed>>,
    /// What made it happen, or what it makes happen.
    pub causal: Causal,
}

/// Why there was no answer.
#[derive(Debug)]
pub(in crate::incident) struct Failed {
    pub errno: Option<Errno>,
    pub error: String,
}

/// Whether there is a line about an inbound request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::incident) enum Told {
    #[default]
    NotYet,
    /// It has this id.
    As(u128),
    /// It could not be written, which is counted: nor is there one about the answer.
    Lost,
}

impl Exchange {
    /// More of the request's content.
    pub fn ask(&mut self, at: Nanos, bytes: &[u8], lines: &mut Lines) {
        self.asked = at;
        self.request.push(bytes, lines);
    }

    /// More of the answer's content.
    pub fn answer(&mut self, at: Nanos, bytes: &[u8], lines: &mut Lines) {
        let length = bytes.len() as u64;
        let full = self.chunks.len() >= MAX_CHUNKS;
        match self.chunks.last_mut() {
            Some((_, size)) if full || at.0.saturating_sub(self.last_chunk) < CHUNK_GAP_NS => *size += length,
            _ => self.chunks.push((at.since(self.started), length)),
        }
        self.last_chunk = at.0;
        self.response.push(bytes, lines);
    }

    /// When it was over, as is known at `at`: the turn of a protocol that is not read is over when somebody speaks again,
    /// long after its last byte.
    pub fn over(&self, at: Nanos) -> Nanos {
        let read = matches!(self.protocol, Some(Protocol::Http10 | Protocol::Http11));
        let idle = self.response_ended && !read && !self.chunks.is_empty();
        if idle { Nanos(self.last_chunk).max(self.asked) } else { at }
    }

    /// Bytes of its content, kept or not.
    pub const fn size(&self) -> u64 {
        self.request.size() + self.response.size()
    }

    /// What was met so far has nothing to do with this exchange.
    pub fn forget_met(lines: &mut Lines) {
        if let Some(redactor) = &mut lines.redactor {
            redactor.met();
        }
    }

    /// The answer may repeat secrets of the request.
    pub fn note_met(&mut self, lines: &mut Lines) {
        if let Some(redactor) = &mut lines.redactor {
            self.response.look_for(redactor.met());
        }
    }

    /// `interim`, if there were any.
    pub fn write_interim(&self, out: &mut Vec<u8>) {
        if !self.interim.is_empty() {
            json::key(out, "interim");
            out.push(b'[');
            out.extend_from_slice(&self.interim[1..]);
            out.push(b']');
        }
    }

    /// `responseChunks`, if the answer has content.
    pub fn write_chunks(&self, out: &mut Vec<u8>) {
        if self.chunks.is_empty() {
            return;
        }
        json::key(out, "responseChunks");
        for (index, &(offset, size)) in self.chunks.iter().enumerate() {
            out.push(if index == 0 { b'[' } else { b',' });
            out.push(b'[');
            json::number(out, offset);
            out.push(b',');
            json::number(out, size);
            out.push(b']');
        }
        out.push(b']');
    }

    /// Leaves its buffers to the next exchange, of whichever connection: thousands of idle ones keep none.
    pub fn recycle(mut self, lines: &mut Lines) {
        self.clear(lines, false);
        if lines.spares.len() < SPARES {
            lines.spares.push(self);
        }
    }

    /// Gives back all it holds; spooled bodies go too if `discard`.
    pub fn clear(&mut self, lines: &mut Lines, discard: bool) {
        self.request.clear(lines, discard);
        self.response.clear(lines, discard);
        self.service.clear();
        for buffer in [&mut self.request_head, &mut self.interim, &mut self.response_head] {
            buffer.clear();
            buffer.shrink_to(4096);
        }
        self.named = 0;
        self.chunks.clear();
        self.chunks.shrink_to(64);
        (self.request_ended, self.answered, self.response_ended) = (false, false, false);
        (self.protocol, self.remark) = (None, None);
        (self.unseen, self.excluded) = (false, false);
        self.told = Told::NotYet;
        (self.name, self.failed) = (None, None);
        (self.connect, self.tunnel) = (None, false);
        self.causal = Causal::default();
    }
}

impl Failed {
    /// `error` and `errno`.
    pub fn write(&self, out: &mut Vec<u8>) {
        json::key(out, "error");
        json::string(out, &self.error);
        head::errno(out, self.errno);
    }
}

/// `incomplete`, and why.
pub(super) fn write_cut(out: &mut Vec<u8>, error: &str, why: Option<Why>) {
    out.extend_from_slice(b",\"incomplete\":true");
    json::key(out, "error");
    json::string(out, error);
    head::errno(out, why.and_then(Why::errno));
}
