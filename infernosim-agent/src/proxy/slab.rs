use std::net::SocketAddr;

use infernosim_common::Flow;
use nix::errno::Errno;

use crate::clock::Nanos;
use crate::incident::Direction;
use crate::protocol::Sender;

/// Bytes of a slab. Large enough that handing one over costs nothing beside relaying its contents.
pub const SLAB_BYTES: usize = 512 << 10;
/// A thread may have read something so long ago, in ns, and not noted it yet: it does so at once, unless it gets no CPU.
pub const UNNOTED_NS: u64 = 20_000_000;
/// A slab is handed over once it holds this many notes.
pub const SLAB_NOTES: usize = 8192;

/// A block of relayed bytes and what happened, in order, on many connections. The relay reads from sockets
/// straight into `bytes` and sends from there; the recorder reads the same memory afterwards.
#[derive(Debug)]
pub struct Slab {
    /// The memory; what `notes` point to, and stale bytes behind that.
    pub bytes: Box<[u8]>,
    /// How much of `bytes` is taken.
    pub used: usize,
    /// What happened, in order.
    pub notes: Vec<Note>,
}

/// Something that happened on a connection.
#[derive(Debug)]
pub struct Note {
    /// When.
    pub at: Nanos,
    /// The connection: a slot that is used again, but never before the note [`What::Closed`].
    pub slot: u32,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug)]
pub enum What {
    /// Accepted; the first note of its slot.
    Opened(Box<Opened>),
    /// Dialled, or tried in vain, by the explicit form; the first note of its slot. It and what the client had
    /// sent by then are noted after the dial, with the time at which they came: their `at` may lie before that
    /// of earlier notes of other slots.
    Dialled(Box<Dialled>),
    /// The identifier that the next exchange's first line gets: its answer names it.
    Named(Box<u128>),
    /// The dependency could not be reached or died before it answered: the bytes of the server that follow, if
    /// any, are our own answer.
    AnsweredFor(Box<AnsweredFor>),
    /// The dependency answered the dial.
    Connected,
    /// The dial failed: the target's connection was reset before any byte.
    DialFailed(Errno),
    /// Relayed bytes: `start..start + length` of the slab.
    Bytes {
        /// Who sent them.
        from: Sender,
        /// Where they begin in the slab.
        start: u32,
        /// How many.
        length: u32,
    },
    /// Relayed bytes that there was no room to copy.
    Missed {
        /// Who sent them.
        from: Sender,
        /// How many.
        length: u64,
    },
    /// This end sent its FIN.
    Fin(Sender),
    /// This end's connection broke with an errno (ECONNRESET for a RST); the other end was reset.
    Broke(Sender, Errno),
    /// The relay closed it because the capture ended.
    Abandoned,
    /// The last note of its slot.
    Closed,
}

/// A connection that the kernel half redirected.
#[derive(Debug)]
pub struct Opened {
    /// Its number in this capture, from 1.
    pub id: u64,
    /// What the target asked for.
    pub flow: Flow,
    /// The target's own end.
    pub local: SocketAddr,
}

/// A pair of connections that the explicit form made: the client's, and ours to whom it asked for.
#[derive(Debug)]
pub struct Dialled {
    /// Its number in this capture, from 1.
    pub id: u64,
    /// Which way its exchanges go.
    pub direction: Direction,
    /// The target's end. Outbound: the client's address. Inbound: the address that was dialled.
    pub local: Option<SocketAddr>,
    /// The other end. Outbound: the address that was dialled, none if the name did not resolve. Inbound: the
    /// client's address.
    pub peer: Option<SocketAddr>,
    /// What was asked for, as `host:port`.
    pub name: Option<String>,
}

/// Why an answer is our own.
#[derive(Debug)]
pub struct AnsweredFor {
    /// The errno, where there is one.
    pub errno: Option<Errno>,
    /// What happened, in one sentence.
    pub error: String,
}

impl Slab {
    /// An empty one, its memory zeroed.
    pub fn new() -> Self {
        Self { bytes: vec![0; SLAB_BYTES].into_boxed_slice(), used: 0, notes: Vec::with_capacity(1024) }
    }

    /// Empties it for use again.
    pub fn clear(&mut self) {
        self.used = 0;
        self.notes.clear();
    }
}

impl Default for Slab {
    fn default() -> Self {
        Self::new()
    }
}
