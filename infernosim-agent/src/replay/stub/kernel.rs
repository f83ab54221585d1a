use std::net::SocketAddr;
use std::sync::Arc;

use infernosim_common::Flow;

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
}
