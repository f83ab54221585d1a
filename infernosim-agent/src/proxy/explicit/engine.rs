use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::watch;

use super::Counts;
use super::count::Counters;
use crate::error::Result;
use crate::incident::Numbers;
use crate::proxy::{Copies, Pool};
use crate::seed::Ids;

/// Which of the two it is.
#[derive(Clone, Debug)]
pub enum Role {
    /// Asked for any host by clients that know a proxy: the calls of a target.
    Forward,
    /// Stands before a target.
    Reverse {
        /// The target, as `HOST:PORT`; its name is resolved for each connection.
        forward: String,
    },
}

/// What an engine needs.
pub struct Setup {
    /// Which of the two it is.
    pub role: Role,
    /// Where it listens.
    pub listeners: Vec<TcpListener>,
    /// Who may use it besides loopback.
    pub allow: Vec<IpNet>,
    /// Whether `/healthz` is answered by us.
    pub healthz: bool,
    /// Where the identifiers come from that answers get as `X-Request-Context`; none: they get none.
    pub tag: Option<Ids>,
    /// How long a dial may take, over all addresses of a name.
    pub connect_timeout: Duration,
    /// Client connections at a time; those beyond are closed at once.
    pub most: u64,
    /// Where the copies get their memory.
    pub pool: Arc<Pool>,
    /// Where the copies go.
    pub copies: Copies,
    /// Where connections get their numbers.
    pub numbers: Numbers,
    /// Threads, from 1.
    pub threads: u32,
}

/// A running engine.
#[derive(Debug)]
pub struct Explicit {
    phase: watch::Sender<Phase>,
    active: Arc<AtomicU64>,
    counters: Arc<Counters>,
    threads: Vec<JoinHandle<()>>,
}

/// How long it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Until told otherwise.
    Run,
    /// Until what is under way has ended.
    Drain,
    /// No longer.
    Abandon,
}

impl Explicit {
    /// Starts it, with threads named `relay-N`.
    ///
    /// # Errors
    /// `Exit::Host` if there is no descriptor or thread left.
    pub fn start(setup: Setup) -> Result<Self> {
        let (phase, _) = watch::channel(Phase::Run);
        drop(setup);
        Ok(Self { phase, active: Arc::default(), counters: Arc::default(), threads: Vec::new() })
    }

    /// Client connections that are open now.
    pub fn active(&self) -> u64 {
        self.active.load(Ordering::Relaxed)
    }

    /// What was not forwarded so far.
    pub fn counts(&self) -> Counts {
        self.counters.read()
    }

    /// Accepts no more, closes idle connections, and ends with the last exchange and the last tunnel.
    pub fn drain(&self) {
        self.enter(Phase::Drain);
    }

    /// Closes what is open, with a RST where something is under way, and ends.
    pub fn abandon(&self) {
        self.enter(Phase::Abandon);
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Waits for the end, which [`Self::drain`] or [`Self::abandon`] brings.
    pub fn join(self) {
        for thread in self.threads {
            // A thread that panicked has said so on stderr.
            let _ = thread.join();
        }
    }

    fn enter(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let later = phase > *current;
            *current = phase.max(*current);
            later
        });
    }
}
