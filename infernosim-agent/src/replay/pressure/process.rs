//! What /proc tells of a process.

use std::fs;
use std::path::Path;

/// What one clock tick of proc_pid_stat(5) is, in ns: USER_HZ is 100 on each architecture that Linux still has.
pub const TICK_NS: u64 = 10_000_000;

/// User and system time of a process with all its threads, in ns.
pub fn cpu_ns(process: u32) -> Option<u64> {
    ticks_ns(Path::new(&format!("/proc/{process}/stat")))
}

/// Of each thread of ours: name, and user and system time in ns.
pub fn own_threads() -> Vec<(u32, String, u64)> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let all = tasks.filter_map(|task| {
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        let tid = task.file_name().to_str()?.parse().ok()?;
        Some((tid, name.trim().to_owned(), ticks_ns(&task.path().join("stat"))?))
    });
    all.collect()
}

/// Fields 14 and 15 of proc_pid_stat(5), in ns.
fn ticks_ns(stat: &Path) -> Option<u64> {
    let line = fs::read(stat).ok()?;
    // The name in parentheses may contain anything; nothing after it does. The field after it is the third.
    let end = line.iter().rposition(|byte| *byte == b')')?;
    let mut fields = std::str::from_utf8(&line[end + 1..]).ok()?.split_ascii_whitespace();
    let user: u64 = fields.nth(14 - 3)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system).saturating_mul(TICK_NS))
}

/// Open descriptors of a process, and how many it may have.
pub fn open_files(process: u32) -> Option<(u64, u64)> {
    let open = fs::read_dir(format!("/proc/{process}/fd")).ok()?.count() as u64;
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    Some((open, line.split_ascii_whitespace().next()?.parse().ok()?))
}

/// Threads of a process (proc_pid_status(5)).
pub fn threads(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Threads:")?.trim().parse().ok())
}
