//! How near to its limit of memory a target is: that of its cgroup, of version 2 or 1, or of one above it.

use std::fs;
use std::path::{Path, PathBuf};

use super::group::value;

/// At one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Bytes in use by what the limit is for.
    pub used: u64,
    /// The limit, in bytes.
    pub limit: u64,
    /// How often it was run into.
    pub reached: u64,
    /// Processes that were killed for it; since the cgroup was made.
    pub killed: u64,
}

/// Where a limit stands.
#[derive(Clone, Debug)]
pub struct Limit {
    cgroup: PathBuf,
    is_v2: bool,
}

impl Limit {
    /// The nearest one above a process; none where nothing limits it.
    pub fn of(process: u32) -> Option<Self> {
        let cgroups = fs::read_to_string(format!("/proc/{process}/cgroup")).ok()?;
        let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
        let line = |is_it: &dyn Fn(&str) -> bool| {
            cgroups.lines().find_map(|line| {
                let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
                is_it(controllers).then(|| path.to_owned())
            })
        };
        let v1 = || {
            let has_memory = |list: &str| list.split(',').any(|it| it == "memory");
            Some((mount(&mounts, "cgroup", &has_memory)?, line(&has_memory)?, false))
        };
        let v2 = || Some((mount(&mounts, "cgroup2", &|_| true)?, line(&|it| it.is_empty())?, true));
        let (root, path, is_v2) = v1().or_else(v2)?;
        let cgroup = root.join(path.trim_start_matches('/'));
        let above = cgroup.ancestors().take_while(|it| it.starts_with(&root));
        above.map(|it| Self { cgroup: it.to_owned(), is_v2 }).find(|it| it.read().is_some())
    }

    /// What it is now; none where it is no limit any more.
    pub fn read(&self) -> Option<Memory> {
        let read = |file: &str| fs::read_to_string(self.cgroup.join(file)).ok();
        let number = |file: &str| read(file)?.trim().parse::<u64>().ok();
        if !self.is_v2 {
            // Documentation/admin-guide/cgroup-v1/memory.rst; without a limit it is the most that fits.
            let limit = number("memory.limit_in_bytes").filter(|limit| *limit < 1 << 60)?;
            let killed = read("memory.oom_control").and_then(|text| value(&text, "oom_kill")).unwrap_or(0);
            let reached = number("memory.failcnt").unwrap_or(0);
            return Some(Memory { used: number("memory.usage_in_bytes")?, limit, reached, killed });
        }
        // Documentation/admin-guide/cgroup-v2.rst; without a limit it is the word `max`.
        let limit = [number("memory.high"), number("memory.max")].into_iter().flatten().min()?;
        let events = read("memory.events").unwrap_or_default();
        let count = |name: &str| value(&events, name).unwrap_or(0);
        let used = number("memory.current")?;
        Some(Memory { used, limit, reached: count("high") + count("max"), killed: count("oom_kill") })
    }
}

/// Where a hierarchy is mounted, by proc_mounts(5).
fn mount(mounts: &str, kind: &str, has: &dyn Fn(&str) -> bool) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let [_, place, its, options, ..] = words[..] else { return None };
        (its == kind && has(options)).then(|| Path::new(place).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_both_versions_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let put = |file: &str, text: &str| fs::write(dir.path().join(file), text).unwrap();
        let limit = |is_v2| Limit { cgroup: dir.path().to_owned(), is_v2 }.read();
        put("memory.max", "max\n");
        put("memory.high", "max\n");
        put("memory.current", "4096\n");
        assert_eq!((limit(true), limit(false)), (None, None));
        put("memory.high", "8192\n");
        put("memory.events", "low 0\nhigh 3\nmax 2\noom 1\noom_kill 1\n");
        assert_eq!(limit(true), Some(Memory { used: 4096, limit: 8192, reached: 5, killed: 1 }));
        put("memory.limit_in_bytes", "9223372036854771712\n");
        put("memory.usage_in_bytes", "4096\n");
        assert_eq!(limit(false), None);
        put("memory.limit_in_bytes", "10000\n");
        put("memory.failcnt", "7\n");
        put("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
        assert_eq!(limit(false), Some(Memory { used: 4096, limit: 10_000, reached: 7, killed: 2 }));
    }

    #[test]
    fn mounts_are_found_by_kind_and_controller() {
        let mounts =
            "cgroup /c/cpu cgroup rw,cpu 0 0\ncgroup /c/mem cgroup rw,memory 0 0\nx /c/u cgroup2 rw 0 0\n";
        let memory = |list: &str| list.split(',').any(|it| it == "memory");
        assert_eq!(mount(mounts, "cgroup", &memory), Some("/c/mem".into()));
        assert_eq!(mount(mounts, "cgroup2", &|_| true), Some("/c/u".into()));
        assert_eq!(mount("", "cgroup2", &|_| true), None);
    }
}
