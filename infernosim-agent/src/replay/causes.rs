//! Causes, live: which of the requests that the driver has sent made the target call.

use std::net::SocketAddr;
use std::sync::Arc;

use super::script::{Basis, ExchangeIndex};
use crate::clock::Nanos;
use crate::incident::cause::Identifiers;

/// What the driver and the stub ask and tell. Cheap to clone; any thread may use any clone.
#[derive(Clone)]
pub struct Live {
    shared: Arc<()>,
}

/// A request that was sent. One exchange may be sent several times at once (`--fanout`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sent(u64);

/// What the target asks for, and how that was seen.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// [`infernosim_common::Flow::cookie`] of the connection; 0 where it is not known.
    pub cookie: u64,
    /// The place of the request's first byte in all that the target sent on the connection, from 0.
    pub offset: u64,
    /// What its head calls it.
    pub identifiers: &'a Identifiers,
    /// The process and thread that opened the connection, in the initial pid namespace; 0 where they are not known.
    pub process: (u32, u32),
    /// When its first bytes were there.
    pub at: Nanos,
}

/// Which exchange made a call happen, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Which.
    pub cause: Option<ExchangeIndex>,
    /// How that is known.
    pub basis: Basis,
    /// The exchanges that were open when it was asked, in their order.
    pub open: Vec<ExchangeIndex>,
}

impl Live {
    /// Knows of nothing yet. Without `thread`, whoever reads the kernel half's ring, no call is known by its thread.
    pub fn new() -> Self {
        Self { shared: Arc::new(()) }
    }

    /// A new run begins: what was sent before is forgotten, and who in the target is known not to do one request at a
    /// time if `fresh` (another process serves).
    pub fn begin(&self, fresh: bool) {
        let _ = (fresh, &self.shared);
    }

    /// The driver is about to write this request, from its socket with this address of its own.
    pub fn sent(&self, exchange: ExchangeIndex, local: SocketAddr, identifiers: &Identifiers) -> Sent {
        let _ = (exchange, local, identifiers);
        Sent(0)
    }

    /// Its answer was whole; or it failed, and nothing more will come of it.
    pub fn answered(&self, sent: Sent) {
        let _ = sent;
    }

    /// Which exchange made the target ask this. Waits some 50 ms at most for what the kernel half tells of the thread,
    /// where only that can tell.
    pub async fn of_call(&self, asking: Asking<'_>) -> Found {
        let _ = asking;
        std::future::ready(Found::default()).await
    }

    /// Which exchange made a thread connect, or look a name up, at this time: of what has no head to read and no bytes.
    pub fn of_thread(&self, process: (u32, u32), at: Nanos) -> Found {
        let _ = (process, at);
        Found::default()
    }

    /// The exchanges that are open.
    pub fn open(&self) -> Vec<ExchangeIndex> {
        Vec::new()
    }
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}
