//! What the session knows of a replay and its judge does not.

use std::collections::BTreeMap;

use super::faulted::Faulted;
use crate::replay::minted::Substitution;
use crate::replay::script::Untested;

/// What the session knows.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// RFC 3339, UTC: when the replay ended.
    pub at: String,
    /// The incident's directory as it was named.
    pub incident: String,
    /// `--time-scale`.
    pub time_scale: f64,
    /// `--density`.
    pub density: f64,
    /// `--fanout`.
    pub fanout: u32,
    /// `--window`, in ns.
    pub window_ns: u64,
    /// What became of the faults, if there are any.
    pub faults: Option<Faulted>,
    /// What limited the rate, if it was measured.
    pub limiting: Option<Measured>,
    /// What was not tested: of the script, and of the runs (kinds of packets that were dropped, tokens without a secret, …).
    pub untested: Vec<Untested>,
    /// Values that the target minted and that were put into later requests.
    pub substituted: Vec<Substitution>,
    /// Packets of the target that were dropped, by kind, in all runs: the leak counter.
    pub leaked: BTreeMap<String, u64>,
    /// The target's last lines on standard error, without secrets.
    pub stderr: Vec<String>,
}

/// What limited the rate, and by what that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// What.
    pub factor: Factor,
    /// The numbers: `CPU 98 % of 2 cores, PSI some 41 %`.
    pub evidence: String,
}

/// What can limit a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    /// Nothing: the rate was kept.
    None,
    /// Calls that ran into a time-out.
    DependencyTimeout,
    /// Waiting for dependencies.
    OutboundDependencyLatency,
    /// The stub.
    ProxyBackpressure,
    /// Calls that waited for a connection.
    ConnectionPoolExhaustion,
    /// The target's own work.
    ApplicationCpu,
    /// Memory.
    Memory,
    /// Open files.
    FdLimit,
}

impl Factor {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::DependencyTimeout => "DEPENDENCY_TIMEOUT",
            Self::OutboundDependencyLatency => "OUTBOUND_DEPENDENCY_LATENCY",
            Self::ProxyBackpressure => "PROXY_BACKPRESSURE",
            Self::ConnectionPoolExhaustion => "CONNECTION_POOL_EXHAUSTION",
            Self::ApplicationCpu => "APPLICATION_CPU",
            Self::Memory => "MEMORY",
            Self::FdLimit => "FD_LIMIT",
        }
    }
}
