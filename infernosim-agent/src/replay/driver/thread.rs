use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use super::idle::Idle;
use super::run::run;
use super::{Driven, Job, Progress};
use crate::error::{Exit, ExpectedError, Result};
use crate::privilege;
use crate::replay::seen::End;
use crate::target::within_namespace_of;

/// The thread that sends, one run after the other.
#[derive(Debug)]
pub struct Driver {
    jobs: mpsc::Sender<Begun>,
    /// How long its thread had nothing to do.
    pub idle: Arc<Idle>,
    /// Joined by nobody: it ends with the last sender.
    _thread: JoinHandle<()>,
}

/// A run on its way to the thread.
struct Begun {
    job: Job,
    stop: watch::Receiver<Option<End>>,
    progress: Arc<Progress>,
    done: mpsc::Sender<Driven>,
    ended: Arc<EventFd>,
}

/// A run that was begun.
#[derive(Debug)]
pub struct Running {
    /// How far it is.
    pub progress: Arc<Progress>,
    stop: Stop,
    done: mpsc::Receiver<Driven>,
    ended: Arc<EventFd>,
}

/// Ends a run from outside.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<Option<End>>>);

impl Stop {
    /// Ends it for this reason, unless it is ending for another. `End::TargetExited` closes what is in flight.
    pub fn end(&self, end: End) {
        self.0.send_if_modified(|reason| {
            let first = reason.is_none();
            reason.get_or_insert(end);
            first
        });
    }
}

impl Driver {
    /// Starts it, to connect from the network namespace of this process, else from ours. To be called while we may still
    /// enter other namespaces.
    ///
    /// # Errors
    /// `Exit::Host` if the namespace cannot be entered or no thread be started.
    pub fn start(namespace_of: Option<u32>) -> Result<Self> {
        let (jobs, begun) = mpsc::channel::<Begun>();
        let (idle, mut builder) = (Arc::new(Idle::default()), Builder::new_current_thread());
        idle.watch(builder.enable_all());
        let runtime = builder.build().map_err(|error| cannot(&error))?;
        let start = || {
            let thread = privilege::thread("driver", move || serve(&runtime, &begun));
            thread.map_err(|error| cannot(&error))
        };
        // A thread is in the namespace of the one that started it.
        let thread = match namespace_of {
            Some(process) => within_namespace_of(process, start).map_err(|error| {
                let message = format!("in the network namespace of process {process}: {}", error.message);
                ExpectedError { message, ..error }
            })?,
            None => start()?,
        };
        Ok(Self { jobs, idle, _thread: thread })
    }

    /// Begins a run. One after the other.
    ///
    /// # Errors
    /// `Exit::Host` if there is no descriptor left; `Exit::Bug` if the thread is gone.
    pub fn begin(&self, job: Job) -> Result<Running> {
        let (stop, stopped) = watch::channel(None);
        let (done, result) = mpsc::channel();
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let ended = Arc::new(EventFd::from_flags(flags).map_err(|error| cannot(&error))?);
        let progress = Arc::new(Progress::default());
        let (told, shown) = (Arc::clone(&ended), Arc::clone(&progress));
        let begun = Begun { job, stop: stopped, progress: shown, done, ended: told };
        self.jobs.send(begun).map_err(|_| died())?;
        Ok(Running { progress, stop: Stop(Arc::new(stop)), done: result, ended })
    }
}

impl Running {
    /// What ends it from outside.
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Readable once it is over.
    pub fn ended_fd(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }

    /// What became of it, once it is over.
    pub fn outcome(&self) -> Option<Result<Driven>> {
        match self.done.try_recv() {
            Ok(driven) => Some(Ok(driven)),
            Err(mpsc::TryRecvError::Empty) => None,
            Err(mpsc::TryRecvError::Disconnected) => Some(Err(died())),
        }
    }

    /// Waits for it.
    ///
    /// # Errors
    /// `Exit::Bug` if the thread is gone.
    pub fn wait(self) -> Result<Driven> {
        self.done.recv().map_err(|_| died())
    }
}

fn serve(runtime: &Runtime, begun: &mpsc::Receiver<Begun>) {
    for Begun { job, stop, progress, done, ended } in begun {
        // Dropped with the sender of the outcome if this panics: whoever polls it looks then.
        let telling = Telling(ended);
        let driven = runtime.block_on(run(job, stop, progress));
        let _ = done.send(driven);
        drop((done, telling));
    }
}

/// Makes the descriptor readable, whatever happened.
struct Telling(Arc<EventFd>);

impl Drop for Telling {
    fn drop(&mut self) {
        let _ = self.0.write(1);
    }
}

fn cannot(error: &dyn std::fmt::Display) -> ExpectedError {
    ExpectedError::new(Exit::Host, format!("requests cannot be sent: {error}"))
}

fn died() -> ExpectedError {
    ExpectedError::new(Exit::Bug, "the thread that sends requests is gone, a bug")
}
