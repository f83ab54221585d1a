//! What takes privileges: the kernel half, the cgroup, the launcher of CMD.

use std::ffi::OsString;

use nix::sys::signal::SigSet;

use super::Options;
use super::matcher::OnUnmatched;
use crate::capture::older;
use crate::capture::setup::{exempt_ourselves, follow_all, tasks};
use crate::error::{Exit, ExpectedError, Result};
use crate::proxy::{Listener, raise_open_files};
use crate::redirect::{
    Handles, OlderRoles, Redirect, ReplaySetting, Setting, TapSetting, Targets, socket_offsets,
};
use crate::target::{Identity, Inheritance, Launcher, Scope, Selection};

/// Of the kernel half's ring: only who reads and writes is told in it.
const RING: u32 = 1 << 20;

/// A replay that is attached and does nothing yet.
pub struct Prepared {
    /// Where it is attached.
    pub scope: Scope,
    /// The kernel half.
    pub redirect: Redirect,
    /// Its parts for the other threads.
    pub kernel: Handles,
    /// Whom it follows, where processes are the target.
    pub targets: Targets,
    /// Where redirected connections of our own network namespace arrive.
    pub listener: Listener,
    /// Starts CMD, if there is one.
    pub launcher: Option<Launcher>,
    /// Whose the results are.
    pub identity: Identity,
    /// What the kernel half cannot do here, and what costs nothing but knowledge.
    pub notes: Vec<String>,
}

/// Loads and attaches. Leaves nothing where it fails.
pub fn prepare(options: &Options, selection: &Selection, blocked: SigSet) -> Result<Prepared> {
    let (open_files, connections) = raise_open_files();
    let identity = Identity::of_caller(options.user.as_deref())?;
    let scope = match &options.into {
        Some(cgroup) => Scope::given(cgroup)?,
        None => Scope::of(selection)?,
    };
    let (mut redirect, kernel, mut targets) = Redirect::load(&setting(&scope, connections, options)?)?;
    let listener = Listener::bind_for_replay()?;
    let mut notes = Vec::new();
    for (_, cgroup) in scope.cgroups() {
        redirect.attach(cgroup)?;
        notes.extend(redirect.refuse_unix_resolvers(cgroup).err());
    }
    redirect.follow(scope.is_by_process())?;
    notes.extend(redirect.watch_unix().err());
    notes.extend(redirect.watch_threads().err());
    exempt_ourselves(&mut redirect)?;
    let launcher = match selection {
        Selection::Command(command) => Some(launcher(command, &scope, &identity, open_files, blocked)?),
        _ => None,
    };
    if scope.is_by_process() && launcher.is_none() {
        follow_all(&scope, None, &mut redirect, &mut targets)?;
    }
    Ok(Prepared { scope, redirect, kernel, targets, listener, launcher, identity, notes })
}

fn launcher(
    command: &[OsString],
    scope: &Scope,
    identity: &Identity,
    open_files: (u64, u64),
    signals: SigSet,
) -> Result<Launcher> {
    Launcher::start(command, scope.made(), identity, Inheritance { open_files, signals })
}

fn setting(scope: &Scope, connections: u64, options: &Options) -> Result<Setting> {
    Ok(Setting {
        connections: u32::try_from(connections).unwrap_or(u32::MAX),
        by_process: scope.is_by_process(),
        tasks: tasks(scope)?,
        sockets: socket_offsets(),
        tap: TapSetting { ring: RING, ..TapSetting::default() },
        replay: Some(ReplaySetting { deny: options.on_unmatched != OnUnmatched::Passthrough }),
        ..Setting::default()
    })
}

/// Tells the kernel half what a running target has open, so that what its clients sent is answered; or resets what it has
/// open to its dependencies: those connections would answer from outside. The first is to be done before connects are
/// redirected, the second once they are.
///
/// # Errors
/// `Exit::Host` if one of them cannot be reset.
pub fn older(scope: &Scope, listener_ports: [u16; 2], roles: &mut OlderRoles, reset: bool) -> Result<u64> {
    let plan = older::Plan {
        processes: &scope.processes(),
        ports: listener_ports.into(),
        recycle: reset,
        tapped: false,
        launched: false,
        cgroups: scope.cgroup_ids(),
    };
    let survey = older::survey(&plan, roles);
    match survey.unmediated.get("older-connections") {
        Some(open) if reset && *open > 0 => {
            let why = survey.complaints.join("; ");
            Err(ExpectedError::new(
                Exit::Host,
                format!("{open} connections that the target has open cannot be reset: {why}"),
            )
            .help("let infernosim start the service: infernosim replay … -- CMD"))
        }
        _ => Ok(survey.recycled),
    }
}
