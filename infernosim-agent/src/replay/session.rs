//! A replay against a transparent target: the parts that run, in the order in which the data flows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::causes::Live as Causes;
use super::chosen::Chosen;
use super::driver::Driver;
use super::matcher::{MatchOptions, Matcher};
use super::minted::Minted;
use super::script::Script;
use super::sending::Notes;
use super::setup::{self, Prepared};
use super::stub::{FromKernel, Stub, StubSetup};
use super::target_log::TargetLog;
use super::{Judged, Options, runs};
use crate::capture::namespaces::{Follower, Following, Station};
use crate::capture::presence::Presence;
use crate::capture::setup::drop_privileges;
use crate::capture::signals::Signals;
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::reader::Incident;
use crate::privilege;
use crate::proxy::Listener;
use crate::redirect::{Beating, Gate, Redirect, Refused, Targets};
use crate::target::{Launcher, Scope, Selection};

/// How often connects that did not reach the stub are asked for.
const LOOK: Duration = Duration::from_millis(5);

/// The parts of a replay that run.
pub struct Session<'a> {
    /// What the user asked for.
    pub options: &'a Options,
    /// What is sent, and answered.
    pub script: Arc<Script>,
    /// What of it, when.
    pub chosen: Chosen,
    /// Where the target is.
    pub scope: Scope,
    /// Tells whether it is still there, where it was not started by us.
    pub presence: Presence,
    /// Starts CMD, if there is one.
    pub launcher: Option<Launcher>,
    /// Where CMD writes.
    pub log: Option<TargetLog>,
    /// The kernel half.
    pub redirect: Redirect,
    /// Whom it follows, where processes are the target.
    pub targets: Targets,
    /// Sends.
    pub driver: Driver,
    /// Answers.
    pub stub: Arc<Stub>,
    /// Which recorded call is which.
    pub matcher: Arc<Mutex<Matcher>>,
    /// Values that the target makes up.
    pub minted: Arc<Mutex<Minted>>,
    /// Which exchange made a call happen.
    pub causes: Causes,
    /// What was met while sending.
    pub notes: Arc<Mutex<Notes>>,
    /// What of the target's the recording did not see, by kind.
    pub unmediated: BTreeMap<String, u64>,
    /// What cannot be done here, and costs nothing but knowledge.
    pub remarks: Vec<String>,
    /// Tells of connects that did not reach the stub.
    refused: Arc<Mutex<Refused>>,
    gate: Gate,
    heartbeat: Beating,
    following: Following,
    watching: Watching,
}

/// Passes on what the kernel half refused, until it is dropped.
struct Watching {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Station for Stub {
    fn serve(&self, listener: Listener) -> Result<()> {
        Self::serve(self, listener, 1)
    }

    fn leave(&self, _namespace: u64) {}

    fn reap(&self) {}
}

/// Replays against the target that was named.
///
/// # Errors
/// Whatever keeps it from being done at all.
pub fn run(options: &Options, incident: &Incident, selection: &Selection) -> Result<Judged> {
    let (signals, blocked) = Signals::block()?;
    let script = Script::load(incident)?;
    let chosen = Chosen::of(&script, options)?;
    let prepared = setup::prepare(options, selection, blocked)?;
    let mut session = Session::start(prepared, options, script, chosen)?;
    session.unmediated = incident.manifest().map(|it| it.unmediated.clone()).unwrap_or_default();
    options.voice.say(|| format!("infernosim: replaying {}", options.incident.display()));
    let judged = runs::all(&mut session, &signals);
    session.end();
    judged
}

impl<'a> Session<'a> {
    /// Starts the threads, each with the privileges that it needs, and gives up those that are left.
    fn start(prepared: Prepared, options: &'a Options, script: Arc<Script>, chosen: Chosen) -> Result<Self> {
        let Prepared { scope, redirect, kernel, targets, listener, launcher, identity, notes: remarks } =
            prepared;
        let matching = MatchOptions {
            strict: options.strict,
            on_unmatched: options.on_unmatched,
            ignore: options.ignore.clone(),
        };
        let matcher = Arc::new(Mutex::new(Matcher::new(Arc::clone(&script), matching)));
        privilege::probe(|| kernel.namespaces.can_be_read());
        let mut tap = kernel.tap;
        let causes = Causes::new();
        let from_kernel =
            FromKernel { originals: Arc::new(kernel.original_dst), replay: Arc::new(kernel.replay) };
        let stub = Arc::new(Stub::start(StubSetup {
            script: Arc::clone(&script),
            matcher: Arc::clone(&matcher),
            causes: causes.clone(),
            kernel: Some(Arc::new(from_kernel)),
            time_scale: options.pace.time_scale,
            on_unmatched: options.on_unmatched,
            live: options.live.clone(),
        })?);
        let station: Arc<dyn Station> = Arc::clone(&stub) as _;
        let mut follower = Follower::new(station, kernel.namespaces, &listener)?.for_replay();
        scope.processes().into_iter().for_each(|process| follower.enter(process));
        let voice = options.voice;
        follower.complaints().into_iter().for_each(|text| voice.complain(&text));
        let following = follower.start(kernel.announced, move |text| voice.complain(&text))?;
        let ports = listener.ports();
        let ports = [ports.v4_port, ports.v6_port].map(|port| u16::try_from(port).unwrap_or(0));
        stub.serve(listener, crate::capture::relay_threads())?;
        let heartbeat = kernel.heartbeat.start().map_err(|error| no_thread("the heartbeat", &error))?;
        let refused = Arc::new(Mutex::new(kernel.refused));
        let watching = Watching::start(&refused, &stub)?;
        let driver = Driver::start(scope.processes().first().copied())?;
        kernel.gate.open();
        tap.switch.set(infernosim_common::tap::TapState::Off);
        if launcher.is_none() {
            let reset = setup::reset_older(&scope, ports, &mut tap.older)?;
            if reset > 0 {
                options.voice.complain(&format!("{reset} connections that the target had open were reset"));
            }
        }
        drop_privileges(&identity, true);
        privilege::wait_for_threads();
        let log = launcher.is_some().then(|| TargetLog::create(&options.incident)).transpose()?;
        Ok(Self {
            presence: Presence::new(None, &scope),
            minted: Arc::new(Mutex::new(Minted::new(Arc::clone(&script)))),
            notes: Arc::default(),
            gate: kernel.gate,
            options,
            script,
            chosen,
            scope,
            launcher,
            log,
            redirect,
            targets,
            driver,
            stub,
            matcher,
            causes,
            remarks,
            unmediated: BTreeMap::new(),
            refused,
            heartbeat,
            following,
            watching,
        })
    }

    /// Takes in what the kernel half has told of connects until now.
    pub fn hear(&self) {
        hear(&self.refused, &self.stub);
    }

    /// Packets that were dropped since the kernel half was loaded.
    pub fn leaks(&self) -> BTreeMap<String, u64> {
        self.redirect.leaks()
    }

    /// Connects by UNIX sockets, by kind.
    pub fn unix(&self) -> BTreeMap<String, u64> {
        self.redirect.unix_connects().into_iter().collect()
    }

    /// Takes it all apart again. CMD has ended.
    fn end(self) {
        self.gate.shut();
        self.following.stop();
        drop(self.watching);
        if let Ok(stub) = Arc::try_unwrap(self.stub) {
            stub.stop();
        }
        drop((self.heartbeat, self.redirect));
    }
}

impl Watching {
    fn start(refused: &Arc<Mutex<Refused>>, stub: &Arc<Stub>) -> Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let (told, refused, stub) = (Arc::clone(&over), Arc::clone(refused), Arc::clone(stub));
        let thread = privilege::thread("refused", move || {
            while !told.load(Ordering::Relaxed) {
                hear(&refused, &stub);
                std::thread::sleep(LOOK);
            }
        });
        Ok(Self { over, thread: Some(thread.map_err(|error| no_thread("refused connects", &error))?) })
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One at a time: what was refused first is told first.
fn hear(refused: &Mutex<Refused>, stub: &Stub) {
    let mut refused = locked(refused);
    while let Some(flow) = refused.take() {
        stub.refused(&flow);
    }
}

/// What a thread that panicked left is as good as it was.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn no_thread(what: &str, error: &std::io::Error) -> ExpectedError {
    ExpectedError::new(Exit::Host, format!("no thread for {what}: {error}"))
}
