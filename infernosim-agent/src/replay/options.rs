use std::net::SocketAddr;
use std::path::PathBuf;

use crate::capture::Voice;
use crate::target::Selection;

/// What to replay and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The incident's directory.
    pub incident: PathBuf,
    /// The target; without one, explicit stubs serve programs that are told of them.
    pub selection: Option<Selection>,
    /// Where requests go, if not to the recorded listener's port on loopback.
    pub base: Option<SocketAddr>,
    /// How many runs, from 1.
    pub runs: u32,
    /// How requests are timed.
    pub pace: Pace,
    /// What ends a run early.
    pub limits: Limits,
    /// Where explicit stubs listen that stand in for a dependency.
    pub stub_listen: Vec<SocketAddr>,
    /// Where explicit stubs listen that are used as a proxy.
    pub stub_compat_listen: Vec<SocketAddr>,
    /// What becomes of what the recording has no counterpart for.
    pub on_unmatched: OnUnmatched,
    /// Dependencies that are not stubbed.
    pub live: Vec<LiveRule>,
    /// The one exchange to send, by its id or the beginning of it.
    pub request: Option<String>,
    /// Fields that are not compared; `*` and `?` match.
    pub ignore: Vec<String>,
    /// Nothing is relaxed: header fields are compared too.
    pub strict: bool,
    /// CMD is started anew for each run.
    pub fresh: bool,
    /// The user CMD runs as, if not who called.
    pub user: Option<String>,
    /// The command line to repeat this, for reports.
    pub command_line: Vec<String>,
    /// Print the report as JSON.
    pub json: bool,
    /// What is said on stderr.
    pub voice: Voice,
}

/// When requests are sent: `gap = max(recorded_gap × time_scale ÷ density, min_gap)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// What recorded waits are multiplied by; 0: no waits.
    pub time_scale: f64,
    /// What gaps are divided by; more than 0.
    pub density: f64,
    /// The least gap between requests that did not overlap, in ns.
    pub min_gap_ns: u64,
    /// The workload is repeated until so much time is full, in ns; 0: once.
    pub window_ns: u64,
    /// How often each request is sent at once, from 1.
    pub fanout: u32,
}

/// What ends a run early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The longest a run may take, in ns; if there is none, the greater of 30 s and twice the paced length plus the
    /// window.
    pub max_wall_ns: Option<u64>,
    /// The longest nothing may move, in ns.
    pub max_idle_ns: u64,
    /// The most events of a run; 0: all.
    pub max_events: u64,
}

/// What becomes of a request or a connect that the recording has no counterpart for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnmatched {
    /// 502, ECONNREFUSED, NXDOMAIN.
    #[default]
    Fail,
    /// The nearest recorded answer of the dependency.
    Closest,
    /// It goes where it was meant to go.
    Passthrough,
}

/// A dependency that is not stubbed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveRule {
    /// Its name or address, with its port where that is not the default one; `*` and `?` match.
    pub dependency: String,
    /// Where it is, if not where the target says: `HOST:PORT`.
    pub at: Option<String>,
}
