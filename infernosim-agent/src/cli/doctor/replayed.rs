use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use infernosim_common::Fate;
use nix::sys::wait::{WaitStatus, waitpid};

use super::Ability;
use super::redirected::launch_self;
use crate::error::{Exit, ExpectedError, Result};
use crate::proxy::{Listener, ReplaySockets};
use crate::redirect::{Handles, Redirect, ReplaySetting, Setting, destination, fate, own_addresses};
use crate::target::Cgroup;

const REPLAY: &str = "replay";
/// A resolver that is nowhere (RFC 5737).
const RESOLVER: &str = "192.0.2.53:53";
/// A child of ours that does not ask by then asks nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// What replay needs of the kernel.
pub fn try_replay(cgroup: &Cgroup, setting: &Setting, open_files: (u64, u64)) -> Vec<Ability> {
    let setting = Setting { replay: Some(ReplaySetting { deny: true }), ..setting.clone() };
    let loaded = Redirect::load(&setting).and_then(|(mut redirect, kernel, _)| {
        redirect.exempt(std::process::id())?;
        let listener = Listener::bind_for_replay()?;
        kernel.namespaces.serve(listener.namespace, listener.ports(), &own_addresses())?;
        redirect.attach(cgroup.directory())?;
        Ok((redirect, kernel, listener))
    });
    let (mut redirect, mut kernel, listener) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            return vec![Ability::optional("replay's hooks", REPLAY, &Err::<(), _>(error), |()| {
                String::new()
            })];
        }
    };
    kernel.gate.open();
    let refused = refuses(cgroup, &mut kernel, open_files);
    let asked = answers(cgroup, &kernel, &listener, open_files);
    let exact = if redirect.has_exact_errno() {
        Ok(())
    } else {
        Err(ExpectedError::new(Exit::Host, "failed connects other than refused ones fail as refused"))
    };
    let unix = redirect.refuse_unix_resolvers(cgroup.directory());
    let unix = unix.map_err(|why| ExpectedError::new(Exit::Host, why));
    kernel.gate.shut();
    vec![
        Ability::optional("refuse what is unknown", REPLAY, &refused, |()| {
            "a child's connect did not leave, and we were told".into()
        }),
        Ability::optional("answer lookups", REPLAY, &asked, |()| {
            "a child's lookup came to us, and the answer from whom it asked".into()
        }),
        Ability::optional("exact errno", "failed connects in replay", &exact, |()| "bpf_set_retval".into()),
        Ability::optional("refuse UNIX resolvers", "names in replay where nscd runs", &unix, |()| {
            "cgroup/connect_unix".into()
        }),
    ]
}

/// Has a child connect to a listener that no verdict speaks of.
fn refuses(cgroup: &Cgroup, kernel: &mut Handles, open_files: (u64, u64)) -> Result<()> {
    let failed = |what: String| ExpectedError::new(Exit::Host, what);
    let origin = TcpListener::bind("127.0.0.1:0")
        .map_err(|error| failed(format!("it could not be tried: {error}")))?;
    let address = origin.local_addr().map_err(|error| failed(format!("it could not be tried: {error}")))?;
    let waiting = launch_self(cgroup, ["--connect".into(), address.to_string().into()], open_files)?;
    let pid = waiting.pid();
    waiting.go()?;
    let status = waitpid(pid, None);
    let told = std::iter::from_fn(|| kernel.refused.take())
        .any(|flow| destination(&flow) == address && fate(&flow) == Fate::Unknown);
    match status {
        Ok(WaitStatus::Exited(_, 0)) => {
            Err(failed("a connect was not refused, although every hook was attached".into()))
        }
        _ if !told => Err(failed("a connect was refused, and nobody told of it".into())),
        _ => Ok(()),
    }
}

/// Has a child ask a resolver that is nowhere, and answers in its place.
fn answers(cgroup: &Cgroup, kernel: &Handles, listener: &Listener, open_files: (u64, u64)) -> Result<()> {
    let failed = |what: &str| ExpectedError::new(Exit::Host, what.to_owned());
    let waiting = launch_self(cgroup, ["--ask".into(), RESOLVER.into()], open_files)?;
    let pid = waiting.pid();
    waiting.go()?;
    let asked = listener.replay.as_ref().and_then(|sockets| answer_one(sockets, listener.namespace, kernel));
    let status = waitpid(pid, None);
    let expected: Option<SocketAddr> = RESOLVER.parse().ok();
    match status {
        _ if asked.is_none() => Err(failed("a lookup did not come to us, although every hook was attached")),
        Ok(WaitStatus::Exited(_, 0)) if asked == expected => Ok(()),
        _ => Err(failed("the target sees another resolver than the one it asked")),
    }
}

/// Sends the first datagram back; whom it was meant for.
fn answer_one(sockets: &ReplaySockets, namespace: u64, kernel: &Handles) -> Option<SocketAddr> {
    let socket = &sockets.dns_v4;
    socket.set_nonblocking(false).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut bytes = [0; 64];
    let (length, from) = socket.recv_from(&mut bytes).ok()?;
    let flow = kernel.replay.resolvers.asked(namespace, from)?;
    socket.send_to(&bytes[..length], from).ok()?;
    Some(destination(&flow))
}
