use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::command::Command;
use super::report::{self, Outcome};
use super::selector::Selector;
use super::signals::Signals;
use super::{ending, recorder};
use crate::clock;
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::manifest::Target;
use crate::incident::{Budget, Full, Limits, Lines, Ownership, Rotation, Shelf, Totals, Writer};
use crate::proxy::{Limit, Listener, Pool, Relay, Setup, raise_open_files};
use crate::redirect::{Beating, Gate, Redirect};
use crate::seed::Ids;
use crate::target::{Cgroup, Identity, Inheritance, launch};

/// What to capture and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// CMD and its arguments.
    pub command: Vec<OsString>,
    /// The incident's directory.
    pub incident: PathBuf,
    /// Replace an incident that is there.
    pub force: bool,
    /// The user CMD runs as, if not who called.
    pub user: Option<String>,
    /// Memory for the recording, in bytes.
    pub buffer: u64,
    /// What is kept of bodies.
    pub limits: Limits,
    /// Where one incident ends and the next begins, if ever.
    pub rotation: Option<Rotation>,
    /// What is recorded.
    pub selector: Selector,
    /// How long open connections are relayed after the end, in ns.
    pub drain_ns: u64,
    /// Say nothing but errors.
    pub quiet: bool,
}

/// The parts of a capture that run, in the order in which the data flows.
struct Session {
    cgroup: Cgroup,
    redirect: Arc<Redirect>,
    gate: Arc<Gate>,
    heartbeat: Beating,
    relay: Relay,
    recorder: JoinHandle<Totals>,
    writer: Writer,
    full: Full,
}

/// Captures a launched CMD until it ends or a signal says so. Returns the status to exit with.
pub fn run(options: &Options) -> Result<i32> {
    let (signals, blocked) = Signals::block()?;
    let (open_files, connections) = raise_open_files();
    let identity = Identity::of_caller(options.user.as_deref())?;
    let cgroup = Cgroup::create()?;
    let (mut redirect, kernel) = Redirect::load(u32::try_from(connections).unwrap_or(u32::MAX))?;
    let listener = Listener::bind()?;
    redirect.listen(listener.namespace, listener.ports())?;
    redirect.attach(cgroup.directory())?;
    let owner = Ownership { uid: identity.uid, gid: identity.gid };
    let mut shelf = Shelf::create(&options.incident, owner, options.force, options.rotation)?;
    // The last moment with a single thread: the child is a copy of it.
    let inheritance = Inheritance { open_files, signals: blocked };
    let waiting = launch(&options.command, &cgroup, &identity, inheritance)?;

    let target = Target {
        command: options.command.iter().map(|part| part.to_string_lossy().into_owned()).collect(),
        pid: u32::try_from(waiting.pid().as_raw()).ok(),
        user: identity.account.as_ref().map(|(name, _)| name.clone()),
    };
    let redirect = Arc::new(redirect);
    let kernel_half = Arc::clone(&redirect);
    shelf.begin(report::manifest(target), Some(Box::new(move || report::left_alone(&kernel_half))));
    let buffer = usize::try_from(options.buffer).unwrap_or(usize::MAX);
    // One half for copies on their way to the recorder, the other for what waits for its end or for the disk.
    let (pool, copies, feed) = Pool::new(buffer / 2);
    let budget = Arc::new(Budget::new(buffer / 2));
    let (writer, outbox) = Writer::start(shelf, Arc::clone(&budget))?;
    let mut lines = Lines::new(outbox, budget, options.limits, Ids::from_system()?, clock::now());
    let full = Full::new()?;
    if let Some(rotation) = options.rotation {
        lines.rotate(rotation, full.clone());
    }
    if let Some(selects) = options.selector.clone().into_selects() {
        lines.select(selects);
    }
    let gate = Arc::new(kernel.gate);
    let limit = Limit::new(Arc::clone(&gate), connections);
    let original_dst = kernel.original_dst;
    let heartbeat = kernel
        .heartbeat
        .start()
        .map_err(|error| ExpectedError::new(Exit::Host, format!("no thread for the heartbeat: {error}")))?;
    let session = Session {
        cgroup,
        redirect,
        heartbeat,
        relay: Relay::start(Setup { listener, original_dst, limit, pool, copies })?,
        recorder: recorder::start(feed, kernel.refused, lines)?,
        gate,
        writer,
        full,
    };
    session.gate.open();
    say(options, || format!("infernosim: capturing into {}", options.incident.display()));
    match waiting.go() {
        Ok(launched) => session.until_the_end(Command::new(launched), &signals, options),
        Err(error) => {
            session.discard();
            Err(error)
        }
    }
}

impl Session {
    fn until_the_end(self, mut command: Command, signals: &Signals, options: &Options) -> Result<i32> {
        let mut signal = None;
        while command.status().is_none() && signal.is_none() && !self.full.is() {
            signal = signals.wait(command.ended_fd().into_iter().chain([self.full.as_fd()]), None);
        }
        self.gate.shut();
        if let Some(received) = signal {
            command.forward(received);
        }
        let cut = ending::drain(&self.relay, options.drain_ns, &self.cgroup, signals, &mut command);
        let (outcome, cgroup) = self.finish(cut, options)?;
        // A signal ends the capture, not CMD: it is ours to wait for, until another signal.
        while command.status().is_none() {
            if let Some(again) = signals.wait(command.ended_fd(), None) {
                command.forward(again);
                signal = Some(again);
                break;
            }
        }
        drop(cgroup);
        let status = command.status().or(signal.map(|received| 128 + received.signal as i32)).unwrap_or(1);
        Ok(if status == 0 && !outcome.is_complete() { Exit::Incident as i32 } else { status })
    }

    /// Writes everything out and detaches. The cgroup stays while CMD lives in it.
    fn finish(self, cut: u64, options: &Options) -> Result<(Outcome, Cgroup)> {
        let Self { cgroup, redirect, gate: _, heartbeat, relay, recorder, writer, full: _ } = self;
        relay.join();
        let totals = recorder.join().unwrap_or_default();
        let (mut shelf, written) = writer.join()?;
        shelf.close(&totals, &written);
        let outcome = Outcome { sums: shelf.into_sums(), cut };
        drop((heartbeat, redirect));
        say(options, || outcome.summary());
        if options.quiet && !outcome.is_complete() {
            eprintln!("infernosim: {}", outcome.faults());
        }
        Ok((outcome, cgroup))
    }

    /// CMD was not executed: nothing happened that is worth keeping.
    fn discard(self) {
        self.gate.shut();
        self.relay.abandon();
        self.relay.join();
        let _ = self.recorder.join();
        if let Ok((shelf, _)) = self.writer.join() {
            shelf.discard();
        }
    }
}

fn say(options: &Options, text: impl FnOnce() -> String) {
    if !options.quiet {
        eprintln!("{}", text());
    }
}
