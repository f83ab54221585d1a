use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use infernosim_common::Counter;

use super::command::Command;
use super::report::{self, Outcome};
use super::signals::Signals;
use super::{ending, recorder};
use crate::clock;
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::manifest::{Manifest, Target};
use crate::incident::redact::{Policy, Redaction};
use crate::incident::{Budget, Limits, Lines, Ownership, Store, Totals, Writer};
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
    /// Which names are secret; `None` stores everything as it was sent.
    pub redact: Option<Policy>,
    /// How long open connections are relayed after the end, in ns.
    pub drain_ns: u64,
    /// Say nothing but errors.
    pub quiet: bool,
}

/// The parts of a capture that run, in the order in which the data flows.
struct Session {
    cgroup: Cgroup,
    redirect: Redirect,
    gate: Arc<Gate>,
    heartbeat: Beating,
    relay: Relay,
    recorder: JoinHandle<Totals>,
    writer: Writer,
    store: Arc<Store>,
    manifest: Manifest,
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
    let store = Arc::new(Store::create(&options.incident, owner, options.force)?);
    // The last moment with a single thread: the child is a copy of it.
    let inheritance = Inheritance { open_files, signals: blocked };
    let waiting = launch(&options.command, &cgroup, &identity, inheritance)?;

    let target = Target {
        command: options.command.iter().map(|part| part.to_string_lossy().into_owned()).collect(),
        pid: u32::try_from(waiting.pid().as_raw()).ok(),
        user: identity.account.as_ref().map(|(name, _)| name.clone()),
    };
    let redaction = Redaction::new(options.redact.clone())?;
    let mut manifest = report::manifest(target);
    redaction.describe(&mut manifest);
    let buffer = usize::try_from(options.buffer).unwrap_or(usize::MAX);
    // One half for copies on their way to the recorder, the other for what waits for its end or for the disk.
    let (pool, copies, feed) = Pool::new(buffer / 2);
    let budget = Arc::new(Budget::new(buffer / 2));
    let (writer, outbox) = Writer::start(Arc::clone(&store), Arc::clone(&budget))?;
    let lines = Lines::new(outbox, budget, options.limits, &redaction, Ids::from_system()?, clock::now());
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
        store,
        manifest,
    };
    save(&session.store, &session.manifest);
    session.gate.open();
    say(options, || format!("infernosim: capturing into {}", session.store.path().display()));
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
        while command.status().is_none() && signal.is_none() {
            signal = signals.wait(command.ended_fd(), None);
        }
        self.gate.shut();
        if let Some(received) = signal {
            command.forward(received);
        }
        let cut = ending::drain(&self.relay, options.drain_ns, &self.cgroup, signals, &mut command);
        let (outcome, cgroup) = self.finish(cut, options);
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
    fn finish(self, cut: u64, options: &Options) -> (Outcome, Cgroup) {
        let Self { cgroup, redirect, gate: _, heartbeat, relay, recorder, writer, store, mut manifest } =
            self;
        relay.join();
        let totals = recorder.join().unwrap_or_default();
        let outcome = Outcome {
            totals,
            written: writer.join(),
            unmediated: report::unmediated(&redirect),
            cut,
            unseen_refusals: redirect.count(Counter::RefusalUnseen),
        };
        drop((heartbeat, redirect));
        outcome.close(&mut manifest, &store);
        save(&store, &manifest);
        say(options, || outcome.summary(&store));
        if options.quiet && !outcome.is_complete() {
            eprintln!("infernosim: the recording is incomplete: {}", outcome.loss());
        }
        (outcome, cgroup)
    }

    /// CMD was not executed: nothing happened that is worth keeping.
    fn discard(self) {
        self.gate.shut();
        self.relay.abandon();
        self.relay.join();
        let _ = (self.recorder.join(), self.writer.join());
        self.store.discard();
    }
}

fn say(options: &Options, text: impl FnOnce() -> String) {
    if !options.quiet {
        eprintln!("{}", text());
    }
}

/// The incident can be read without its manifest, so this is no reason to end.
fn save(store: &Store, manifest: &Manifest) {
    if let Err(error) = store.save(manifest) {
        eprintln!("infernosim: incident.json cannot be written: {error}");
    }
}
