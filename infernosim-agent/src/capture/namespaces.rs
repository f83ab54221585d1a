use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use caps::Capability;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::clock::{self, Nanos};
use crate::error::{Exit, ExpectedError, Result};
use crate::privilege;
use crate::proxy::{Listener, Relays};
use crate::redirect::{Announced, Namespaces, own_addresses};
use crate::target::processes::network_namespace;
use crate::target::within_namespace_of;

/// How often it is looked whether a namespace has been left, in milliseconds.
const LOOK_MS: u16 = 1000;
const LOOK_NS: u64 = LOOK_MS as u64 * 1_000_000;
/// Namespaces served at a time; each costs a thread. Connections made in others are left alone and counted.
const MOST: usize = 256;

/// What it takes to enter the namespace of another user's process (setns(2), proc_pid_ns(5)) and to mark a
/// listener there (socket(7), SO_PRIORITY).
static KEPT: [Capability; 3] =
    [Capability::CAP_SYS_ADMIN, Capability::CAP_SYS_PTRACE, Capability::CAP_NET_ADMIN];

/// What serves the connections that come to a listener of ours, one for each network namespace.
pub trait Station: Send + Sync + 'static {
    /// Serves them. Called in the listener's network namespace.
    ///
    /// # Errors
    /// `Exit::Host` if there is no thread or descriptor left, or if all is ending.
    fn serve(&self, listener: Listener) -> Result<()>;
    /// Serves a namespace, named by its cookie, no longer than its last connection.
    fn leave(&self, namespace: u64);
    /// Lets go of namespaces that were left and have no connection any more.
    fn reap(&self);
}

impl Station for Relays {
    fn serve(&self, listener: Listener) -> Result<()> {
        self.start(listener, 1)
    }

    fn leave(&self, namespace: u64) {
        Self::leave(self, namespace);
    }

    fn reap(&self) {
        Self::reap(self);
    }
}

/// Listens in each network namespace of the target, and in those it enters later.
pub struct Follower {
    station: Arc<dyn Station>,
    bind: fn() -> Result<Listener>,
    namespaces: Namespaces,
    own: u64,
    /// By the namespace's inode.
    known: BTreeMap<u64, Known>,
    /// What could not be served and why, not said yet.
    complaints: Vec<String>,
    looked: Nanos,
}

/// What is known of a namespace.
#[derive(Clone, Copy)]
enum Known {
    /// Its cookie.
    Served(u64),
    /// It could not be entered for this process; perhaps its loopback interface comes up later.
    Unserved(u32),
}

/// A [`Follower`] on a thread of its own.
pub struct Following {
    stop: Arc<EventFd>,
    thread: JoinHandle<()>,
}

impl Follower {
    /// Serves this thread's own namespace, with `listener`.
    pub fn new(station: Arc<dyn Station>, namespaces: Namespaces, listener: &Listener) -> Result<Self> {
        namespaces.serve(listener.namespace, listener.ports(), &own_addresses())?;
        let own = network_namespace(std::process::id()).unwrap_or(0);
        Ok(Self {
            station,
            bind: Listener::bind,
            namespaces,
            own,
            known: BTreeMap::new(),
            complaints: Vec::new(),
            looked: clock::now(),
        })
    }

    /// With what replay needs in each namespace.
    pub fn for_replay(self) -> Self {
        Self { bind: Listener::bind_for_replay, ..self }
    }

    /// Serves the namespace that a process is in, unless it is served already. A process that has ended is
    /// passed over. Where it could not be done before it is tried again: the loopback interface of a container
    /// comes up after its first process has entered.
    pub fn enter(&mut self, process: u32) {
        let Some(inode) = network_namespace(process) else { return };
        let known = self.known.get(&inode).copied();
        let is_full = known.is_none() && self.known.len() >= MOST;
        if inode == self.own || matches!(known, Some(Known::Served(_))) || is_full {
            return;
        }
        match self.serve(process) {
            Ok(cookie) => drop(self.known.insert(inode, Known::Served(cookie))),
            Err(error) => {
                if self.known.insert(inode, Known::Unserved(process)).is_some() {
                    return;
                }
                self.complaints.push(format!(
                    "connections made in the network namespace of process {process} are left alone: {error}"
                ));
            }
        }
    }

    /// What could not be served and why, once.
    pub fn complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }

    fn serve(&self, process: u32) -> Result<u64> {
        // What is started there stays there.
        within_namespace_of(process, || {
            let listener = (self.bind)()?;
            let (cookie, ports) = (listener.namespace, listener.ports());
            self.station.serve(listener)?;
            // A program that has just entered may connect any moment; to list addresses may take a while.
            self.namespaces.serve(cookie, ports, &[])?;
            self.namespaces.serve(cookie, ports, &own_addresses())?;
            Ok(cookie)
        })
    }

    /// Goes on on a thread of its own, told by the kernel half where to look. `say` is given complaints.
    pub fn start(
        mut self,
        mut announced: Announced,
        say: impl Fn(String) + Send + 'static,
    ) -> Result<Following> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let stop = Arc::new(EventFd::from_flags(flags).map_err(|error| no_thread(&error))?);
        let stopped = Arc::clone(&stop);
        let thread = privilege::thread_with("namespaces", &KEPT, move || {
            while !wait(announced.as_fd(), stopped.as_fd()) {
                let seen: BTreeSet<u32> = std::iter::from_fn(|| announced.take()).collect();
                seen.into_iter().for_each(|process| self.enter(process));
                self.complaints().into_iter().for_each(&say);
                self.look();
            }
        });
        Ok(Following { stop, thread: thread.map_err(|error| no_thread(&error))? })
    }

    /// Leaves the namespaces that no process is in any more, since we would keep them and their devices alive,
    /// and tries again to enter those that could not be.
    fn look(&mut self) {
        let now = clock::now();
        if now.since(self.looked) < LOOK_NS {
            return;
        }
        self.looked = now;
        // Those left at an earlier look, also where none is known any more.
        self.station.reap();
        if self.known.is_empty() {
            return;
        }
        let inhabited = inhabited();
        let Self { station, namespaces, known, .. } = self;
        known.retain(|inode, known| {
            let stays = inhabited.contains(inode);
            if let (false, Known::Served(cookie)) = (stays, known) {
                namespaces.forget(*cookie);
                station.leave(*cookie);
            }
            stays
        });
        let unserved = self.known.iter().filter_map(|(inode, known)| match known {
            Known::Unserved(process) => Some((*inode, *process)),
            Known::Served(_) => None,
        });
        for (at, process) in unserved.collect::<Vec<_>>() {
            if network_namespace(process) == Some(at)
                && let Ok(cookie) = self.serve(process)
            {
                self.known.insert(at, Known::Served(cookie));
            }
        }
    }
}

impl Following {
    /// Follows no further; the relays go on.
    pub fn stop(self) {
        let _ = self.stop.write(1);
        let _ = self.thread.join();
    }
}

/// Waits for an announcement, or for the time to look; true when it is to stop.
fn wait(announced: BorrowedFd<'_>, stop: BorrowedFd<'_>) -> bool {
    let mut waiting = [PollFd::new(announced, PollFlags::POLLIN), PollFd::new(stop, PollFlags::POLLIN)];
    // An interrupted wait is like one that ended.
    let _ = poll(&mut waiting, LOOK_MS);
    waiting[1].any() == Some(true)
}

/// The network namespaces of all processes that can be seen.
fn inhabited() -> BTreeSet<u64> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(network_namespace).collect()
}

fn no_thread(error: &dyn std::fmt::Display) -> ExpectedError {
    ExpectedError::new(Exit::Host, format!("no thread for network namespaces: {error}"))
}
