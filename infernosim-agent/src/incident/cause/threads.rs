//! Which thread reads which request, and in which processes that tells anything: where no thread ever has two requests
//! open, and every answer is written by the thread that read its request.

use std::collections::{BTreeMap, BTreeSet};

use super::requests::{Requests, Ticket};
use crate::clock::Nanos;

/// Processes that are told apart. Of those beyond, no thread tells anything.
const MOST_PROCESSES: usize = 4096;
/// Threads of them.
const MOST_THREADS: usize = 65_536;

/// A thread of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Who {
    /// Its process, in the initial pid namespace.
    pub pid: u32,
    /// In the same.
    pub tid: u32,
}

#[derive(Debug, Default)]
struct Thread {
    pid: u32,
    /// What it has read, and is still remembered.
    read: BTreeSet<Ticket>,
    /// What it has read last: of what it read before nothing waited any more, or threads would tell nothing here.
    last: Option<Ticket>,
}

#[derive(Debug, Default)]
pub(super) struct Threads {
    /// Whether threads tell anything in it, of processes that have read requests.
    processes: BTreeMap<u32, bool>,
    /// By their number, which no other thread of the host has.
    threads: BTreeMap<u32, Thread>,
    /// Processes in which they no longer do, since that was last asked.
    loosened: Vec<u32>,
    /// Something was not seen.
    blind: bool,
}

impl Threads {
    /// `who` reads a request, since `at`.
    pub fn read<R>(&mut self, ticket: Ticket, (at, who): (Nanos, Who), requests: &mut Requests<R>) {
        let Some(request) = requests.get_mut(ticket) else { return };
        let before = request.reader.replace(who);
        request.process = Some(who.pid);
        if before == Some(who) {
            return;
        }
        request.read_at = at;
        if let Some(thread) = before.and_then(|before| self.threads.get_mut(&before.tid)) {
            thread.read.remove(&ticket);
        }
        if !self.processes.contains_key(&who.pid) && self.processes.len() < MOST_PROCESSES {
            self.processes.insert(who.pid, true);
        }
        if !self.tells(who.pid) {
            return;
        }
        if self.threads.len() >= MOST_THREADS && !self.threads.contains_key(&who.tid) {
            return self.loosen(who.pid);
        }
        let thread = self.threads.entry(who.tid).or_default();
        if thread.pid != who.pid {
            // Another thread had its number before.
            *thread = Thread { pid: who.pid, ..Thread::default() };
        }
        // One whose answer has begun may only be on its way still: who writes more of it strays.
        let waits = |last: &Ticket| {
            thread.read.contains(last) && requests.get(*last).is_some_and(|it| it.is_open() && !it.answering)
        };
        if thread.last.as_ref().is_some_and(waits) {
            return self.loosen(who.pid);
        }
        thread.read.insert(ticket);
        thread.last = Some(ticket);
    }

    /// No thread tells anything in this process any more.
    pub fn loosen(&mut self, pid: u32) {
        if self.processes.insert(pid, false) != Some(false) {
            self.threads.retain(|_, thread| thread.pid != pid);
            self.loosened.push(pid);
        }
    }

    /// Nor in any.
    pub fn blind(&mut self) {
        self.blind = true;
    }

    /// What was read so far is over.
    pub fn forget_requests(&mut self) {
        self.threads.clear();
    }

    /// Another process serves now.
    pub fn start_afresh(&mut self) {
        *self = Self::default();
    }

    /// Whether threads tell anything in this process.
    pub fn tells(&self, pid: u32) -> bool {
        !self.blind && self.processes.get(&pid) == Some(&true)
    }

    /// Whether this process has read requests itself.
    pub fn serves(&self, pid: u32) -> bool {
        self.processes.contains_key(&pid)
    }

    /// What this thread has read, and is still remembered; `None` if it is none that reads requests, or tells nothing.
    pub fn read_by(&self, who: Who) -> Option<&BTreeSet<Ticket>> {
        self.threads.get(&who.tid).filter(|it| self.tells(who.pid) && it.pid == who.pid).map(|it| &it.read)
    }

    pub fn forget(&mut self, ticket: Ticket, reader: Option<Who>) {
        let Some(reader) = reader else { return };
        if let Some(thread) = self.threads.get_mut(&reader.tid) {
            thread.read.remove(&ticket);
            if thread.read.is_empty() {
                self.threads.remove(&reader.tid);
            }
        }
    }

    /// Processes in which threads have turned out to tell nothing, each once.
    pub fn take_loosened(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.loosened)
    }
}
