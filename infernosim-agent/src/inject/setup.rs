//! What takes privileges: the kernel half, the cgroup, CMD's process.

use nix::sys::signal::SigSet;

use super::Options;
use crate::capture::presence::Presence;
use crate::capture::setup::{exempt_ourselves, follow_all, tasks};
use crate::error::Result;
use crate::proxy::{Listener, raise_open_files};
use crate::redirect::{Handles, Redirect, ReplaySetting, Setting, TapSetting, socket_offsets};
use crate::target::{Identity, Inheritance, Scope, Selection, Waiting, launch};

/// Of the kernel half's ring, which tells nothing here.
const RING: u32 = 1 << 16;

/// What is attached and does nothing yet.
pub struct Prepared {
    /// Where it is attached.
    pub scope: Scope,
    /// The kernel half.
    pub redirect: Redirect,
    /// Its parts for the other threads.
    pub kernel: Handles,
    /// Where redirected connections of our own network namespace arrive.
    pub listener: Listener,
    /// CMD before its first instruction.
    pub waiting: Option<Waiting>,
    /// Tells when nobody is left.
    pub presence: Presence,
    /// Whose the ledger is.
    pub identity: Identity,
}

/// Loads and attaches. Leaves nothing where it fails.
pub fn prepare(options: &Options, selection: &Selection, blocked: SigSet) -> Result<Prepared> {
    let (open_files, connections) = raise_open_files();
    let identity = Identity::of_caller(options.user.as_deref())?;
    let scope = Scope::of(selection)?;
    let (mut redirect, kernel, mut targets) = Redirect::load(&setting(&scope, connections)?)?;
    let listener = Listener::bind_for_replay()?;
    for (_, cgroup) in scope.cgroups() {
        redirect.attach(cgroup)?;
    }
    redirect.follow(scope.is_by_process())?;
    exempt_ourselves(&mut redirect)?;
    // The last moment with a single thread: the child is a copy of it.
    let inheritance = Inheritance { open_files, signals: blocked };
    let waiting = match selection {
        Selection::Command(command) => Some(launch(command, scope.made(), &identity, inheritance)?),
        _ => None,
    };
    if scope.is_by_process() {
        let launched = waiting.as_ref().map(|waiting| waiting.pid().as_raw().unsigned_abs());
        follow_all(&scope, launched, &mut redirect, &mut targets)?;
    }
    let presence = Presence::new(scope.is_by_process().then_some(targets), &scope);
    Ok(Prepared { scope, redirect, kernel, listener, waiting, presence, identity })
}

fn setting(scope: &Scope, connections: u64) -> Result<Setting> {
    Ok(Setting {
        connections: u32::try_from(connections).unwrap_or(u32::MAX),
        by_process: scope.is_by_process(),
        tasks: tasks(scope)?,
        sockets: socket_offsets(),
        tap: TapSetting { ring: RING, ..TapSetting::default() },
        replay: Some(ReplaySetting { deny: false }),
        inject: true,
        ..Setting::default()
    })
}
