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
