//! What the programs read of a task: its process, and the numbers it goes by in pid namespaces. Nothing of it
//! is available (`KNOWS_TASKS` is 0) where the kernel has no BTF or does not let us read its memory.

use aya_ebpf::helpers::{
    bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_task, bpf_probe_read_kernel,
};
use infernosim_common::TaskOffsets;
use infernosim_common::tap::Task;

use crate::{KNOWS_TASKS, OFFSETS};

/// Deeper nesting than the kernel allows (`MAX_PID_NS_LEVEL`).
const MAX_LEVEL: u32 = 32;

/// A pointer to kernel memory. Only ever read with bpf_probe_read_kernel, which fails on a bad address.
#[derive(Clone, Copy)]
pub struct Address(pub u64);

impl Address {
    #[inline(always)]
    pub fn read<T>(self, offset: u32) -> Option<T> {
        let at = self.0.wrapping_add(u64::from(offset)) as *const T;
        // SAFETY: the helper checks the address.
        unsafe { bpf_probe_read_kernel(at) }.ok()
    }

    #[inline(always)]
    pub fn follow(self, offset: u32) -> Option<Self> {
        self.read::<u64>(offset).map(Self)
    }
}

/// The thread that runs; `None` where tasks cannot be read.
#[inline(always)]
pub fn current() -> Option<Address> {
    if KNOWS_TASKS.load() == 0 {
        return None;
    }
    // SAFETY: the helper has no argument.
    Some(Address(unsafe { bpf_get_current_task() }))
}

/// The process a task belongs to, in the initial pid namespace.
#[inline(always)]
pub fn tgid(task: Address) -> Option<u32> {
    task.read(OFFSETS.load().tgid)
}

/// The first thread of the task's process.
#[inline(always)]
pub fn leader(task: Address) -> Option<Address> {
    task.follow(OFFSETS.load().leader)
}

/// Whether no thread of the task's process is left.
#[inline(always)]
pub fn is_last_thread(task: Address) -> Option<bool> {
    let offsets = OFFSETS.load();
    // do_exit decrements it before the tracepoint.
    task.follow(offsets.signal)?.read::<u32>(offsets.live).map(|live| live == 0)
}

/// The task's number in its own pid namespace.
#[inline(always)]
pub fn own_number(task: Address) -> Option<u32> {
    let offsets = OFFSETS.load();
    let pid = task.follow(offsets.thread_pid)?;
    let level: u32 = pid.read(offsets.level)?;
    number(&offsets, pid, level)
}

/// The task's number in the agent's pid namespace; `None` if it has none there.
#[inline(always)]
pub fn number_for_agent(task: Address) -> Option<u32> {
    let offsets = OFFSETS.load();
    let pid = task.follow(offsets.thread_pid)?;
    let deepest: u32 = pid.read(offsets.level)?;
    let mut level = 0;
    while level < MAX_LEVEL {
        if level > deepest {
            return None;
        }
        let namespace = pid.follow(offsets.numbers + level * offsets.number_size + offsets.namespace)?;
        if namespace.read::<u32>(offsets.inum)? == offsets.own_namespace {
            return number(&offsets, pid, level);
        }
        level += 1;
    }
    None
}

#[inline(always)]
fn number(offsets: &TaskOffsets, pid: Address, level: u32) -> Option<u32> {
    pid.read(offsets.numbers + level * offsets.number_size + offsets.nr)
}

/// The thread that runs, as events tell of it.
#[inline(always)]
pub fn described() -> Task {
    let current = current();
    Task {
        own_pid: current.and_then(leader).and_then(own_number).unwrap_or(0),
        own_tid: current.and_then(own_number).unwrap_or(0),
        comm: bpf_get_current_comm().unwrap_or_default(),
        ..numbered()
    }
}

/// Its numbers in the initial pid namespace alone, which cost next to nothing.
#[inline(always)]
pub fn numbered() -> Task {
    let pid_tgid = bpf_get_current_pid_tgid();
    Task { pid: (pid_tgid >> 32) as u32, tid: pid_tgid as u32, ..Task::default() }
}
