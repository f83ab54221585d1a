//! What the writing thread has open, and what it does with a job.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use super::log::Log;
use super::{Block, Job, Prepared, Unsaid, Written, type_of};
use crate::incident::line::Totals;
use crate::incident::loss::Reason;
use crate::incident::shelf::Shelf;
use crate::incident::store::hex;
use crate::incident::{Both, Budget, Direction};

/// Blocks that come back to be filled again.
const SPARES: usize = 4;

/// The incident's files.
pub(super) struct Files {
    shelf: Shelf,
    /// Which of the numbered incidents it is, from 1.
    part: u32,
    /// None of those that another process writes.
    logs: Both<Option<Log>>,
    spools: BTreeMap<u64, Option<File>>,
    /// secrets.json, once there is a secret, and its bytes.
    secrets: Option<(File, u64)>,
    /// Names of bodies that could not be written, in hex: no line may speak of them.
    missing: BTreeSet<String>,
    written: Written,
    unsaid: Arc<Unsaid>,
}

impl Files {
    /// Those of the shelf's first incident.
    pub fn new(shelf: Shelf, logs: Both<Option<Log>>, unsaid: Arc<Unsaid>) -> Self {
        Self {
            shelf,
            part: 1,
            logs,
            spools: BTreeMap::new(),
            secrets: None,
            missing: BTreeSet::new(),
            written: Written::default(),
            unsaid,
        }
    }

    /// Does what comes until nothing can come any more.
    pub fn run(
        mut self,
        queue: &Receiver<Job>,
        budget: &Budget,
        spare: &Sender<Vec<u8>>,
        answers: &Sender<Prepared>,
    ) -> (Shelf, Written) {
        let mut spared = 0;
        while let Ok(job) = queue.recv() {
            match job {
                Job::Log(blocks) => {
                    for (direction, mut block) in
                        [(Direction::Inbound, blocks.inbound), (Direction::Outbound, blocks.outbound)]
                    {
                        let taken = block.bytes.len();
                        self.drop_bodiless(&mut block);
                        self.log(direction, &block);
                        budget.give(taken);
                        if taken > 0 && (spared < SPARES || block.bytes.capacity() < 1 << 20) {
                            spared += 1;
                            block.bytes.clear();
                            let _ = spare.send(block.bytes);
                        }
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
        let store = self.shelf.store();
        written.logs = Both::make(|direction| {
            let log = self.logs.of(direction).as_ref();
            log.map(|log| log.written(store.holds(self.shelf.log_name(direction), log.file())))
                .unwrap_or_default()
        });
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
        if let Some(logs) = self.shelf.turn() {
            self.logs = opened(logs);
        }
        self.missing.clear();
        self.secrets = None;
        self.part += 1;
        self.unsaid.begin(self.part);
        if let Some(error) = error {
            self.failed(&error);
        }
    }

    fn log(&mut self, direction: Direction, block: &Block) {
        let log = self.logs.of_mut(direction).as_mut();
        if let Some((gone, error)) = log.and_then(|log| log.append(block)) {
            gone.split_inclusive(|&byte| byte == b'\n').for_each(|line| self.lose(line));
            self.failed(&error);
        }
    }

    /// What cannot be stored of the secrets costs a replay its credentials, but no event.
    fn secrets(&mut self, lines: &[u8]) {
        if let Err(error) = self.append_secrets(lines) {
            self.written.lost_secrets += lines.split(|&byte| byte == b'\n').count() as u64 - 1;
            // Where there are only lines, that is what was asked for.
            if !self.shelf.has_only_lines() {
                self.failed(&error);
            }
        }
    }

    fn append_secrets(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.shelf.is_shared() {
            return self.shelf.store().append_secrets(lines);
        }
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

    fn spool(&mut self, number: u64, bytes: &[u8]) {
        let store = self.shelf.store();
        let file = self.spools.entry(number).or_insert_with(|| store.create_spool(number).ok());
        let result = match file {
            Some(open) => open.write_all(bytes),
            None => Err(io::Error::other("its file cannot be made or written")),
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
            Err(io::Error::other("cut short"))
        };
        if let Err(error) = kept {
            self.shelf.store().remove_spool(number);
            self.body_failed(sha256, &error, 0);
        }
    }

    fn body_failed(&mut self, sha256: &[u8; 32], error: &io::Error, bytes: u64) {
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

    fn failed(&mut self, error: &io::Error) {
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

/// Both, new and empty.
fn opened(logs: Both<File>) -> Both<Option<Log>> {
    Both { inbound: Some(Log::new(logs.inbound)), outbound: Some(Log::new(logs.outbound)) }
}

/// The names of the bodies of which a line speaks.
fn bodies_of(line: &[u8]) -> impl Iterator<Item = &str> {
    const FIELD: &str = "odySha256\":\"";
    let line = std::str::from_utf8(line).unwrap_or_default();
    // In text that was sent the quotes are escaped, so this is found in fields only.
    line.match_indices(FIELD).filter_map(move |(at, _)| line.get(at + FIELD.len()..at + FIELD.len() + 64))
}
