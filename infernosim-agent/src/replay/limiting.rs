//! What limited the rate, from what was measured of all runs. Pure. Nothing is guessed: each verdict has its evidence,
//! and what was not measured speaks for nothing.
//!
//! The first of these that holds: memory, descriptors, CPU, calls that were given up; and where the rate was not kept or
//! is what is asked for, an objective was missed or answers took longer than in the recording: a number of calls, or of requests
//! that are served, at a time that is never exceeded while requests wait, connections that found no room, the share of waiting,
//! ourselves, and that others had the CPUs.

use super::pressure::{Measured, Plateau};
use super::waits::{Wait, Waits};

/// From this share of what there is on, something is short.
const BUSY: f64 = 0.9;
/// From this share of the time on that it waited for memory.
const SHORT_OF_MEMORY: f64 = 0.1;
/// From this share of the time on that it had no quota of CPU, or others had the CPUs.
const KEPT_FROM_CPU: f64 = 0.5;
const THROTTLED: f64 = 0.2;
/// What computes on one thread uses no more CPUs than this, the kernel's ticks and its helpers included.
const ONE_CPU: f64 = 1.2;
/// Less is no sign that it computes at all.
const SOME_CPU: f64 = 0.2;
/// From this share of the time on that requests wait for a dependency.
const WAITING: f64 = 0.5;
/// For this share of the time in which calls are open as many are as ever, while requests wait.
const FULL: f64 = 0.6;
/// From this share of calls on that are given up.
const GIVEN_UP: f64 = 0.1;
/// One in so many requests finds no room among those to be accepted: each is tried again after a second.
const NO_ROOM: u64 = 20;
/// For it to be the target's own listener that had none, connections wait there at this share of the looks.
const NOT_ACCEPTED: f64 = 0.1;
/// Answers that take longer than in the recording by this factor are slower.
const SLOWER: f64 = 1.5;
/// The rate was kept where all but one of a hundred requests were sent within this much of their time, in ns; or within
/// half of what answers took in the recording: clients wait for those.
const KEPT_NS: u64 = 50_000_000;
/// Of runs whose requests took less altogether, in ns, no rate can be told: one request keeps whoever serves it busy.
const LEAST_NS: u64 = 100_000_000;

/// What limited the rate, and by what that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limiting {
    /// What.
    pub factor: Factor,
    /// The numbers: `it used 98 % of the CPUs`.
    pub evidence: String,
    /// All that was measured: what, and how much.
    pub measured: Vec<(String, String)>,
}

/// What can limit a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    /// Nothing: the rate was kept.
    None,
    /// Calls that ran into a time-out.
    DependencyTimeout,
    /// Waiting for dependencies.
    OutboundDependencyLatency,
    /// The stub, or the driver.
    ProxyBackpressure,
    /// Calls that waited for a connection, or clients' connections that waited for a worker.
    ConnectionPoolExhaustion,
    /// The target's own work.
    ApplicationCpu,
    /// Memory.
    Memory,
    /// Open files.
    FdLimit,
}

impl Factor {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::DependencyTimeout => "DEPENDENCY_TIMEOUT",
            Self::OutboundDependencyLatency => "OUTBOUND_DEPENDENCY_LATENCY",
            Self::ProxyBackpressure => "PROXY_BACKPRESSURE",
            Self::ConnectionPoolExhaustion => "CONNECTION_POOL_EXHAUSTION",
            Self::ApplicationCpu => "APPLICATION_CPU",
            Self::Memory => "MEMORY",
            Self::FdLimit => "FD_LIMIT",
        }
    }
}

/// What it follows from.
#[derive(Clone, Copy, Debug)]
pub struct Signs<'a> {
    /// Of each run.
    pub runs: &'a [Measured],
    /// Of all of them.
    pub waits: &'a Waits,
    /// How long a run was meant to take, in ns; 0 without gaps: then the target alone says how fast it goes.
    pub paced_ns: u64,
    /// Of a hundred requests all but one were sent this much late at most, in ns.
    pub late_p99_ns: u64,
    /// An objective was missed.
    pub has_missed: bool,
    /// More was sent than in the recording: it is asked how much can be (`--fanout`, `--window`).
    pub is_load: bool,
    /// Some dependencies answer themselves. Those calls are not counted: requests that wait for them seem to wait without one.
    pub has_live: bool,
}

/// What limited the rate; none where nothing of the target was measured and nothing else tells.
pub fn limiting(signs: &Signs<'_>) -> Option<Limiting> {
    let measured = told(signs);
    let most = |of: fn(&Measured) -> Option<f64>| signs.runs.iter().filter_map(of).reduce(f64::max);
    let found = by_resources(signs, &most).or_else(|| by_given_up(signs));
    let found = found.or_else(|| signs.is_held_back().then(|| by_waits(signs, &most))?);
    let (factor, evidence) = match found {
        Some(found) => found,
        None => {
            let cpu = most(|it| it.cpu_share);
            if cpu.is_none() && signs.waits.dependencies.is_empty() {
                return None;
            }
            (Factor::None, none(signs, cpu))
        }
    };
    Some(Limiting { factor, evidence, measured })
}

type Most<'m> = &'m dyn Fn(fn(&Measured) -> Option<f64>) -> Option<f64>;

/// What of the machine was short.
fn by_resources(signs: &Signs<'_>, most: Most<'_>) -> Option<(Factor, String)> {
    let killed: u64 = signs.runs.iter().filter_map(|it| it.killed_for_memory).sum();
    if killed > 0 {
        return Some((Factor::Memory, format!("the kernel killed {killed} processes for want of memory")));
    }
    if let Some((open, limit)) = signs.open_files().filter(|(open, limit)| *open * 10 >= *limit * 9) {
        return Some((Factor::FdLimit, format!("{open} of {limit} descriptors were open")));
    }
    if let Some(share) = most(|it| it.waited_for_memory).filter(|share| *share >= SHORT_OF_MEMORY) {
        return Some((Factor::Memory, format!("it waited for memory {} of the time", percent(share))));
    }
    if let Some(share) = most(|it| it.cpu_share).filter(|share| *share >= BUSY) {
        return Some((Factor::ApplicationCpu, format!("it used {} of the CPUs", percent(share))));
    }
    if let Some(share) = most(|it| it.throttled).filter(|share| *share >= THROTTLED) {
        let what = format!("its quota of CPU was used up {} of the time", percent(share));
        return Some((Factor::ApplicationCpu, what));
    }
    let on_one = |it: &Measured| {
        let (cpus, waited) = (it.cpus?, it.waited_for_cpu.unwrap_or(0.0));
        ((SOME_CPU..=ONE_CPU).contains(&cpus) && cpus + waited >= BUSY).then_some((cpus, waited))
    };
    let (cpus, waited) = signs.runs.iter().find_map(on_one)?;
    let waited =
        if waited >= 0.01 { format!(" and waited for one {} of it", percent(waited)) } else { String::new() };
    let what =
        format!("it used {cpus:.2} CPUs all the time{waited}, as what computes on one thread at a time does");
    Some((Factor::ApplicationCpu, what))
}

/// The dependency of which this is the most, and how much it is.
fn worst<'s>(signs: &Signs<'s>, of: impl Fn(&Wait) -> f64) -> Option<(f64, &'s String, &'s Wait)> {
    let all = signs.waits.dependencies.iter().map(|(name, wait)| (of(wait), name, wait));
    all.max_by(|a, b| a.0.total_cmp(&b.0))
}

/// What was given up.
fn by_given_up(signs: &Signs<'_>) -> Option<(Factor, String)> {
    let worst = worst(signs, |it| ratio(it.given_up, it.calls));
    let (share, name, Wait { given_up, calls, .. }) = worst.filter(|it| it.0 >= GIVEN_UP)?;
    let share = percent(share);
    let what =
        format!("{given_up} of {calls} calls to {name} ({share}) were given up before they were answered");
    Some((Factor::DependencyTimeout, what))
}

/// What was waited for.
fn by_waits(signs: &Signs<'_>, most: Most<'_>) -> Option<(Factor, String)> {
    // Requests that the target has not even read wait for its threads, not for a connection.
    let reads = signs.runs.iter().all(|it| it.not_read.is_none_or(|share| share < WAITING));
    let full = worst(signs, Wait::fullness)
        .filter(|(share, _, wait)| *share >= FULL && wait.queued >= wait.most.max(2));
    if let Some((share, name, wait)) = full.filter(|_| reads && !signs.has_live) {
        let Wait { most, queued, .. } = wait;
        let what = format!(
            "never more than {most} calls to {name} were open, {} of the time exactly so many, while up to {queued} requests waited",
            percent(share)
        );
        return Some((Factor::ConnectionPoolExhaustion, what));
    }
    if let Some(what) = by_workers(signs).or_else(|| by_room(signs)) {
        return Some((Factor::ConnectionPoolExhaustion, what));
    }
    if let Some((share, name, wait)) =
        worst(signs, |it| ratio(it.waited_ns, signs.waits.asked_ns)).filter(|it| it.0 >= WAITING)
    {
        let what = format!(
            "{} of the time of requests was waiting for {name} ({} calls)",
            percent(share.min(1.0)),
            wait.calls
        );
        return Some((Factor::OutboundDependencyLatency, what));
    }
    if let Some(share) = most(|it| it.driver_busy).filter(|share| *share >= BUSY) {
        let what =
            format!("infernosim's own thread driver had something to do {} of the time", percent(share));
        return Some((Factor::ProxyBackpressure, what));
    }
    let own = signs.runs.iter().filter_map(|it| it.own_thread.as_ref()).max_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((name, share)) = own.filter(|it| it.1 >= BUSY) {
        let what = format!("infernosim's own thread {name} used {} of a CPU", percent(*share));
        return Some((Factor::ProxyBackpressure, what));
    }
    let share = most(|it| it.waited_for_cpu).filter(|share| *share >= KEPT_FROM_CPU)?;
    let what = format!("some of it waited for a CPU {} of the time, which others had", percent(share));
    Some((Factor::ApplicationCpu, what))
}

/// A number of requests that is served at a time: the target's workers, of which no more than their number can be told.
fn by_workers(signs: &Signs<'_>) -> Option<String> {
    let plateau = signs.runs.iter().filter_map(|it| it.plateau).max_by_key(|it| it.looks)?;
    let Plateau { served, most, looks: (looks, usual), waiting } = plateau;
    let threads = signs.runs.iter().filter_map(|it| it.threads).max();
    let threads = threads.map_or(String::new(), |threads| format!("; it had {threads} threads"));
    Some(format!(
        "{usual} of {looks} looks found {served} requests being served (at most {most}), while up to {waiting} waited that it had not \
         read{threads}"
    ))
}

/// A queue of connections to be accepted that was full.
fn by_room(signs: &Signs<'_>) -> Option<String> {
    let each = signs.waits.requests.checked_div(signs.runs.len() as u64).unwrap_or(0);
    let full = |it: &&Measured| {
        let overflows = it.overflows.unwrap_or(0);
        overflows > 0 && overflows * NO_ROOM >= each && it.not_accepted.unwrap_or(0.0) >= NOT_ACCEPTED
    };
    let run = signs.runs.iter().filter(full).max_by_key(|it| it.overflows)?;
    let (overflows, waiting) = (run.overflows?, run.queues?.not_accepted);
    Some(format!(
        "{overflows} times a connection found no room among those to be accepted, of which at most {waiting} were seen, some at {} of the looks",
        percent(run.not_accepted?)
    ))
}

fn none(signs: &Signs<'_>, cpu: Option<f64>) -> String {
    let cpu = cpu.map(|cpu| format!("it used {} of the CPUs", percent(cpu)));
    let files = signs.open_files().map(|(open, limit)| format!("{open} of {limit} descriptors"));
    let waits = &signs.waits;
    let waited = waits.dependencies.iter().map(|(name, wait)| (ratio(wait.waited_ns, waits.asked_ns), name));
    let waited = waited.max_by(|a, b| a.0.total_cmp(&b.0));
    let waited = waited.map(|(share, name)| format!("{} of the time for {name}", percent(share.min(1.0))));
    [cpu, files, waited].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// All that was measured.
fn told(signs: &Signs<'_>) -> Vec<(String, String)> {
    let mut told = Vec::new();
    let mut tell =
        |what: &str, value: Option<String>| told.extend(value.map(|value| (what.to_owned(), value)));
    let most = |of: fn(&Measured) -> Option<f64>| signs.runs.iter().filter_map(of).reduce(f64::max);
    tell("CPUs used", most(|it| it.cpus).map(|cpus| format!("{cpus:.2}")));
    for (what, of) in [
        ("Share of the CPUs", (|it| it.cpu_share) as fn(&Measured) -> Option<f64>),
        ("Time without quota of CPU", |it| it.throttled),
        ("Time waiting for a CPU", |it| it.waited_for_cpu),
        ("Time waiting for memory", |it| it.waited_for_memory),
        ("Time waiting for a disk", |it| it.waited_for_disk),
        ("Looks that found requests not read", |it| it.not_read),
        ("Looks that found connections not accepted", |it| it.not_accepted),
        ("Time our driver had something to do", |it| it.driver_busy),
    ] {
        tell(what, most(of).map(percent));
    }
    let memory = signs.runs.iter().filter_map(|it| it.memory).max_by_key(|it| it.used);
    tell(
        "Memory",
        memory.map(|it| {
            format!("{} of {} MiB, {} times at the limit", it.used >> 20, it.limit >> 20, it.reached)
        }),
    );
    tell("Descriptors", signs.open_files().map(|(open, limit)| format!("{open} of {limit}")));
    tell("Threads", signs.runs.iter().filter_map(|it| it.threads).max().map(|it| it.to_string()));
    let queues = signs.runs.iter().filter_map(|it| it.queues).reduce(super::pressure::Queues::most);
    tell("Connections not accepted, at most", queues.map(|it| it.not_accepted.to_string()));
    let overflows = signs.runs.iter().filter_map(|it| it.overflows).max();
    tell("Connections that found no room to be accepted", overflows.map(|it| it.to_string()));
    tell("Connections not read, at most", queues.map(|it| it.not_read.to_string()));
    for (name, wait) in &signs.waits.dependencies {
        let share = percent(ratio(wait.waited_ns, signs.waits.asked_ns).min(1.0));
        let Wait { calls, most, given_up, .. } = wait;
        let value = format!(
            "{calls} calls, at most {most} open, {given_up} given up, {share} of the time of requests"
        );
        tell(&format!("Dependency {name}"), Some(value));
    }
    let own = signs.runs.iter().filter_map(|it| it.own_thread.as_ref()).max_by(|a, b| a.1.total_cmp(&b.1));
    tell("Our busiest thread", own.map(|(name, share)| format!("{name}, {} of a CPU", percent(*share))));
    told
}

impl Signs<'_> {
    /// The rate was not kept or is what is asked for, an objective was missed, or answers took longer than in the recording.
    fn is_held_back(&self) -> bool {
        let waits = self.waits;
        let usual_ns = waits.recorded_ns.checked_div(waits.requests).unwrap_or(0);
        let late = self.late_p99_ns > KEPT_NS.max(usual_ns / 2);
        let slower = waits.recorded_ns > 0 && ratio(waits.asked_ns, waits.recorded_ns) > SLOWER;
        let is_enough = waits.asked_ns / (self.runs.len() as u64).max(1) >= LEAST_NS;
        self.is_load || late || self.has_missed || is_enough && (self.paced_ns == 0 || slower)
    }

    /// Of the process that came closest to its limit.
    fn open_files(&self) -> Option<(u64, u64)> {
        let files = self.runs.iter().filter_map(|it| it.open_files);
        files.max_by(|a, b| (a.0 * b.1.max(1)).cmp(&(b.0 * a.1.max(1))))
    }
}

fn ratio(some: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { some as f64 / all as f64 }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::pressure::Queues;

    const S: u64 = 1_000_000_000;

    fn quiet() -> Measured {
        Measured {
            cpu_share: Some(0.1),
            cpus: Some(0.2),
            waited_for_cpu: Some(0.05),
            open_files: Some((12, 1024)),
            ..Measured::default()
        }
    }

    /// Runs in which nothing was late.
    fn at_ease(waits: &Waits) -> Signs<'_> {
        Signs {
            runs: &[],
            waits,
            paced_ns: S,
            late_p99_ns: 0,
            has_missed: false,
            is_load: false,
            has_live: false,
        }
    }

    fn factor(run: Measured, wait: Option<Wait>, late_p99_ns: u64) -> &'static str {
        let mut waits = Waits { asked_ns: 10 * S, recorded_ns: 10 * S, ..Waits::default() };
        waits.dependencies.extend(wait.map(|wait| ("payments.test".to_owned(), wait)));
        let runs = [quiet(), run];
        let signs = Signs { runs: &runs, late_p99_ns, ..at_ease(&waits) };
        let found = limiting(&signs).unwrap();
        assert!(!found.evidence.is_empty() && !found.measured.is_empty(), "{found:?}");
        found.factor.as_str()
    }

    #[test]
    fn each_factor_has_its_evidence() {
        for (run, expected) in [
            (quiet(), "NONE"),
            (Measured { killed_for_memory: Some(1), ..quiet() }, "MEMORY"),
            (Measured { waited_for_memory: Some(0.4), ..quiet() }, "MEMORY"),
            (Measured { open_files: Some((23, 24)), ..quiet() }, "FD_LIMIT"),
            (Measured { cpu_share: Some(0.95), cpus: Some(1.9), ..quiet() }, "APPLICATION_CPU"),
            (Measured { throttled: Some(0.3), ..quiet() }, "APPLICATION_CPU"),
            // One thread that computes, alone and among others.
            (Measured { cpu_share: Some(0.49), cpus: Some(0.98), ..quiet() }, "APPLICATION_CPU"),
            (Measured { cpus: Some(0.4), waited_for_cpu: Some(0.6), ..quiet() }, "APPLICATION_CPU"),
            // Two of many CPUs are no limit.
            (Measured { cpus: Some(2.0), ..quiet() }, "NONE"),
            // What others had is none where the rate was kept.
            (Measured { waited_for_cpu: Some(0.6), ..quiet() }, "NONE"),
            (Measured { own_thread: Some(("driver".into(), 0.97)), ..quiet() }, "NONE"),
        ] {
            assert_eq!(factor(run.clone(), None, 0), expected, "{run:?}");
        }
        let late = |run: Measured| factor(run, None, S);
        assert_eq!(
            late(Measured { own_thread: Some(("driver".into(), 0.97)), ..quiet() }),
            "PROXY_BACKPRESSURE"
        );
        assert_eq!(late(Measured { driver_busy: Some(0.95), ..quiet() }), "PROXY_BACKPRESSURE");
        assert_eq!(late(Measured { waited_for_cpu: Some(0.6), ..quiet() }), "APPLICATION_CPU");
        let queues = Some(Queues { not_accepted: 2, not_read: 0 });
        let plateau = Some(Plateau { served: 4, most: 5, looks: (9, 8), waiting: 28 });
        let full = Measured { overflows: Some(7), not_accepted: Some(0.8), queues, ..quiet() };
        assert_eq!(late(Measured { plateau, ..quiet() }), "CONNECTION_POOL_EXHAUSTION");
        assert_eq!(late(full.clone()), "CONNECTION_POOL_EXHAUSTION");
        // Others listen in its network namespace, too.
        assert_eq!(late(Measured { not_accepted: Some(0.05), ..full.clone() }), "NONE");
        assert_eq!(late(Measured { overflows: Some(0), ..full.clone() }), "NONE");
        assert_eq!(factor(full, None, 0), "NONE", "the rate was kept");
        assert_eq!(late(quiet()), "NONE");
    }

    #[test]
    fn what_was_waited_for_counts_only_where_something_was_held_back() {
        let slow = Wait { calls: 20, waited_ns: 8 * S, most: 20, busy_ns: 5 * S, ..Wait::default() };
        let pool = Wait { most: 4, full_ns: 4 * S, queued: 12, ..slow.clone() };
        let given_up = Wait { given_up: 3, ..slow.clone() };
        for (wait, expected) in [
            (&slow, "OUTBOUND_DEPENDENCY_LATENCY"),
            (&pool, "CONNECTION_POOL_EXHAUSTION"),
            (&Wait { waited_ns: S, ..slow.clone() }, "NONE"),
            // Others come to wait by chance, too; and one that is not always full is not short.
            (&Wait { queued: 1, ..pool.clone() }, "OUTBOUND_DEPENDENCY_LATENCY"),
            (&Wait { full_ns: S, ..pool.clone() }, "OUTBOUND_DEPENDENCY_LATENCY"),
        ] {
            assert_eq!(factor(quiet(), Some(wait.clone()), S), expected, "{wait:?}");
            assert_eq!(factor(quiet(), Some(wait.clone()), 0), "NONE", "the rate was kept: {wait:?}");
        }
        assert_eq!(
            factor(quiet(), Some(given_up), 0),
            "DEPENDENCY_TIMEOUT",
            "in no recording there are such"
        );
        let unread = Measured { not_read: Some(0.9), ..quiet() };
        assert_eq!(factor(unread, Some(pool), S), "OUTBOUND_DEPENDENCY_LATENCY", "its threads are short");
    }

    #[test]
    fn an_objective_and_the_recordings_times_tell_as_well() {
        let mut waits = Waits { asked_ns: 10 * S, recorded_ns: 10 * S, ..Waits::default() };
        let slow = Wait { calls: 20, waited_ns: 8 * S, ..Wait::default() };
        waits.dependencies.insert("payments.test".into(), slow);
        let of = |waits: &Waits, paced_ns, has_missed| {
            let signs = Signs { paced_ns, has_missed, ..at_ease(waits) };
            limiting(&signs).unwrap().factor
        };
        assert_eq!(of(&waits, S, false), Factor::None);
        assert_eq!(of(&waits, S, true), Factor::OutboundDependencyLatency);
        assert_eq!(
            of(&waits, 0, false),
            Factor::OutboundDependencyLatency,
            "without gaps it is as fast as it can"
        );
        let short = Waits { asked_ns: S / 20, recorded_ns: S / 20, ..waits.clone() };
        assert_eq!(of(&short, 0, false), Factor::None, "a moment tells no rate");
        let short = Waits { recorded_ns: S / 60, ..short };
        assert_eq!(of(&short, S, false), Factor::None, "nor that it is slower");
        waits.recorded_ns = S;
        assert_eq!(of(&waits, S, false), Factor::OutboundDependencyLatency);
        let nothing = Waits::default();
        let nothing = Signs { paced_ns: 0, has_missed: true, is_load: true, ..at_ease(&nothing) };
        assert_eq!(limiting(&nothing), None);
    }

    #[test]
    fn who_waits_for_a_live_dependency_does_not_wait_for_a_pool() {
        let mut waits = Waits { asked_ns: 10 * S, recorded_ns: 10 * S, ..Waits::default() };
        let pool = Wait {
            calls: 20,
            waited_ns: 8 * S,
            busy_ns: 5 * S,
            most: 4,
            full_ns: 4 * S,
            queued: 12,
            given_up: 0,
        };
        waits.dependencies.insert("payments.test".into(), pool);
        let factor = |has_live| {
            let signs = Signs { late_p99_ns: S, has_live, ..at_ease(&waits) };
            limiting(&signs).unwrap().factor
        };
        assert_eq!(factor(false), Factor::ConnectionPoolExhaustion);
        assert_eq!(factor(true), Factor::OutboundDependencyLatency, "that much is known");
    }
}
