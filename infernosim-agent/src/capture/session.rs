use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use infernosim_common::Counter;
use infernosim_common::tap::TapState;

use super::command::Command;
use super::ending::Until;
use super::namespaces::{Follower, Following, Station};
use super::presence::Presence;
use super::recorder::{self, Sources};
use super::report::{self, Outcome};
use super::setup::{self, Prepared};
use super::signals::Signals;
use super::{Options, ending, older};
use crate::clock::{self, Nanos};
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::redact::Redaction;
use crate::incident::{AskKernel, Budget, Full, Lines, Numbers, Totals, Writer};
use crate::privilege;
use crate::proxy::{Limit, Pool, Relays, Setup};
use crate::redirect::{Announced, Beating, Gate, OlderRoles, Redirect, Switch};
use crate::seed::Ids;
use crate::tap::{Table, Unread};
use crate::target::{Scope, Waiting};

/// The parts of a capture that run, in the order in which the data flows.
struct Session {
    scope: Scope,
    redirect: Arc<Redirect>,
    gate: Arc<Gate>,
    heartbeat: Beating,
    tap: Switch,
    /// None where nothing is redirected.
    following: Option<Following>,
    relays: Arc<Relays>,
    recorder: JoinHandle<(Totals, Unread)>,
    patience_ns: Arc<OnceLock<u64>>,
    writer: Writer,
    full: Full,
    presence: Presence,
    /// What the target had open before, for the manifest.
    known: Arc<OnceLock<BTreeMap<String, u64>>>,
    /// What the tap could not read, for the manifest.
    unread: Arc<OnceLock<Unread>>,
}

/// Captures until the target ends, or a signal or a limit says so. Returns the status to exit with.
pub fn run(options: &Options) -> Result<i32> {
    let (signals, blocked) = Signals::block()?;
    let prepared = setup::prepare(options, blocked)?;
    let identity = prepared.identity.clone();
    let (mut session, mut older, waiting) = Session::start(prepared, options)?;
    let began = clock::now();
    session.tap.set(TapState::Learning);
    session.gate.open();
    session.look_at_older(&mut older, waiting.is_some(), options);
    session.tap.set(TapState::On);
    setup::drop_privileges(&identity, waiting.is_some());
    privilege::wait_for_threads();
    options.voice.say(|| format!("infernosim: capturing into {}", options.incident.display()));
    match waiting.map(Waiting::go).transpose() {
        Ok(launched) => session.until_the_end(launched.map(Command::new), began, &signals, options),
        Err(error) => {
            session.discard();
            Err(error)
        }
    }
}

impl Session {
    /// Starts the threads, each with the privileges that it needs.
    fn start(prepared: Prepared, options: &Options) -> Result<(Self, OlderRoles, Option<Waiting>)> {
        let Prepared { scope, redirect, kernel, listener, mut shelf, waiting, presence, .. } = prepared;
        let buffer = usize::try_from(options.buffer).unwrap_or(usize::MAX);
        // One half for copies on their way to the recorder, the other for what waits for its end or for the disk.
        let (pool, copies, feed) = Pool::new(buffer / 2).map_err(|error| no_descriptor(&error))?;
        let budget = Arc::new(Budget::new(buffer / 2));
        let gate = Arc::new(kernel.gate);
        let numbers = Numbers::default();
        let limit = Arc::new(Limit::new(Arc::clone(&gate), prepared.connections, numbers.clone()));
        let original_dst = Arc::new(kernel.original_dst);
        let setup = Setup { original_dst, limit: Arc::clone(&limit), pool, copies };
        let relays = Arc::new(Relays::new(setup));
        // Threads, from here on.
        privilege::probe(|| kernel.namespaces.can_be_read());
        let following = match &listener {
            Some(listener) => {
                let follower =
                    Follower::new(Arc::clone(&relays) as Arc<dyn Station>, kernel.namespaces, listener)?;
                Some(follow(follower, &scope, kernel.announced, options)?)
            }
            None => None,
        };
        let redirect = Arc::new(redirect);
        let (known, unread) = (Arc::default(), Arc::default());
        let redaction = Redaction::new(options.redact.clone())?;
        let mut manifest = prepared.manifest;
        redaction.describe(&mut manifest);
        shelf.begin(manifest, Some(left_alone(&redirect, &known, &unread)));
        let (writer, outbox) = Writer::start(shelf, Arc::clone(&budget))?;
        let lines = Lines::new(outbox, budget, options.limits, &redaction, Ids::from_system()?, clock::now());
        let full = Full::new()?;
        let lines = narrowed(lines, &full, options);
        let heartbeat = kernel.heartbeat.start().map_err(|error| no_heartbeat(&error))?;
        if let Some(listener) = listener {
            relays.start(listener, relay_threads())?;
        }
        let counters = Arc::clone(&redirect);
        let patience_ns = Arc::new(OnceLock::new());
        let sources = Sources {
            feed,
            limit,
            refused: kernel.refused,
            ring: kernel.tap.ring,
            owners: kernel.tap.owners,
            loose: kernel.tap.loose,
            table: Table::new(numbers, buffer / 4, options.tap.outbound),
            tap_loss: Box::new(move || {
                (counters.count(Counter::TapLost), counters.count(Counter::TapLostBytes))
            }),
            patience_ns: Arc::clone(&patience_ns),
        };
        let recorder = recorder::start(sources, lines)?;
        let session = Self {
            scope,
            redirect,
            gate,
            heartbeat,
            tap: kernel.tap.switch,
            following,
            relays,
            recorder,
            patience_ns,
            writer,
            full,
            presence,
            known,
            unread,
        };
        Ok((session, kernel.tap.older, waiting))
    }

    /// What a running target had open when the capture began goes on as it is, or is reset where the user says so.
    fn look_at_older(&self, roles: &mut OlderRoles, launched: bool, options: &Options) {
        let plan = older::Plan {
            processes: &self.scope.processes(),
            ports: self.relays.ports(),
            recycle: options.recycle,
            tapped: options.tap.outbound,
            launched,
            cgroups: self.scope.cgroup_ids(),
        };
        let older = older::survey(&plan, roles);
        let complaints = older.complaints.iter().cloned();
        complaints.for_each(|text| options.voice.complain(&text));
        if older.recycled > 0 {
            options.voice.complain(&format!("{} older connections were reset", older.recycled));
        }
        let _ = self.known.set(older.unmediated);
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
            full: Some(&self.full),
        };
        let signal = until.wait(&mut command, signals);
        self.gate.shut();
        if let (Some(received), Some(command)) = (signal, &mut command) {
            command.forward(received);
        }
        let cut =
            ending::drain(&self.relays, options.drain_ns, &self.scope, &self.presence, signals, |again| {
                if let Some(command) = &mut command {
                    command.forward(again);
                }
            });
        let ended = command.as_mut().is_some_and(|command| command.status().is_some());
        let (outcome, scope) = self.finish(cut, ended, options)?;
        let Some(command) = command else {
            return Ok(if outcome.is_complete() { Exit::Pass } else { Exit::Incident } as i32);
        };
        let status = command.outlive(signals, signal);
        drop(scope);
        Ok(if status == 0 && !outcome.is_complete() { Exit::Incident as i32 } else { status })
    }

    /// Writes everything out and detaches. A cgroup made for CMD stays while CMD lives in it.
    fn finish(self, cut: u64, ended: bool, options: &Options) -> Result<(Outcome, Scope)> {
        let Self { scope, redirect, heartbeat, mut tap, following, relays, recorder, writer, .. } = self;
        let departed = ending::is_departed(&self.presence, &scope, ended);
        if !departed {
            tap.set(TapState::Off);
        }
        let _ = self.patience_ns.set(if departed { options.drain_ns.min(ending::DEPARTED_NS) } else { 0 });
        following.into_iter().for_each(Following::stop);
        relays.join();
        let (totals, unread) = recorder.join().unwrap_or_default();
        tap.set(TapState::Off);
        let _ = self.unread.set(unread);
        let (mut shelf, written) = writer.join()?;
        shelf.close(&totals, &written);
        let held = redirect.count(Counter::TapHeld);
        let outcome = Outcome { sums: shelf.into_sums(), cut, held, refused: Vec::new() };
        drop((heartbeat, redirect));
        options.voice.end("capture", &outcome);
        Ok((outcome, scope))
    }

    /// CMD was not executed: nothing happened that is worth keeping.
    fn discard(self) {
        self.gate.shut();
        self.following.into_iter().for_each(Following::stop);
        self.relays.abandon();
        self.relays.join();
        let _ = self.patience_ns.set(0);
        let _ = self.recorder.join();
        if let Ok((shelf, _)) = self.writer.join() {
            shelf.discard();
        }
    }
}

/// Serves the target's network namespaces, those of now and those to come.
fn follow(
    mut follower: Follower,
    scope: &Scope,
    announced: Announced,
    options: &Options,
) -> Result<Following> {
    scope.processes().into_iter().for_each(|process| follower.enter(process));
    let voice = options.voice;
    let complain = move |text: String| voice.complain(&text);
    follower.complaints().into_iter().for_each(complain);
    follower.start(announced, complain)
}

/// Asks for what went past us, when the incident is closed.
fn left_alone(
    redirect: &Arc<Redirect>,
    known: &Arc<OnceLock<BTreeMap<String, u64>>>,
    unread: &Arc<OnceLock<Unread>>,
) -> AskKernel {
    let (redirect, known, unread) = (Arc::clone(redirect), Arc::clone(known), Arc::clone(unread));
    Box::new(move || report::left_alone(&redirect, known.get(), unread.get()))
}

fn no_heartbeat(error: &std::io::Error) -> ExpectedError {
    ExpectedError::new(Exit::Host, format!("no thread for the heartbeat: {error}"))
}

/// With causes, and the user's limits and selectors.
fn narrowed(mut lines: Lines, full: &Full, options: &Options) -> Lines {
    lines.find_causes();
    if let Some(rotation) = options.rotation {
        lines.rotate(rotation, full.clone());
    }
    if let Some(selects) = options.selector.clone().into_selects() {
        lines.select(selects);
    }
    lines
}

pub fn no_descriptor(error: &nix::Error) -> ExpectedError {
    ExpectedError::new(Exit::Host, format!("no descriptor for the recorder: {error}"))
        .help("raise the limit of open files (ulimit -n)")
}

/// A relay thread for every two CPUs, four at most: the target needs the others.
pub fn relay_threads() -> u32 {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    (cpus / 2).clamp(1, 4) as u32
}
