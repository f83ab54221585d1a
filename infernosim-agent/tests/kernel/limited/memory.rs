use std::fs;
use std::path::{Path, PathBuf};

use super::{Limited, assert_limited_by, command};
use crate::harness::Cgroup;

/// What the service is given, in bytes: it starts in it, and dies of its third request.
const LIMIT: &str = "67108864";

/// A cgroup of version 1's memory controller, where the host has that; removed when dropped.
struct Older(PathBuf);

impl Older {
    fn new() -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup/memory");
        if !root.join("memory.limit_in_bytes").exists() {
            return None;
        }
        let path = root.join(format!("infs-limited-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("memory.limit_in_bytes"), LIMIT).unwrap();
        Some(Self(path))
    }
}

impl Drop for Older {
    fn drop(&mut self) {
        for _ in 0..200 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

#[test]
fn little_memory_is_short() {
    let limited = Limited::captured();
    let service = command(&limited.variables, "memory");
    let replayed = match Older::new() {
        Some(older) => {
            let script = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", older.0.display());
            let mut words = ["sh", "-c", &script, "sh"].map(str::to_owned).to_vec();
            words.extend(service);
            limited.with(&words).option(&["--fanout", "32"]).run()
        }
        None => {
            let cgroup = Cgroup::new();
            let above = cgroup.path().parent().unwrap().join("cgroup.subtree_control");
            fs::write(above, "+memory").unwrap();
            fs::write(cgroup.path().join("memory.max"), LIMIT).unwrap();
            let _ = fs::write(cgroup.path().join("memory.swap.max"), "0");
            limited.with(&service).option(&["--into", &cgroup.name(), "--fanout", "32"]).run()
        }
    };
    assert_limited_by(&replayed, "MEMORY");
}
