use std::net::SocketAddr;

use infernosim_common::Flow;
use nix::errno::Errno;

use crate::clock::Nanos;
use crate::protocol::Sender;

/// Bytes of a slab. Large enough that handing one over costs nothing beside relaying its contents.
pub const SLAB_BYTES: usize = 512 << 10;
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
