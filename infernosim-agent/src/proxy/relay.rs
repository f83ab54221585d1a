use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::worker::{self, Common, Worker};
use super::{Limit, Listener, Pool, Slab, Tee};
use crate::error::{Exit, ExpectedError, Result};
use crate::redirect::OriginalDst;

/// What a relay is made of.
pub struct Setup {
    /// Where redirected connections arrive.
    pub listener: Listener,
    /// What they were meant for.
    pub original_dst: OriginalDst,
    /// How many there may be.
    pub limit: Limit,
    /// Where the copies get their memory.
    pub pool: Arc<Pool>,
    /// Where the copies go.
    pub copies: SyncSender<(u32, Slab)>,
}

/// The running relay threads.
pub struct Relay {
    common: Arc<Common>,
    threads: Vec<(Arc<EventFd>, JoinHandle<()>)>,
}

impl Relay {
    /// Starts relaying, with a thread for every two CPUs, four at most: the target needs the others.
    pub fn start(setup: Setup) -> Result<Self> {
        let Setup { listener, original_dst, limit, pool, copies } = setup;
        let common = Arc::new(Common { listener, original_dst, limit, phase: AtomicU8::new(worker::RUN) });
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let mut threads = Vec::new();
        for number in 0..(cpus / 2).clamp(1, 4) as u32 {
            let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
            let wake = Arc::new(EventFd::from_flags(flags).map_err(|error| cannot(&error))?);
            let tee = Tee::new(number, Arc::clone(&pool), copies.clone());
            let worker = Worker::new(Arc::clone(&common), Arc::clone(&wake), tee).map_err(|e| cannot(&e))?;
            let thread = std::thread::Builder::new().name(format!("relay-{number}"));
            threads.push((wake, thread.spawn(move || worker.run()).map_err(|error| cannot(&error))?));
        }
        Ok(Self { common, threads })
    }

    /// Connections that are open now.
    pub fn active(&self) -> u64 {
        self.common.limit.active()
    }

    /// Connections so far.
    pub fn seen(&self) -> u64 {
        self.common.limit.seen()
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
