/// What the kernel half counts, one slot each in the per-CPU array `COUNTERS`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counter {
    /// TCP connects sent to the proxy.
    Redirected = 0,
    /// TCP connects to a closed local port, left to fail as they would without us.
    LeftClosed = 1,
    /// Unmediated: the agent's heartbeat was too old.
    AgentHung = 2,
    /// Unmediated: the agent was at its limit of descriptors or memory.
    AtLimit = 3,
    /// Unmediated: made in a network namespace where we have no listener.
    OtherNamespace = 4,
    /// Unmediated: to a link-local IPv6 address, whose interface the hook does not show.
    LinkLocal = 5,
    /// Unmediated: from a socket bound to an interface (SO_BINDTODEVICE), which cannot reach loopback.
    BoundDevice = 6,
    /// Unmediated: a map was full.
    MapFull = 7,
    /// Unmediated: UDP datagrams sent (QUIC, DNS and others).
    UdpDatagrams = 8,
    /// Unmediated: connects by SCTP, DCCP and other stream protocols than TCP.
    OtherStream = 9,
    /// Of `LeftClosed`, those that the agent cannot be told of: its queue was full.
    RefusalUnseen = 10,
    /// Unmediated: connects that another capture on this host had redirected already.
    OtherCapture = 11,
    /// Left alone because the user chose ports: neither seen nor unmediated.
    Excluded = 12,
    /// Children of the target that there was no room to follow.
    Unfollowed = 13,
    /// Packets that the tap could not copy whole: the ring was full.
    TapLost = 14,
    /// Their bytes that were not copied.
    TapLostBytes = 15,
    /// Packets held back because the ring was full (`--strict-capture`): TCP sends them again.
    TapHeld = 16,
    /// Unmediated: connections to UNIX sockets; the agent tells resolvers' from others by `UNIX_SOCKETS`.
    UnixConnects = 17,
}

/// How many slots `COUNTERS` has.
pub const COUNTERS: u32 = 18;

impl Counter {
    /// Every kind of traffic that is left alone and counted, with the word the manifest uses for it.
    pub const UNMEDIATED: [(Self, &'static str); 10] = [
        (Self::AgentHung, "agent-hung"),
        (Self::AtLimit, "agent-at-limit"),
        (Self::OtherNamespace, "other-network-namespace"),
        (Self::LinkLocal, "link-local-ipv6"),
        (Self::BoundDevice, "bound-to-device"),
        (Self::MapFull, "map-full"),
        (Self::UdpDatagrams, "udp-datagrams"),
        (Self::OtherStream, "other-stream-protocol"),
        (Self::OtherCapture, "redirected-by-another-capture"),
        (Self::Unfollowed, "processes-not-followed"),
    ];
}
