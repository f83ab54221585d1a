//! The content of one message: held until the message ends, since only then is known whether it is text.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::known::KnownBody;
use super::line::Lines;
use super::loss::Reason;
use super::redact::{End, Filter, Media, Values, Whole};
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
    /// What is said of it, as far as that matters for its secrets.
    media: Media,
    /// Secrets of what it answers, which it may repeat.
    values: Values,
    /// What is stored is not what was sent.
    redacted: bool,
    /// Why it could not be held.
    lost: Option<Reason>,
}

/// What became of it.
enum Stored {
    /// It has this digest.
    As([u8; 32]),
    /// It is not to be stored.
    Nothing,
    /// There was no room for it.
    Lost,
}

#[derive(Debug)]
struct Spool {
    number: u64,
    hash: Sha256,
    /// What its bytes go through first: what is secret never comes to the disk.
    filter: Option<Filter>,
}

/// The names of the fields that say it.
pub struct Names {
    text: &'static str,
    base64: &'static str,
    size: &'static str,
    sha256: &'static str,
    truncated: &'static str,
    redacted: &'static str,
}

/// Of a request; and of an inbound response, whose line has no other.
pub const REQUEST: Names = Names {
    text: "body",
    base64: "bodyB64",
    size: "bodySize",
    sha256: "bodySha256",
    truncated: "bodyTruncated",
    redacted: "bodyRedacted",
};

/// Of a response.
pub const RESPONSE: Names = Names {
    text: "responseBody",
    base64: "responseBodyB64",
    size: "responseBodySize",
    sha256: "responseBodySha256",
    truncated: "responseBodyTruncated",
    redacted: "responseBodyRedacted",
};

impl Content {
    /// Counts from here on, and keeps nothing.
    pub fn count_only(&mut self) {
        self.counted_only = true;
    }

    /// Takes in what the message says of it, before any of it comes.
    pub fn declare(&mut self, media: Media) {
        self.media = media;
    }

    /// Takes in the secrets of what it answers.
    pub fn look_for(&mut self, values: Values) {
        self.values.extend(values);
    }

    /// So much more was sent, and there is no copy of it.
    pub fn missing(&mut self, bytes: u64) {
        self.size = self.size.saturating_add(bytes);
        self.cut = true;
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
        if kept.is_empty() && before > 0 {
            return;
        }
        if let Some(spool) = &mut self.spool {
            self.lost = spool.push(kept, lines).err();
            return;
        }
        if before == 0 {
            self.like = lines.known.candidate(kept, &self.media);
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
        if self.like.as_ref().is_some_and(|like| like.bytes.len() != size || self.values.are_in(&like.bytes))
        {
            self.stop_comparing(size, lines);
            if self.lost.is_some() {
                return false;
            }
        }
        let nothing_kept = self.like.is_none() && self.spool.is_none() && self.held.is_empty();
        let digest = if self.counted_only || nothing_kept {
            None
        } else if let Some(like) = &self.like {
            if !repeated(like, names, lines, out) {
                return false;
            }
            self.redacted = like.redacted.is_some();
            if let Some(redactor) = &mut lines.redactor {
                redactor.meet(like.values.clone());
            }
            Some(like.sha256)
        } else {
            match self.store(names, lines, out) {
                Stored::As(digest) => Some(digest),
                Stored::Nothing => None,
                Stored::Lost => return false,
            }
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
        if self.redacted && !self.counted_only {
            json::key(out, names.redacted);
            out.extend_from_slice(b"true");
        }
        true
    }

    fn store(&mut self, names: &Names, lines: &mut Lines, out: &mut Vec<u8>) -> Stored {
        if let Some(spool) = &mut self.spool {
            let Some((sha256, end)) = spool.finish(lines) else { return Stored::Lost };
            (self.redacted, self.cut) = (end.changed, self.cut | end.cut);
            let kept = lines.job(Job::KeepSpool { number: spool.number, sha256 });
            return if kept { Stored::As(sha256) } else { Stored::Lost };
        }
        if self.cut {
            drop_partial_character(&mut self.held);
        }
        let redacted = match lines
            .redactor
            .as_mut()
            .map(|redactor| redactor.whole(&self.media, &self.values, &self.held))
        {
            None | Some(Whole::Same) => None,
            Some(Whole::Replaced(bytes)) => Some(bytes),
            Some(Whole::Cut(bytes)) => {
                self.cut = true;
                Some(bytes)
            }
            Some(Whole::Unreadable) => {
                self.counted_only = true;
                return Stored::Nothing;
            }
        };
        self.redacted = redacted.is_some();
        let stored = redacted.as_ref().unwrap_or(&self.held);
        let sha256 = Sha256::digest(stored).into();
        let (mut encoded, mut is_text) = (Vec::new(), false);
        if stored.len() as u64 > lines.limits.inline_body && !lines.only_lines {
            if !lines.store_body(sha256, stored) {
                return Stored::Lost;
            }
        } else {
            let start = out.len();
            is_text = inline(stored, names, out);
            let key = if is_text { names.text } else { names.base64 };
            // Behind `,"key":`.
            encoded = out[start + key.len() + 4..].to_vec();
        }
        // What it says of a secret holds for this exchange only.
        if !self.cut && !self.values.are_in(&self.held) {
            let (bytes, media) = (self.held.clone(), self.media.clone());
            let values = lines.redactor.as_mut().map(|redactor| {
                let met = redactor.met();
                redactor.meet(met.clone());
                met
            });
            let values = values.unwrap_or_default();
            lines.known.remember(KnownBody { bytes, media, values, redacted, sha256, encoded, is_text });
        }
        Stored::As(sha256)
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
        let held = std::mem::take(&mut self.held);
        self.release(lines);
        let mut out = held;
        let mut filter = None;
        if let Some(redactor) = lines.redactor.as_mut().filter(|_| !self.media.is_binary()) {
            let mut redacted = Vec::with_capacity(out.len());
            let Some(begun) = Filter::begin(redactor, &self.media, &self.values, &out, &mut redacted) else {
                self.counted_only = true;
                return;
            };
            if !lines.budget.take(begun.memory()) {
                self.lost = Some(Reason::Buffer);
                return;
            }
            self.reserved = begun.memory();
            (filter, out) = (Some(begun), redacted);
        }
        let mut spool = Spool { number: lines.next_spool(), hash: Sha256::new(), filter };
        self.lost = spool.store(out, lines).err();
        self.spool = Some(spool);
    }
}

impl Spool {
    /// Or why it cannot be kept.
    fn push(&mut self, bytes: &[u8], lines: &mut Lines) -> Result<(), Reason> {
        let mut out = Vec::new();
        match (&mut self.filter, &mut lines.redactor) {
            (Some(filter), Some(redactor)) => filter.feed(redactor, bytes, &mut out),
            _ => out.extend_from_slice(bytes),
        }
        self.store(out, lines)
    }

    /// Its digest and what became of it; `None` where there is no room for its last bytes.
    fn finish(&mut self, lines: &mut Lines) -> Option<([u8; 32], End)> {
        let mut end = End { changed: false, cut: false };
        if let (Some(filter), Some(redactor)) = (&mut self.filter, &mut lines.redactor) {
            let mut out = Vec::new();
            end = filter.finish(redactor, &mut out);
            self.store(out, lines).ok()?;
        }
        Some((self.hash.clone().finalize().into(), end))
    }

    fn store(&mut self, bytes: Vec<u8>, lines: &mut Lines) -> Result<(), Reason> {
        self.hash.update(&bytes);
        if bytes.is_empty() { Ok(()) } else { lines.spool(self.number, bytes) }
    }
}

/// Text that was cut within a character stays text without it.
fn drop_partial_character(held: &mut Vec<u8>) {
    if let Err(error) = std::str::from_utf8(held)
        && error.error_len().is_none()
    {
        held.truncate(error.valid_up_to());
    }
}

/// A body that was recorded before.
fn repeated(like: &KnownBody, names: &Names, lines: &mut Lines, out: &mut Vec<u8>) -> bool {
    if like.encoded.is_empty() || like.stored().len() >= REPEATED && !lines.only_lines {
        return lines.store_body(like.sha256, like.stored());
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
