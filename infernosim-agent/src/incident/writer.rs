//! The one thread that writes to the incident's directory.

mod files;
mod log;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::line::Totals;
use super::loss::Losses;
use super::shelf::Shelf;
use super::{Both, Budget};
use crate::error::{Exit, ExpectedError, Result};
use crate::privilege;
use files::Files;
pub(super) use log::Log;
pub use log::WrittenLog;

/// Jobs that may wait; the budget bounds their bytes.
const QUEUE: usize = 8192;

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
    /// Lines for both logs.
    Log(Both<Block>),
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
    /// What came of each log.
    pub logs: Both<WrittenLog>,
    /// Events that the disk did not take.
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
        let logs = shelf.logs()?;
        let owner = shelf.owner();
        let (jobs, queue) = sync_channel(QUEUE);
        let (spare, spares) = channel();
        let (answers, prepared) = channel();
        let unsaid = Arc::new(Unsaid::default());
        unsaid.begin(1);
        let files = Files::new(shelf, logs, Arc::clone(&unsaid));
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

/// The event type of a line of ours.
pub fn type_of(line: &[u8]) -> &str {
    const FIELD: &str = "\"type\":\"";
    let line = std::str::from_utf8(line).unwrap_or_default();
    let rest = line.find(FIELD).and_then(|at| line.get(at + FIELD.len()..));
    rest.and_then(|rest| rest.split('"').next()).unwrap_or_default()
}
