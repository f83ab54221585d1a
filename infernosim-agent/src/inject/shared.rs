//! What all threads share.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use infernosim_common::Flow;
use tokio::sync::watch;

use super::connects::{self, Connects};
use super::names::Names;
use super::rules::Rules;
use super::seen::Seen;
use crate::fault::{Kind, Occasion};
use crate::privilege;
use crate::redirect::{Aheads, OriginalDst, ReplayHandles, Verdicts, destination};

/// So long names are resolved before anything else goes on.
const RESOLVING: Duration = Duration::from_secs(1);

/// What goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Connections come.
    Running,
    /// What is open is cut.
    Over,
}

/// The rules, the names, and what the kernel half tells.
pub struct Shared {
    pub rules: Rules,
    /// Whom the target called.
    pub seen: Seen,
    pub phase: watch::Sender<Phase>,
    names: Mutex<Names>,
    connects: Mutex<Connects>,
    /// How often the rules changed, or which of them hold.
    changes: watch::Sender<u64>,
    originals: OriginalDst,
    kernel: ReplayHandles,
    /// Connections so far: their numbers.
    numbered: AtomicU64,
    open: AtomicU64,
}

/// A connection that is counted while this lives.
pub struct Open<'a>(&'a AtomicU64);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    pub fn new(rules: Rules, originals: OriginalDst, kernel: ReplayHandles) -> Self {
        let phase = watch::Sender::new(Phase::Running);
        let (names, numbered, open) = (Mutex::default(), AtomicU64::new(0), AtomicU64::new(0));
        Self {
            rules,
            seen: Seen::default(),
            phase,
            names,
            originals,
            kernel,
            numbered,
            open,
            connects: Mutex::default(),
            changes: watch::Sender::default(),
        }
    }

    /// What a connection that was accepted was meant for; once.
    pub fn flow(&self, namespace: u64, client: SocketAddr) -> Option<Flow> {
        self.originals.take(namespace, client)
    }

    /// Which resolver the datagram from `client` was meant for.
    pub fn resolver(&self, namespace: u64, client: SocketAddr) -> Option<SocketAddr> {
        self.kernel.resolvers.asked(namespace, client).map(|flow| destination(&flow))
    }

    /// The next connection's number.
    pub fn number(&self) -> u64 {
        self.numbered.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts a connection.
    pub fn open(&self) -> Open<'_> {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(&self.open)
    }

    /// Connections that are open now.
    pub fn active(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Until all is over.
    pub async fn over(&self) {
        let _ = self.phase.subscribe().wait_for(|phase| *phase == Phase::Over).await;
    }

    /// What the target may have meant by an address.
    pub fn candidates(&self, address: SocketAddr) -> Vec<String> {
        self.names().candidates(address)
    }

    /// This name has these addresses. The kernel half knows what becomes of connects there before this returns.
    pub fn learn(&self, name: &str, addresses: impl IntoIterator<Item = IpAddr>) {
        for address in addresses {
            let is_news = self.names().learn(name, address);
            if is_news {
                connects::tell_of(self, address);
            }
        }
    }

    /// Learns the addresses of the dependencies that rules name, or that this one does, which the target may have looked up
    /// long ago. A resolver that is out of reach takes its time: then they come when they come, and nobody waits for them
    /// any longer.
    pub fn resolve(self: &Arc<Self>, rule: Option<u32>) {
        let (shared, (done, over)) = (Arc::clone(self), mpsc::channel::<()>());
        let resolving = privilege::thread("resolve", move || {
            for (name, address) in shared.rules.resolve(rule) {
                shared.learn(&name, [address]);
            }
            drop(done);
        });
        if resolving.is_ok() {
            let _ = over.recv_timeout(RESOLVING);
        }
    }

    /// The rules are others: so is what becomes of connects.
    pub fn rules_changed(&self) {
        connects::changed(self);
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// No rule is in force any more: what is held goes on.
    pub fn rules_end(&self) {
        self.rules.end();
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Tells when the rules change, or which of them hold.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The addresses whose names are known.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.names().addresses()
    }

    /// Which connects are of which series.
    pub fn connects(&self) -> MutexGuard<'_, Connects> {
        self.connects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a connect meets. Counts it.
    pub fn meets_connect(&self, address: SocketAddr) -> Vec<super::rules::Hit> {
        let candidates = self.candidates(address);
        let names: Vec<&str> = candidates.iter().map(String::as_str).collect();
        self.rules.decide(&connect(&names, Some(address.port())))
    }

    pub const fn verdicts(&self) -> &Verdicts {
        &self.kernel.verdicts
    }

    pub const fn aheads(&self) -> &Aheads {
        &self.kernel.aheads
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connect as an occasion.
pub const fn connect<'a>(names: &'a [&'a str], port: Option<u16>) -> Occasion<'a> {
    Occasion { kind: Kind::Connect, names, port, method: "", target: "", headers: &[], at_ns: 0 }
}
