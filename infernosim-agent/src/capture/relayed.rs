use std::collections::VecDeque;
use std::net::SocketAddr;

use infernosim_common::Flow;
use nix::errno::Errno;

use crate::clock::Nanos;
use crate::incident::{Direction, Ending, Exchanges, Lines, Peer, Process};
use crate::protocol::{Conversation, Sender};
use crate::proxy::{Dialled, Note, Opened, What};
use crate::redirect::destination;

/// What is known of an address at a time: the name by which it was looked up.
pub type NameOf<'a> = &'a dyn Fn(SocketAddr, Nanos) -> Option<String>;

/// The connections that are relayed, and the connects that the kernel half left to fail.
#[derive(Default)]
pub struct Relayed {
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
    /// Which side first had nothing more to say.
    first: Option<Sender>,
}

impl Relayed {
    /// Takes in connects that were refused, to be told in their place.
    pub fn refused(&mut self, flows: impl Iterator<Item = Flow>) {
        self.refusals.extend(flows);
    }

    /// Tells of those until then: a client that was refused on `::1` then tries 127.0.0.1.
    pub fn refusals_until(&mut self, until: Nanos, names: NameOf<'_>, lines: &mut Lines) {
        while let Some(flow) = self.refusals.pop_front_if(|flow| flow.connected_ns <= until.0) {
            // The kernel answers a connect to a closed local port within the call.
            let at = Nanos(flow.connected_ns);
            let refused = Ending::DialFailed(Errno::ECONNREFUSED);
            let exchanges = Exchanges::new(Direction::Outbound, peer(0, &flow, None, names), at);
            exchanges.end(at, refused, lines);
        }
    }

    /// Takes in what a worker noted; `memory` is its slab's.
    pub fn note(&mut self, worker: usize, note: Note, memory: &[u8], names: NameOf<'_>, lines: &mut Lines) {
        let Note { at, slot, what } = note;
        if !self.refusals.is_empty() {
            self.refusals_until(at, names, lines);
        }
        if self.connections.len() <= worker {
            self.connections.resize_with(worker + 1, Vec::new);
        }
        let slots = &mut self.connections[worker];
        let slot = slot as usize;
        if slots.len() <= slot {
            slots.resize_with(slot + 1, || None);
        }
        match what {
            What::Opened(opened) => slots[slot] = Some(Box::new(Recording::opened(&opened, names))),
            What::Dialled(dialled) => slots[slot] = Some(Box::new(Recording::dialled(at, *dialled))),
            What::Closed => {
                if let Some(recording) = slots[slot].take() {
                    recording.close(at, lines);
                }
            }
            what => {
                if let Some(recording) = &mut slots[slot] {
                    recording.note(at, &what, memory, lines);
                }
            }
        }
    }

    /// Nothing more will come.
    pub fn end(mut self, now: Nanos, names: NameOf<'_>, lines: &mut Lines) {
        self.refusals_until(now, names, lines);
        for recording in self.connections.into_iter().flatten().flatten() {
            recording.exchanges.end(now, Ending::Abandoned, lines);
        }
    }
}

impl Recording {
    fn opened(opened: &Opened, names: NameOf<'_>) -> Self {
        let Opened { id, flow, local } = opened;
        let peer = peer(*id, flow, Some(*local), names);
        let exchanges = Exchanges::new(Direction::Outbound, peer, Nanos(flow.connected_ns));
        Self::of(exchanges.watched(flow.cookie, true))
    }

    fn dialled(at: Nanos, dialled: Dialled) -> Self {
        let Dialled { id, direction, local, peer, name } = dialled;
        let peer = Peer { connection: id, local, peer, process: None, name };
        Self::of(Exchanges::new(direction, peer, at))
    }

    fn of(exchanges: Exchanges) -> Self {
        Self { conversation: Conversation::new(), exchanges, ending: None, first: None }
    }

    fn note(&mut self, at: Nanos, what: &What, memory: &[u8], lines: &mut Lines) {
        let Self { conversation, exchanges, ending, first } = self;
        if let What::Bytes { from, length, .. } = *what {
            exchanges.sent_more(from, u64::from(length));
        } else if let What::Missed { from, length } = *what {
            exchanges.sent_more(from, length);
        }
        let mut emit = |message: crate::protocol::Message<'_>| exchanges.message(at, message, lines);
        match what {
            &What::Bytes { from, start, length } => {
                let start = start as usize;
                conversation.feed(from, &memory[start..start + length as usize], &mut emit);
            }
            &What::Missed { from, length } => conversation.gap(from, length, &mut emit),
            &What::Fin(from) => {
                first.get_or_insert(from);
                conversation.fin(from, &mut emit);
            }
            &What::DialFailed(errno) => *ending = Some(Ending::DialFailed(errno)),
            &What::Broke(side, errno) => {
                ending.get_or_insert(Ending::Broke(side, errno));
            }
            What::Abandoned => {
                ending.get_or_insert(Ending::Abandoned);
            }
            What::Named(id) => exchanges.name_next(**id),
            What::AnsweredFor(failure) => exchanges.answered_for(failure.errno, failure.error.clone()),
            What::Opened(_) | What::Dialled(_) | What::Connected | What::Closed => {}
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
        let closed = self.first.map_or(Ending::Closed, Ending::ClosedBy);
        self.exchanges.end(at, self.ending.unwrap_or(closed), lines);
    }
}

fn peer(connection: u64, flow: &Flow, local: Option<SocketAddr>, names: NameOf<'_>) -> Peer {
    let name = flow.comm.split(|&byte| byte == 0).next().unwrap_or_default();
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let process = Process {
        pid: flow.pid,
        tid: flow.tid,
        own: (flow.own_pid != 0 && flow.own_pid != flow.pid).then_some((flow.own_pid, flow.own_tid)),
        comm: String::from_utf8_lossy(name).into_owned(),
    };
    let peer = destination(flow);
    let name = names(peer, Nanos(flow.connected_ns));
    Peer { connection, local: local.map(plain), peer: Some(peer), process: Some(process), name }
}
