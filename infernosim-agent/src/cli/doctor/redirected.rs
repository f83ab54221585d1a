use std::ffi::OsString;
use std::net::TcpListener;

use nix::sys::signal::SigSet;
use nix::sys::wait::{WaitStatus, waitpid};

use crate::error::{Exit, ExpectedError, Result};
use crate::proxy::Listener;
use crate::redirect::{Handles, Redirect, destination, own_addresses};
use crate::target::{Cgroup, Identity, Inheritance, launch};

/// Has a child in `cgroup`, to which `redirect` is attached, connect to a listener, and looks at where that ends:
/// at the proxy's, with the kernel half knowing what was asked for and the child seeing who it asked for.
pub fn try_redirect(
    cgroup: &Cgroup,
    redirect: &mut Redirect,
    kernel: Handles,
    open_files: (u64, u64),
) -> Result<()> {
    let failed = |what: &str| ExpectedError::new(Exit::Host, what.to_owned());
    let listener = Listener::bind()?;
    let origin = TcpListener::bind("127.0.0.1:0")
        .map_err(|error| failed(&format!("it could not be tried: {error}")))?;
    let asked = origin.local_addr().map_err(|error| failed(&format!("it could not be tried: {error}")))?;
    redirect.exempt(std::process::id())?;
    let waiting = launch_self(cgroup, ["--connect".into(), asked.to_string().into()], open_files)?;
    kernel.namespaces.serve(listener.namespace, listener.ports(), &own_addresses())?;
    let _beating =
        kernel.heartbeat.start().map_err(|error| failed(&format!("it could not be tried: {error}")))?;
    kernel.gate.open();
    let pid = waiting.pid();
    waiting.go()?;
    let status = waitpid(pid, None);
    kernel.gate.shut();
    // The first connection is the listener's own look at itself.
    let arrived = std::iter::from_fn(|| listener.accept().ok());
    let flow = arrived.filter_map(|from| kernel.original_dst.take(listener.namespace, from)).next();
    match (flow, status) {
        (None, _) => Err(failed("a connection was not redirected, although every hook was attached")),
        (Some(flow), _) if destination(&flow) != asked => {
            Err(failed(&format!("a connection to {asked} was noted as one to {}", destination(&flow))))
        }
        (Some(_), Ok(WaitStatus::Exited(_, 0))) => Ok(()),
        (Some(_), _) => Err(failed("the target sees another peer than the one it asked for")),
    }
}

/// Launches `infernosim doctor` with these words in `cgroup`.
pub fn launch_self(
    cgroup: &Cgroup,
    words: [OsString; 2],
    open_files: (u64, u64),
) -> Result<crate::target::Waiting> {
    let own = std::env::current_exe()
        .map_err(|error| ExpectedError::new(Exit::Host, format!("our own program is not found: {error}")))?;
    let [word, value] = words;
    let command = [own.into(), "doctor".into(), word, value];
    let identity = Identity::of_caller(None)?;
    launch(&command, Some(cgroup), &identity, Inheritance { open_files, signals: SigSet::empty() })
}
