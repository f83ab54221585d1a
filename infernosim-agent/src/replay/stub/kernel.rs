use std::net::SocketAddr;
use std::sync::Arc;

use infernosim_common::{Ahead, Flow};

use crate::error::Result;
use crate::redirect::{OriginalDst, ReplayHandles, Verdict, VerdictKey};

/// What the stub asks of the kernel half, and tells it.
pub trait Kernel: Send + Sync {
    /// What the connection that was accepted from `client` was meant for; once.
    fn flow(&self, namespace: u64, client: SocketAddr) -> Option<Flow>;

    /// Which resolver the datagram from `client` was meant for.
    fn resolver(&self, namespace: u64, client: SocketAddr) -> Option<Flow>;

    /// What becomes of connects from now on.
    ///
    /// # Errors
    /// `Exit::Host` if there are too many destinations.
    fn set(&self, key: VerdictKey, verdict: Verdict) -> Result<()>;

    /// Connects to an address are of this series, of which some fail on purpose.
    ///
    /// # Errors
    /// `Exit::Host` if there are too many destinations.
    fn number(&self, address: SocketAddr, series: u32) -> Result<()>;

    /// What becomes of a series' connects; with `anew` they are counted from 0.
    ///
    /// # Errors
    /// `Exit::Host` if there is no such series.
    fn set_ahead(&self, series: u32, ahead: Ahead, anew: bool) -> Result<()>;
}

/// The real one.
pub struct FromKernel {
    /// Finds flows.
    pub originals: Arc<OriginalDst>,
    /// Verdicts, and who asked which resolver.
    pub replay: Arc<ReplayHandles>,
}

impl Kernel for FromKernel {
    fn flow(&self, namespace: u64, client: SocketAddr) -> Option<Flow> {
        self.originals.take(namespace, client)
    }

    fn resolver(&self, namespace: u64, client: SocketAddr) -> Option<Flow> {
        self.replay.resolvers.asked(namespace, client)
    }

    fn set(&self, key: VerdictKey, verdict: Verdict) -> Result<()> {
        self.replay.verdicts.set(key, verdict)
    }

    fn number(&self, address: SocketAddr, series: u32) -> Result<()> {
        self.replay.aheads.number(address, series)
    }

    fn set_ahead(&self, series: u32, ahead: Ahead, anew: bool) -> Result<()> {
        self.replay.aheads.set(series, ahead, anew)
    }
}
