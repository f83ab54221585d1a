use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::mpsc::RecvTimeoutError;
use std::thread::JoinHandle;
use std::time::Duration;

use infernosim_common::Flow;
use nix::errno::Errno;

use crate::clock::{self, Nanos};
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::{Direction, Ending, Exchanges, Lines, Peer, Process, Totals};
use crate::privilege;
use crate::protocol::{Conversation, Sender};
use crate::proxy::{Feed, Note, Opened, Slab, What};
use crate::redirect::{Refused, destination};

/// How often lines are handed on while nothing is relayed.
const TICK: Duration = Duration::from_millis(50);
const TICK_NS: u64 = TICK.as_nanos() as u64;

/// Turns copied bytes into events, on a thread of its own. It never waits for the disk, so it keeps up with
/// the relay; what cannot be held is dropped whole and counted (see `incident::Lines`).
struct Recorder {
    lines: Lines,
    refused: Refused,
    /// Refused connects that are newer than what the relay has told of so far.
    refusals: VecDeque<Flow>,
    /// By worker, then by slot.
    connections: Vec<Vec<Option<Box<Recording>>>>,
}

/// A connection being recorded.
struct Recording {
    conversation: Conversation,
    exchanges: Exchanges,
    ending: Option<Ending>,
}

/// Starts recording what `feed` brings; the thread ends, with the totals, when the relay has.
pub fn start(feed: Feed, refused: Refused, lines: Lines) -> Result<JoinHandle<Totals>> {
    let recorder = Recorder { lines, refused, refusals: VecDeque::new(), connections: Vec::new() };
    privilege::thread("recorder", move || recorder.run(&feed))
        .map_err(|error| ExpectedError::new(Exit::Host, format!("no thread for the recorder: {error}")))
}

impl Recorder {
    fn run(mut self, feed: &Feed) -> Totals {
        loop {
            let received = feed.slabs.recv_timeout(TICK);
            self.refusals.extend(std::iter::from_fn(|| self.refused.take()));
            match received {
                Ok((worker, mut slab)) => {
                    self.slab(worker as usize, &mut slab);
                    slab.clear();
                    // Fails only once no relay is left to use it.
                    let _ = feed.back.send(slab);
                }
                // Slabs come within 20 ms of what they tell of: nothing older can come any more.
                Err(RecvTimeoutError::Timeout) => self.refusals_until(Nanos(clock::now().0 - TICK_NS)),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.lines.tick();
        }
        self.refusals.extend(std::iter::from_fn(|| self.refused.take()));
        let now = clock::now();
        self.refusals_until(now);
        for recording in self.connections.into_iter().flatten().flatten() {
            recording.exchanges.end(now, Ending::Abandoned, &mut self.lines);
        }
        self.lines.finish()
    }

    /// Tells of refused connects in their place: a client that was refused on `::1` then tries 127.0.0.1.
    fn refusals_until(&mut self, until: Nanos) {
        while let Some(flow) = self.refusals.pop_front_if(|flow| flow.connected_ns <= until.0) {
            // The kernel answers a connect to a closed local port within the call.
            let at = Nanos(flow.connected_ns);
            let refused = Ending::DialFailed(Errno::ECONNREFUSED);
            let exchanges = Exchanges::new(Direction::Outbound, peer(0, &flow, None), at);
            exchanges.end(at, refused, &mut self.lines);
        }
    }

    fn slab(&mut self, worker: usize, slab: &mut Slab) {
        if self.connections.len() <= worker {
            self.connections.resize_with(worker + 1, Vec::new);
        }
        for Note { at, slot, what } in slab.notes.drain(..) {
            if !self.refusals.is_empty() {
                self.refusals_until(at);
            }
            let slots = &mut self.connections[worker];
            let slot = slot as usize;
            if slots.len() <= slot {
                slots.resize_with(slot + 1, || None);
            }
            match what {
                What::Opened(opened) => slots[slot] = Some(Box::new(Recording::new(&opened))),
                What::Closed => {
                    if let Some(recording) = slots[slot].take() {
                        recording.close(at, &mut self.lines);
                    }
                }
                what => {
                    if let Some(recording) = &mut slots[slot] {
                        recording.note(at, &what, &slab.bytes, &mut self.lines);
                    }
                }
            }
        }
    }
}

impl Recording {
    fn new(opened: &Opened) -> Self {
        let Opened { id, flow, local } = opened;
        let peer = peer(*id, flow, Some(*local));
        let exchanges = Exchanges::new(Direction::Outbound, peer, Nanos(flow.connected_ns));
        Self { conversation: Conversation::new(), exchanges, ending: None }
    }

    fn note(&mut self, at: Nanos, what: &What, memory: &[u8], lines: &mut Lines) {
        let Self { conversation, exchanges, ending } = self;
        let mut emit = |message: crate::protocol::Message<'_>| exchanges.message(at, message, lines);
        match *what {
            What::Bytes { from, start, length } => {
                let start = start as usize;
                conversation.feed(from, &memory[start..start + length as usize], &mut emit);
            }
            What::Missed { from, length } => conversation.gap(from, length, &mut emit),
            What::Fin(from) => conversation.fin(from, &mut emit),
            What::DialFailed(errno) => *ending = Some(Ending::DialFailed(errno)),
            What::Broke(side, errno) => {
                ending.get_or_insert(Ending::Broke(side, errno));
            }
            What::Abandoned => {
                ending.get_or_insert(Ending::Abandoned);
            }
            What::Opened(_) | What::Connected | What::Closed => {}
        }
    }

    fn close(mut self, at: Nanos, lines: &mut Lines) {
        if self.conversation.protocol().is_none() {
            // Bytes held until it is known what they are: now it never will be. (A known protocol must not be
            // told of a FIN that did not come: it would take a broken body for a whole one.)
            for from in [Sender::Client, Sender::Server] {
                self.conversation.fin(from, &mut |message| self.exchanges.message(at, message, lines));
            }
        }
        self.exchanges.end(at, self.ending.unwrap_or(Ending::Closed), lines);
    }
}

fn peer(connection: u64, flow: &Flow, local: Option<SocketAddr>) -> Peer {
    let name = flow.comm.split(|&byte| byte == 0).next().unwrap_or_default();
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let process = Process {
        pid: flow.pid,
        tid: flow.tid,
        own: (flow.own_pid != 0 && flow.own_pid != flow.pid).then_some((flow.own_pid, flow.own_tid)),
        comm: String::from_utf8_lossy(name).into_owned(),
    };
    Peer { connection, local: local.map(plain), peer: destination(flow), process: Some(process), name: None }
}
