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
    /// In replay, packets that were dropped and would have left: UDP over IPv4.
    LeakUdp = 18,
    /// The same of UDP over IPv6.
    LeakUdpV6 = 19,
    /// The same of TCP over IPv4: of connections that are older than the replay.
    LeakTcp = 20,
    /// The same of TCP over IPv6.
    LeakTcpV6 = 21,
    /// The same of ICMP.
    LeakIcmp = 22,
    /// The same of ICMPv6.
    LeakIcmpV6 = 23,
    /// The same of raw sockets (raw(7)) for other protocols than ICMP.
    LeakRaw = 24,
    /// The same of all other protocols.
    LeakOther = 25,
    /// In replay, connects that were left alone though the agent has no verdict for their destination.
    Passed = 26,
    /// In replay, connects to the UNIX sockets of resolvers that were refused.
    UnixRefused = 27,
}

/// How many slots `COUNTERS` has.
pub const COUNTERS: u32 = 28;

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

    /// Every kind of packet that replay drops and counts, with the word the report uses for it.
    pub const LEAKS: [(Self, &'static str); 8] = [
        (Self::LeakUdp, "udp"),
        (Self::LeakUdpV6, "udp-ipv6"),
        (Self::LeakTcp, "tcp"),
        (Self::LeakTcpV6, "tcp-ipv6"),
        (Self::LeakIcmp, "icmp"),
        (Self::LeakIcmpV6, "icmp-ipv6"),
        (Self::LeakRaw, "raw"),
        (Self::LeakOther, "other-protocol"),
    ];
}
