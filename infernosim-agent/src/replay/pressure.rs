//! What a run took of the machine, as far as it can be measured: for `Limiting factor`, which is never guessed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::clock::{self, Nanos};
use crate::target::processes::Process;

/// What one clock tick of proc_pid_stat(5) is, in ns: USER_HZ is 100 on each architecture that Linux still has.
const TICK_NS: u64 = 10_000_000;

/// Watches a target through a run.
#[derive(Debug)]
pub struct Pressure {
    /// The cgroup, where all that is in it is the target.
    cgroup: Option<PathBuf>,
    began: Nanos,
    before: Reading,
    /// CPU time of each process when it was first seen and when it was last, in ns.
    processes: BTreeMap<Process, (u64, u64)>,
    open_files: Option<(u64, u64)>,
}

/// What was measured of a run; `None` where it could not be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// CPU time over what the CPUs we may use would have given: 0 to 1.
    pub cpu_share: Option<f64>,
    /// The share of the time in which some task of the target waited for a CPU, for memory, for a disk: 0 to 1 (PSI, "some").
    pub waited_for_cpu: Option<f64>,
    /// Likewise.
    pub waited_for_memory: Option<f64>,
    /// Likewise.
    pub waited_for_disk: Option<f64>,
    /// Processes that the kernel killed for want of memory.
    pub killed_for_memory: Option<u64>,
    /// The most descriptors that a process was seen with, and its limit, of the process that came closest to its limit.
    pub open_files: Option<(u64, u64)>,
}

/// Counters of a cgroup, in ns and processes.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    cpu_ns: Option<u64>,
    waited_ns: [Option<u64>; 3],
    killed: Option<u64>,
}

impl Pressure {
    /// From now on. `cgroup` is one in which all is the target; without it the processes alone are measured.
    pub fn begin(cgroup: Option<&Path>, target: &[u32]) -> Self {
        let cgroup = cgroup.map(Path::to_owned);
        let before = cgroup.as_deref().map(Reading::of).unwrap_or_default();
        let mut pressure =
            Self { cgroup, began: clock::now(), before, processes: BTreeMap::new(), open_files: None };
        pressure.look(target);
        pressure
    }

    /// Looks at the target's processes, as they are now. To be called a few times a second: descriptors are counted only
    /// then, and what a process does after the last look is not known.
    pub fn look(&mut self, target: &[u32]) {
        for process in target.iter().copied().filter_map(Process::find) {
            if let Some(cpu_ns) = cpu_ns(process.pid) {
                self.processes.entry(process).or_insert((cpu_ns, cpu_ns)).1 = cpu_ns;
            }
            if let Some(now) = open_files(process.pid) {
                let before = self.open_files.get_or_insert(now);
                // Cross-multiplied, since limits differ: open / limit is larger than before.
                if u128::from(now.0) * u128::from(before.1) > u128::from(before.0) * u128::from(now.1) {
                    *before = now;
                }
            }
        }
    }

    /// What was measured since the beginning.
    pub fn end(mut self, target: &[u32]) -> Measured {
        self.look(target);
        let wall_ns = clock::now().since(self.began).max(1);
        let after = self.cgroup.as_deref().map(Reading::of).unwrap_or_default();
        let share = |from: Option<u64>, to: Option<u64>, whole_ns: u64| {
            Some((to?.saturating_sub(from?) as f64 / whole_ns as f64).min(1.0))
        };
        let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64);
        let used_ns: u64 = self.processes.values().map(|(first, last)| last.saturating_sub(*first)).sum();
        let own = (!self.processes.is_empty()).then_some(used_ns);
        let cpu = share(self.before.cpu_ns, after.cpu_ns, wall_ns * cpus);
        let [waited_for_cpu, waited_for_memory, waited_for_disk] =
            [0, 1, 2].map(|at| share(self.before.waited_ns[at], after.waited_ns[at], wall_ns));
        Measured {
            cpu_share: cpu.or_else(|| share(Some(0), own, wall_ns * cpus)),
            waited_for_cpu,
            waited_for_memory,
            waited_for_disk,
            killed_for_memory: after
                .killed
                .zip(self.before.killed)
                .map(|(after, before)| after.saturating_sub(before)),
            open_files: self.open_files,
        }
    }
}

impl Reading {
    /// Documentation/admin-guide/cgroup-v2.rst: cpu.stat, *.pressure, memory.events. What this kernel does not have, or this
    /// hierarchy does not count, is not known.
    fn of(cgroup: &Path) -> Self {
        let read = |file: &str| fs::read_to_string(cgroup.join(file)).ok();
        let waited = |file: &str| Some(1000 * pressure_us(&read(file)?)?);
        Self {
            cpu_ns: read("cpu.stat").and_then(|text| Some(1000 * value(&text, "usage_usec")?)),
            waited_ns: ["cpu.pressure", "memory.pressure", "io.pressure"].map(waited),
            killed: read("memory.events").and_then(|text| value(&text, "oom_kill")),
        }
    }
}

/// The value of a line `name value`.
fn value(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=1234` (Documentation/accounting/psi.rst).
fn pressure_us(text: &str) -> Option<u64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split(' ').find_map(|word| word.strip_prefix("total=")?.parse().ok())
}

/// User and system time of a process with all its threads, in ns: fields 14 and 15 of proc_pid_stat(5).
fn cpu_ns(process: u32) -> Option<u64> {
    let line = fs::read(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may contain anything; nothing after it does. The field after it is the third.
    let end = line.iter().rposition(|byte| *byte == b')')?;
    let mut fields = std::str::from_utf8(&line[end + 1..]).ok()?.split_ascii_whitespace();
    let user: u64 = fields.nth(14 - 3)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system).saturating_mul(TICK_NS))
}

/// Open descriptors of a process, and how many it may have.
fn open_files(process: u32) -> Option<(u64, u64)> {
    let open = fs::read_dir(format!("/proc/{process}/fd")).ok()?.count() as u64;
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    Some((open, line.split_ascii_whitespace().next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read() {
        let stat = "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n";
        assert_eq!(value(stat, "usage_usec"), Some(1500));
        assert_eq!(value(stat, "usage"), None);
        let text = "some avg10=1.53 avg60=0.87 avg300=0.12 total=157622151\nfull avg10=0.00 total=5\n";
        assert_eq!(pressure_us(text), Some(157_622_151));
        assert_eq!(pressure_us("full avg10=0.00 total=5\n"), None);
    }

    #[test]
    fn a_process_that_works_shows_and_what_is_not_counted_is_not_told() {
        let own = [std::process::id()];
        let mut pressure = Pressure::begin(None, &own);
        // Until the kernel has counted some: ticks are of 10 ms.
        let mut worked = 0_u64;
        while pressure.processes.values().all(|(first, last)| last - first < 3 * TICK_NS) {
            worked = (0..100_000).fold(worked, |sum, number| sum.wrapping_mul(31).wrapping_add(number));
            pressure.look(&own);
        }
        let files: Vec<_> = (0..50).map(|_| fs::File::open("/proc/self/stat").unwrap()).collect();
        pressure.look(&own);
        drop((files, worked));
        let measured = pressure.end(&own);
        assert!(measured.cpu_share.unwrap() > 0.0 && measured.cpu_share.unwrap() <= 1.0, "{measured:?}");
        let (open, limit) = measured.open_files.unwrap();
        assert!((50..limit).contains(&open), "{measured:?}");
        assert_eq!((measured.waited_for_cpu, measured.killed_for_memory), (None, None));
        assert_eq!(Pressure::begin(None, &[]).end(&[]).cpu_share, None, "nobody was measured");
    }
}
