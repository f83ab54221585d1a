/// Where this kernel keeps what the programs need of a task, in bytes, as its BTF says
/// (`/sys/kernel/btf/vmlinux`). Rust has no relocations for kernel types, so the agent looks them up.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskOffsets {
    /// `task_struct.tgid`.
    pub tgid: u32,
    /// `task_struct.group_leader`.
    pub leader: u32,
    /// `task_struct.signal`.
    pub signal: u32,
    /// `signal_struct.live`: threads that have not exited.
    pub live: u32,
    /// `task_struct.thread_pid`.
    pub thread_pid: u32,
    /// `pid.level`: how deep its pid namespace is.
    pub level: u32,
    /// `pid.numbers`: a `upid` for each level.
    pub numbers: u32,
    /// The size of a `upid`.
    pub number_size: u32,
    /// `upid.nr`.
    pub nr: u32,
    /// `upid.ns`.
    pub namespace: u32,
    /// `pid_namespace.ns.inum`.
    pub inum: u32,
    /// Not an offset: the agent's own pid namespace, as an inode number.
    pub own_namespace: u32,
}

const _: () = assert!(size_of::<TaskOffsets>() == 48);

#[cfg(feature = "user")]
// SAFETY: repr(C) of u32 only, size asserted above: any bytes are a value, no padding.
unsafe impl aya::Pod for TaskOffsets {}
