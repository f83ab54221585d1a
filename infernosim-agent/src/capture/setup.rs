use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use caps::Capability;
use infernosim_common::TaskOffsets;
use nix::sys::signal::SigSet;

use super::presence::Presence;
use super::report;
use super::selector::Selector;
use super::voice::Voice;
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::manifest::{Manifest, Target};
use crate::incident::redact::Policy;
use crate::incident::{Limits, Ownership, Rotation, Shelf};
use crate::privilege;
use crate::proxy::{Listener, raise_open_files};
use crate::redirect::{Handles, Redirect, Setting, TapSetting, Targets, socket_offsets, task_offsets};
use crate::target::{Identity, Inheritance, Scope, Selection, Waiting, launch, processes};

/// Looks for children of the target before it is taken that none is missing.
const ROUNDS: usize = 8;

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
    /// Where one incident ends and the next begins, if ever.
    pub rotation: Option<Rotation>,
    /// Which names are secret; `None` stores everything as it was sent.
    pub redact: Option<Policy>,
    /// What is recorded.
    pub selector: Selector,
    /// How long to capture, in ns; for ever if `None`.
    pub duration_ns: Option<u64>,
    /// How long open connections are relayed after the end, in ns.
    pub drain_ns: u64,
    /// Reset connections of the target that are older than the capture.
    pub recycle: bool,
    /// How the tap works.
    pub tap: TapSetting,
    /// What is said of it.
    pub voice: Voice,
}

/// A capture that is attached and does nothing yet.
pub struct Prepared {
    /// Where it is attached.
    pub scope: Scope,
    /// The kernel half.
    pub redirect: Redirect,
    /// Its parts for the other threads.
    pub kernel: Handles,
    /// Where redirected connections of our own network namespace arrive, if any are redirected.
    pub listener: Option<Listener>,
    /// Where it is recorded.
    pub shelf: Shelf,
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
    let (mut redirect, kernel, targets) = Redirect::load(&setting(&scope, connections, options)?)?;
    let listener = if options.tap.outbound { None } else { Some(Listener::bind()?) };
    for (_, cgroup) in scope.cgroups() {
        redirect.attach(cgroup)?;
    }
    redirect.follow(scope.is_by_process())?;
    let unwatched = redirect.watch_unix().err();
    let threadless = redirect.watch_threads().err();
    exempt_ourselves(&mut redirect)?;
    let owner = Ownership { uid: identity.uid, gid: identity.gid };
    let mut shelf = Shelf::create(&options.incident, owner, options.force, options.rotation)?;
    unwatched.into_iter().chain(threadless).for_each(|why| shelf.note(why));
    // The last moment with a single thread: the child is a copy of it.
    let inheritance = Inheritance { open_files, signals: blocked };
    let target = target(options, &scope, &identity, inheritance, &mut redirect, targets);
    let (waiting, presence, target) = match target {
        Ok(target) => target,
        Err(error) => {
            shelf.discard();
            return Err(error);
        }
    };
    let manifest = report::manifest(target);
    Ok(Prepared {
        scope,
        redirect,
        kernel,
        listener,
        shelf,
        waiting,
        manifest,
        presence,
        identity,
        connections,
    })
}

/// Our own connections are never redirected.
pub fn exempt_ourselves(redirect: &mut Redirect) -> Result<()> {
    let found = host_numbers(redirect, &[std::process::id()]).unwrap_or_default();
    redirect.exempt(found.first().map_or(std::process::id(), |(_, process)| *process))
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
    let launched = waiting.as_ref().map(|waiting| waiting.pid().as_raw().unsigned_abs());
    if scope.is_by_process() {
        follow_all(scope, launched, redirect, &mut targets)?;
    }
    let presence = Presence::new(scope.is_by_process().then_some(targets), scope);
    Ok((waiting, presence, describe(&options.selection, scope, launched, identity)))
}

/// Where this kernel keeps what is needed of a task, if that is known.
///
/// # Errors
/// `Exit::Host` if it is not, and processes are the target.
pub fn tasks(scope: &Scope) -> Result<Option<TaskOffsets>> {
    match task_offsets() {
        Ok(offsets) => Ok(Some(offsets)),
        Err(error) if scope.is_by_process() => {
            let why = format!("this kernel does not let processes be told apart: {error}");
            Err(ExpectedError::new(Exit::Host, why).help("take the whole cgroup with --cgroup"))
        }
        Err(_) => Ok(None),
    }
}

fn setting(scope: &Scope, connections: u64, options: &Options) -> Result<Setting> {
    let (only, exclude) = options.selector.ports();
    Ok(Setting {
        connections: u32::try_from(connections).unwrap_or(u32::MAX),
        by_process: scope.is_by_process(),
        tasks: tasks(scope)?,
        sockets: socket_offsets(),
        only_ports: only.map(|ports| ports.into_iter().collect()),
        exclude_ports: exclude.into_iter().collect(),
        tap: options.tap,
        replay: None,
        inject: false,
    })
}

/// Follows the target's processes, and the children they have. Those they fork meanwhile the kernel half adds,
/// since it follows already; so this ends when a look finds nobody new.
pub fn follow_all(
    scope: &Scope,
    launched: Option<u32>,
    redirect: &mut Redirect,
    targets: &mut Targets,
) -> Result<()> {
    // We may be a child of the target's, a shell's for one, and are not the target.
    let mut known = BTreeSet::from([std::process::id()]);
    for _ in 0..ROUNDS {
        let new: Vec<u32> =
            scope.processes().into_iter().chain(launched).filter(|pid| !known.contains(pid)).collect();
        if new.is_empty() {
            break;
        }
        for (pid, process) in host_numbers(redirect, &new)? {
            if !targets.add(process) {
                return Err(ExpectedError::new(
                    Exit::Host,
                    "the target has more processes than can be followed",
                )
                .help("capture the whole cgroup with --cgroup"));
            }
            // It may have exited before it was followed, and then nobody would remove it.
            if !processes::exists(pid) {
                targets.remove(process);
            }
        }
        known.extend(new);
    }
    Ok(())
}

/// The numbers in the initial pid namespace of processes known by their numbers in ours.
pub fn host_numbers(redirect: &mut Redirect, pids: &[u32]) -> Result<Vec<(u32, u32)>> {
    if processes::in_initial_namespace() {
        return Ok(pids.iter().map(|&pid| (pid, pid)).collect());
    }
    Ok(redirect.find(pids)?.into_iter().collect())
}

fn describe(selection: &Selection, scope: &Scope, launched: Option<u32>, identity: &Identity) -> Target {
    let text = |part: &OsString| part.to_string_lossy().into_owned();
    let cgroups = scope.cgroups().map(|(path, _)| path.display().to_string()).collect();
    match selection {
        Selection::Command(command) => Target {
            command: command.iter().map(text).collect(),
            pid: launched,
            user: identity.account.as_ref().map(|(name, _)| name.clone()),
            ..Target::default()
        },
        Selection::Processes(pids) => Target {
            command: pids.first().map(|&pid| processes::command_line(pid)).unwrap_or_default(),
            pid: pids.first().copied(),
            pids: pids.clone(),
            ..Target::default()
        },
        Selection::Cgroups(_) => Target { cgroups, ..Target::default() },
    }
}

/// Leaves this thread what it needs: for a launched CMD, which may be another user's, to pass on signals and to
/// remove its cgroup.
pub fn drop_privileges(identity: &Identity, launched: bool) {
    privilege::write_as(identity.uid, identity.gid);
    let kept: &[Capability] =
        if launched { &[Capability::CAP_KILL, Capability::CAP_DAC_OVERRIDE] } else { &[] };
    privilege::drop_but(kept);
    privilege::gain_none();
}
