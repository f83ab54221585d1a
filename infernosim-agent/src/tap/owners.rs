//! Whose sockets are.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use infernosim_common::tap::{Owner, Task};

use crate::clock::Nanos;
use crate::incident::Process;

/// Sockets of each kind that are remembered; those that were made first are forgotten first.
const MOST: usize = 16_384;

/// What is known of sockets before, or without, a connection.
#[derive(Debug, Default)]
pub struct Owners {
    asked: BTreeMap<u64, Asked>,
    /// `None`: by a process that is not the target.
    accepted: BTreeMap<u64, Option<Process>>,
}

/// A connect of the target's.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who.
    pub process: Process,
    /// When.
    pub at: Nanos,
    /// For what.
    pub remote: SocketAddr,
}

impl Owners {
    /// The target has asked for a connection, or connected a UDP socket.
    pub fn asked(&mut self, cookie: u64, asked: Asked) {
        keep(&mut self.asked, cookie, asked);
    }

    /// A connection that is not known yet was accepted.
    pub fn accepted(&mut self, owner: &Owner) {
        keep(&mut self.accepted, owner.cookie, (owner.stranger == 0).then(|| process(&owner.task)));
    }

    /// Who connected this socket.
    pub fn of(&self, cookie: u64) -> Option<&Asked> {
        self.asked.get(&cookie)
    }

    /// As [`Owners::of`], for the last time.
    pub fn take(&mut self, cookie: u64) -> Option<Asked> {
        self.asked.remove(&cookie)
    }

    /// Whether somebody accepted it who is not the target.
    pub fn is_strangers(&self, cookie: u64) -> bool {
        matches!(self.accepted.get(&cookie), Some(None))
    }

    /// Who accepted it, for the last time.
    pub fn take_accepted(&mut self, cookie: u64) -> Option<Process> {
        self.accepted.remove(&cookie).flatten()
    }
}

fn keep<T>(map: &mut BTreeMap<u64, T>, cookie: u64, value: T) {
    if map.len() >= MOST {
        map.pop_first();
    }
    map.insert(cookie, value);
}

/// A task as events tell of it.
pub fn process(task: &Task) -> Process {
    let name = task.comm.split(|&byte| byte == 0).next().unwrap_or_default();
    Process {
        pid: task.pid,
        tid: task.tid,
        own: (task.own_pid != 0 && task.own_pid != task.pid).then_some((task.own_pid, task.own_tid)),
        comm: String::from_utf8_lossy(name).into_owned(),
    }
}
