use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{eventually, require_root};

/// Names of this process's cgroups, one each.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A cgroup (v2) of the test's own; when dropped, what lives in it is killed and it is removed.
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Below the root of the hierarchy.
    pub fn new() -> Self {
        require_root();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self::at(cgroup_mount().join(format!("infs-{}-{number}", std::process::id())))
    }

    /// Another one inside.
    pub fn inner(&self, name: &str) -> Self {
        Self::at(self.path.join(name))
    }

    fn at(path: PathBuf) -> Self {
        std::fs::create_dir(&path).unwrap();
        Self { path }
    }

    /// The name that `--cgroup` takes: from the hierarchy's root.
    pub fn name(&self) -> String {
        format!("/{}", self.path.strip_prefix(cgroup_mount()).unwrap().display())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves a process here.
    pub fn add(&self, pid: u32) {
        std::fs::write(self.path.join("cgroup.procs"), pid.to_string()).unwrap();
    }

    /// The beginning of a command line that runs the rest of it in here.
    pub fn prefix(&self) -> Vec<String> {
        let script = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.path.display());
        ["sh", "-c", &script, "sh"].map(str::to_owned).into()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = std::fs::write(self.path.join("cgroup.kill"), "1");
        for _ in 0..200 {
            if std::fs::remove_dir(&self.path).is_ok() || !self.path.exists() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// The cgroup2 mount of this machine.
pub fn cgroup_mount() -> PathBuf {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let mut lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    lines.find(|fields| fields[2] == "cgroup2").expect("no cgroup v2 is mounted here")[1].into()
}

/// What `/proc/PID/cgroup` says: where a process is, in each hierarchy.
pub fn membership(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap()
}

/// A pid namespace, as a container's; when dropped, everything in it is killed.
pub struct PidNs {
    child: std::process::Child,
    init: u32,
}

impl PidNs {
    pub fn new() -> Self {
        require_root();
        let words = ["--pid", "--fork", "--mount-proc", "sh", "-c", "while :; do sleep 1000; done"];
        let child = std::process::Command::new(super::program("unshare")).args(words).spawn().unwrap();
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        let mut init = None;
        eventually("the namespace has an init", || {
            let text = std::fs::read_to_string(&children).unwrap_or_default();
            init = text.split_whitespace().next().and_then(|pid| pid.parse().ok());
            // It mounts /proc before it executes the shell.
            let comm = init.and_then(|pid: u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).ok());
            comm.as_deref() == Some("sh\n")
        });
        Self { child, init: init.unwrap() }
    }

    /// The beginning of a command line that runs the rest of it in here.
    pub fn prefix(&self) -> Vec<String> {
        let init = self.init.to_string();
        ["nsenter", "--pid", "--mount", "--target", &init, "--"].map(str::to_owned).into()
    }
}

impl Drop for PidNs {
    fn drop(&mut self) {
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(self.init as i32),
            nix::sys::signal::Signal::SIGKILL,
        );
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
