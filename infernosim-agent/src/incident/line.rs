//! Lines of both logs: numbered, composed in memory, handed to the writer in blocks.

mod outgoing;
mod peer;
mod seam;
mod sequence;
mod share;
mod timestamp;
mod totals;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::cause::Causes;
use super::exchange::Exchange;
use super::known::Known;
use super::loss::{Losses, Reason};
use super::redact::{Redaction, Redactor, Replaced};
use super::writer::{Block, Outbox};
use super::{Both, Budget, Direction, json};
use crate::clock::{self, Nanos};
use crate::seed::Ids;

pub use peer::{Peer, Process};
use seam::Seam;
pub use seam::{Full, Rotation};
use sequence::Sequence;
pub use share::Share;
use timestamp::Timestamps;
pub use totals::{Dependency, Totals};

/// A block of lines goes to the writer once it is this large,
const BLOCK_BYTES: usize = 256 << 10;
/// or this old, in ns.
const BLOCK_AGE_NS: u64 = 50_000_000;

/// What is kept of a body, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longer bodies go to a file of their own.
    pub inline_body: u64,
    /// Longer bodies are cut.
    pub max_body: u64,
}

/// When what a line tells of was, and which line it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    /// Its `timestamp`.
    started: Nanos,
    /// When it became whole: its place in the order.
    happened: Nanos,
    /// Its `id`, if it has one already.
    id: Option<u128>,
}

impl Stamp {
    pub const fn new(started: Nanos, happened: Nanos) -> Self {
        Self { started, happened, id: None }
    }

    pub const fn named(self, id: Option<u128>) -> Self {
        Self { id, ..self }
    }

    /// Of a line that tells of nothing that happened: it comes right after the line before it. By its time it would
    /// come after things that happened before, and that are still to be told.
    const fn of_nothing(started: Nanos) -> Self {
        Self::new(started, Nanos(0))
    }
}

/// Whether an exchange is to be recorded: which way it goes and between whom, the `service` of its line, and the path
/// and query where there is one.
pub type Selects = Box<dyn Fn(Direction, &Peer, &str, Option<&str>) -> bool + Send>;

/// Composes both logs. One for each recording: it holds the sequence.
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
    /// Finds causes, where they are looked for.
    pub(super) causes: Option<Causes<u128>>,
    /// Threads that read requests, by their number.
    pub(super) tasks: BTreeMap<u32, Process>,
    pub(super) ids: Ids,
    outbox: Outbox,
    sequence: Sequence,
    /// The one log that there is, if there is only one.
    only: Option<Direction>,
    /// Bodies have no files.
    pub(super) only_lines: bool,
    /// That of the line that is composed.
    id: u128,
    began: Nanos,
    /// The wall time of the time 0, in ns, where that is not the clock's.
    dated: Option<u64>,
    blocks: Both<Block>,
    block_since: Nanos,
    /// What no line has told of yet.
    unsaid: Losses,
    totals: Totals,
    spools: u64,
    stored: BTreeSet<[u8; 32]>,
    seam: Seam,
    selects: Option<Selects>,
    timestamps: Timestamps,
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
            causes: None,
            tasks: BTreeMap::new(),
            ids,
            outbox,
            sequence: Sequence::default(),
            only: None,
            only_lines: false,
            id: 0,
            began,
            dated: None,
            blocks: Both::default(),
            block_since: began,
            unsaid: Losses::default(),
            totals: Totals::default(),
            spools: 0,
            stored: BTreeSet::new(),
            seam: Seam::default(),
            selects: None,
            timestamps: Timestamps::default(),
        }
    }

    /// Records only what this selects.
    pub fn select(&mut self, selects: Selects) {
        self.selects = Some(selects);
    }

    /// Times are counted from this moment, in ns since the Unix epoch, and not the clock's: what is recorded happened then.
    pub fn date_from(&mut self, wall_ns: u64) {
        self.dated = Some(wall_ns);
    }

    /// Writes one event: what all lines have, then what `fields` adds. Dropped whole, and counted, where there
    /// is no room or `fields` says that a part of it is lost.
    pub(super) fn event(
        &mut self,
        kind: &'static str,
        stamp: Stamp,
        bytes: u64,
        fields: impl FnOnce(&mut Self, &mut Vec<u8>) -> bool,
    ) -> bool {
        if !self.seam.is_over() {
            self.turn_if_ready();
            self.say_loss();
        }
        if self.seam.is_over() || !self.compose(kind, stamp, fields) {
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
        stamp: Stamp,
        fields: impl FnOnce(&mut Self, &mut Vec<u8>) -> bool,
    ) -> bool {
        let log = self.only.unwrap_or_else(|| Direction::of_type(kind));
        let mut out = std::mem::take(&mut self.blocks.of_mut(log).bytes);
        let start = out.len();
        let number = self.common(kind, stamp, &mut out);
        let whole = fields(self, &mut out);
        out.extend_from_slice(b"}\n");
        self.say_secrets();
        let length = out.len() - start;
        let kept = whole && self.budget.take(length);
        if !kept {
            out.truncate(start);
        }
        self.blocks.of_mut(log).bytes = out;
        if !kept {
            return false;
        }
        self.sequence.used(number);
        if self.held().0 == 0 {
            self.block_since = clock::now();
        }
        self.blocks.of_mut(log).lines += 1;
        *self.totals.events.entry(kind).or_default() += 1;
        self.seam.grow(length);
        if self.held().1 >= BLOCK_BYTES {
            self.flush();
        }
        true
    }

    /// Whether an exchange is to be recorded.
    pub(super) fn selects(
        &self,
        direction: Direction,
        peer: &Peer,
        service: &str,
        path: Option<&str>,
    ) -> bool {
        self.selects.as_ref().is_none_or(|selects| selects(direction, peer, service, path))
    }

    /// The id of the line that is being composed.
    pub(super) const fn id(&self) -> u128 {
        self.id
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
        // A gap between exchanges is at least one that we never saw, unless it is the other half of one just counted.
        self.not_seen(bytes, u64::from(self.unsaid.events() == 0));
    }

    /// The same within exchanges, which have been counted.
    pub(super) fn gap_within(&mut self, bytes: u64) {
        self.not_seen(bytes, 0);
    }

    fn not_seen(&mut self, bytes: u64, events: u64) {
        self.totals.gaps += u64::from(!self.seam.is_over());
        self.lost(Reason::Gap, events, bytes);
    }

    /// Counts a call to a dependency.
    pub fn called(&mut self, service: &str, protocol: &'static str, failed: bool) {
        self.totals.called(service, protocol, failed);
    }

    /// Hands over the blocks if they are old enough.
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

    /// A `Lost` line for each reason for which something was dropped since the last one, as soon as there is room.
    fn say_loss(&mut self) {
        while let Some((reason, count)) = self.unsaid.first() {
            let said = self.compose("Lost", Stamp::of_nothing(clock::now()), |_, out| {
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

    /// Gives the line's number.
    fn common(&mut self, kind: &str, stamp: Stamp, out: &mut Vec<u8>) -> u64 {
        let Stamp { started, happened, id } = stamp;
        let number = self.sequence.next(happened);
        out.extend_from_slice(b"{\"id\":\"");
        self.id = id.unwrap_or_else(|| self.ids.draw());
        json::hex(out, &self.id.to_be_bytes());
        out.extend_from_slice(b"\",\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"timestamp\":\"");
        let wall = self.dated.map_or_else(|| clock::wall(started), |zero| zero.saturating_add(started.0));
        self.timestamps.write(wall, out);
        out.extend_from_slice(b"\",\"sequence\":");
        json::number(out, number);
        json::key(out, "offsetNs");
        json::number(out, started.since(self.began));
        number
    }
}
