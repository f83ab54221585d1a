//! What a run took of the machine, as far as it can be measured: for `Limiting factor`, which is never guessed.
//!
//! ```text
//! cgroup (cpu.stat, *.pressure) ─┐
//! /proc of the target            ├▶ looked at a few times a second ─▶ Measured, one a run
//! its listeners' queues, ourselves ┘
//! ```
//!
//! Invariant: what could not be read is none, not zero. Imports `clock`, `target`, the driver's `Idle`.

mod group;
mod memory;
mod process;
mod queues;
mod serving;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::group::Reading;
pub use self::memory::Memory;
pub use self::queues::Queues;
pub use self::serving::{Plateau, Serving};
use crate::clock::{self, Nanos};
use crate::replay::driver::Idle;
use crate::target::processes::Process;

/// Watches a target through a run.
#[derive(Debug)]
pub struct Pressure {
    /// The cgroup, where all that is in it is the target.
    cgroup: Option<PathBuf>,
    /// Of the target's listeners.
    ports: BTreeSet<u16>,
    began: Nanos,
    before: Reading,
    /// CPU time of each process when it was first seen and when it was last, in ns.
    processes: BTreeMap<Process, (u64, u64)>,
    /// Likewise of our own threads.
    own: BTreeMap<(u32, String), (u64, u64)>,
    limit: Option<memory::Limit>,
    memory: Option<(Memory, Memory)>,
    open_files: Option<(u64, u64)>,
    threads: Option<u64>,
    queues: Option<Queues>,
    /// How often it was looked, how often bytes waited to be read, and how often connections to be accepted.
    looks: (u64, u64, u64),
    serving: Serving,
    /// When it began.
    overflows: Option<u64>,
    /// The driver's thread, and for how long it had nothing to do when this began, in ns.
    driver: (Arc<Idle>, u64),
}

/// What was measured of a run; `None` where it could not be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// CPU time over what the CPUs we may use would have given: 0 to 1.
    pub cpu_share: Option<f64>,
    /// The same in CPUs.
    pub cpus: Option<f64>,
    /// The share of the time for which it was kept from its CPUs for want of quota (`cpu.max`): 0 to 1.
    pub throttled: Option<f64>,
    /// The share of the time in which some task of the target waited for a CPU, for memory, for a disk: 0 to 1 (PSI, "some").
    pub waited_for_cpu: Option<f64>,
    /// Likewise.
    pub waited_for_memory: Option<f64>,
    /// Likewise.
    pub waited_for_disk: Option<f64>,
    /// Processes that the kernel killed for want of memory.
    pub killed_for_memory: Option<u64>,
    /// The most memory in use where it is limited; how often the limit was run into in this run.
    pub memory: Option<Memory>,
    /// The most descriptors that a process was seen with, and its limit, of the process that came closest to its limit.
    pub open_files: Option<(u64, u64)>,
    /// The most threads of all its processes.
    pub threads: Option<u64>,
    /// The most that waited at its listeners.
    pub queues: Option<Queues>,
    /// How often requests waited to be read, of all looks: 0 to 1.
    pub not_read: Option<f64>,
    /// How often connections waited to be accepted, of all looks: 0 to 1.
    pub not_accepted: Option<f64>,
    /// A number of requests that were served at a time and never more, while others waited.
    pub plateau: Option<Plateau>,
    /// Connections that found no room among those to be accepted, in the target's network namespace.
    pub overflows: Option<u64>,
    /// The share of the time for which the driver's thread had something to do: 0 to 1.
    pub driver_busy: Option<f64>,
    /// The busiest of our own threads, and its CPU time over the run's time.
    pub own_thread: Option<(String, f64)>,
}

impl Pressure {
    /// From now on. `cgroup` is one in which all is the target; without it the processes alone are measured. `ports` are
    /// those of its listeners; `driver` is our own thread that sends.
    pub fn begin(cgroup: Option<&Path>, target: &[u32], ports: &BTreeSet<u16>, driver: &Arc<Idle>) -> Self {
        let cgroup = cgroup.map(Path::to_owned);
        let before = cgroup.as_deref().map(Reading::of).unwrap_or_default();
        let mut pressure = Self {
            cgroup,
            ports: ports.clone(),
            began: clock::now(),
            before,
            processes: BTreeMap::new(),
            own: BTreeMap::new(),
            limit: target.first().copied().and_then(memory::Limit::of),
            memory: None,
            open_files: None,
            threads: None,
            queues: None,
            looks: (0, 0, 0),
            serving: Serving::default(),
            overflows: target.first().copied().and_then(Queues::overflows),
            driver: (Arc::clone(driver), driver.ns()),
        };
        pressure.look(target, 0);
        pressure
    }

    /// Looks at the target's processes, as they are now. To be called a few times a second: descriptors are counted only
    /// then, and what a process does after the last look is not known. `open` requests are sent and not answered.
    pub fn look(&mut self, target: &[u32], open: u64) {
        // First of all, for what is open and what waits is of the same moment.
        if let Some(now) = target.first().and_then(|process| Queues::of(*process, &self.ports)) {
            self.queues = Some(self.queues.unwrap_or_default().most(now));
            let (looks, not_read, not_accepted) = self.looks;
            let waits = |count: u64| u64::from(count > 0);
            self.looks = (looks + 1, not_read + waits(now.not_read), not_accepted + waits(now.not_accepted));
            self.serving.look(open, now);
        }
        let mut threads = None;
        for process in target.iter().copied().filter_map(Process::find) {
            if let Some(cpu_ns) = process::cpu_ns(process.pid) {
                self.processes.entry(process).or_insert((cpu_ns, cpu_ns)).1 = cpu_ns;
            }
            if let Some(more) = process::threads(process.pid) {
                threads = Some(threads.unwrap_or(0) + more);
            }
            if let Some(now) = process::open_files(process.pid) {
                let before = self.open_files.get_or_insert(now);
                // Cross-multiplied, since limits differ: open / limit is larger than before.
                if u128::from(now.0) * u128::from(before.1) > u128::from(before.0) * u128::from(now.1) {
                    *before = now;
                }
            }
        }
        self.threads = self.threads.max(threads);
        for (tid, name, cpu_ns) in process::own_threads() {
            self.own.entry((tid, name)).or_insert((cpu_ns, cpu_ns)).1 = cpu_ns;
        }
        if let Some(now) = self.limit.as_ref().and_then(memory::Limit::read) {
            let (_, last) = self.memory.get_or_insert((now, now));
            *last = Memory { used: now.used.max(last.used), ..now };
        }
    }

    /// What was measured since the beginning.
    pub fn end(mut self, target: &[u32]) -> Measured {
        self.look(target, 0);
        let wall_ns = clock::now().since(self.began).max(1);
        let after = self.cgroup.as_deref().map(Reading::of).unwrap_or_default();
        let ratio = |from: Option<u64>, to: Option<u64>, whole_ns: u64| {
            Some(to?.saturating_sub(from?) as f64 / whole_ns as f64)
        };
        let share = |from, to| ratio(from, to, wall_ns).map(|share| share.min(1.0));
        let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64);
        let used_ns: u64 = self.processes.values().map(|(first, last)| last.saturating_sub(*first)).sum();
        let own = (!self.processes.is_empty()).then_some(used_ns);
        let used = ratio(self.before.cpu_ns, after.cpu_ns, wall_ns).or_else(|| ratio(Some(0), own, wall_ns));
        let [waited_for_cpu, waited_for_memory, waited_for_disk] =
            [0, 1, 2].map(|at| share(self.before.waited_ns[at], after.waited_ns[at]));
        let by_group =
            after.killed.zip(self.before.killed).map(|(after, before)| after.saturating_sub(before));
        let by_limit = self.memory.map(|(first, last)| last.killed.saturating_sub(first.killed));
        let busiest =
            self.own.into_iter().map(|((_, name), (first, last))| (last.saturating_sub(first), name));
        Measured {
            cpu_share: used.map(|used| (used / cpus as f64).min(1.0)),
            cpus: used,
            throttled: share(self.before.throttled_ns, after.throttled_ns),
            waited_for_cpu,
            waited_for_memory,
            waited_for_disk,
            killed_for_memory: by_group.max(by_limit),
            memory: self
                .memory
                .map(|(first, last)| Memory { reached: last.reached.saturating_sub(first.reached), ..last }),
            open_files: self.open_files,
            threads: self.threads,
            queues: self.queues,
            not_read: (self.looks.0 > 0).then(|| self.looks.1 as f64 / self.looks.0 as f64),
            not_accepted: (self.looks.0 > 0).then(|| self.looks.2 as f64 / self.looks.0 as f64),
            plateau: self.serving.plateau(),
            overflows: self
                .overflows
                .and_then(|before| Some(Queues::overflows(*target.first()?)?.saturating_sub(before))),
            driver_busy: Some(1.0 - (self.driver.0.ns() - self.driver.1) as f64 / wall_ns as f64)
                .map(|it| it.max(0.0)),
            own_thread: busiest.max().map(|(ns, name)| (name, ns as f64 / wall_ns as f64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::process::TICK_NS;
    use super::*;

    #[test]
    fn a_process_that_works_shows_and_what_is_not_counted_is_not_told() {
        let own = [std::process::id()];
        let mut pressure = Pressure::begin(None, &own, &BTreeSet::new(), &Arc::default());
        // Until the kernel has counted some: ticks are of 10 ms.
        let mut worked = 0_u64;
        while pressure.processes.values().all(|(first, last)| last - first < 3 * TICK_NS) {
            worked = (0..100_000).fold(worked, |sum, number| sum.wrapping_mul(31).wrapping_add(number));
            pressure.look(&own, 0);
        }
        let files: Vec<_> = (0..50).map(|_| fs::File::open("/proc/self/stat").unwrap()).collect();
        pressure.look(&own, 0);
        drop((files, worked));
        let measured = pressure.end(&own);
        assert!(measured.cpu_share.unwrap() > 0.0 && measured.cpu_share.unwrap() <= 1.0, "{measured:?}");
        assert!(measured.cpus.unwrap() >= measured.cpu_share.unwrap(), "{measured:?}");
        let (open, limit) = measured.open_files.unwrap();
        assert!((50..limit).contains(&open), "{measured:?}");
        assert!(
            measured.threads.unwrap() >= 1 && measured.own_thread.as_ref().unwrap().1 > 0.0,
            "{measured:?}"
        );
        assert_eq!((measured.waited_for_cpu, measured.throttled), (None, None));
        let nobody = Pressure::begin(None, &[], &BTreeSet::new(), &Arc::default()).end(&[]);
        assert_eq!(
            (nobody.cpu_share, nobody.threads, nobody.queues),
            (None, None, None),
            "nobody was measured"
        );
    }
}
