use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use infernosim_common::Flow;

use super::kernel::Kernel;
use super::live::LiveRule;
use super::shared::Shared;
use super::thread;
use crate::clock::Nanos;
use crate::error::{Exit, ExpectedError, Result};
use crate::fault::Faults;
use crate::privilege;
use crate::proxy::Listener;
use crate::replay::causes::Live;
use crate::replay::matcher::{Matcher, OnUnmatched};
use crate::replay::script::Script;
use crate::replay::seen::Refusal;

/// What a stub needs.
pub struct StubSetup {
    /// What it answers from.
    pub script: Arc<Script>,
    /// Says what answers what. Whoever runs the replay begins and finishes it.
    pub matcher: Arc<Mutex<Matcher>>,
    /// Says which exchange made a call happen. Likewise.
    pub causes: Live,
    /// The kernel half; none where there is no transparent target.
    pub kernel: Option<Arc<dyn Kernel>>,
    /// Recorded waits are multiplied by it; 0: no waits.
    pub time_scale: f64,
    /// What becomes of a call without a counterpart: the matcher's own setting.
    pub on_unmatched: OnUnmatched,
    /// Dependencies that are not stubbed.
    pub live: Vec<LiveRule>,
    /// What goes wrong on purpose.
    pub faults: Arc<Faults>,
}

/// What an explicit listener is to those who were told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Explicitly {
    /// The dependency itself: the Host header says which (`--stub-listen`).
    Server,
    /// A forward proxy, as the original tool's: absolute-form requests and CONNECT (`--stub-compat-listen`).
    Proxy,
}

/// A running stub.
pub struct Stub {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Their sockets hold ports.
    listeners: Mutex<Vec<Listener>>,
}

/// What the stub saw in a run, besides the calls that the matcher has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StubSeen {
    /// Connects and lookups without a recorded counterpart, in order; the first 10,000.
    pub refusals: Vec<Refusal>,
    /// Recorded connect failures that the target did not run into again: (dependency, how many).
    pub missing_failures: Vec<(String, u64)>,
    /// Connections and requests that went to live dependencies, by dependency.
    pub passed: BTreeMap<String, u64>,
    /// What the stub could not do, as sentences; the first 100.
    pub problems: Vec<String>,
}

/// How long connections may take to close at the end of a run.
const CLOSING: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(1);

impl Stub {
    /// Makes a stub that listens nowhere yet, and tells the kernel half what becomes of the connects of the first run.
    /// Connections and lookups are held until [`Stub::begin`].
    ///
    /// # Errors
    /// `Exit::Incident` if the recording cannot be read; `Exit::Host` if it has too many destinations.
    pub fn start(setup: StubSetup) -> Result<Self> {
        let shared = Arc::new(Shared::new(setup)?);
        shared.prepare()?;
        Ok(Self { shared, threads: Mutex::default(), listeners: Mutex::default() })
    }

    /// Answers in this thread's network namespace, that of `listener` (bound for replay), with so many threads.
    ///
    /// # Errors
    /// `Exit::Host` if there is no descriptor or thread left.
    pub fn serve(&self, mut listener: Listener, threads: u32) -> Result<()> {
        for _ in 0..threads.max(1) {
            let doors = thread::Doors::of(&listener).map_err(|error| cannot(&error))?;
            self.run(doors)?;
        }
        // Accepted from by the threads, which have their own descriptors; the rest holds ports.
        listener.v6 = None;
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
        Ok(())
    }

    /// Answers clients that were told of us.
    ///
    /// # Errors
    /// `Exit::Host` if there is no descriptor or thread left.
    pub fn listen(&self, listener: TcpListener, how: Explicitly) -> Result<()> {
        let doors = thread::Doors::explicit(listener, how).map_err(|error| cannot(&error))?;
        self.run(doors)
    }

    /// A run begins, at this time: nothing was asked yet.
    ///
    /// # Errors
    /// `Exit::Host` if the kernel half cannot be told.
    pub fn begin(&self, zero: Nanos) -> Result<()> {
        self.shared.begin(zero)
    }

    /// Takes in what the kernel half tells of a connect that did not reach us ([`crate::redirect::Refused`]).
    pub fn refused(&self, flow: &Flow) {
        self.shared.refused(flow);
    }

    /// Decides anew what follows from the clock; to be called every few milliseconds.
    pub fn look_at_clock(&self) {
        self.shared.look_at_clock();
    }

    /// Since when nothing happens here; now, while the recording says to wait.
    pub fn idle_since(&self) -> Nanos {
        self.shared.activity.idle_since()
    }

    /// The run is over: closes all connections but those to live dependencies, and holds those that come until the next one begins.
    pub fn end(&self) -> StubSeen {
        let mut run = 0;
        self.shared.phase.send_modify(|phase| {
            run = phase.run;
            phase.run += 1;
            phase.held = true;
        });
        let looks = CLOSING.as_millis() / LOOK.as_millis();
        for _ in 0..looks {
            if self.shared.activity.connections(run) == 0 {
                break;
            }
            std::thread::sleep(LOOK);
        }
        self.shared.seen()
    }

    /// Ends all of it.
    pub fn stop(self) {
        self.shared.phase.send_modify(|phase| phase.over = true);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A thread that panicked has said so on stderr.
            let _ = thread.join();
        }
    }

    fn run(&self, doors: thread::Doors) -> Result<()> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build();
        let runtime = runtime.map_err(|error| cannot(&error))?;
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = Arc::clone(&self.shared);
        let run = move || thread::run(runtime, doors, &shared);
        let thread = privilege::thread(format!("stub-{}", threads.len()), run);
        threads.push(thread.map_err(|error| cannot(&error))?);
        Ok(())
    }
}

fn cannot(error: &dyn std::fmt::Display) -> ExpectedError {
    ExpectedError::new(Exit::Host, format!("the stub cannot be started: {error}"))
}
