//! The parts that run, and their end.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use super::control::Control;
use super::engine::Engine;
use super::names::Names;
use super::rules::{self, Rules};
use super::setup::{self, Prepared};
use super::shared::Shared;
use super::toxiproxy::Api;
use super::unmediated::{self, Kinds};
use super::{Options, connects, ledger, written};
use crate::capture::command::Command;
use crate::capture::ending::Until;
use crate::capture::namespaces::{Follower, Following, Station};
use crate::capture::presence::Presence;
use crate::capture::relay_threads;
use crate::capture::setup::drop_privileges;
use crate::capture::signals::Signals;
use crate::clock::{self, Nanos};
use crate::error::{Exit, ExpectedError, Result};
use crate::privilege::{self, Repeating};
use crate::redirect::{Beating, Gate, OlderRoles, Redirect, Refused};
use crate::target::{CgroupName, Scope, Selection, Waiting};

/// How often connects that did not reach us are asked for.
pub(super) const LOOK: Duration = Duration::from_millis(5);
/// The same while connections come to their end.
const DRAIN_MS: u16 = 10;
/// Where no process of the target is left nobody waits for answers: so long its last bytes may take, in ns.
const DEPARTED_NS: u64 = 1_000_000_000;

/// So much of a hosts(5) file is read, in bytes.
const LONGEST_HOSTS: u64 = 1 << 20;

struct Session {
    scope: Scope,
    /// Dropping it detaches.
    redirect: Redirect,
    gate: Gate,
    heartbeat: Beating,
    following: Following,
    watching: Repeating,
    engine: Arc<Engine>,
    shared: Arc<Shared>,
    presence: Presence,
    control: Control,
    api: Option<Api>,
    /// What the target had open before.
    older: Kinds,
}

/// Injects until the target ends, or a signal or the time says so. Returns the status to exit with.
///
/// # Errors
/// Whatever keeps it from being done at all.
pub fn run(options: &Options) -> Result<i32> {
    options.plan.rules.iter().try_for_each(rules::check)?;
    options.ledger.iter().try_for_each(|path| written::check(path, "--ledger"))?;
    options.write_plan.iter().try_for_each(|path| written::check(path, "--write-plan"))?;
    let (signals, blocked) = Signals::block()?;
    let Some(selection) = &options.selection else { return alone(options, &signals) };
    let prepared = setup::prepare(options, selection, blocked)?;
    let identity = prepared.identity.clone();
    let ports = prepared.listener.ports();
    let ports = [ports.v4_port, ports.v6_port].map(|port| u16::try_from(port).unwrap_or(0));
    let (mut session, mut older, waiting) = Session::start(prepared, options)?;
    let began = clock::now();
    session.gate.open();
    if waiting.is_none() {
        session.older = unmediated::survey(&session.scope, ports, &mut older, options);
    }
    // One of what is kept takes the socket away at the end.
    drop_privileges(&identity, true);
    privilege::wait_for_threads();
    options.voice.say(|| ready(options, selection, &session));
    match waiting.map(Waiting::go).transpose() {
        Ok(launched) => session.until_the_end(launched.map(Command::new), began, &signals, options),
        Err(error) => {
            session.stop();
            Err(error)
        }
    }
}

/// What is said before CMD's first instruction.
fn ready(options: &Options, selection: &Selection, session: &Session) -> String {
    let target = match selection {
        Selection::Command(command) => {
            command.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        }
        Selection::Processes(pids) => {
            let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
            format!("process {}", pids.join(", "))
        }
        Selection::Cgroups(names) => {
            let named = |name: &CgroupName| match name {
                CgroupName::Path(path) => format!("cgroup {path}"),
                CgroupName::Container(id) => format!("container {id}"),
                CgroupName::Unit(unit) => format!("unit {unit}"),
            };
            names.iter().map(named).collect::<Vec<_>>().join(", ")
        }
    };
    let control = session.control.path().display();
    let api = session.api.as_ref().map(|api| format!(", toxiproxy's API {}", api.address()));
    let api = api.unwrap_or_default();
    format!("infernosim: injecting into {target}, seed {}, control {control}{api}", options.plan.seed)
}

/// Without a target: toxiproxy's API alone, which takes no privileges.
fn alone(options: &Options, signals: &Signals) -> Result<i32> {
    let Some(address) = options.toxiproxy else {
        return Err(ExpectedError::new(Exit::Usage, "there is no target")
            .help("give one: -- CMD, --pid N or --cgroup PATH"));
    };
    if let Some(rule) = options.plan.rules.first() {
        let message = format!("there is no target that `{}` could be about", rule.text);
        return Err(ExpectedError::new(Exit::Usage, message).help(
            "give one: -- CMD, --pid N or --cgroup PATH; proxies of toxiproxy's API have its toxics alone",
        ));
    }
    let api = Api::start(address, options.plan.seed)?;
    privilege::gain_none();
    let (at, seed) = (api.address(), options.plan.seed);
    options.voice.say(|| format!("infernosim: injecting by toxiproxy's API {at}, seed {seed}"));
    let began = clock::now();
    loop {
        let left = options.duration_ns.map(|limit| limit.saturating_sub(clock::now().since(began)));
        let left_ms = left.map(|ns| u16::try_from(ns.div_ceil(1_000_000)).unwrap_or(u16::MAX));
        if left == Some(0) || signals.wait(None, left_ms).is_some() {
            return Ok(Exit::Pass as i32);
        }
    }
}

impl Session {
    /// Starts the threads, each with the privileges that it needs.
    fn start(prepared: Prepared, options: &Options) -> Result<(Self, OlderRoles, Option<Waiting>)> {
        let Prepared { scope, redirect, kernel, listener, waiting, presence, identity } = prepared;
        privilege::probe(|| kernel.namespaces.can_be_read());
        let rules = Rules::new(options.plan.clone());
        let shared = Arc::new(Shared::new(rules, kernel.original_dst, kernel.replay));
        learn_hosts(&shared, &scope);
        shared.resolve(None);
        shared.rules_changed();
        let engine = Arc::new(Engine::new(Arc::clone(&shared)));
        let station: Arc<dyn Station> = Arc::clone(&engine) as _;
        let mut follower = Follower::new(station, kernel.namespaces, &listener)?.for_replay();
        scope.processes().into_iter().for_each(|process| follower.enter(process));
        let voice = options.voice;
        follower.complaints().into_iter().for_each(|text| voice.complain(&text));
        let following = follower.start(kernel.announced, move |text| voice.complain(&text))?;
        engine.serve(listener, relay_threads())?;
        let heartbeat = kernel.heartbeat.start().map_err(|error| no_thread("the heartbeat", &error))?;
        let watching = watch(kernel.refused, &shared)?;
        let control = Control::start(options.control.as_deref(), &identity, &shared)?;
        let api = options.toxiproxy.map(|address| Api::start(address, options.plan.seed)).transpose()?;
        let session = Self {
            scope,
            redirect,
            gate: kernel.gate,
            heartbeat,
            following,
            watching,
            engine,
            shared,
            presence,
            control,
            api,
            older: Kinds::new(),
        };
        Ok((session, kernel.tap.older, waiting))
    }

    fn until_the_end(
        self,
        mut command: Option<Command>,
        began: Nanos,
        signals: &Signals,
        options: &Options,
    ) -> Result<i32> {
        let until = Until {
            scope: &self.scope,
            presence: &self.presence,
            began,
            duration_ns: options.duration_ns,
            full: None,
        };
        let signal = until.wait(&mut command, signals);
        self.gate.shut();
        self.shared.rules_end();
        if let (Some(received), Some(command)) = (signal, &mut command) {
            command.forward(received);
        }
        self.drain(&mut command, signals, options);
        let passed = unmediated::until_now(&self.redirect, &self.older);
        let (shared, scope) = self.stop();
        if let Some(text) = unmediated::text(&passed) {
            options.voice.say(|| text);
        }
        let told = ledger::end(&shared.rules, options)?;
        shared.seen.hints(&shared.rules).iter().for_each(|text| options.voice.complain(text));
        if let Some(command) = command {
            let status = command.outlive(signals, signal);
            drop(scope);
            return Ok(if status == 0 { told as i32 } else { status });
        }
        Ok(told as i32)
    }

    /// What is open goes on until it ends, for as long as it may.
    fn drain(&self, command: &mut Option<Command>, signals: &Signals, options: &Options) {
        let began = clock::now();
        while self.shared.active() > 0 {
            let waited = clock::now().since(began);
            let gone = match command {
                Some(command) => command.status().is_some(),
                None => self.presence.is_gone(&self.scope),
            };
            if waited >= options.drain_ns || gone && waited >= DEPARTED_NS {
                return;
            }
            if let Some(again) = signals.wait(None, Some(DRAIN_MS)) {
                if let Some(command) = command {
                    command.forward(again);
                }
                return;
            }
        }
    }

    /// Ends the threads and detaches. A cgroup made for CMD stays while CMD lives in it.
    fn stop(self) -> (Arc<Shared>, Scope) {
        self.gate.shut();
        self.following.stop();
        drop((self.watching, self.control, self.api));
        self.engine.stop();
        drop((self.heartbeat, self.redirect));
        (self.shared, self.scope)
    }
}

/// What the target's hosts(5) file says; a container has one of its own.
fn learn_hosts(shared: &Shared, scope: &Scope) {
    let theirs = scope.processes().first().map(|process| format!("/proc/{process}/root/etc/hosts"));
    let text = theirs.and_then(|path| read_hosts(&path).ok());
    let text = text.or_else(|| read_hosts("/etc/hosts").ok()).unwrap_or_default();
    // What was learned last is likeliest: of a file the first name is (hosts(5): the canonical one).
    for (name, address) in Names::read_hosts(&text).into_iter().rev() {
        shared.learn(&name, [address]);
    }
}

/// The target may have put anything there: what is no file is not waited for, and of a long one the beginning counts.
fn read_hosts(path: &str) -> std::io::Result<String> {
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let mut text = Vec::new();
    file.take(LONGEST_HOSTS).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Passes on what the kernel half refused, and tells when other rules hold by the clock, until it is dropped.
fn watch(mut refused: Refused, shared: &Arc<Shared>) -> Result<Repeating> {
    let shared = Arc::clone(shared);
    let mut turns = shared.rules.turns();
    let watching = privilege::repeat("refused", LOOK, move || {
        if std::mem::replace(&mut turns, shared.rules.turns()) != turns {
            shared.rules_changed();
        }
        while let Some(flow) = refused.take() {
            connects::failed(&shared, &flow);
        }
    });
    watching.map_err(|error| no_thread("refused connects", &error))
}

fn no_thread(what: &str, error: &std::io::Error) -> ExpectedError {
    ExpectedError::new(Exit::Host, format!("no thread for {what}: {error}"))
}
