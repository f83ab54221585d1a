use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::driver::Pace;
use super::judge::volatile::VolatileFile;
use super::matcher::OnUnmatched;
use super::slo::Slo;
use super::stub::LiveRule;
use crate::capture::Voice;
use crate::fault::Faults;
use crate::target::Selection;

/// What to replay and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The incident's directory.
    pub incident: PathBuf,
    /// The target; without one, explicit stubs serve programs that are told of them.
    pub selection: Option<Selection>,
    /// The path of the cgroup that CMD is launched into, if none is to be made for it: somebody looks on there already.
    pub into: Option<String>,
    /// Where requests go, if not to the recorded listener's port on loopback.
    pub base: Option<SocketAddr>,
    /// How many runs, from 1.
    pub runs: u32,
    /// How requests are timed.
    pub pace: Pace,
    /// The workload is repeated until so much time is full, in ns; 0: once.
    pub window_ns: u64,
    /// What all runs that count are to keep.
    pub slo: Slo,
    /// The longest a run may take, in ns; if there is none, it follows from the recording's length.
    pub max_wall_ns: Option<u64>,
    /// The longest nothing may move, in ns.
    pub max_idle_ns: u64,
    /// The most requests of a run; 0: all.
    pub max_events: u64,
    /// Where explicit stubs listen that stand in for a dependency.
    pub stub_listen: Vec<SocketAddr>,
    /// Where explicit stubs listen that are used as a proxy.
    pub stub_compat_listen: Vec<SocketAddr>,
    /// What becomes of what the recording has no counterpart for.
    pub on_unmatched: OnUnmatched,
    /// Dependencies that are not stubbed.
    pub live: Vec<LiveRule>,
    /// What goes wrong on purpose.
    pub faults: Arc<Faults>,
    /// The one exchange to send, by its id or the beginning of it.
    pub request: Option<String>,
    /// Fields that are not compared; `*` and `?` match.
    pub ignore: Vec<String>,
    /// Only what is volatile may differ.
    pub strict: bool,
    /// CMD is started anew for each run.
    pub fresh: bool,
    /// The user CMD runs as, if not who called.
    pub user: Option<String>,
    /// What `volatile.toml` says, if it is there.
    pub volatile: Option<VolatileFile>,
    /// The words after the program's name that led to this, for the command that repeats it.
    pub command_line: Vec<String>,
    /// The report is printed as JSON.
    pub json: bool,
    /// What is said on stderr.
    pub voice: Voice,
}
