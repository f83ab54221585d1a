use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsFd as _;
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::Launched;
use super::processes::{self, Process};
use crate::clock;

/// How often it is looked whether all have ended, in ms.
const LOOK_MS: u16 = 5;
/// After SIGKILL the kernel takes a moment, in ns; what waits for a disk that hangs may take for ever.
const KILLED_NS: u64 = 2_000_000_000;
/// So long after it is looked whom it missed, in ns.
const KILLING_NS: u64 = 20_000_000;

/// Ends a CMD and all that it has started: what is in `cgroup`, which was made for it, or else its descendants as they
/// are now. Returns CMD's status as a shell gives it; none if it cannot be ended.
pub fn stop(launched: &Launched, cgroup: Option<&Path>, patience_ns: u64) -> Option<i32> {
    let members = Members { root: launched.pid.as_raw().unsigned_abs(), cgroup };
    // One that only now starts another process is not found, and neither is that: the second look is SIGKILL's.
    let mut known: BTreeSet<Process> = members.now().into_iter().collect();
    known.iter().for_each(|member| send(member, Signal::SIGTERM));
    let mut status = None;
    if wait(launched, &known, &members, &mut status, patience_ns) {
        return status;
    }
    // What is frozen forks no more, and dies of SIGKILL nonetheless. Not cgroup.kill: where that was written once, newer
    // kernels (seen on 6.18) kill at birth whatever clone3 puts into the cgroup from outside (cgroup_css_set_fork compares
    // the kill_seq of the maker's cgroup), and CMD is to be launched there again.
    let freeze = |on: &str| cgroup.map(|cgroup| fs::write(cgroup.join("cgroup.freeze"), on));
    freeze("1");
    let began = clock::now();
    loop {
        known.extend(members.now());
        known.iter().for_each(|member| send(member, Signal::SIGKILL));
        let gone = wait(launched, &known, &members, &mut status, KILLING_NS);
        if gone || clock::now().since(began) >= KILLED_NS {
            freeze("0");
            return status;
        }
    }
}

struct Members<'a> {
    root: u32,
    cgroup: Option<&'a Path>,
}

impl Members<'_> {
    fn now(&self) -> Vec<Process> {
        let pids = match self.cgroup {
            Some(cgroup) => processes::in_cgroup(cgroup),
            None => processes::with_descendants(&[self.root]),
        };
        pids.into_iter().filter_map(Process::find).collect()
    }

    /// Of a cgroup whoever is in it; else those that were known.
    fn are_gone(&self, known: &BTreeSet<Process>) -> bool {
        match self.cgroup {
            Some(_) => self.now().is_empty(),
            None => !known.iter().any(Process::runs),
        }
    }
}

/// Never to a later process with its number.
fn send(member: &Process, signal: Signal) {
    if member.runs() {
        let _ = kill(Pid::from_raw(member.pid as i32), signal);
    }
}

/// Waits for the end of all, and takes CMD's status.
fn wait(
    launched: &Launched,
    known: &BTreeSet<Process>,
    members: &Members<'_>,
    status: &mut Option<i32>,
    patience_ns: u64,
) -> bool {
    let began = clock::now();
    loop {
        *status = status.or_else(|| reap(launched.pid));
        if status.is_some() && members.are_gone(known) {
            return true;
        }
        if clock::now().since(began) >= patience_ns {
            return false;
        }
        if status.is_some() {
            std::thread::sleep(std::time::Duration::from_millis(LOOK_MS.into()));
        } else {
            let mut ended = [PollFd::new(launched.pidfd.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut ended, PollTimeout::from(LOOK_MS));
        }
    }
}

/// The status of a CMD that has ended, as a shell gives it (128 and the signal's number).
fn reap(pid: Pid) -> Option<i32> {
    match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::Exited(_, code)) => Some(code),
        Ok(WaitStatus::Signaled(_, signal, _)) => Some(128 + signal as i32),
        // Somebody else reaped it.
        Err(nix::errno::Errno::ECHILD) => Some(1),
        _ => None,
    }
}
