//! Whose traffic it is: everything in the cgroup that a program is attached to, or, with `BY_PROCESS`, only that
//! of the processes in `TARGETS`. Never the agent's own.

use aya_ebpf::helpers::{bpf_get_current_ancestor_cgroup_id, bpf_get_current_pid_tgid};

use crate::task;
use crate::{AGENT, ANNOUNCED, BY_PROCESS, CGROUPS, LISTENERS, TARGETS};
use infernosim_common::Listeners;

/// Cgroups this deep below the root are told apart; deeper ones count with their ancestor.
const MAX_DEPTH: i32 = 16;
/// linux/bpf.h
const BPF_NOEXIST: u64 = 1;

/// The process that runs, in the initial pid namespace.
#[inline(always)]
pub fn process() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// Whether a hook of the target's cgroup runs for the target. Not for hooks without a task (cgroup_skb).
#[inline(always)]
pub fn is_target() -> bool {
    let process = process();
    // We may be in the cgroup, or a descendant of the target: relaying our own connections would never end.
    if AGENT.get(0).copied() == Some(process) {
        return false;
    }
    BY_PROCESS.load() == 0 || is_followed(process)
}

/// Whether it is one of the processes that are followed.
#[inline(always)]
pub fn is_followed(process: u32) -> bool {
    // SAFETY: the value is not read.
    unsafe { TARGETS.get(&process) }.is_some()
}

/// Whether the current task is the target's; for programs that run for every task of the host.
#[inline(always)]
pub fn is_target_of_all() -> bool {
    if BY_PROCESS.load() != 0 {
        return is_followed(process());
    }
    let mut level = 0;
    while level < MAX_DEPTH {
        // SAFETY: the helper takes a number.
        let cgroup = unsafe { bpf_get_current_ancestor_cgroup_id(level) };
        // SAFETY: the value is not read.
        if cgroup != 0 && unsafe { CGROUPS.get(&cgroup) }.is_some() {
            return true;
        }
        level += 1;
    }
    false
}

/// Tells the agent, once, of a network namespace in which nobody listens yet.
#[inline(always)]
pub fn namespace_seen(netns: u64) {
    let asked = Listeners::default();
    if LISTENERS.insert(&netns, &asked, BPF_NOEXIST).is_ok() {
        announce();
    }
}

/// Tells the agent to look at the namespaces of the process that runs.
#[inline(always)]
pub fn announce() {
    let number = task::current().and_then(task::leader).and_then(task::number_for_agent);
    let number = number.unwrap_or_else(process);
    // A full buffer means that the agent has not looked for long: it is told of the next.
    let _ = ANNOUNCED.output::<u32>(&number, 0);
}
