//! The one thread that writes to the incident's directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread::JoinHandle;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use sha2::{Digest as _, Sha256};

use super::store::hex;
use super::{Budget, Store};
use crate::error::{Exit, ExpectedError, Result};

/// What the tokens of a recording stand for.
pub const SECRETS: &str = "secrets.json";
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
}

/// Where jobs are left.
#[derive(Debug)]
pub struct Outbox {
    jobs: SyncSender<Job>,
    spares: Receiver<Vec<u8>>,
}

/// What became of the jobs.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// Lines that the disk took.
    pub lines: u64,
    /// The log's bytes.
    pub bytes: u64,
    /// The log's SHA-256, in hex.
    pub sha256: String,
    /// Lines that it did not.
    pub lost_events: u64,
    /// The same by type.
    pub lost_by_type: BTreeMap<String, u64>,
    /// Their bytes.
    pub lost_bytes: u64,
    /// Lines that secrets.json did not take.
    pub lost_secrets: u64,
    /// The first error.
    pub error: Option<String>,
}

/// The writing thread.
#[derive(Debug)]
pub struct Writer {
    thread: JoinHandle<Written>,
}

struct Files {
    store: Arc<Store>,
    log: File,
    /// Of what the log holds.
    hash: Sha256,
    spools: BTreeMap<u64, Option<File>>,
    /// secrets.json, once there is a secret, and its bytes.
    secrets: Option<(File, u64)>,
    /// Names of bodies that could not be written, in hex: no line may speak of them.
    missing: BTreeSet<String>,
    written: Written,
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
}

impl Writer {
    /// Starts writing to `store`'s outbound.log. Ends when the outbox is dropped.
    pub fn start(store: Arc<Store>, budget: Arc<Budget>) -> Result<(Self, Outbox)> {
        let log = store.create_log("outbound.log")?;
        let (jobs, queue) = sync_channel(QUEUE);
        let (spare, spares) = channel();
        let files = Files {
            store,
            log,
            hash: Sha256::new(),
            spools: BTreeMap::new(),
            secrets: None,
            missing: BTreeSet::new(),
            written: Written::default(),
        };
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || files.run(&queue, &budget, &spare))
            .map_err(|error| ExpectedError::new(Exit::Host, format!("no thread for the writer: {error}")))?;
        Ok((Self { thread }, Outbox { jobs, spares }))
    }

    /// Waits until everything is written.
    pub fn join(self) -> Written {
        self.thread.join().unwrap_or_else(|_| Written {
            error: Some("the writing thread panicked, which is a bug".into()),
            ..Written::default()
        })
    }
}

impl Files {
    fn run(mut self, queue: &Receiver<Job>, budget: &Budget, spare: &Sender<Vec<u8>>) -> Written {
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
                    if let Err(error) = self.store.write_body(&sha256, &bytes) {
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
                    self.store.remove_spool(number);
                }
            }
        }
        self.written.sha256 = hex(&self.hash.finalize());
        self.written
    }

    fn log(&mut self, block: &Block) {
        match self.log.write_all(&block.bytes) {
            Ok(()) => {
                // Now, while it is in the cache: reading it all again at the end would take seconds.
                self.hash.update(&block.bytes);
                let before = self.written.bytes;
                self.written.bytes += block.bytes.len() as u64;
                self.written.lines += block.lines;
                if before / CHUNK != self.written.bytes / CHUNK {
                    self.give_back_pages(before / CHUNK);
                }
            }
            Err(error) => {
                // A part of it may be there: the log must not keep half a line in its middle.
                let _ = self.log.set_len(self.written.bytes);
                let _ = self.log.seek(SeekFrom::Start(self.written.bytes));
                block.bytes.split_inclusive(|&byte| byte == b'\n').for_each(|line| self.written.lose(line));
                self.failed(&error);
            }
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
            closed => closed.insert((self.store.create_file(Path::new(SECRETS))?, 0)),
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
        let store = &self.store;
        let file = self.spools.entry(number).or_insert_with(|| store.create_spool(number).ok());
        let result = match file {
            Some(open) => open.write_all(bytes),
            None => Err(std::io::Error::other("its file cannot be made or written")),
        };
        if let Err(error) = result {
            *file = None;
            self.written.lost_bytes += bytes.len() as u64;
            self.failed(&error);
        }
    }

    fn keep_spool(&mut self, number: u64, sha256: &[u8; 32]) {
        let whole = self.spools.remove(&number).flatten().is_some();
        let kept = if whole {
            self.store.keep_spool(number, sha256)
        } else {
            Err(std::io::Error::other("cut short"))
        };
        if let Err(error) = kept {
            self.store.remove_spool(number);
            self.body_failed(sha256, &error, 0);
        }
    }

    fn body_failed(&mut self, sha256: &[u8; 32], error: &std::io::Error, bytes: u64) {
        self.missing.insert(hex(sha256));
        self.written.lost_bytes += bytes;
        self.failed(error);
    }

    /// Takes out the lines about bodies that are not there: an event is written whole or not at all.
    fn drop_bodiless(&mut self, block: &mut Block) {
        if self.missing.is_empty() {
            return;
        }
        let Self { missing, written, .. } = self;
        let mut kept = Vec::with_capacity(block.bytes.len());
        for line in block.bytes.split_inclusive(|&byte| byte == b'\n') {
            if bodies_of(line).any(|name| missing.contains(name)) {
                block.lines -= 1;
                written.lose(line);
            } else {
                kept.extend_from_slice(line);
            }
        }
        block.bytes = kept;
    }

    fn failed(&mut self, error: &std::io::Error) {
        self.written.error.get_or_insert_with(|| error.to_string());
    }
}

impl Written {
    fn lose(&mut self, line: &[u8]) {
        self.lost_events += 1;
        self.lost_bytes += line.len() as u64;
        *self.lost_by_type.entry(type_of(line).to_owned()).or_default() += 1;
    }
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
