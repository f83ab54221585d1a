use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use caps::Capability;
use nix::sys::signal::SigSet;
use nix::unistd::{Pid, setfsgid, setfsuid};

use super::presence::Presence;
use super::report;
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::manifest::{Manifest, Target};
use crate::incident::{Limits, Ownership, Store};
use crate::privilege;
use crate::proxy::{Listener, raise_open_files};
use crate::redirect::{Handles, Redirect, Setting, Targets, task_offsets};
use crate::target::processes::{self, Process};
use crate::target::{Identity, Inheritance, Scope, Selection, Waiting, launch};

/// Looks for children of the target before it is taken that none is missing.
const ROUNDS: usize = 8;
/// The inode of the initial pid namespace (`PROC_PID_INIT_INO`, linux/proc_ns.h).
const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;

/// What to capture and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The target.
    pub selection: Selection,
    /// The incident's directory.
    pub incident: PathBuf,
    /// Replace an incident that is there.
    pub force: bool,
    /// The user CMD runs as and the incident belongs to, if not who called.
    pub user: Option<String>,
    /// Memory for the recording, in bytes.
    pub buffer: u64,
    /// What is kept of bodies.
    pub limits: Limits,
    /// How long to capture, in ns; for ever if `None`.
    pub duration_ns: Option<u64>,
    /// How long open connections are relayed after the end, in ns.
    pub drain_ns: u64,
    /// Reset connections of the target that are older than the capture.
    pub recycle: bool,
    /// Say nothing but errors.
    pub quiet: bool,
}

/// A capture that is attached and does nothing yet.
pub struct Prepared {
    /// Where it is attached.
    pub scope: Scope,
    /// The kernel half.
    pub redirect: Redirect,
    /// Its parts for the other threads.
    pub kernel: Handles,
    /// Where connections of our own network namespace arrive.
    pub listener: Listener,
    /// Where it is recorded.
    pub store: Arc<Store>,
    /// CMD before its first instruction.
    pub waiting: Option<Waiting>,
    /// What is known at the start.
    pub manifest: Manifest,
    /// Tells when nobody is left.
    pub presence: Presence,
    /// Whose the incident is.
    pub identity: Identity,
    /// How many connections there may be at a time.
    pub connections: u64,
}

/// Does everything that needs privileges. Leaves nothing where it fails.
pub fn prepare(options: &Options, blocked: SigSet) -> Result<Prepared> {
    let (open_files, connections) = raise_open_files();
    let identity = Identity::of_caller(options.user.as_deref())?;
    let scope = Scope::of(&options.selection)?;
    let (mut redirect, kernel, targets) = Redirect::load(&setting(&scope, connections)?)?;
    let listener = Listener::bind()?;
    for (_, cgroup) in scope.cgroups() {
        redirect.attach(cgroup)?;
    }
    redirect.follow(scope.is_by_process())?;
    let found = host_numbers(&mut redirect, &[Pid::this()]).unwrap_or_default();
    redirect.exempt(found.first().map_or(std::process::id(), |(_, process)| *process))?;
    let owner = Ownership { uid: identity.uid, gid: identity.gid };
    let store = Arc::new(Store::create(&options.incident, owner, options.force)?);
    // The last moment with a single thread: the child is a copy of it.
    let inheritance = Inheritance { open_files, signals: blocked };
    let target = target(options, &scope, &identity, inheritance, &mut redirect, targets);
    let (waiting, presence, target) = target.inspect_err(|_| store.discard())?;
    let manifest = report::manifest(target);
    Ok(Prepared {
        scope,
        redirect,
        kernel,
        listener,
        store,
        waiting,
        manifest,
        presence,
        identity,
        connections,
    })
}

/// Makes CMD's process, if there is a CMD, and follows the target's where that is asked for.
fn target(
    options: &Options,
    scope: &Scope,
    identity: &Identity,
    inheritance: Inheritance,
    redirect: &mut Redirect,
    mut targets: Targets,
) -> Result<(Option<Waiting>, Presence, Target)> {
    let waiting = match &options.selection {
        Selection::Command(command) => Some(launch(command, scope.made(), identity, inheritance)?),
        _ => None,
    };
    let launched = waiting.as_ref().map(Waiting::pid);
    if scope.is_by_process() {
        follow_all(scope, launched, redirect, &mut targets)?;
    }
    let presence = Presence::new(scope.is_by_process().then_some(targets));
    Ok((waiting, presence, describe(&options.selection, scope, launched, identity)))
}

fn setting(scope: &Scope, connections: u64) -> Result<Setting> {
    let tasks = match task_offsets() {
        Ok(offsets) => Some(offsets),
        Err(error) if scope.is_by_process() => {
            let why = format!("this kernel does not let processes be told apart: {error}");
            return Err(ExpectedError::new(Exit::Host, why).help("capture the whole cgroup with --cgroup"));
        }
        Err(_) => None,
    };
    Ok(Setting {
        connections: u32::try_from(connections).unwrap_or(u32::MAX),
        by_process: scope.is_by_process(),
        tasks,
        ..Setting::default()
    })
}

/// Follows the target's processes, and the children they have. Those they fork meanwhile the kernel half adds,
/// since it follows already; so this ends when a look finds nobody new.
fn follow_all(
    scope: &Scope,
    launched: Option<Pid>,
    redirect: &mut Redirect,
    targets: &mut Targets,
) -> Result<()> {
    let mut known = BTreeSet::new();
    for _ in 0..ROUNDS {
        let new: Vec<Pid> =
            scope.processes().into_iter().chain(launched).filter(|pid| !known.contains(pid)).collect();
        if new.is_empty() {
            break;
        }
        for (pid, process) in host_numbers(redirect, &new)? {
            if !targets.add(process) {
                return Err(ExpectedError::new(Exit::Host, "the target has more processes than can be followed")
                    .help("capture the whole cgroup with --cgroup"));
            }
            // It may have exited before it was followed, and then nobody would remove it.
            if Process::find(pid).is_none() {
                targets.remove(process);
            }
        }
        known.extend(new);
    }
    Ok(())
}

/// The numbers in the initial pid namespace of processes known by their numbers in ours.
fn host_numbers(redirect: &mut Redirect, pids: &[Pid]) -> Result<Vec<(Pid, u32)>> {
    let numbers = pids.iter().map(|pid| (*pid, pid.as_raw().unsigned_abs()));
    if processes::pid_namespace(Pid::this()) == Some(INITIAL_PID_NAMESPACE) {
        return Ok(numbers.collect());
    }
    let found = redirect.find(&numbers.clone().map(|(_, number)| number).collect::<Vec<_>>())?;
    Ok(numbers.filter_map(|(pid, number)| Some((pid, *found.get(&number)?))).collect())
}

fn describe(
    selection: &Selection,
    scope: &Scope,
    launched: Option<Pid>,
    identity: &Identity,
) -> Target {
    let number = |pid: Pid| pid.as_raw().unsigned_abs();
    let text = |part: &OsString| part.to_string_lossy().into_owned();
    let cgroups = scope.cgroups().map(|(path, _)| path.display().to_string()).collect();
    match selection {
        Selection::Command(command) => Target {
            command: command.iter().map(text).collect(),
            pid: launched.map(number),
            user: identity.account.as_ref().map(|(name, _)| name.clone()),
            ..Target::default()
        },
        Selection::Processes(pids) => Target {
            command: pids.first().map(|&pid| command_line(pid)).unwrap_or_default(),
            pid: pids.first().copied().map(number),
            pids: pids.iter().copied().map(number).collect(),
            ..Target::default()
        },
        Selection::Cgroups(_) => Target { cgroups, ..Target::default() },
    }
}

/// As it was started, as far as it is text (proc_pid_cmdline(5)).
fn command_line(pid: Pid) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = bytes.split(|&byte| byte == 0).filter(|word| !word.is_empty());
    words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// Leaves this thread what it needs: for a launched CMD, which may be another user's, to pass on signals and to
/// remove its cgroup. The threads it starts write files as who owns the incident.
pub fn drop_privileges(identity: &Identity, launched: bool) {
    // The previous id is returned, and there is no error to look at (setfsuid(2)): files would be root's.
    setfsgid(identity.gid);
    setfsuid(identity.uid);
    let kept: &[Capability] =
        if launched { &[Capability::CAP_KILL, Capability::CAP_DAC_OVERRIDE] } else { &[] };
    privilege::drop_but(kept);
    privilege::gain_none();
}
