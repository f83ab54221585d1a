//! Lines of the log: numbered, composed in memory, handed to the writer in blocks.

mod seam;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::exchange::Exchange;
use super::known::Known;
use super::loss::{Losses, Reason};
use super::redact::{Redaction, Redactor, Replaced};
use super::writer::{Block, Job, Outbox, type_of};
use super::{Budget, json};
use crate::clock::{self, Nanos};
use crate::seed::Ids;

use seam::Seam;
pub use seam::{Full, Rotation};

/// A block of lines goes to the writer once it is this large,
const BLOCK_BYTES: usize = 256 << 10;
/// or this old, in ns.
const BLOCK_AGE_NS: u64 = 50_000_000;
/// Dependencies counted by name; later ones are counted together.
const MAX_DEPENDENCIES: usize = 4096;

/// What is kept of a body, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longer bodies go to a file of their own.
    pub inline_body: u64,
    /// Longer bodies are cut.
    pub max_body: u64,
}

/// Both ends of a connection and who opened it; what every line about it says.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The connection's number in this capture, from 1; 0 for one that never came to be.
    pub connection: u64,
    /// The target's own end, where known.
    pub local: Option<SocketAddr>,
    /// The ORIGINAL destination.
    pub peer: SocketAddr,
    /// The process.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// Process and thread as their own pid namespace numbers them, where that differs.
    pub own: Option<(u32, u32)>,
    /// The thread's name.
    pub comm: String,
}

/// What one dependency was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependency {
    /// The protocol of the first call that told one.
    pub protocol: &'static str,
    /// Calls and failed connections.
    pub calls: u64,
    /// Those without a whole answer.
    pub failed: u64,
}

/// What was written and what was not.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Lines by type.
    pub events: BTreeMap<&'static str, u64>,
    /// Events that could not be kept.
    pub lost: Losses,
    /// Stretches of a connection that were relayed without a copy: how many exchanges they held is not known,
    /// so that `lost` is then the least there were.
    pub gaps: u64,
    /// Events that were not to be kept.
    pub excluded: Losses,
    /// By name.
    pub dependencies: BTreeMap<String, Dependency>,
    /// Secrets; known at the end.
    pub replaced: Replaced,
}

/// Whether an exchange is to be recorded: with whom, the dependency's name, and the path and query where there
/// is one.
pub type Selects = Box<dyn Fn(&Peer, &str, Option<&str>) -> bool + Send>;

/// Composes the log. One for each recording: it holds the sequence.
pub struct Lines {
    /// What is kept of bodies.
    pub limits: Limits,
    pub(super) budget: Arc<Budget>,
    /// Bodies seen lately.
    pub(super) known: Known,
    /// Buffers of finished exchanges.
    pub(super) spares: Vec<Exchange>,
    /// Replaces secrets; absent where nothing is to be replaced.
    pub(super) redactor: Option<Redactor>,
    outbox: Outbox,
    ids: Ids,
    sequence: u64,
    began: Nanos,
    block: Block,
    block_since: Nanos,
    /// What no line has told of yet.
    unsaid: Losses,
    totals: Totals,
    spools: u64,
    stored: BTreeSet<[u8; 32]>,
    seam: Seam,
    selects: Option<Selects>,
    day: (u64, [u8; 11]),
}

impl Lines {
    /// An empty log that began at `began`.
    pub fn new(
        outbox: Outbox,
        budget: Arc<Budget>,
        limits: Limits,
        redaction: &Redaction,
        ids: Ids,
        began: Nanos,
    ) -> Self {
        Self {
            limits,
            budget,
            known: Known::default(),
            spares: Vec::new(),
            redactor: redaction.redactor(),
            outbox,
            ids,
            sequence: 0,
            began,
            block: Block::default(),
            block_since: began,
            unsaid: Losses::default(),
            totals: Totals::default(),
            spools: 0,
            stored: BTreeSet::new(),
            seam: Seam::default(),
            selects: None,
            day: (u64::MAX, [0; 11]),
        }
    }

    /// Records only what this selects.
    pub fn select(&mut self, selects: Selects) {
        self.selects = Some(selects);
    }

    /// Writes one event: what all lines have, then what `fields` adds. Dropped whole, and counted, where there
    /// is no room or `fields` says that a part of it is lost.
    pub fn event(
        &mut self,
        kind: &'static str,
        started: Nanos,
        bytes: u64,
        fields: impl FnOnce(&mut Self, &mut Vec<u8>) -> bool,
    ) -> bool {
        if !self.seam.is_over() {
            self.turn_if_ready();
            self.say_loss();
        }
        if self.seam.is_over() || !self.compose(kind, started, fields) {
            self.lost(Reason::Buffer, 1, bytes);
            return false;
        }
        self.look_at_size();
        true
    }

    /// Writes a line, or nothing where there is no room.
    fn compose(
        &mut self,
        kind: &'static str,
        started: Nanos,
        fields: impl FnOnce(&mut Self, &mut Vec<u8>) -> bool,
    ) -> bool {
        let start = self.block.bytes.len();
        let mut out = std::mem::take(&mut self.block.bytes);
        self.common(kind, started, &mut out);
        let whole = fields(self, &mut out);
        out.extend_from_slice(b"}\n");
        self.block.bytes = out;
        self.say_secrets();
        let length = self.block.bytes.len() - start;
        if !whole || !self.budget.take(length) {
            self.block.bytes.truncate(start);
            self.sequence -= 1;
            return false;
        }
        if self.block.lines == 0 {
            self.block_since = clock::now();
        }
        self.block.lines += 1;
        *self.totals.events.entry(kind).or_default() += 1;
        self.seam.grow(length);
        if self.block.bytes.len() >= BLOCK_BYTES {
            self.flush();
        }
        true
    }

    /// Whether an exchange is to be recorded.
    pub(super) fn selects(&self, peer: &Peer, service: &str, path: Option<&str>) -> bool {
        self.selects.as_ref().is_none_or(|selects| selects(peer, service, path))
    }

    /// Whether the capture's last incident is full, so that nothing is recorded any more.
    pub(super) fn is_over(&self) -> bool {
        self.seam.is_over()
    }

    /// Counts an event that is not to be recorded.
    pub(super) fn exclude(&mut self, bytes: u64) {
        self.totals.excluded.add(Reason::Selectors, 1, bytes);
    }

    /// Counts events that were not written.
    pub fn lost(&mut self, reason: Reason, events: u64, bytes: u64) {
        if self.seam.is_over() {
            self.totals.excluded.add(Reason::AfterEnd, events, bytes);
            return;
        }
        self.totals.lost.add(reason, events, bytes);
        self.unsaid.add(reason, events, bytes);
    }

    /// Counts bytes of which there is no copy.
    pub fn gap(&mut self, bytes: u64) {
        self.totals.gaps += u64::from(!self.seam.is_over());
        // What was under way has been counted; a gap between exchanges is at least one that we never saw.
        let events = u64::from(self.unsaid.events() == 0);
        self.lost(Reason::Gap, events, bytes);
    }

    /// Counts a call to a dependency.
    pub fn called(&mut self, service: &str, protocol: &'static str, failed: bool) {
        let dependencies = &mut self.totals.dependencies;
        let name = if dependencies.contains_key(service) || dependencies.len() < MAX_DEPENDENCIES {
            service
        } else {
            "(others)"
        };
        if !dependencies.contains_key(name) {
            dependencies.insert(name.to_owned(), Dependency { protocol, calls: 0, failed: 0 });
        }
        if let Some(dependency) = dependencies.get_mut(name) {
            dependency.calls += 1;
            // A connection on which nothing was said, or an upgraded one, does not tell what it speaks.
            if dependency.protocol == "tcp" {
                dependency.protocol = protocol;
            }
            dependency.failed += u64::from(failed);
        }
    }

    /// Hands over the block if it is old enough.
    pub fn tick(&mut self) {
        if clock::now().since(self.block_since) >= BLOCK_AGE_NS {
            self.unsaid.merge(&self.outbox.unsaid(self.seam.part()));
            self.say_loss();
            self.flush();
        }
        self.tidy_spools();
        self.look_at_size();
    }

    /// Hands over everything and returns the sums.
    pub fn finish(mut self) -> Totals {
        self.unsaid.merge(&self.outbox.unsaid(self.seam.part()));
        self.say_loss();
        self.flush();
        self.totals.replaced = self.redactor.as_ref().map_or_else(Replaced::default, Redactor::replaced);
        self.totals
    }

    /// What was written so far.
    pub const fn totals(&self) -> &Totals {
        &self.totals
    }

    /// A number for a body that goes to a file as it comes.
    pub fn next_spool(&mut self) -> u64 {
        self.spools += 1;
        self.spools
    }

    /// More of such a body, or why it cannot be kept.
    pub fn spool(&mut self, number: u64, bytes: Vec<u8>) -> std::result::Result<(), Reason> {
        self.say_secrets();
        let length = bytes.len();
        if !self.seam.spool_fits(number, length) {
            self.job(Job::DropSpool { number });
            return Err(Reason::Size);
        }
        if !self.budget.take(length) {
            return Err(Reason::Buffer);
        }
        if !self.job(Job::Spool { number, bytes }) {
            self.budget.give(length);
            return Err(Reason::Buffer);
        }
        Ok(())
    }

    /// A whole body for a file of its own, unless it has one already; false where there is no room for it.
    pub fn store_body(&mut self, sha256: [u8; 32], bytes: &[u8]) -> bool {
        if self.stored.contains(&sha256) {
            return true;
        }
        self.say_secrets();
        if !self.budget.take(bytes.len()) {
            return false;
        }
        if !self.job(Job::Body { sha256, bytes: bytes.to_vec() }) {
            self.budget.give(bytes.len());
            return false;
        }
        self.stored.insert(sha256)
    }

    /// Leaves a job for the writer; false where there is no place for it.
    pub(super) fn job(&mut self, job: Job) -> bool {
        let then = self.seam.note(&job);
        let sent = self.outbox.send(job);
        self.seam.sent(then, sent);
        sent
    }

    /// What new tokens stand for, before anything in which they stand.
    fn say_secrets(&mut self) {
        let Some(redactor) = self.redactor.as_mut().filter(|redactor| redactor.has_news()) else { return };
        let news = redactor.news();
        let length = news.len();
        if !self.budget.take(length) {
            return redactor.untold(news);
        }
        match self.outbox.offer(Job::Secrets(news)) {
            Err(Job::Secrets(news)) => {
                self.budget.give(length);
                redactor.untold(news);
            }
            _ => redactor.told(),
        }
    }

    fn flush(&mut self) {
        if self.block.lines == 0 {
            return;
        }
        let spare = Block { bytes: self.outbox.spare(), lines: 0 };
        let block = std::mem::replace(&mut self.block, spare);
        if let Err(Job::Log(block)) = self.outbox.offer(Job::Log(block)) {
            // The writer is hopelessly behind: its queue has no place, however much memory there is.
            self.budget.give(block.bytes.len());
            for line in block.bytes.split_inclusive(|&byte| byte == b'\n') {
                let kind = type_of(line);
                if kind == "Lost" {
                    // What it said has to be said again.
                    self.unsaid.add_line(line);
                } else {
                    self.lost(Reason::Buffer, 1, line.len() as u64);
                }
                if let Some(count) = self.totals.events.get_mut(kind) {
                    *count -= 1;
                }
            }
        }
    }

    /// A `Lost` line for each reason for which something was dropped since the last one, as soon as there is room.
    fn say_loss(&mut self) {
        while let Some((reason, count)) = self.unsaid.first() {
            let said = self.compose("Lost", clock::now(), |_, out| {
                json::key(out, "reason");
                json::string(out, reason.as_str());
                json::key(out, "events");
                json::number(out, count.events);
                json::key(out, "bytes");
                json::number(out, count.bytes);
                true
            });
            if !said {
                return;
            }
            let mut told = Losses::default();
            told.add(reason, count.events, count.bytes);
            self.unsaid.remove(&told);
        }
    }

    fn common(&mut self, kind: &str, started: Nanos, out: &mut Vec<u8>) {
        self.sequence += 1;
        out.extend_from_slice(b"{\"id\":\"");
        json::hex(out, &self.ids.draw().to_be_bytes());
        out.extend_from_slice(b"\",\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"timestamp\":\"");
        self.timestamp(clock::wall(started), out);
        out.extend_from_slice(b"\",\"sequence\":");
        json::number(out, self.sequence);
        json::key(out, "offsetNs");
        json::number(out, started.since(self.began));
    }

    /// RFC 3339 in UTC with nanoseconds; the date is worked out once a day.
    fn timestamp(&mut self, wall_ns: u64, out: &mut Vec<u8>) {
        let (seconds, ns) = (wall_ns / 1_000_000_000, wall_ns % 1_000_000_000);
        let (day, second) = (seconds / 86_400, seconds % 86_400);
        if self.day.0 != day {
            self.day = (day, date(day));
        }
        out.extend_from_slice(&self.day.1);
        let mut text = *b"00:00:00.000000000Z";
        for (at, value) in [(0, second / 3600), (3, second / 60 % 60), (6, second % 60)] {
            text[at] += (value / 10) as u8;
            text[at + 1] += (value % 10) as u8;
        }
        let mut rest = ns;
        for digit in text[9..18].iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        out.extend_from_slice(&text);
    }
}

/// `YYYY-MM-DDT` of a day since the Unix epoch.
fn date(day: u64) -> [u8; 11] {
    let second = i64::try_from(day * 86_400).unwrap_or(0);
    let timestamp = jiff::Timestamp::from_second(second).unwrap_or_default();
    let mut text = *b"0000-00-00T";
    let written = timestamp.to_string();
    if let Some(date) = written.as_bytes().get(..11) {
        text.copy_from_slice(date);
    }
    text
}

impl Peer {
    /// Its fields.
    pub fn write(&self, out: &mut Vec<u8>) {
        if self.connection > 0 {
            json::key(out, "connection");
            json::number(out, self.connection);
        }
        json::key(out, "pid");
        json::number(out, self.pid.into());
        json::key(out, "tid");
        json::number(out, self.tid.into());
        if let Some((pid, tid)) = self.own {
            json::key(out, "ownPid");
            json::number(out, pid.into());
            json::key(out, "ownTid");
            json::number(out, tid.into());
        }
        json::key(out, "comm");
        json::string(out, &self.comm);
        if let Some(local) = self.local {
            json::key(out, "local");
            json::string(out, &local.to_string());
        }
        json::key(out, "peer");
        json::string(out, &self.peer.to_string());
    }
}
