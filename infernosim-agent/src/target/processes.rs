//! Which processes there are: in a cgroup, below a process, in which namespaces.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::errno::Errno;

/// How often a scan of /proc is repeated while it still finds children that the one before did not.
const MOST_SCANS: usize = 8;

/// linux/sched.h: set before the kernel tells anybody of the exit (do_exit: exit_signals comes before the
/// tracepoint sched_process_exit), and for good. The state becomes `Z` only later.
const PF_EXITING: u32 = 4;
/// linux/sched.h: a thread of the kernel's own.
const PF_KTHREAD: u32 = 0x0020_0000;

/// One process, not just its number: pids are used again, start times are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its number, as seen in the pid namespace that our /proc shows.
    pub pid: u32,
    /// When it started, in clock ticks since boot (field `starttime` of proc_pid_stat(5)).
    pub start_ticks: u64,
}

/// What a line of /proc/PID/stat tells that we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// Of the first thread: `PF_…` of linux/sched.h.
    flags: u32,
    start_ticks: u64,
}

impl Process {
    /// The process that has this number now. None if there is none, or if all its threads are ending or have
    /// ended: a zombie has no sockets and will make none.
    pub fn find(pid: u32) -> Option<Self> {
        let stat = stat(pid)?;
        // The first thread may end before the others.
        let dead = stat.flags & PF_EXITING != 0 && !has_living_thread(pid);
        (!dead).then_some(Self { pid, start_ticks: stat.start_ticks })
    }

    /// Whether it, and not a later process with its number, still runs.
    pub fn runs(&self) -> bool {
        Self::find(self.pid) == Some(*self)
    }
}

/// Why nothing can be seen of a process that has a number, if that is so.
pub fn unsuitable(pid: u32) -> Option<String> {
    if !exists(pid) {
        return Some("has ended and only waits for its parent".into());
    }
    // Threads are found in /proc by their numbers, though they are not listed there (proc(5)).
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let group = status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse::<u32>().ok());
    if let Some(group) = group.filter(|&group| group != pid) {
        return Some(format!("is a thread of process {group}"));
    }
    let of_kernel = stat(pid).is_some_and(|stat| stat.flags & PF_KTHREAD != 0);
    of_kernel.then(|| "is a thread of the kernel's, which makes no connections of its own".into())
}

/// The processes in `cgroup` (a directory of a v2 hierarchy) and all its descendants, in order. Processes of pid
/// namespaces that are not ours or below it have no number here and are left out, and so are cgroups that are
/// removed meanwhile.
pub fn in_cgroup(cgroup: &Path) -> Vec<u32> {
    let mut found = BTreeSet::new();
    // A list, not recursion: cgroups nest as deep as their owner likes.
    let mut directories = vec![cgroup.to_owned()];
    while let Some(directory) = directories.pop() {
        // It can only have been removed meanwhile, and for that it must have been empty.
        let _ = read_members(&directory, &mut found);
        directories.append(&mut subdirectories(&directory));
    }
    found.into_iter().collect()
}

/// `roots` with their children, their children's and so on, as far as they run, in order. A process whose parent has ended
/// is no longer its grandparent's (it was given to init or a subreaper, `PR_SET_CHILD_SUBREAPER`), and not found.
///
/// Children forked while we look are found if their parent was; children that are forked later are not: let the
/// kernel half follow forks first, and then call this.
pub fn with_descendants(roots: &[u32]) -> Vec<u32> {
    let mut found = BTreeSet::new();
    for _ in 0..MOST_SCANS {
        let before = found.len();
        let children = children();
        let mut waiting: Vec<u32> = roots.to_vec();
        waiting.extend(&found);
        let mut seen = BTreeSet::new();
        while let Some(pid) = waiting.pop() {
            if seen.insert(pid) {
                waiting.extend(children.get(&pid).into_iter().flatten());
            }
        }
        found.extend(seen.into_iter().filter(|pid| Process::find(*pid).is_some()));
        // The listing of /proc goes by number: what was forked behind our back is in the next one.
        if found.len() == before {
            break;
        }
    }
    found.into_iter().collect()
}

/// Whether a process with this number runs.
pub fn exists(pid: u32) -> bool {
    Process::find(pid).is_some()
}

/// The words a process was started with, or gave itself (proc_pid_cmdline(5)); none of one that has ended or is
/// the kernel's own.
pub fn command_line(pid: u32) -> Vec<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    let mut words: Vec<String> = words.collect();
    // A process that writes its title there pads it with NULs. Empty words in between are real arguments.
    while words.last().is_some_and(String::is_empty) {
        words.pop();
    }
    words
}

/// Whether this process is in the host's first pid namespace, whose numbers are the kernel's own (the inode number
/// is PROC_PID_INIT_INO, linux/proc_ns.h).
pub fn in_initial_namespace() -> bool {
    pid_namespace(std::process::id()) == Some(0xEFFF_FFFC)
}

/// The inode number of a process's network namespace, which names it on this host (namespaces(7)). None if the
/// process has ended or we may not look (ptrace access mode PTRACE_MODE_READ_FSCREDS).
pub fn network_namespace(pid: u32) -> Option<u64> {
    namespace(pid, "net")
}

/// Likewise of its pid namespace.
pub fn pid_namespace(pid: u32) -> Option<u64> {
    namespace(pid, "pid")
}

fn namespace(pid: u32, kind: &str) -> Option<u64> {
    fs::metadata(format!("/proc/{pid}/ns/{kind}")).ok().map(|file| file.ino())
}

fn subdirectories(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    // cgroupfs has no symbolic links, so this cannot lead out or in circles.
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn read_members(cgroup: &Path, found: &mut BTreeSet<u32>) -> io::Result<()> {
    let numbers = |text: String| -> Vec<u32> {
        // 0 stands for a process that our pid namespace does not have (cgroup_procs_show).
        text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect()
    };
    match fs::read_to_string(cgroup.join("cgroup.procs")) {
        Ok(text) => found.extend(numbers(text)),
        // A threaded cgroup tells its threads only (Documentation/admin-guide/cgroup-v2.rst, "Threads").
        Err(error) if error.raw_os_error() == Some(Errno::EOPNOTSUPP as i32) => {
            let threads = numbers(fs::read_to_string(cgroup.join("cgroup.threads"))?);
            found.extend(threads.into_iter().filter_map(process_of_thread));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// The process that a thread belongs to.
fn process_of_thread(thread: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let process = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    process.trim().parse().ok()
}

/// Every process's children.
fn children() -> BTreeMap<u32, Vec<u32>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(stat) = stat(pid) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    children
}

fn has_living_thread(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut stats = threads.filter_map(|thread| parse_stat(&fs::read(thread.path().join("stat")).ok()?));
    stats.any(|stat| stat.flags & PF_EXITING == 0)
}

fn stat(pid: u32) -> Option<Stat> {
    // Bytes: a process may name itself with what is no UTF-8 (PR_SET_NAME).
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// proc_pid_stat(5). The name in parentheses may itself contain spaces and parentheses; nothing after it does.
fn parse_stat(line: &[u8]) -> Option<Stat> {
    let end = line.iter().rposition(|byte| *byte == b')')?;
    let mut fields = std::str::from_utf8(&line[end + 1..]).ok()?.split_ascii_whitespace();
    Some(Stat {
        // Field 4; the first after the name is 3.
        parent: fields.nth(4 - 3)?.parse().ok()?,
        flags: fields.nth(9 - 5)?.parse().ok()?,
        start_ticks: fields.nth(22 - 10)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests;
