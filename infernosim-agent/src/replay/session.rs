//! The parts of a replay that run, in the order in which the data flows.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use infernosim_common::Counter;
use infernosim_common::tap::TapState;

use super::causes::{Live as Causes, Touches};
use super::chosen::Chosen;
use super::driver::Driver;
use super::matcher::{MatchOptions, Matcher};
use super::script::Script;
use super::setup::{self, Prepared};
use super::stub::{Explicitly, FromKernel, Kernel, Stub, StubSetup};
use super::{Judged, Options, runs};
use crate::capture::namespaces::{Follower, Following, Station};
use crate::capture::presence::Presence;
use crate::capture::relay_threads;
use crate::capture::setup::drop_privileges;
use crate::capture::signals::Signals;
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::reader::Incident;
use crate::privilege::{self, Repeating};
use crate::proxy::Listener;
use crate::redirect::{Beating, Gate, Redirect, Refused, Targets};
use crate::target::{Cgroup, Launcher, Output, Scope};

/// What CMD writes in a replay, in the incident's directory.
const TARGET_LOG: &str = "target.log";
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
    /// The target, unless it was told of explicit stubs and is somebody else's.
    pub target: Option<Target>,
    /// Sends.
    pub driver: Driver,
    /// Answers.
    pub stub: Arc<Stub>,
    /// Which recorded call is which.
    pub matcher: Arc<Mutex<Matcher>>,
    /// Which exchange made a call happen.
    pub causes: Causes,
    /// What of the target's the recording did not see, by kind.
    pub unmediated: BTreeMap<String, u64>,
}

/// A transparent target, and what holds it.
pub struct Target {
    /// Where it is.
    pub scope: Scope,
    /// Tells whether it is still there, where it was not started by us.
    pub presence: Presence,
    /// Starts CMD, if there is one.
    pub launcher: Option<Launcher>,
    /// Where CMD writes.
    pub output: Option<Output>,
    /// The kernel half; its counters are read from other threads, too.
    pub redirect: Arc<Mutex<Redirect>>,
    /// Whom it follows, where processes are the target.
    pub targets: Targets,
    /// What cannot be done here, and costs nothing but knowledge.
    pub remarks: Vec<String>,
    /// Tells of connects that did not reach the stub.
    refused: Arc<Mutex<Refused>>,
    gate: Gate,
    heartbeat: Beating,
    following: Following,
    watching: Repeating,
}

impl Station for Stub {
    fn serve(&self, listener: Listener) -> Result<()> {
        Self::serve(self, listener, 1)
    }

    fn leave(&self, _namespace: u64) {}

    fn reap(&self) {}
}

/// Replays against the target that was named, or without one against whoever was told of our stubs.
///
/// # Errors
/// Whatever keeps it from being done at all.
pub fn run(options: &Options, incident: &Incident) -> Result<Judged> {
    let (signals, blocked) = Signals::block()?;
    let script = Script::load(incident)?;
    let chosen = Chosen::of(&script, options)?;
    let mut session = match &options.selection {
        Some(selection) => {
            let prepared = setup::prepare(options, selection, blocked)?;
            Session::transparent(prepared, options, script, chosen)?
        }
        None => Session::explicit(options, script, chosen)?,
    };
    session.unmediated = incident.manifest().map(|it| it.unmediated.clone()).unwrap_or_default();
    options.voice.say(|| {
        let seed = match options.faults.is_empty() {
            true => String::new(),
            false => format!(", with faults, --seed {}", options.faults.seed()),
        };
        format!("infernosim: replaying {}{seed}", options.incident.display())
    });
    session.script.notes().iter().for_each(|text| options.voice.complain(text));
    let judged = runs::all(&mut session, &signals);
    session.end();
    judged
}

impl<'a> Session<'a> {
    /// Starts the threads, each with the privileges that it needs, and gives up those that are left.
    fn transparent(
        prepared: Prepared,
        options: &'a Options,
        script: Arc<Script>,
        chosen: Chosen,
    ) -> Result<Self> {
        let Prepared { scope, redirect, kernel, targets, listener, launcher, identity, notes: remarks } =
            prepared;
        privilege::probe(|| kernel.namespaces.can_be_read());
        let mut tap = kernel.tap;
        let redirect = Arc::new(Mutex::new(redirect));
        let counters = Arc::clone(&redirect);
        let lost = Box::new(move || locked(&counters).count(Counter::TapLost));
        let causes = Causes::new(Some(Touches { ring: tap.ring, loose: tap.loose, lost }));
        let from_kernel =
            FromKernel { originals: Arc::new(kernel.original_dst), replay: Arc::new(kernel.replay) };
        let (stub, matcher) = answering(options, &script, &causes, Some(Arc::new(from_kernel)))?;
        let station: Arc<dyn Station> = Arc::clone(&stub) as _;
        let mut follower = Follower::new(station, kernel.namespaces, &listener)?.for_replay();
        scope.processes().into_iter().for_each(|process| follower.enter(process));
        let voice = options.voice;
        follower.complaints().into_iter().for_each(|text| voice.complain(&text));
        let following = follower.start(kernel.announced, move |text| voice.complain(&text))?;
        let ports = listener.ports();
        let ports = [ports.v4_port, ports.v6_port].map(|port| u16::try_from(port).unwrap_or(0));
        stub.serve(listener, relay_threads())?;
        let heartbeat = kernel.heartbeat.start().map_err(|error| no_thread("the heartbeat", &error))?;
        let refused = Arc::new(Mutex::new(kernel.refused));
        let watching = watch(&refused, &stub)?;
        let driver = Driver::start(scope.processes().first().copied())?;
        if launcher.is_none() {
            setup::older(&scope, ports, &mut tap.older, false)?;
        }
        tap.switch.set(TapState::Touches);
        kernel.gate.open();
        if launcher.is_none() {
            let reset = setup::older(&scope, ports, &mut tap.older, true)?;
            if reset > 0 {
                voice.complain(&format!("{reset} connections that the target had open were reset"));
            }
        }
        let log = options.incident.join(TARGET_LOG);
        let output = launcher.is_some().then(|| Output::open(&log, &identity)).transpose()?;
        drop_privileges(&identity, true);
        privilege::wait_for_threads();
        let target = Target {
            presence: Presence::new(None, &scope),
            gate: kernel.gate,
            scope,
            launcher,
            output,
            redirect,
            targets,
            remarks,
            refused,
            heartbeat,
            following,
            watching,
        };
        Ok(Self::of(options, script, chosen, (driver, stub, matcher, causes), Some(target)))
    }

    /// Starts stubs for whoever was told of them. Takes no privileges.
    fn explicit(options: &'a Options, script: Arc<Script>, chosen: Chosen) -> Result<Self> {
        let causes = Causes::new(None);
        let (stub, matcher) = answering(options, &script, &causes, None)?;
        let listeners =
            [(&options.stub_listen, Explicitly::Server), (&options.stub_compat_listen, Explicitly::Proxy)];
        for (addresses, how) in listeners {
            for address in addresses {
                stub.listen(listen(*address)?, how)?;
            }
        }
        Ok(Self::of(options, script, chosen, (Driver::start(None)?, stub, matcher, causes), None))
    }

    fn of(
        options: &'a Options,
        script: Arc<Script>,
        chosen: Chosen,
        (driver, stub, matcher, causes): (Driver, Arc<Stub>, Arc<Mutex<Matcher>>, Causes),
        target: Option<Target>,
    ) -> Self {
        let unmediated = BTreeMap::new();
        Self { options, script, chosen, target, driver, stub, matcher, causes, unmediated }
    }

    /// Takes it all apart again. CMD has ended.
    fn end(self) {
        if let Some(target) = self.target {
            target.gate.shut();
            target.following.stop();
            drop((target.watching, target.heartbeat));
        }
        drop(self.driver);
        if let Ok(stub) = Arc::try_unwrap(self.stub) {
            stub.stop();
        }
    }

    /// CMD is ours to start and to end.
    pub fn launches(&self) -> bool {
        self.target.as_ref().is_some_and(|target| target.launcher.is_some())
    }

    /// The target's processes, as far as we know them.
    pub fn processes(&self) -> Vec<u32> {
        self.target.as_ref().map(|target| target.scope.processes()).unwrap_or_default()
    }

    /// The one cgroup in which all is the target, if there is one.
    pub fn cgroup(&self) -> Option<&Path> {
        let scope = &self.target.as_ref()?.scope;
        let mut whole = scope.cgroups().map(|(path, _)| path).filter(|_| !scope.is_by_process());
        let named = whole.next().filter(|_| whole.next().is_none());
        scope.made().map(Cgroup::path).or(named)
    }

    /// Whether nobody of a target that runs already is left.
    pub fn is_gone(&self) -> bool {
        self.target.as_ref().is_some_and(|target| match target.scope.is_by_process() {
            // Others may live in its cgroup.
            true => target.launcher.is_none() && target.targets.is_empty(),
            false => target.presence.is_gone(&target.scope),
        })
    }

    /// Takes in what the kernel half has told of connects until now.
    pub fn hear(&self) {
        if let Some(target) = &self.target {
            hear(&target.refused, &self.stub);
        }
    }

    /// Packets that were dropped since the kernel half was loaded.
    pub fn leaks(&self) -> BTreeMap<String, u64> {
        self.target.as_ref().map(|target| locked(&target.redirect).leaks()).unwrap_or_default()
    }

    /// Connects by UNIX sockets, by kind.
    pub fn unix(&self) -> BTreeMap<String, u64> {
        self.target.as_ref().map(|target| locked(&target.redirect).unix_connects()).unwrap_or_default()
    }
}

/// The stub, and what tells it which call is which.
fn answering(
    options: &Options,
    script: &Arc<Script>,
    causes: &Causes,
    kernel: Option<Arc<dyn Kernel>>,
) -> Result<(Arc<Stub>, Arc<Mutex<Matcher>>)> {
    let matching = MatchOptions {
        strict: options.strict,
        on_unmatched: options.on_unmatched,
        ignore: options.ignore.clone(),
        copies: options.pace.fanout,
    };
    let matcher = Arc::new(Mutex::new(Matcher::new(Arc::clone(script), matching)));
    let stub = Stub::start(StubSetup {
        script: Arc::clone(script),
        matcher: Arc::clone(&matcher),
        causes: causes.clone(),
        kernel,
        time_scale: options.pace.time_scale,
        on_unmatched: options.on_unmatched,
        live: options.live.clone(),
        faults: Arc::clone(&options.faults),
    })?;
    Ok((Arc::new(stub), matcher))
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| {
        let help = match error.kind() {
            std::io::ErrorKind::PermissionDenied => "only root listens on such a port: choose one from 1024",
            _ => "stop who listens there, or choose another port",
        };
        ExpectedError::new(Exit::Host, format!("cannot listen on {address}: {error}"))
            .help(format!("{help}: --stub-listen, --stub-compat-listen"))
    })
}

/// Passes on what the kernel half refused, until it is dropped.
fn watch(refused: &Arc<Mutex<Refused>>, stub: &Arc<Stub>) -> Result<Repeating> {
    let (refused, stub) = (Arc::clone(refused), Arc::clone(stub));
    let watching = privilege::repeat("refused", LOOK, move || hear(&refused, &stub));
    watching.map_err(|error| no_thread("refused connects", &error))
}

/// One at a time: what was refused first is told first.
fn hear(refused: &Mutex<Refused>, stub: &Stub) {
    let mut refused = locked(refused);
    while let Some(flow) = refused.take() {
        stub.refused(&flow);
    }
    stub.look_at_clock();
}

/// What a thread that panicked left is as good as it was.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn no_thread(what: &str, error: &std::io::Error) -> ExpectedError {
    ExpectedError::new(Exit::Host, format!("no thread for {what}: {error}"))
}
