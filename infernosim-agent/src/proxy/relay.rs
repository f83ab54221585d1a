use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::worker::{self, Common, Worker};
use super::{Limit, Listener, Pool, Slab, Tee};
use crate::error::{Exit, ExpectedError, Result};
use crate::privilege;
use crate::redirect::OriginalDst;

/// What the relays of a capture share.
#[derive(Clone)]
pub struct Setup {
    /// What redirected connections were meant for.
    pub original_dst: Arc<OriginalDst>,
    /// How many there may be.
    pub limit: Arc<Limit>,
    /// Where the copies get their memory.
    pub pool: Arc<Pool>,
    /// Where the copies go.
    pub copies: SyncSender<(u32, Slab)>,
}

/// The relay threads of one network namespace.
pub struct Relay {
    common: Arc<Common>,
    threads: Vec<(Arc<EventFd>, JoinHandle<()>)>,
}

impl Relay {
    /// Starts relaying what comes to `listener`, with threads numbered from `first`. They are in the caller's
    /// network namespace, and so are the connections they make.
    pub fn start(setup: &Setup, listener: Listener, first: u32, threads: u32) -> Result<Self> {
        let Setup { original_dst, limit, pool, copies } = setup.clone();
        let common = Arc::new(Common { listener, original_dst, limit, phase: AtomicU8::new(worker::RUN) });
        let mut running = Vec::new();
        for number in first..first + threads {
            let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
            let wake = Arc::new(EventFd::from_flags(flags).map_err(|error| cannot(&error))?);
            let tee = Tee::new(number, Arc::clone(&pool), copies.clone());
            let worker = Worker::new(Arc::clone(&common), Arc::clone(&wake), tee).map_err(|e| cannot(&e))?;
            let thread = privilege::thread(format!("relay-{number}"), move || worker.run());
            running.push((wake, thread.map_err(|error| cannot(&error))?));
        }
        Ok(Self { common, threads: running })
    }

    /// The ports on which it listens.
    pub fn ports(&self) -> [u16; 2] {
        let ports = self.common.listener.ports();
        [ports.v4_port, ports.v6_port].map(|port| u16::try_from(port).unwrap_or(0))
    }

    /// Connections of the whole capture that are open now.
    pub fn active(&self) -> u64 {
        self.common.limit.active()
    }

    /// Ends with the last connection that is open now.
    pub fn drain(&self) {
        self.enter(worker::DRAIN);
    }

    /// Closes what is open and ends.
    pub fn abandon(&self) {
        self.enter(worker::ABANDON);
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(|(_, thread)| thread.is_finished())
    }

    /// Waits for the end.
    pub fn join(self) {
        for (_, thread) in self.threads {
            // A worker that panicked has said so on stderr.
            let _ = thread.join();
        }
    }

    fn enter(&self, phase: u8) {
        self.common.phase.fetch_max(phase, Ordering::AcqRel);
        for (wake, _) in &self.threads {
            let _ = wake.write(1);
        }
    }
}

fn cannot(error: &dyn std::fmt::Display) -> ExpectedError {
    ExpectedError::new(Exit::Host, format!("the relay cannot be started: {error}"))
}
