//! iter/task: runs once for every task of the host when the agent reads it, and finds the processes that the
//! agent knows only by their numbers in its own pid namespace.

use core::ffi::c_void;

use crate::task::{self, Address};
use crate::{KNOWS_TASKS, WANTED};

/// `ctx` is a `struct bpf_iter__task`: two pointers, the second to the task, null at the end.
pub fn task(ctx: *mut c_void) {
    if KNOWS_TASKS.load() == 0 {
        return;
    }
    // SAFETY: the verifier knows the context's shape.
    let task = unsafe { ctx.cast::<u64>().add(1).read_volatile() };
    if task == 0 {
        return;
    }
    look(Address(task));
}

#[inline(always)]
fn look(task: Address) -> Option<()> {
    let leader = task::leader(task)?;
    if leader.0 != task.0 {
        return None;
    }
    let number = task::number_for_agent(task)?;
    let process = task::tgid(task)?;
    // SAFETY: the value is not read.
    if unsafe { WANTED.get(&number) }.is_some() {
        let _ = WANTED.insert(&number, &process, 0);
    }
    None
}
