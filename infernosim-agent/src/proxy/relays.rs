use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Listener, Relay, Setup};
use crate::error::{Exit, ExpectedError, Result};

/// The relays of a capture, one for each network namespace: a socket connects from the namespace of the thread
/// that made it.
pub struct Relays {
    state: Mutex<State>,
}

struct State {
    /// None once no more may start: the recorder ends when the last copy's sender is gone.
    setup: Option<Setup>,
    /// By the namespace's cookie.
    running: BTreeMap<u64, Relay>,
    /// Of namespaces that are left; they end with their last connection.
    leaving: Vec<Relay>,
    threads: u32,
}

impl Relays {
    /// None yet.
    pub fn new(setup: Setup) -> Self {
        let (running, leaving) = (BTreeMap::new(), Vec::new());
        Self { state: Mutex::new(State { setup: Some(setup), running, leaving, threads: 0 }) }
    }

    /// Starts one in this thread's network namespace, that of `listener`, with so many threads.
    pub fn start(&self, listener: Listener, threads: u32) -> Result<()> {
        let mut state = self.state();
        let Some(setup) = &state.setup else {
            return Err(ExpectedError::new(Exit::Host, "the capture is ending"));
        };
        let namespace = listener.namespace;
        let relay = Relay::start(setup, listener, state.threads, threads)?;
        state.threads += threads;
        if let Some(before) = state.running.insert(namespace, relay) {
            // Nobody but its owner can end it, and the recorder ends after the last of them.
            before.drain();
            state.leaving.push(before);
        }
        Ok(())
    }

    /// The ports on which they listen, in whatever namespace.
    pub fn ports(&self) -> BTreeSet<u16> {
        self.state().all().flat_map(Relay::ports).collect()
    }

    /// Ends the relay of a namespace with its last connection.
    pub fn leave(&self, namespace: u64) {
        let mut state = self.state();
        if let Some(relay) = state.running.remove(&namespace) {
            relay.drain();
            state.leaving.push(relay);
        }
    }

    /// Lets go of namespaces that were left, once their last connection has ended: our sockets keep them alive.
    pub fn reap(&self) {
        self.state().leaving.retain(|left| !left.is_finished());
    }

    /// Ends all with the last connections that are open now.
    pub fn drain(&self) {
        self.end(Relay::drain);
    }

    /// Closes what is open and ends.
    pub fn abandon(&self) {
        self.end(Relay::abandon);
    }

    /// Whether all have ended.
    pub fn is_finished(&self) -> bool {
        self.state().all().all(Relay::is_finished)
    }

    /// Connections that are open now.
    pub fn active(&self) -> u64 {
        self.state().all().next().map_or(0, Relay::active)
    }

    /// Waits for the end.
    pub fn join(&self) {
        let mut state = self.state();
        state.setup = None;
        let State { running, leaving, .. } = &mut *state;
        let all: Vec<Relay> = std::mem::take(running).into_values().chain(leaving.drain(..)).collect();
        drop(state);
        all.into_iter().for_each(Relay::join);
    }

    fn end(&self, how: impl Fn(&Relay)) {
        let mut state = self.state();
        state.setup = None;
        state.all().for_each(how);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn all(&self) -> impl Iterator<Item = &Relay> {
        self.running.values().chain(&self.leaving)
    }
}
