//! What a process has used, as /proc says it.

use anyhow::{Context, Result};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::process::Child;
use std::time::Duration;

/// The unit of times in /proc/PID/stat: 100 a second on all that Linux runs on but a few old machines.
const TICKS_PER_SECOND: f64 = 100.0;

const SAMPLING_INTERVAL: Duration = Duration::from_millis(50);

/// What one process, without its children, used between two moments.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Used {
    /// Seconds of CPU in user space.
    pub user_seconds: f64,
    /// Seconds of CPU in the kernel.
    pub system_seconds: f64,
    /// The most memory that was resident, in KiB.
    pub peak_rss_kib: u64,
    /// Name of a thread → its seconds of CPU. Up to 50 ms before the end, so less than the sums above.
    pub threads: BTreeMap<String, f64>,
}

impl Used {
    /// Seconds of CPU.
    pub fn cpu_seconds(&self) -> f64 {
        self.user_seconds + self.system_seconds
    }
}

/// A line of /proc/PID/stat.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    name: String,
    parent: u32,
    user_ticks: u64,
    system_ticks: u64,
}

impl Stat {
    /// The name may hold anything, brackets and blanks too; what follows the last `)` is plain.
    fn parse(text: &str) -> Option<Self> {
        let (before, after) = text.rsplit_once(')')?;
        let name = before.split_once('(')?.1.to_owned();
        let fields: Vec<&str> = after.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self {
            name,
            parent: fields.get(1)?.parse().ok()?,
            user_ticks: number(11)?,
            system_ticks: number(12)?,
        })
    }

    fn read(path: &str) -> Option<Self> {
        Self::parse(&fs::read_to_string(path).ok()?)
    }
}

/// Watches a process from its making on.
#[derive(Debug)]
pub struct Watch {
    pid: u32,
    first: Stat,
    /// Thread → name, ticks when the watch began (0 for later ones), ticks now.
    threads: BTreeMap<u32, (String, u64, u64)>,
    used: Used,
}

impl Watch {
    /// Begins: what the process used until now does not count.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn begin(pid: u32) -> Result<Self> {
        let first =
            Stat::read(&format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
        let mut watch = Self { pid, first, threads: BTreeMap::new(), used: Used::default() };
        watch.sample();
        for (_, at_first, now) in watch.threads.values_mut() {
            *at_first = *now;
        }
        Ok(watch)
    }

    /// Looks once more. Also at a process that has ended and was not waited for yet: its times are still there.
    fn sample(&mut self) {
        let pid = self.pid;
        let Some(now) = Stat::read(&format!("/proc/{pid}/stat")) else { return };
        let seconds = |first: u64, now: u64| now.saturating_sub(first) as f64 / TICKS_PER_SECOND;
        self.used.user_seconds = seconds(self.first.user_ticks, now.user_ticks);
        self.used.system_seconds = seconds(self.first.system_ticks, now.system_ticks);
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        // An ended process has no memory, and its first thread's own line would stand for all of them.
        let Some(peak) = peak_kib(&status) else { return };
        self.used.peak_rss_kib = self.used.peak_rss_kib.max(peak);
        for thread in numbers_in(&format!("/proc/{pid}/task")) {
            let Some(stat) = Stat::read(&format!("/proc/{pid}/task/{thread}/stat")) else { continue };
            let (first, now) = self.threads.get(&thread).map_or((0, 0), |(_, first, now)| (*first, *now));
            let now = now.max(stat.user_ticks + stat.system_ticks);
            self.threads.insert(thread, (stat.name, first, now));
        }
    }

    /// What was used.
    fn end(mut self) -> Used {
        for (name, first, now) in self.threads.into_values() {
            *self.used.threads.entry(name).or_default() +=
                now.saturating_sub(first) as f64 / TICKS_PER_SECOND;
        }
        self.used
    }
}

/// Waits until `child` has ended, watching meanwhile. The child is left to be waited for: only so its last times,
/// where it is what is watched, can be read.
///
/// # Errors
/// When `child` is no child of ours.
pub fn watch_until_end(child: &Child, mut watch: Option<Watch>) -> Result<Option<Used>> {
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
    loop {
        let ended = waitid(Id::Pid(pid), flags).context("cannot wait")? != WaitStatus::StillAlive;
        if let Some(watch) = &mut watch {
            watch.sample();
        }
        if ended {
            return Ok(watch.map(Watch::end));
        }
        std::thread::sleep(SAMPLING_INTERVAL);
    }
}

/// The process of this name among `pid` and its descendants: under sudo ours is not our child. A child of the
/// process that is still to become another program has its name too, and is not meant.
pub fn find_descendant(pid: u32, name: &str) -> Option<u32> {
    let stats: BTreeMap<u32, Stat> = numbers_in("/proc")
        .filter_map(|pid| Some((pid, Stat::read(&format!("/proc/{pid}/stat"))?)))
        .collect();
    let descends = |mut one: u32| loop {
        if one == pid {
            return true;
        }
        match stats.get(&one) {
            Some(stat) if stat.parent != 0 => one = stat.parent,
            _ => return false,
        }
    };
    let has_name = |pid: u32| stats.get(&pid).is_some_and(|stat| stat.name == name);
    let found = |(one, stat): &(&u32, &Stat)| has_name(**one) && !has_name(stat.parent) && descends(**one);
    stats.iter().find(found).map(|(one, _)| *one)
}

fn numbers_in(directory: &str) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// `VmHWM` of /proc/PID/status; none for a process that has ended.
fn peak_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_stat_line_is_read_whatever_the_name() {
        let rest = "S 7 3 3 0 -1 4194560 1 2 3 4 150 25 9 9 20 0 1 0 5 6 7";
        let expected =
            |name: &str| Stat { name: name.to_owned(), parent: 7, user_ticks: 150, system_ticks: 25 };
        assert_eq!(Stat::parse(&format!("42 (relay-0) {rest}")), Some(expected("relay-0")));
        assert_eq!(Stat::parse(&format!("42 (a) 1 (b)) {rest}")), Some(expected("a) 1 (b)")));
        assert_eq!(Stat::parse("42 (cut) S 7"), None);
        assert_eq!(peak_kib("VmPeak:\t 9 kB\nVmHWM:\t  5012 kB\n"), Some(5012));
    }

    #[test]
    fn a_process_is_watched_to_its_last_tick() {
        let busy = "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done";
        let mut child = Command::new("sh").args(["-c", busy]).stdout(Stdio::null()).spawn().unwrap();
        assert_eq!(find_descendant(child.id(), "nobody"), None);
        let watch = Watch::begin(child.id()).unwrap();
        let used = watch_until_end(&child, Some(watch)).unwrap().unwrap();
        assert!(child.wait().unwrap().success());
        assert!(used.cpu_seconds() > 0.0 && used.peak_rss_kib > 0, "{used:?}");
        assert!(used.threads["sh"] <= used.cpu_seconds(), "{used:?}");
    }
}
