//! raw_tracepoint/sched_process_fork, _exec and _exit: which processes are the target's. They run for every
//! task of the host, so the first thing they do is to find out that it is not one of ours.

use aya_ebpf::programs::RawTracePointContext;
use infernosim_common::Counter;

use crate::counter::count;
use crate::scope;
use crate::task::{self, Address};
use crate::{KNOWS_TASKS, TARGETS};

/// A child of a target is a target. Runs in the parent (`TP_PROTO(parent, child)`).
pub fn fork(ctx: &RawTracePointContext) {
    let parent = scope::process();
    if KNOWS_TASKS.load() == 0 || !scope::is_followed(parent) {
        return;
    }
    let Some(child) = task::tgid(Address(ctx.arg(1))) else { return };
    // A new thread is of the same process.
    if child != parent && TARGETS.insert(&child, &1, 0).is_err() {
        count(Counter::Unfollowed);
    }
}

/// A target that executes another program may have entered another network namespace before (`ip netns exec`):
/// the agent has until its first connect to follow.
pub fn exec() {
    if scope::is_target_of_all() {
        scope::announce();
    }
}

/// The last thread of a target is gone, and its number may soon be somebody else's.
pub fn exit() {
    let process = scope::process();
    if !scope::is_followed(process) {
        return;
    }
    if task::current().and_then(task::is_last_thread).unwrap_or(false) {
        let _ = TARGETS.remove(&process);
    }
}
