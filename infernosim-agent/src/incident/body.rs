//! The content of one message: held until the message ends, since only then is known whether it is text.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::known::KnownBody;
use super::line::Lines;
use super::loss::Reason;
use super::{json, writer::Job};

/// Content held in memory; what is longer goes to a file as it comes.
const HOLD: usize = 1 << 20;
/// A body that was recorded before and is at least this long goes to a file of its own, to be stored once.
const REPEATED: usize = 32 << 10;

/// What was kept of a message's content.
#[derive(Debug, Default)]
pub struct Content {
    size: u64,
    /// A body seen before that all of this one has been equal to, instead of `held`.
    like: Option<Arc<KnownBody>>,
    held: Vec<u8>,
    /// What of `held` the budget was asked for.
    reserved: usize,
    spool: Option<Spool>,
    cut: bool,
    /// Not to be kept at all: only counted.
    counted_only: bool,
    /// Why it could not be held.
    lost: Option<Reason>,
}

#[derive(Debug)]
struct Spool {
    number: u64,
    hash: Sha256,
}

/// The names of the fields that say it.
pub struct Names {
    text: &'static str,
    base64: &'static str,
    size: &'static str,
    sha256: &'static str,
    truncated: &'static str,
}

/// Of a request.
pub const REQUEST: Names = Names {
    text: "body",
    base64: "bodyB64",
    size: "bodySize",
    sha256: "bodySha256",
    truncated: "bodyTruncated",
};

/// Of a response.
pub const RESPONSE: Names = Names {
    text: "responseBody",
    base64: "responseBodyB64",
    size: "responseBodySize",
    sha256: "responseBodySha256",
    truncated: "responseBodyTruncated",
};

impl Content {
    /// Counts from here on, and keeps nothing.
    pub fn count_only(&mut self) {
        self.counted_only = true;
    }

    /// How long the content is, kept or not.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Why it could not be held, so that its event must be dropped.
    pub const fn lost(&self) -> Option<Reason> {
        self.lost
    }

    /// Adds what came next.
    pub fn push(&mut self, bytes: &[u8], lines: &mut Lines) {
        let before = self.size;
        let room = lines.limits.max_body.saturating_sub(before);
        self.size += bytes.len() as u64;
        if self.lost.is_some() || self.counted_only {
            return;
        }
        let kept = &bytes[..bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
        self.cut |= kept.len() < bytes.len();
        if let Some(spool) = &mut self.spool {
            spool.hash.update(kept);
            self.lost = lines.spool(spool.number, kept.to_vec()).err();
            return;
        }
        if before == 0 {
            self.like = lines.known.candidate(kept);
        }
        if let Some(like) = &self.like {
            let already = usize::try_from(before).unwrap_or(usize::MAX);
            if like.bytes.get(already..).is_some_and(|rest| rest.starts_with(kept)) && !self.cut {
                return;
            }
            self.stop_comparing(already, lines);
        }
        self.hold(kept, lines);
    }

    fn hold(&mut self, kept: &[u8], lines: &mut Lines) {
        if self.held.len() + kept.len() > self.reserved && !self.reserve(kept.len(), lines) {
            self.lost = Some(Reason::Buffer);
            self.release(lines);
            return;
        }
        self.held.extend_from_slice(kept);
        if self.held.len() > HOLD {
            self.start_spool(lines);
        }
    }

    /// It is another body after all, of which the first `already` bytes are the same.
    fn stop_comparing(&mut self, already: usize, lines: &mut Lines) {
        if let Some(like) = self.like.take() {
            self.hold(&like.bytes[..already.min(like.bytes.len())], lines);
        }
    }

    /// Writes its fields to a line, and its bytes to a file where they are too long for one. False where there
    /// is no room for them.
    pub fn write(&mut self, names: &Names, lines: &mut Lines, out: &mut Vec<u8>) -> bool {
        if self.size == 0 {
            return true;
        }
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        if self.like.as_ref().is_some_and(|like| like.bytes.len() != size) {
            self.stop_comparing(size, lines);
            if self.lost.is_some() {
                return false;
            }
        }
        let digest = if self.counted_only {
            None
        } else if let Some(like) = &self.like {
            if !repeated(like, names, lines, out) {
                return false;
            }
            Some(like.sha256)
        } else {
            let Some(digest) = self.store(names, lines, out) else { return false };
            Some(digest)
        };
        json::key(out, names.size);
        json::number(out, self.size);
        if let Some(digest) = digest {
            json::key(out, names.sha256);
            out.push(b'"');
            json::hex(out, &digest);
            out.push(b'"');
        }
        if self.cut || self.counted_only {
            json::key(out, names.truncated);
            out.extend_from_slice(b"true");
        }
        true
    }

    fn store(&mut self, names: &Names, lines: &mut Lines, out: &mut Vec<u8>) -> Option<[u8; 32]> {
        if let Some(spool) = &self.spool {
            let sha256 = spool.hash.clone().finalize().into();
            return lines.job(Job::KeepSpool { number: spool.number, sha256 }).then_some(sha256);
        }
        let sha256 = Sha256::digest(&self.held).into();
        let (mut encoded, mut is_text) = (Vec::new(), false);
        if self.held.len() as u64 > lines.limits.inline_body {
            if !lines.store_body(sha256, &self.held) {
                return None;
            }
        } else {
            let start = out.len();
            is_text = inline(&self.held, names, out);
            let key = if is_text { names.text } else { names.base64 };
            // Behind `,"key":`.
            encoded = out[start + key.len() + 4..].to_vec();
        }
        if !self.cut {
            lines.known.remember(KnownBody { bytes: self.held.clone(), sha256, encoded, is_text });
        }
        Some(sha256)
    }

    /// Gives back all it holds; the spooled file goes too if `discard`.
    pub fn clear(&mut self, lines: &mut Lines, discard: bool) {
        if let (Some(spool), true) = (self.spool.take(), discard) {
            lines.job(Job::DropSpool { number: spool.number });
        }
        self.release(lines);
        *self = Self { held: std::mem::take(&mut self.held), ..Self::default() };
    }

    /// Asks the budget for room in steps, so that small reads do not ask every time.
    fn reserve(&mut self, more: usize, lines: &mut Lines) -> bool {
        let wanted = (self.held.len() + more).next_power_of_two().max(1024) - self.reserved;
        let granted = lines.budget.take(wanted);
        if granted {
            self.reserved += wanted;
        }
        granted
    }

    fn release(&mut self, lines: &Lines) {
        lines.budget.give(std::mem::take(&mut self.reserved));
        self.held.clear();
        // Small buffers are worth keeping for the next exchange, large ones are not.
        if self.held.capacity() > 16 << 10 {
            self.held = Vec::new();
        }
    }

    fn start_spool(&mut self, lines: &mut Lines) {
        let number = lines.next_spool();
        let mut hash = Sha256::new();
        hash.update(&self.held);
        let held = std::mem::take(&mut self.held);
        self.release(lines);
        self.spool = Some(Spool { number, hash });
        self.lost = lines.spool(number, held).err();
    }
}

/// A body that was recorded before.
fn repeated(like: &KnownBody, names: &Names, lines: &mut Lines, out: &mut Vec<u8>) -> bool {
    if like.encoded.is_empty() || like.bytes.len() >= REPEATED {
        return lines.store_body(like.sha256, &like.bytes);
    }
    json::key(out, if like.is_text { names.text } else { names.base64 });
    out.extend_from_slice(&like.encoded);
    true
}

/// Writes it as text where it is, and says whether it is.
fn inline(bytes: &[u8], names: &Names, out: &mut Vec<u8>) -> bool {
    if let Ok(text) = simdutf8::basic::from_utf8(bytes) {
        json::key(out, names.text);
        json::string(out, text);
        return true;
    }
    json::key(out, names.base64);
    out.push(b'"');
    let start = out.len();
    out.resize(start + base64_simd::STANDARD.encoded_length(bytes.len()), 0);
    let _ = base64_simd::STANDARD.encode(bytes, base64_simd::Out::from_slice(&mut out[start..]));
    out.push(b'"');
    false
}
