//! Where one incident ends and the next begins: between two lines.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::super::known::Known;
use super::super::loss::Reason;
use super::super::redact::{Redactor, Replaced};
use super::super::writer::{Job, Prepared};
use super::{Lines, Sequence};
use crate::error::{Exit, ExpectedError, Result};

/// How a capture is cut into numbered incidents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// An incident of this many bytes of logs and bodies is full.
    pub max_size: u64,
    /// The capture ends when this many are; `None`: never.
    pub max_incidents: Option<u32>,
}

/// Says that the capture's last incident is full.
#[derive(Clone, Debug)]
pub struct Full {
    event: Arc<EventFd>,
}

impl Full {
    /// Not yet.
    pub fn new() -> Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let event = EventFd::from_value_and_flags(0, flags);
        let event = event
            .map_err(|error| ExpectedError::new(Exit::Host, format!("no eventfd can be made: {error}")))?;
        Ok(Self { event: Arc::new(event) })
    }

    fn say(&self) {
        let _ = self.event.write(1);
    }

    /// Whether it is.
    pub fn is(&self) -> bool {
        // Reading takes the value away, so that it has to be put back.
        self.event.read().is_ok_and(|_| self.event.write(1).is_ok())
    }
}

/// Readable once it is full.
impl AsFd for Full {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// What the recorder knows of the incident's size.
#[derive(Debug)]
pub(super) struct Seam {
    rotation: Option<Rotation>,
    full: Option<Full>,
    /// From 1.
    part: u32,
    /// Of lines and bodies.
    size: u64,
    /// The next directory is asked for at this size.
    ask_at: u64,
    next: Next,
    over: bool,
    /// Bodies that go to files as they come, and their bytes: they count once they are complete, in the incident
    /// that has the line about them.
    spools: BTreeMap<u64, u64>,
    /// Those that are not wanted and that the writer could not be told of yet.
    unwanted: Vec<u64>,
}

/// The next directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    NotAsked,
    Asked,
    Ready,
}

/// What a job does once it is left with the writer.
#[derive(Debug, Default)]
pub(super) struct Then {
    grow: u64,
    unwanted: Option<u64>,
}

impl Default for Seam {
    fn default() -> Self {
        Self {
            rotation: None,
            full: None,
            part: 1,
            size: 0,
            ask_at: u64::MAX,
            next: Next::NotAsked,
            over: false,
            spools: BTreeMap::new(),
            unwanted: Vec::new(),
        }
    }
}

impl Seam {
    pub fn part(&self) -> u32 {
        self.part
    }

    /// Whether the last incident is full.
    pub fn is_over(&self) -> bool {
        self.over
    }

    pub fn grow(&mut self, bytes: usize) {
        self.size += bytes as u64;
    }

    /// More of a body that is not complete. One that alone is larger than an incident may be is in none.
    pub fn spool_fits(&mut self, number: u64, bytes: usize) -> bool {
        let size = self.spools.entry(number).or_default();
        *size += bytes as u64;
        let size = *size;
        self.rotation.is_none_or(|rotation| size <= rotation.max_size)
    }

    pub fn note(&mut self, job: &Job) -> Then {
        match job {
            Job::Body { bytes, .. } => Then { grow: bytes.len() as u64, unwanted: None },
            Job::KeepSpool { number, .. } => {
                Then { grow: self.spools.remove(number).unwrap_or(0), unwanted: None }
            }
            Job::DropSpool { number } => {
                self.spools.remove(number);
                Then { grow: 0, unwanted: Some(*number) }
            }
            _ => Then::default(),
        }
    }

    pub fn sent(&mut self, then: Then, sent: bool) {
        if sent {
            self.size += then.grow;
        } else {
            self.unwanted.extend(then.unwanted);
        }
    }
}

impl Lines {
    /// Begins the next incident whenever one is full, and tells `full` when the last one is.
    pub fn rotate(&mut self, rotation: Rotation, full: Full) {
        self.seam.rotation = Some(rotation);
        self.seam.ask_at = rotation.max_size;
        self.seam.full = Some(full);
    }

    /// To be called before an event, and before anything is counted for it, so that no incident is begun for nothing.
    pub(super) fn turn_if_ready(&mut self) {
        self.ask_for_next();
        if let (Some(rotation), Next::Ready) = (self.seam.rotation, self.seam.next) {
            self.turn(rotation);
        }
    }

    /// To be called after an event: is the incident full, and was it the last one?
    pub(super) fn look_at_size(&mut self) {
        let Some(rotation) = self.seam.rotation else { return };
        if self.seam.over || self.seam.size < self.seam.ask_at {
            return;
        }
        if rotation.max_incidents.is_none_or(|most| self.seam.part < most) {
            return self.ask_for_next();
        }
        self.say_loss();
        self.flush();
        self.seam.over = true;
        if let Some(full) = &self.seam.full {
            full.say();
        }
    }

    /// The disk is the writer's: it makes the next directory while lines still go to this one.
    fn ask_for_next(&mut self) {
        let seam = &mut self.seam;
        let Some(rotation) = seam.rotation else { return };
        if seam.over || seam.size < seam.ask_at {
            return;
        }
        if seam.next == Next::NotAsked && self.outbox.send(Job::Prepare) {
            seam.next = Next::Asked;
        }
        if seam.next == Next::Asked {
            match self.outbox.prepared() {
                Some(Prepared::Made) => seam.next = Next::Ready,
                Some(Prepared::Failed) => {
                    seam.next = Next::NotAsked;
                    seam.ask_at = seam.size.saturating_add(rotation.max_size);
                }
                None => {}
            }
        }
    }

    /// Whether the next event will be in the next incident.
    #[cfg(test)]
    pub(in crate::incident) fn is_at_seam(&self) -> bool {
        self.seam.next == Next::Ready
    }

    /// Whether this incident has its size.
    #[cfg(test)]
    pub(in crate::incident) fn is_full(&self) -> bool {
        self.seam.size >= self.seam.ask_at
    }

    fn turn(&mut self, rotation: Rotation) {
        self.say_secrets();
        self.say_loss();
        self.flush();
        // What no line of this incident tells of the next one will. What the disk did not take the manifest says.
        let moving = self.unsaid.without(Reason::Disk);
        let mut totals = std::mem::take(&mut self.totals);
        totals.lost.remove(&moving);
        totals.replaced = self.redactor.as_ref().map_or_else(Replaced::default, Redactor::replaced);
        match self.outbox.offer(Job::Seam(Box::new(totals))) {
            Ok(()) => {
                self.totals.lost = moving.clone();
                self.unsaid = moving;
                self.sequence = Sequence::default();
                self.stored.clear();
                if let Some(redactor) = &mut self.redactor {
                    redactor.begin_file();
                }
                // Their tokens are in the old file.
                self.known = Known::default();
                self.seam.part += 1;
                self.seam.size = 0;
                self.seam.ask_at = rotation.max_size;
                self.seam.next = Next::NotAsked;
            }
            // No place for it now; the next event tries again.
            Err(Job::Seam(back)) => {
                self.totals = *back;
                self.totals.lost.merge(&moving);
            }
            Err(_) => {}
        }
    }

    /// Has files removed that the writer had no place to be told of.
    pub(super) fn tidy_spools(&mut self) {
        for number in std::mem::take(&mut self.seam.unwanted) {
            self.job(Job::DropSpool { number });
        }
    }
}
