use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;

use caps::Capability;

use super::launch::Prepared;
use super::stop;
use super::{Cgroup, Identity, Inheritance, Launched, Streams, Waiting};
use crate::error::{Exit, ExpectedError, Result};
use crate::privilege;

/// What it takes to launch CMD as another user into a cgroup of root's, and to end what is in it.
const KEPT: &[Capability] =
    &[Capability::CAP_SETUID, Capability::CAP_SETGID, Capability::CAP_DAC_OVERRIDE, Capability::CAP_KILL];

/// A thread that launches CMD, and ends it, as often as it is asked to, after the others have given up the privileges
/// for that. What it launches dies with it: a CMD under replay must not go on without us, with its calls let out.
#[derive(Debug)]
pub struct Launcher {
    orders: mpsc::Sender<Order>,
    /// Joined by nobody: it ends with the last sender, and takes CMD with it.
    _thread: JoinHandle<()>,
}

enum Order {
    Launch(Streams, mpsc::Sender<Result<Waiting>>),
    Stop(Launched, u64, mpsc::Sender<Option<i32>>),
}

impl Launcher {
    /// Starts it. To be called while this thread still has all its privileges and writes as nobody else.
    ///
    /// # Errors
    /// `Exit::Host` if the command cannot be one, or no thread be started.
    pub fn start(
        command: &[OsString],
        cgroup: Option<&Cgroup>,
        identity: &Identity,
        inheritance: Inheritance,
    ) -> Result<Self> {
        let mut prepared = Prepared::new(command, identity, inheritance)?;
        prepared.dies_with_us = true;
        let directory = cgroup.map(|cgroup| cgroup.directory().try_clone());
        let directory = directory.transpose().map_err(|error| cannot(&error))?;
        let path = cgroup.map(|cgroup| cgroup.path().to_owned());
        let (orders, received) = mpsc::channel();
        // A CMD of our own user may get all capabilities with execve. Had it fewer before, the kernel would forget that it is
        // to die with us (commit_creds: cred_cap_issubset).
        let kept = if identity.switch { KEPT.to_vec() } else { caps::all().into_iter().collect() };
        let thread = privilege::thread_to_launch("launcher", kept, move || {
            serve(&prepared, directory.as_ref(), path.as_ref(), &received);
        });
        Ok(Self { orders, _thread: thread.map_err(|error| cannot(&error))? })
    }

    /// Makes a process for CMD, as [`super::launch`] does.
    ///
    /// # Errors
    /// As that.
    pub fn launch(&self, streams: Streams) -> Result<Waiting> {
        let (told, heard) = mpsc::channel();
        let sent = self.orders.send(Order::Launch(streams, told));
        sent.map_err(|_| gone())?;
        heard.recv().map_err(|_| gone())?
    }

    /// Ends CMD and all that it has started, which is all that is in its cgroup: SIGTERM, and SIGKILL after `patience_ns`.
    /// Returns its status as a shell gives it.
    pub fn stop(&self, launched: Launched, patience_ns: u64) -> Option<i32> {
        let (told, heard) = mpsc::channel();
        self.orders.send(Order::Stop(launched, patience_ns, told)).ok()?;
        heard.recv().ok()?
    }
}

fn serve(
    prepared: &Prepared,
    directory: Option<&File>,
    path: Option<&PathBuf>,
    orders: &mpsc::Receiver<Order>,
) {
    for order in orders {
        match order {
            Order::Launch(streams, told) => {
                let _ = told.send(prepared.launch(directory, Some(&streams)));
            }
            Order::Stop(launched, patience_ns, told) => {
                let _ = told.send(stop::stop(&launched, path.map(PathBuf::as_path), patience_ns));
            }
        }
    }
}

fn cannot(error: &dyn std::fmt::Display) -> ExpectedError {
    ExpectedError::new(Exit::Host, format!("no thread to launch the command: {error}"))
}

fn gone() -> ExpectedError {
    ExpectedError::new(Exit::Bug, "the thread that launches the command is gone, a bug")
}

#[cfg(test)]
mod tests;
