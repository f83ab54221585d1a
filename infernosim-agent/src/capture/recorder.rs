use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::mpsc::TryRecvError;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::merge::Merge;
use super::relayed::Relayed;
use crate::clock::{self, Nanos};
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::cause::Causes;
use crate::incident::{Lines, Totals};
use crate::privilege;
use crate::proxy::{Feed, Limit, Note, UNNOTED_NS};
use crate::redirect::{Loose, Owners, Refused, Ring};
use crate::tap::{Table, Unread};

/// How often the ring is looked at, and lines are handed on, while nobody wakes us, in milliseconds: the kernel half
/// does so only when the ring fills.
const TICK_MS: u16 = 20;
/// So long, in ns, after the last connection was opened nothing is relayed.
const QUIET_NS: u64 = 50_000_000;
/// So long, in ns, a request that is there is left in the ring, so that it is known who accepted its connection.
const ACCEPT_NS: u64 = 5_000_000;
/// How often the ring is looked at for the last words of a target that is gone, in milliseconds.
const LAST_MS: u16 = 2;
const SLABS: u64 = 1;
const RING: u64 = 2;

/// What the kernel half could not copy: packets, and bytes of them.
pub type TapLoss = Box<dyn Fn() -> (u64, u64) + Send>;

/// Where what is recorded comes from.
pub struct Sources {
    /// What was relayed.
    pub feed: Feed,
    /// Tells whether anything is.
    pub limit: Arc<Limit>,
    /// Connects that failed in the kernel.
    pub refused: Refused,
    /// What was tapped.
    pub ring: Ring,
    /// Who accepted it.
    pub owners: Owners,
    /// In which processes it is of no use to know who reads and writes.
    pub loose: Loose,
    /// What becomes of that.
    pub table: Table,
    /// What is missing of it.
    pub tap_loss: TapLoss,
    /// How long, in ns, to wait at the end for what a target that is gone has still written; until that is said, wait.
    pub patience_ns: Arc<OnceLock<u64>>,
}

/// Turns copied bytes into events, on a thread of its own. It never waits for the disk, so it keeps up with
/// the traffic; what cannot be held is dropped whole and counted (see `incident::Lines`).
struct Recorder {
    sources: Sources,
    relayed: Relayed,
    merge: Merge,
    epoll: Epoll,
    lines: Lines,
    /// How many connections had been relayed when that number last changed, and when that was.
    opened: (u64, Nanos),
    /// Packets and bytes that the tap is known to have lost.
    lost: (u64, u64),
}

/// Starts recording; the thread ends, with the totals and what could not be read, when the relay has.
pub fn start(sources: Sources, lines: Lines) -> Result<JoinHandle<(Totals, Unread)>> {
    let fail = |error: std::io::Error| {
        ExpectedError::new(Exit::Host, format!("no thread for the recorder: {error}"))
    };
    let epoll = watch(&sources).map_err(|error| fail(error.into()))?;
    let (relayed, merge) = (Relayed::default(), Merge::default());
    let recorder = Recorder { sources, relayed, merge, epoll, lines, opened: (0, Nanos(0)), lost: (0, 0) };
    privilege::thread("recorder", move || recorder.run()).map_err(fail)
}

fn watch(sources: &Sources) -> nix::Result<Epoll> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(sources.feed.bell.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, SLABS))?;
    // By edge: level-triggered it would wake us for every record.
    let by_edge = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
    epoll.add(sources.ring.as_fd(), EpollEvent::new(by_edge, RING))?;
    Ok(epoll)
}

impl Recorder {
    fn run(mut self) -> (Totals, Unread) {
        loop {
            let is_full = self.wait();
            let Sources { refused, .. } = &mut self.sources;
            self.relayed.refused(std::iter::from_fn(|| refused.take()));
            let now = clock::now();
            // With nothing relayed nobody else has anything to tell; with a ring that fills there is no time to wait.
            let behind = if self.is_quiet(now) { ACCEPT_NS } else { UNNOTED_NS };
            let whole_until = self.sources.feed.whole_until(now, behind);
            let until = if is_full { now } else { whole_until };
            let goes_on = self.receive();
            self.slabs(if goes_on { until } else { Nanos(u64::MAX) });
            self.until(until);
            self.count_lost(now);
            self.sources.table.tick(until, &mut self.lines);
            self.lines.tick();
            self.loosen();
            if !goes_on {
                return self.finish();
            }
        }
    }

    /// Waits until there is something to do; whether the ring is filling.
    fn wait(&mut self) -> bool {
        let mut events = [EpollEvent::empty(); 2];
        let woken = self.epoll.wait(&mut events, EpollTimeout::from(TICK_MS)).unwrap_or(0);
        let _ = self.sources.feed.bell.read();
        events[..woken].iter().any(|event| event.data() == RING)
    }

    /// Takes in the slabs that are there. False once no more will come.
    fn receive(&mut self) -> bool {
        loop {
            match self.sources.feed.slabs.try_recv() {
                Ok((worker, slab)) => self.merge.push(worker as usize, slab),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    /// Tells of what was relayed until then, and of what was tapped in between.
    fn slabs(&mut self, until: Nanos) {
        let Self { merge, relayed, sources, lines, .. } = self;
        let Sources { feed, ring, owners, table, .. } = sources;
        let tell = |worker, note: Note, memory: &[u8]| {
            tapped_until(note.at, (ring, owners, table), lines);
            relayed.note(worker, note, memory, &|peer, at| name_of(table, peer, at), lines);
        };
        // Giving back fails only once no relay is left to use it.
        merge.take(until, feed.spare(), tell, |slab| drop(feed.back.send(slab)));
    }

    /// Tells of all that happened until then and that no slab will tell of.
    fn until(&mut self, until: Nanos) {
        self.tapped_until(until);
        let Self { relayed, sources: Sources { table, .. }, lines, .. } = self;
        relayed.refusals_until(until, &|peer, at| name_of(table, peer, at), lines);
    }

    fn tapped_until(&mut self, until: Nanos) {
        let Sources { ring, owners, table, .. } = &mut self.sources;
        tapped_until(until, (ring, owners, table), &mut self.lines);
    }

    /// Whether nothing is relayed, and was lately.
    fn is_quiet(&mut self, now: Nanos) -> bool {
        let (opened, active) = self.sources.limit.opened_and_active();
        if opened != self.opened.0 {
            self.opened = (opened, now);
        }
        active == 0 && (opened == 0 || now.since(self.opened.1) > QUIET_NS)
    }

    fn count_lost(&mut self, now: Nanos) {
        let lost = (self.sources.tap_loss)();
        if lost != self.lost {
            self.lost = lost;
            self.sources.table.missed(now);
            // Who read or wrote may be among it.
            if let Some(causes) = self.lines.causes() {
                causes.blind();
            }
        }
    }

    fn loosen(&mut self) {
        for process in self.lines.causes().map(Causes::take_loosened).unwrap_or_default() {
            self.sources.loose.tell(process);
        }
    }

    /// Reads the ring to its end; when that was.
    fn last_words(&mut self) -> Nanos {
        let began = clock::now();
        loop {
            let now = clock::now();
            self.tapped_until(now);
            self.sources.table.tick(now, &mut self.lines);
            // With nothing open the relays, and so we, may be there before anybody has looked whether the target is gone.
            let is_over = self.sources.patience_ns.get().is_some_and(|limit| now.since(began) >= *limit);
            if self.sources.table.has_heard_all() || is_over {
                return now;
            }
            let _ = self.epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::from(LAST_MS));
        }
    }

    fn finish(mut self) -> (Totals, Unread) {
        let now = self.last_words();
        self.count_lost(now);
        let Self { relayed, sources, mut lines, lost, .. } = self;
        let mut table = sources.table;
        relayed.end(now, &|peer, at| name_of(&table, peer, at), &mut lines);
        let unread = table.end(now, &mut lines);
        // What was lost, and of which no connection missed anything: nobody knows what it was.
        let missing = table.missing();
        let unseen = lost.1.saturating_sub(missing);
        if unseen > 0 || (lost.0 > 0 && missing == 0) {
            lines.gap(unseen);
        }
        (lines.finish(), unread)
    }
}

/// Tells of all that was tapped until then.
fn tapped_until(until: Nanos, tap: (&mut Ring, &mut Owners, &mut Table), lines: &mut Lines) {
    let (ring, owners, table) = tap;
    while let Some(owner) = owners.take() {
        table.accepted(&owner, lines);
    }
    ring.read(until, |record, bytes| table.record(record, bytes, lines));
}

fn name_of(table: &Table, peer: SocketAddr, at: Nanos) -> Option<String> {
    table.name_of(peer, at).map(str::to_owned)
}
