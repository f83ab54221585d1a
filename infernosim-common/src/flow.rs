use crate::Ip;

/// How a redirected socket reaches the proxy.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// An AF_INET socket, to 127.0.0.1.
    V4 = 4,
    /// An AF_INET6 socket, to `::1`.
    V6 = 6,
    /// An AF_INET6 socket that asked for a v4-mapped address, to `::ffff:127.0.0.1`.
    Mapped = 46,
}

/// A redirected connection: what the target asked for, and who asked.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// The socket's cookie (`bpf_get_socket_cookie`).
    pub cookie: u64,
    /// The cookie of its network namespace.
    pub netns: u64,
    /// `bpf_ktime_get_ns` (CLOCK_MONOTONIC) of the connect(2).
    pub connected_ns: u64,
    /// The ORIGINAL destination.
    pub destination: Ip,
    /// The source the target had bound, or [`Ip::UNSPECIFIED`].
    pub source: Ip,
    /// The original destination's port, host order.
    pub port: u32,
    /// A [`Via`].
    pub via: u32,
    /// The process, in the initial pid namespace.
    pub pid: u32,
    /// The thread, in the initial pid namespace.
    pub tid: u32,
    /// The process in its own pid namespace; 0 where the kernel's layout is not known ([`crate::TaskOffsets`]).
    pub own_pid: u32,
    /// The thread, likewise.
    pub own_tid: u32,
    /// The socket's protocol (IPPROTO_TCP or IPPROTO_MPTCP).
    pub protocol: u32,
    /// What became of it, a [`crate::Fate`], if no connection of it arrives.
    pub fate: u16,
    /// With [`crate::Fate::Failed`], the errno; else 0.
    pub errno: u16,
    /// The thread's name at the connect, NUL padded.
    pub comm: [u8; 16],
}

/// How the proxy finds the [`Flow`] of a connection it accepted: by the target's own end of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowKey {
    /// The network namespace's cookie.
    pub netns: u64,
    /// The target's local address.
    pub address: Ip,
    /// The target's local port, host order.
    pub port: u32,
    /// Zero; keeps the key free of padding.
    pub reserved: u32,
}

/// An address of a network namespace's own.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    /// The network namespace's cookie.
    pub netns: u64,
    /// The address.
    pub address: Ip,
}

/// Where the agent is to be met in one network namespace; port 0 where it is not, or not yet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listeners {
    /// The port on 127.0.0.1, host order.
    pub v4_port: u32,
    /// The port on `::1`, host order.
    pub v6_port: u32,
    /// In replay, a port on 127.0.0.1 that we hold and on which nobody listens.
    pub v4_closed: u32,
    /// The same on `::1`.
    pub v6_closed: u32,
    /// In replay, the UDP port on 127.0.0.1 at which lookups are answered.
    pub v4_dns: u32,
    /// The same on `::1`.
    pub v6_dns: u32,
}

const _: () = assert!(size_of::<Flow>() == 104);
const _: () = assert!(size_of::<FlowKey>() == 32);
const _: () = assert!(size_of::<Listeners>() == 24);
const _: () = assert!(size_of::<LocalAddress>() == 24);

#[cfg(feature = "user")]
mod user {
    use super::{Flow, FlowKey, Listeners, LocalAddress};

    // SAFETY: repr(C), integers only, sizes asserted above: any bytes are a value, no padding.
    unsafe impl aya::Pod for Flow {}
    // SAFETY: as above.
    unsafe impl aya::Pod for FlowKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Listeners {}
    // SAFETY: as above.
    unsafe impl aya::Pod for LocalAddress {}
}
