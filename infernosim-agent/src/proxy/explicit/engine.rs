use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::watch;

use super::authority::Authority;
use super::count::Counters;
use super::shared::Common;
use super::wire::prepare;
use super::{Counts, thread};
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::Numbers;
use crate::privilege;
use crate::proxy::{Copies, Pool, Tee};
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

/// Names that one thread's connections may have resolved at a time: getaddrinfo(3) waits.
const RESOLVERS: usize = 32;

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
    /// `Exit::Usage` if the target is not named as `HOST:PORT`; `Exit::Host` if there is no descriptor or thread
    /// left.
    pub fn start(setup: Setup) -> Result<Self> {
        let Setup { listeners, pool, copies, threads, .. } = &setup;
        let (phase, told) = watch::channel(Phase::Run);
        let common = Arc::new(common(&setup)?);
        let mut running = Vec::new();
        for number in 0..(*threads).max(1) {
            let own: std::io::Result<Vec<_>> = listeners.iter().map(TcpListener::try_clone).collect();
            let own = own.map_err(|error| cannot(&error))?;
            let tee = Tee::new(number, Arc::clone(pool), copies.clone());
            let (common, told) = (Arc::clone(&common), told.clone());
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(RESOLVERS)
                .build()
                .map_err(|error| cannot(&error))?;
            let run = move || thread::run(runtime, own, common, told, tee);
            let thread = privilege::thread(format!("relay-{number}"), run);
            running.push(thread.map_err(|error| cannot(&error))?);
        }
        let (active, counters) = (Arc::clone(&common.active), Arc::clone(&common.counters));
        Ok(Self { phase, active, counters, threads: running })
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

pub(super) fn common(setup: &Setup) -> Result<Common> {
    let forward = match &setup.role {
        Role::Forward => None,
        Role::Reverse { forward } => {
            let target = Authority::parse(forward, None).map_err(|error| {
                ExpectedError::new(Exit::Usage, format!("{forward:?} is no HOST:PORT: {error}"))
                    .help("name the target's address and port: --forward=localhost:8080")
            })?;
            Some((target, forward.clone()))
        }
    };
    for listener in &setup.listeners {
        // Accepted sockets inherit what is set (the kernel clones the listener).
        listener.set_nonblocking(true).and_then(|()| prepare(listener)).map_err(|error| cannot(&error))?;
    }
    let own = setup.listeners.iter().map(TcpListener::local_addr).collect::<std::io::Result<_>>();
    Ok(Common {
        forward,
        own: own.map_err(|error| cannot(&error))?,
        allow: setup.allow.clone(),
        healthz: setup.healthz,
        ids: setup.tag.clone().map(Mutex::new),
        connect_timeout: setup.connect_timeout,
        most: setup.most,
        numbers: setup.numbers.clone(),
        active: Arc::default(),
        counters: Arc::default(),
    })
}

fn cannot(error: &dyn std::fmt::Display) -> ExpectedError {
    ExpectedError::new(Exit::Host, format!("the proxy cannot be started: {error}"))
}
