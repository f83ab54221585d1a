/// What the kernel half does with a connect, as the agent sets it in `STATE[0]`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Leave every connect alone; nothing is counted. The value of a fresh map.
    Off = 0,
    /// Redirect.
    On = 1,
    /// Leave connects alone and count them: the agent is at a limit.
    AtLimit = 2,
}

/// With a heartbeat older than this the agent is taken for dead or hung, and connects go direct. In ns.
pub const HEARTBEAT_LIMIT_NS: u64 = 1_000_000_000;

/// Entries of the flow maps unless the loader sizes them to the limit of connections.
pub const FLOWS_DEFAULT_ENTRIES: u32 = 16_384;

/// SO_PRIORITY (socket(7)) of every listener of ours, by which other captures on this host know it: a connect
/// that one capture has redirected is not redirected again by the next. Values above 6 need CAP_NET_ADMIN, so
/// few others can take it; it has no effect on loopback, which has no queue.
pub const LISTENER_PRIORITY: u32 = 0x1f5e_a9e7;

/// What the user chose about a destination port.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortRule {
    /// `--only`: any port without a rule is left alone.
    Only = 1,
    /// `--exclude`: left alone.
    Exclude = 2,
}
