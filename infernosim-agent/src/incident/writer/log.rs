//! One log: only appended to, and never with a part of a line in it.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use sha2::{Digest as _, Sha256};

use super::Block;
use crate::incident::store::hex;

/// How much of the log is given back to the page cache at a time, in bytes.
const CHUNK: u64 = 8 << 20;

/// What became of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WrittenLog {
    /// Lines that the disk took.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their SHA-256, in hex.
    pub sha256: String,
    /// Whether the directory still has the log.
    pub is_there: bool,
}

/// A log that is written.
#[derive(Debug)]
pub(in crate::incident) struct Log {
    file: File,
    /// Of what the log holds.
    hash: Sha256,
    bytes: u64,
    lines: u64,
    /// What was written can be taken back: it is a file of ours, and no pipe, nor somebody else's.
    is_ours: bool,
}

impl Log {
    /// An empty one.
    pub fn new(file: File) -> Self {
        Self::after(file, Sha256::new(), 0, 0)
    }

    /// One that has so much, with this digest, and is open for appending.
    pub const fn after(file: File, hash: Sha256, bytes: u64, lines: u64) -> Self {
        Self { file, hash, bytes, lines, is_ours: true }
    }

    /// A pipe, a terminal, standard output: what of it is whose is not for us to say.
    pub fn special(file: File) -> Self {
        Self { is_ours: false, ..Self::new(file) }
    }

    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// What came of it so far.
    pub(super) fn written(&self, is_there: bool) -> WrittenLog {
        let sha256 = hex(&self.hash.clone().finalize());
        WrittenLog { lines: self.lines, bytes: self.bytes, sha256, is_there }
    }

    /// Appends whole lines. Where there is no room for all: the rest, and why.
    pub(super) fn append<'a>(&mut self, block: &'a Block) -> Option<(&'a [u8], io::Error)> {
        let before = self.bytes;
        let (kept, error) = append(&mut self.file, &block.bytes);
        let (there, gone) = block.bytes.split_at(kept);
        // Now, while it is in the cache: reading it all again at the end would take seconds.
        self.hash.update(there);
        self.bytes += kept as u64;
        match &error {
            None => self.lines += block.lines,
            Some(_) => {
                // A part of a line may be there: the log must not keep it in its middle.
                if self.is_ours {
                    let _ = self.file.set_len(self.bytes);
                    let _ = self.file.seek(SeekFrom::Start(self.bytes));
                }
                self.lines += there.iter().filter(|&&byte| byte == b'\n').count() as u64;
            }
        }
        if self.is_ours && before / CHUNK != self.bytes / CHUNK {
            self.give_back_pages(before / CHUNK);
        }
        error.map(|error| (gone, error))
    }

    /// Has a chunk that is full written to the disk, and gives the pages of an earlier one, which has been by
    /// now, back to the kernel: a recording must not push the target's files out of the page cache, and its
    /// next lines go into pages that are warm. Never waits: what is still dirty stays.
    fn give_back_pages(&self, chunk: u64) {
        for full in [Some(chunk), chunk.checked_sub(2)].into_iter().flatten() {
            let (start, length) = ((full * CHUNK) as i64, CHUNK as i64);
            let advice = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
            let _ = posix_fadvise(&self.file, start, length, advice);
        }
    }
}

/// Writes as much as there is room for; returns how much of that are whole lines, and the error that ended it.
fn append(log: &mut impl io::Write, bytes: &[u8]) -> (usize, Option<io::Error>) {
    let mut written = 0;
    while written < bytes.len() {
        let error = match log.write(&bytes[written..]) {
            Ok(0) => io::ErrorKind::WriteZero.into(),
            Ok(more) => {
                written += more;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        let whole = bytes[..written].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        return (whole, Some(error));
    }
    (written, None)
}
