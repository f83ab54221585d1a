use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use infernosim_common::{Ahead, Fate, Flow};
use tokio::sync::{Semaphore, watch};

use super::activity::Activity;
use super::ahead::Series;
use super::connects::{Connects, Met};
use super::directory::{Directory, host_and_port};
use super::dns::{self, Recorded, Zone};
use super::engine::{StubSeen, StubSetup};
use super::live::LiveRule;
use super::replies::Replies;
use super::sending;
use super::spelling::Spellings;
use super::turns::Turns;
use crate::clock::{self, Nanos};
use crate::error::Result;
use crate::fault::{Fired, Kind, Occasion};
use crate::redirect::{Verdict, VerdictKey, destination, fate};
use crate::replay::script::{LookedUp, Script};
use crate::replay::seen::{Refusal, Refused};

/// Refusals and problems that are kept of a run.
const MOST_REFUSALS: usize = 10_000;
const MOST_PROBLEMS: usize = 100;
/// Large bodies that are held at a time.
const MOST_LARGE: usize = 4;
/// How much longer than in the recording a target may wait for a connect that hangs: its own timers are no clockwork.
const SLACK_NS: u64 = 1_000_000_000;
/// How long a target may wait for a connect that is made to hang, until that counts as idle.
const SWALLOWED_NS: u64 = 10_000_000_000;

/// Which run it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phase {
    /// Its number, from 0.
    pub run: u64,
    /// It has not begun.
    pub held: bool,
    /// There is none any more.
    pub over: bool,
}

/// What all threads share.
pub struct Shared {
    pub setup: StubSetup,
    pub phase: watch::Sender<Phase>,
    pub activity: Arc<Activity>,
    pub replies: Replies,
    pub spellings: Spellings,
    /// Places for large bodies that are held.
    pub large: Semaphore,
    zero: AtomicU64,
    looked_ns: AtomicU64,
    directory: Mutex<Directory>,
    zone: Mutex<Zone>,
    connects: Mutex<Connects>,
    series: Mutex<Series>,
    /// Connects may fail on purpose.
    fails_connects: bool,
    turns: Mutex<Turns>,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    refusals: Vec<Refusal>,
    passed: BTreeMap<String, u64>,
    problems: Vec<String>,
}

impl Shared {
    pub fn new(setup: StubSetup) -> Result<Self> {
        let script = &setup.script;
        let calls = script.calls().iter().map(|call| (call.peer, call.kind));
        let mut directory = Directory::new(script.dependencies(), calls);
        let mut zone = Zone::new(recorded_lookups(script)?);
        let names: Vec<String> = directory.names().map(str::to_owned).collect();
        for name in names {
            zone.add(&name, directory.addresses_of(&name));
        }
        for rule in &setup.live {
            zone.pass(host_and_port(&rule.dependency).0);
        }
        for (name, address) in zone.addresses() {
            directory.learn(&name, address);
        }
        let (connects, turns) = (Connects::new(script.dependencies()), Turns::new(script.calls()));
        let fails_connects = setup.kernel.is_some() && setup.faults.concerns(Kind::Connect);
        let phase = Phase { run: 0, held: true, over: false };
        Ok(Self {
            setup,
            phase: watch::Sender::new(phase),
            activity: Arc::default(),
            replies: Replies::default(),
            spellings: Spellings::default(),
            large: Semaphore::new(MOST_LARGE),
            zero: AtomicU64::new(clock::now().0),
            looked_ns: AtomicU64::new(0),
            directory: Mutex::new(directory),
            zone: Mutex::new(zone),
            connects: Mutex::new(connects),
            series: Mutex::default(),
            fails_connects,
            turns: Mutex::new(turns),
            notes: Mutex::default(),
        })
    }

    /// Tells the kernel half what becomes of connects at a run's beginning.
    pub fn prepare(&self) -> Result<()> {
        let dependencies = self.setup.script.dependencies().iter();
        let mut known: Vec<SocketAddr> =
            dependencies.flat_map(|dependency| dependency.addresses.iter().copied()).collect();
        known.extend(locked(&self.connects).addresses());
        for (name, address) in locked(&self.zone).addresses() {
            known.extend(locked(&self.directory).learn(&name, address));
        }
        known.sort_unstable();
        known.dedup();
        known.into_iter().try_for_each(|address| self.set(address))
    }

    pub fn begin(&self, zero: Nanos) -> Result<()> {
        self.zero.store(zero.0, Ordering::Relaxed);
        self.looked_ns.store(0, Ordering::Relaxed);
        *locked(&self.connects) = Connects::new(self.setup.script.dependencies());
        locked(&self.turns).begin();
        locked(&self.zone).begin();
        *locked(&self.notes) = Notes::default();
        self.activity.moved();
        self.prepare()?;
        let series = locked(&self.series).begin(&self.setup.faults);
        self.tell_ahead(series, true)?;
        self.phase.send_modify(|phase| phase.held = false);
        Ok(())
    }

    pub fn seen(&self) -> StubSeen {
        let missing_failures = locked(&self.connects).missing();
        let notes = std::mem::take(&mut *locked(&self.notes));
        let Notes { refusals, passed, problems } = notes;
        StubSeen { refusals, missing_failures, passed, problems }
    }

    /// Takes in a connect that did not reach us.
    pub fn refused(&self, flow: &Flow) {
        self.activity.moved();
        let (at, to) = (Nanos(flow.connected_ns), destination(flow));
        let failed = match fate(flow) {
            Fate::RefusedOnPurpose => Some("ECONNREFUSED"),
            Fate::HungOnPurpose => {
                self.activity.meant_for(SWALLOWED_NS);
                Some("its SYN was swallowed")
            }
            _ => None,
        };
        self.connected(to, failed, at);
        match fate(flow) {
            Fate::Refused | Fate::Failed | Fate::Hung => {
                let met = locked(&self.connects).failed(to);
                match met {
                    Met::Recorded(took_ns, changed) => {
                        if fate(flow) == Fate::Hung {
                            self.activity.meant_for(took_ns.saturating_add(SLACK_NS));
                        }
                        if changed {
                            self.set_or_tell(to);
                        }
                    }
                    Met::Surplus => self.refuse(Refused::Connect(to), Some(flow), at),
                }
            }
            Fate::RefusedOnPurpose | Fate::HungOnPurpose => {}
            Fate::Unknown | Fate::Unserved => self.refuse(Refused::Connect(to), Some(flow), at),
            Fate::Passed => self.passed(&to.to_string()),
            Fate::Closed | Fate::Twin => {}
        }
    }

    /// Notes what was refused.
    pub fn refuse(&self, what: Refused, flow: Option<&Flow>, at: Nanos) {
        let cause = flow.and_then(|flow| self.setup.causes.of_thread((flow.pid, flow.tid), at).cause);
        self.note_refusal(Refusal { what, cause, at_ns: at.since(self.zero()) });
    }

    pub fn note_refusal(&self, refusal: Refusal) {
        let refusals = &mut locked(&self.notes).refusals;
        if refusals.len() < MOST_REFUSALS {
            refusals.push(refusal);
        }
    }

    /// Counts a connection or request that went to a live dependency.
    pub fn passed(&self, dependency: &str) {
        let passed = &mut locked(&self.notes).passed;
        if passed.len() < MOST_REFUSALS || passed.contains_key(dependency) {
            *passed.entry(dependency.to_owned()).or_default() += 1;
        }
    }

    /// Notes what could not be done.
    pub fn problem(&self, what: String) {
        let problems = &mut locked(&self.notes).problems;
        if problems.len() < MOST_PROBLEMS {
            problems.push(what);
        }
    }

    /// A connect to an address was told of, and whether it failed on purpose.
    pub fn connected(&self, to: SocketAddr, failed: Option<&str>, at: Nanos) {
        if !self.fails_connects {
            return;
        }
        let at_ns = at.since(self.zero());
        let anew = locked(&self.series).told(&self.setup.faults, to, failed, at_ns);
        if let Err(error) = self.tell_ahead(anew, false) {
            self.problem(error.to_string());
        }
    }

    /// Rules that hit by the clock begin and end to: what was decided ahead is decided anew.
    pub fn look_at_clock(&self) {
        if !self.fails_connects {
            return;
        }
        let now = self.at_ns();
        let before = self.looked_ns.swap(now, Ordering::Relaxed);
        if !self.setup.faults.changes().iter().any(|at| (before.min(now)..=now).contains(at)) {
            return;
        }
        let anew = locked(&self.series).fill(&self.setup.faults, now);
        if let Err(error) = self.tell_ahead(anew, false) {
            self.problem(error.to_string());
        }
    }

    fn tell_ahead(&self, ahead: impl IntoIterator<Item = (u32, Ahead)>, anew: bool) -> Result<()> {
        let Some(kernel) = &self.setup.kernel else { return Ok(()) };
        ahead.into_iter().try_for_each(|(series, ahead)| kernel.set_ahead(series, ahead, anew))
    }

    /// A call to an address has begun.
    pub fn called(&self, address: Option<SocketAddr>) {
        if let Some(address) = address
            && locked(&self.connects).called(address)
        {
            self.set_or_tell(address);
        }
    }

    /// A live dependency's name was found at this address.
    pub fn learn_live(&self, name: &str, address: IpAddr) {
        let mut reachable = locked(&self.directory).learn(name, address);
        let rules = self.setup.live.iter().map(|rule| host_and_port(&rule.dependency));
        reachable.extend(
            rules
                .filter(|(host, _)| *host == name)
                .flat_map(|(_, port)| port.map_or(vec![80, 443], |port| vec![port]))
                .map(|port| SocketAddr::new(address, port)),
        );
        reachable.into_iter().for_each(|address| self.set_or_tell(address));
    }

    /// Tells the kernel half what becomes of the connects to an address now.
    pub fn set_or_tell(&self, address: SocketAddr) {
        if let Err(error) = self.set(address) {
            self.problem(error.to_string());
        }
    }

    fn set(&self, address: SocketAddr) -> Result<()> {
        let Some(kernel) = &self.setup.kernel else { return Ok(()) };
        if self.fails_connects {
            let names = locked(&self.directory).candidates(address);
            let series = locked(&self.series).of(address, &names);
            match series {
                Some(series) => kernel.number(address, series)?,
                None => self.problem(format!("connects to {address} cannot be made to fail: too many")),
            }
        }
        // Under the lock, so that what is set last is what holds.
        let connects = locked(&self.connects);
        let verdict: Verdict = connects.verdict(address);
        kernel.set(VerdictKey::Address(address), verdict)
    }

    /// The rule for a dependency that is live, by any of its names.
    pub fn live_rule(&self, names: &[String]) -> Option<&LiveRule> {
        let is_it = |rule: &&LiveRule| {
            names.iter().any(|name| crate::pattern::matches_service(&rule.dependency, name))
        };
        self.setup.live.iter().find(is_it)
    }

    pub fn directory(&self) -> MutexGuard<'_, Directory> {
        locked(&self.directory)
    }

    pub fn zone(&self) -> MutexGuard<'_, Zone> {
        locked(&self.zone)
    }

    pub fn connects(&self) -> MutexGuard<'_, Connects> {
        locked(&self.connects)
    }

    pub fn turns(&self) -> MutexGuard<'_, Turns> {
        locked(&self.turns)
    }

    pub fn matcher(&self) -> MutexGuard<'_, crate::replay::matcher::Matcher> {
        locked(&self.setup.matcher)
    }

    /// When the run began.
    pub fn zero(&self) -> Nanos {
        Nanos(self.zero.load(Ordering::Relaxed))
    }

    /// ns since the run began.
    pub fn at_ns(&self) -> u64 {
        clock::now().since(self.zero())
    }

    /// A recorded wait, as long as it is to be here.
    pub fn scaled(&self, ns: u64) -> Duration {
        sending::scaled(ns, self.setup.time_scale)
    }

    /// What goes wrong there, by the likeliest name first; of a call its method, target and headers. Counts it.
    pub fn meets(
        &self,
        kind: Kind,
        names: &[&str],
        port: Option<u16>,
        (method, target, headers): (&str, &str, &[(String, Vec<u8>)]),
        at: Nanos,
    ) -> Vec<Fired> {
        let at_ns = at.since(self.zero());
        let port = port.or_else(|| Some(host_and_port(names.first()?).1.unwrap_or(80)));
        self.setup.faults.decide(&Occasion { kind, names, port, method, target, headers, at_ns })
    }

    /// Waits until a run has begun; false when there will be none.
    pub async fn running(&self) -> bool {
        let held = *self.phase.borrow();
        if !held.held && !held.over {
            return true;
        }
        let mut phase = self.phase.subscribe();
        phase.wait_for(|phase| !phase.held || phase.over).await.is_ok_and(|phase| !phase.over)
    }

    /// The run that goes on, or comes next; none when all is over.
    pub fn next_run(&self) -> Option<u64> {
        let phase = *self.phase.borrow();
        (!phase.over).then_some(phase.run)
    }

    /// Waits until the run with this number is over.
    pub async fn over(&self, run: u64) {
        let mut phase = self.phase.subscribe();
        // An error says that all is over.
        let _ = phase.wait_for(|phase| phase.run != run || phase.over).await;
    }
}

fn recorded_lookups(script: &Script) -> Result<Vec<(dns::Asked, Vec<Recorded>)>> {
    let mut all = Vec::new();
    for (key, lookups) in script.lookups() {
        let mut recorded = Vec::new();
        for lookup in lookups {
            let LookedUp { message, rcode, answers, .. } = script.lookup(lookup)?;
            recorded.push(Recorded {
                message,
                addresses: answers.iter().filter_map(|answer| answer.data.parse().ok()).collect(),
                rcode: rcode.as_deref().map(rcode_number),
                took_ns: lookup.took_ns,
            });
        }
        all.push((key.clone(), recorded));
    }
    Ok(all)
}

/// The code of a word (RFC 1035 section 4.1.1); of others that of SERVFAIL.
fn rcode_number(word: &str) -> u8 {
    const WORDS: [&str; 6] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];
    WORDS.iter().position(|known| *known == word).map_or(2, |code| code as u8)
}

fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
