use std::net::SocketAddr;
use std::path::PathBuf;

use crate::capture::Voice;
use crate::fault::Plan;
use crate::target::Selection;

/// What to disturb, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The target, if there is one.
    pub selection: Option<Selection>,
    /// What is to go wrong at first.
    pub plan: Plan,
    /// Where the ledger is written to at the end, as JSON lines.
    pub ledger: Option<PathBuf>,
    /// Where a plan that does the same again is written to at the end.
    pub write_plan: Option<PathBuf>,
    /// Connections of a running target that are older than the session are reset.
    pub recycle: bool,
    /// Where rules can be changed, if not at the usual place.
    pub control: Option<PathBuf>,
    /// Where toxiproxy's API is served, if it is.
    pub toxiproxy: Option<SocketAddr>,
    /// How long, in ns; for ever if `None`.
    pub duration_ns: Option<u64>,
    /// How long open connections go on after the end, in ns.
    pub drain_ns: u64,
    /// The user CMD runs as, if not who called.
    pub user: Option<String>,
    /// What is said on stderr.
    pub voice: Voice,
}
