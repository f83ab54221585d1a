//! The one thread that writes to the incident's directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use sha2::{Digest as _, Sha256};

use super::Budget;
use super::line::Totals;
use super::loss::{Losses, Reason};
use super::shelf::{LOG, Shelf};
use super::store::hex;
use crate::error::{Exit, ExpectedError, Result};
use crate::privilege;

/// Jobs that may wait; the budget bounds their bytes.
const QUEUE: usize = 8192;
/// How much of the log is given back to the page cache at a time, in bytes.
const CHUNK: u64 = 8 << 20;
/// Blocks that come back to be filled again.
const SPARES: usize = 4;

/// Whole lines.
#[derive(Debug, Default)]
pub struct Block {
    /// The text.
    pub bytes: Vec<u8>,
    /// How many lines it is.
    pub lines: u64,
}

/// Something to write. Its bytes are taken from the budget and given back when it is done.
#[derive(Debug)]
pub enum Job {
    /// Lines for outbound.log.
    Log(Block),
    /// A whole body.
    Body {
        /// Its name.
        sha256: [u8; 32],
        /// All of it.
        bytes: Vec<u8>,
    },
    /// More of a body whose name is not known yet.
    Spool {
        /// Which.
        number: u64,
        /// The next of its bytes.
        bytes: Vec<u8>,
    },
    /// Such a body is complete.
    KeepSpool {
        /// Which.
        number: u64,
        /// Its name.
        sha256: [u8; 32],
    },
    /// More lines for secrets.json. Told before any line or body in which their tokens stand.
    Secrets(Vec<u8>),
    /// Such a body is not wanted.
    DropSpool {
        /// Which.
        number: u64,
    },
    /// The incident will be full soon: make the next one's directory, and say so.
    Prepare,
    /// All that is meant for the incident has been sent: close it, and go on in the next one.
    Seam(Box<Totals>),
}

/// What became of [`Job::Prepare`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepared {
    /// There is one.
    Made,
    /// There is none, and it goes on in the old one.
    Failed,
}

/// Where jobs are left.
#[derive(Debug)]
pub struct Outbox {
    jobs: SyncSender<Job>,
    spares: Receiver<Vec<u8>>,
    prepared: Receiver<Prepared>,
    unsaid: Arc<Unsaid>,
}

/// What the disk did not take and no line tells of; the writer cannot number lines.
#[derive(Debug, Default)]
struct Unsaid {
    any: AtomicBool,
    /// Of which numbered incident.
    losses: Mutex<(u32, Losses)>,
}

/// What became of the jobs for one incident.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// Lines that the disk took.
    pub lines: u64,
    /// The log's bytes.
    pub bytes: u64,
    /// The log's SHA-256, in hex.
    pub sha256: String,
    /// Whether the directory still has the log.
    pub log_is_there: bool,
    /// Events that it did not.
    pub lost: Losses,
    /// Lines that it did not, by type.
    pub lost_by_type: BTreeMap<String, u64>,
    /// Lines that secrets.json did not take.
    pub lost_secrets: u64,
    /// The first error.
    pub error: Option<String>,
}

/// The writing thread.
#[derive(Debug)]
pub struct Writer {
    thread: JoinHandle<(Shelf, Written)>,
}

struct Files {
    shelf: Shelf,
    /// Which of the numbered incidents it is, from 1.
    part: u32,
    log: File,
    /// Of what the log holds.
    hash: Sha256,
    spools: BTreeMap<u64, Option<File>>,
    /// secrets.json, once there is a secret, and its bytes.
    secrets: Option<(File, u64)>,
    /// Names of bodies that could not be written, in hex: no line may speak of them.
    missing: BTreeSet<String>,
    written: Written,
    unsaid: Arc<Unsaid>,
}

impl Outbox {
    /// Leaves a job; false where there is no place, and the job is gone.
    pub fn send(&self, job: Job) -> bool {
        self.offer(job).is_ok()
    }

    /// Leaves a job, or gives it back where there is no place.
    pub fn offer(&self, job: Job) -> std::result::Result<(), Job> {
        self.jobs.try_send(job).map_err(|(TrySendError::Full(job) | TrySendError::Disconnected(job))| job)
    }

    /// An empty buffer, used before where possible: fresh memory costs more than writing to it.
    pub fn spare(&self) -> Vec<u8> {
        self.spares.try_recv().unwrap_or_default()
    }

    /// What became of [`Job::Prepare`], once that is known.
    pub fn prepared(&self) -> Option<Prepared> {
        self.prepared.try_recv().ok()
    }

    /// What the disk did not take of this numbered incident since the last call.
    pub fn unsaid(&self, part: u32) -> Losses {
        if !self.unsaid.any.load(Ordering::Relaxed) {
            return Losses::default();
        }
        let mut losses = self.unsaid.losses.lock().unwrap_or_else(PoisonError::into_inner);
        if losses.0 != part {
            return Losses::default();
        }
        self.unsaid.any.store(false, Ordering::Relaxed);
        std::mem::take(&mut losses.1)
    }
}

impl Unsaid {
    fn tell(&self, tell: impl FnOnce(&mut Losses)) {
        tell(&mut self.losses.lock().unwrap_or_else(PoisonError::into_inner).1);
        self.any.store(true, Ordering::Relaxed);
    }

    fn begin(&self, part: u32) {
        *self.losses.lock().unwrap_or_else(PoisonError::into_inner) = (part, Losses::default());
    }
}

impl Writer {
    /// Starts writing to the shelf's first incident. Ends when the outbox is dropped.
    pub fn start(shelf: Shelf, budget: Arc<Budget>) -> Result<(Self, Outbox)> {
        let log = shelf.store().create_log(LOG)?;
        let owner = shelf.owner();
        let (jobs, queue) = sync_channel(QUEUE);
        let (spare, spares) = channel();
        let (answers, prepared) = channel();
        let unsaid = Arc::new(Unsaid::default());
        unsaid.begin(1);
        let files = Files {
            shelf,
            part: 1,
            log,
            hash: Sha256::new(),
            spools: BTreeMap::new(),
            secrets: None,
            missing: BTreeSet::new(),
            written: Written::default(),
            unsaid: Arc::clone(&unsaid),
        };
        let thread = privilege::thread_as("writer", (owner.uid, owner.gid), move || {
            files.run(&queue, &budget, &spare, &answers)
        })
        .map_err(|error| ExpectedError::new(Exit::Host, format!("no thread for the writer: {error}")))?;
        Ok((Self { thread }, Outbox { jobs, spares, prepared, unsaid }))
    }

    /// Waits until everything is written. What was written is of the last incident, which is for the caller to
    /// close: what became of it is known only now.
    pub fn join(self) -> Result<(Shelf, Written)> {
        let bug = |_| ExpectedError::new(Exit::Bug, "the thread that writes the incident panicked");
        self.thread.join().map_err(bug)
    }
}

impl Files {
    fn run(
        mut self,
        queue: &Receiver<Job>,
        budget: &Budget,
        spare: &Sender<Vec<u8>>,
        answers: &Sender<Prepared>,
    ) -> (Shelf, Written) {
        let mut spared = 0;
        while let Ok(job) = queue.recv() {
            match job {
                Job::Log(mut block) => {
                    let taken = block.bytes.len();
                    self.drop_bodiless(&mut block);
                    self.log(&block);
                    budget.give(taken);
                    if spared < SPARES || block.bytes.capacity() < 1 << 20 {
                        spared += 1;
                        block.bytes.clear();
                        let _ = spare.send(block.bytes);
                    }
                }
                Job::Body { sha256, bytes } => {
                    if let Err(error) = self.shelf.store().write_body(&sha256, &bytes) {
                        self.body_failed(&sha256, &error, bytes.len() as u64);
                    }
                    budget.give(bytes.len());
                }
                Job::Spool { number, bytes } => {
                    self.spool(number, &bytes);
                    budget.give(bytes.len());
                }
                Job::Secrets(lines) => {
                    self.secrets(&lines);
                    budget.give(lines.len());
                }
                Job::KeepSpool { number, sha256 } => self.keep_spool(number, &sha256),
                Job::DropSpool { number } => {
                    self.spools.remove(&number);
                    self.shelf.store().remove_spool(number);
                }
                Job::Prepare => {
                    let made = self.shelf.prepare();
                    let _ = answers.send(if made { Prepared::Made } else { Prepared::Failed });
                }
                Job::Seam(totals) => self.seam(&totals),
            }
        }
        self.shelf.drop_next();
        let written = self.written();
        (self.shelf, written)
    }

    /// What came of the incident so far; from here on of the next one.
    fn written(&mut self) -> Written {
        let mut written = std::mem::take(&mut self.written);
        written.sha256 = hex(&std::mem::replace(&mut self.hash, Sha256::new()).finalize());
        written.log_is_there = self.shelf.store().holds(LOG, &self.log);
        written
    }

    fn seam(&mut self, totals: &Totals) {
        let mut error = None;
        if let Some(next) = self.shelf.next_store() {
            for (number, file) in &mut self.spools {
                // Bodies that are not complete belong to the incident that will have the line about them.
                if let Err(cannot) = self.shelf.store().move_spool(*number, next) {
                    *file = None;
                    error = Some(cannot);
                }
            }
        }
        let written = self.written();
        self.shelf.close(totals, &written);
        if let Some(log) = self.shelf.turn() {
            self.log = log;
        }
        self.missing.clear();
        self.secrets = None;
        self.part += 1;
        self.unsaid.begin(self.part);
        if let Some(error) = error {
            self.failed(&error);
        }
    }

    fn log(&mut self, block: &Block) {
        let before = self.written.bytes;
        let (kept, error) = append(&mut self.log, &block.bytes);
        // Now, while it is in the cache: reading it all again at the end would take seconds.
        self.hash.update(&block.bytes[..kept]);
        self.written.bytes += kept as u64;
        match error {
            None => self.written.lines += block.lines,
            Some(error) => {
                // A part of a line may be there: the log must not keep it in its middle.
                let _ = self.log.set_len(self.written.bytes);
                let _ = self.log.seek(SeekFrom::Start(self.written.bytes));
                let (there, gone) = block.bytes.split_at(kept);
                self.written.lines += there.iter().filter(|&&byte| byte == b'\n').count() as u64;
                gone.split_inclusive(|&byte| byte == b'\n').for_each(|line| self.lose(line));
                self.failed(&error);
            }
        }
        if before / CHUNK != self.written.bytes / CHUNK {
            self.give_back_pages(before / CHUNK);
        }
    }

    /// What cannot be stored of the secrets costs a replay its credentials, but no event.
    fn secrets(&mut self, lines: &[u8]) {
        if let Err(error) = self.append_secrets(lines) {
            self.written.lost_secrets += lines.split(|&byte| byte == b'\n').count() as u64 - 1;
            self.failed(&error);
        }
    }

    fn append_secrets(&mut self, lines: &[u8]) -> std::io::Result<()> {
        let (file, length) = match &mut self.secrets {
            Some(open) => open,
            closed => closed.insert((self.shelf.store().create_secrets()?, 0)),
        };
        let written = file.write_all(lines);
        if written.is_err() {
            let _ = file.set_len(*length);
            let _ = file.seek(SeekFrom::Start(*length));
        } else {
            *length += lines.len() as u64;
        }
        written
    }

    /// Has a chunk that is full written to the disk, and gives the pages of an earlier one, which has been by
    /// now, back to the kernel: a recording must not push the target's files out of the page cache, and its
    /// next lines go into pages that are warm. Never waits: what is still dirty stays.
    fn give_back_pages(&self, chunk: u64) {
        for full in [Some(chunk), chunk.checked_sub(2)].into_iter().flatten() {
            let (start, length) = ((full * CHUNK) as i64, CHUNK as i64);
            let advice = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
            let _ = posix_fadvise(&self.log, start, length, advice);
        }
    }

    fn spool(&mut self, number: u64, bytes: &[u8]) {
        let store = self.shelf.store();
        let file = self.spools.entry(number).or_insert_with(|| store.create_spool(number).ok());
        let result = match file {
            Some(open) => open.write_all(bytes),
            None => Err(std::io::Error::other("its file cannot be made or written")),
        };
        if let Err(error) = result {
            *file = None;
            self.lose_bytes(bytes.len() as u64);
            self.failed(&error);
        }
    }

    fn keep_spool(&mut self, number: u64, sha256: &[u8; 32]) {
        let whole = self.spools.remove(&number).flatten().is_some();
        let kept = if whole {
            self.shelf.store().keep_spool(number, sha256)
        } else {
            Err(std::io::Error::other("cut short"))
        };
        if let Err(error) = kept {
            self.shelf.store().remove_spool(number);
            self.body_failed(sha256, &error, 0);
        }
    }

    fn body_failed(&mut self, sha256: &[u8; 32], error: &std::io::Error, bytes: u64) {
        self.missing.insert(hex(sha256));
        self.lose_bytes(bytes);
        self.failed(error);
    }

    /// Takes out the lines about bodies that are not there: an event is written whole or not at all.
    fn drop_bodiless(&mut self, block: &mut Block) {
        if self.missing.is_empty() {
            return;
        }
        let mut kept = Vec::with_capacity(block.bytes.len());
        for line in block.bytes.split_inclusive(|&byte| byte == b'\n') {
            if bodies_of(line).any(|name| self.missing.contains(name)) {
                block.lines -= 1;
                self.lose(line);
            } else {
                kept.extend_from_slice(line);
            }
        }
        block.bytes = kept;
    }

    fn failed(&mut self, error: &std::io::Error) {
        self.written.error.get_or_insert_with(|| error.to_string());
    }

    /// A line that is not there.
    fn lose(&mut self, line: &[u8]) {
        let kind = type_of(line);
        *self.written.lost_by_type.entry(kind.to_owned()).or_default() += 1;
        if kind == "Lost" {
            // No event; but what it said has to be said again.
            self.unsaid.tell(|losses| {
                losses.add_line(line);
            });
            return;
        }
        self.written.lost.add(Reason::Disk, 1, line.len() as u64);
        self.unsaid.tell(|losses| losses.add(Reason::Disk, 1, line.len() as u64));
    }

    /// Bytes of a body; the line about it is lost when it comes.
    fn lose_bytes(&mut self, bytes: u64) {
        self.written.lost.add(Reason::Disk, 0, bytes);
        self.unsaid.tell(|losses| losses.add(Reason::Disk, 0, bytes));
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

/// The event type of a line of ours.
pub fn type_of(line: &[u8]) -> &str {
    const FIELD: &str = "\"type\":\"";
    let line = std::str::from_utf8(line).unwrap_or_default();
    let rest = line.find(FIELD).and_then(|at| line.get(at + FIELD.len()..));
    rest.and_then(|rest| rest.split('"').next()).unwrap_or_default()
}

/// The names of the bodies of which a line speaks.
fn bodies_of(line: &[u8]) -> impl Iterator<Item = &str> {
    const FIELD: &str = "odySha256\":\"";
    let line = std::str::from_utf8(line).unwrap_or_default();
    // In text that was sent the quotes are escaped, so this is found in fields only.
    line.match_indices(FIELD).filter_map(move |(at, _)| line.get(at + FIELD.len()..at + FIELD.len() + 64))
}
