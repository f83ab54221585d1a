//! The cgroup v2 hierarchy as this process sees it, and how users name cgroups in it: by path, by the id of the
//! container, by the systemd unit, by a process that is in it.

mod mounts;
mod names;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use self::mounts::Mount;
use crate::error::{Exit, ExpectedError, Result};

/// At most so many names are listed in a message.
const MOST_LISTED: usize = 8;

/// Where cgroup v2 is mounted; mostly one place, in containers sometimes a second with the host's own view.
#[derive(Debug)]
pub struct Hierarchy {
    mounts: Vec<Mount>,
    /// Where cgroup v1 is mounted, to say so of a path there.
    older: Vec<PathBuf>,
}

impl Hierarchy {
    /// Finds it. Fails with exit status 3 where cgroup v2 is not mounted, or /proc has other numbers for processes than we.
    pub fn find() -> Result<Self> {
        let shown = fs::read_link("/proc/self").ok();
        check_numbers(shown.as_deref().and_then(Path::to_str), std::process::id())?;
        let mountinfo = fs::read("/proc/self/mountinfo").map_err(|error| {
            ExpectedError::new(Exit::Host, format!("/proc/self/mountinfo cannot be read: {error}"))
        })?;
        Self::from_mountinfo(&mountinfo)
    }

    fn from_mountinfo(mountinfo: &[u8]) -> Result<Self> {
        let (mounts, older) = mounts::parse(mountinfo);
        if mounts.is_empty() {
            let sentence = "no cgroup v2 hierarchy is mounted here";
            return Err(ExpectedError::new(Exit::Host, sentence).help(
                "mount one: `mount -t cgroup2 none /sys/fs/cgroup/unified` (make the directory first)",
            ));
        }
        Ok(Self { mounts, older })
    }

    /// The directory of this process's own cgroup, or the hierarchy's root where ours lies outside of it.
    pub fn own(&self) -> PathBuf {
        let own = self.of_process(std::process::id());
        own.unwrap_or_else(|_| self.root().to_owned())
    }

    /// Whether it cannot be written to, as in most containers.
    pub fn is_read_only(&self) -> bool {
        nix::sys::statvfs::statvfs(self.root())
            .is_ok_and(|mount| mount.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY))
    }

    /// The directory of the cgroup that a process is in, its number as our /proc has it. Fails with 2 where there is
    /// no such process, with 3 where its cgroup is none that can be reached from here.
    pub fn of_process(&self, pid: u32) -> Result<PathBuf> {
        let membership = fs::read(format!("/proc/{pid}/cgroup")).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => {
                ExpectedError::new(Exit::Host, format!("/proc/{pid}/cgroup cannot be read: {error}"))
                    .help("run it with sudo")
            }
            // ESRCH: it ended between open and read.
            _ => ExpectedError::new(Exit::Usage, format!("there is no process {pid}; it may have ended"))
                .help("find its number with `pgrep -a NAME`"),
        })?;
        self.of_membership(pid, &membership)
    }

    fn of_membership(&self, pid: u32, membership: &[u8]) -> Result<PathBuf> {
        // cgroups(7): `0::/path` is the v2 hierarchy's line.
        let line = membership.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"0::"));
        let path = line.ok_or_else(|| {
            ExpectedError::new(Exit::Host, format!("process {pid} is in no cgroup of the v2 hierarchy"))
        })?;
        if path.ends_with(b" (deleted)") {
            let sentence = format!("process {pid} is in a cgroup that has been removed; it is about to end");
            return Err(ExpectedError::new(Exit::Host, sentence));
        }
        let path = Path::new(OsStr::from_bytes(path));
        let seen = self.mounts.iter().filter_map(|mount| mount.locate(path));
        seen.into_iter().find(|directory| is_cgroup(directory)).ok_or_else(|| {
            let shown = path.display();
            let sentence = format!("the cgroup {shown} of process {pid} lies outside of what is mounted here");
            ExpectedError::new(Exit::Host, sentence).help(
                "run it on the host, or in a container that sees the host's cgroups (docker: --cgroupns=host, \
                 with /sys/fs/cgroup mounted)",
            )
        })
    }

    /// The directory of a cgroup given by its path: from the hierarchy's root (`/system.slice/shop.service`), or
    /// where it is mounted (`/sys/fs/cgroup/system.slice/shop.service`). Fails with 2 where there is none, with
    /// near names, with 3 for cgroups of v1.
    pub fn cgroup(&self, path: &str) -> Result<PathBuf> {
        let given = Path::new(path);
        if given.components().any(|part| part == Component::ParentDir) {
            let sentence = format!("the cgroup path {path} has .. in it");
            return Err(ExpectedError::new(Exit::Usage, sentence).help("give it from the root: /A/B"));
        }
        let below_mount =
            self.mounts.iter().filter(|mount| given.starts_with(&mount.point)).map(|_| given.to_owned());
        let below_root = self.mounts.iter().map(|mount| mount.below(given));
        if let Some(directory) = below_mount.chain(below_root).find(|directory| is_cgroup(directory)) {
            // Without a slash at the end or doubled within, so that equal cgroups have equal paths.
            return Ok(directory.components().collect());
        }
        if let Some(older) = self.older.iter().find(|mount| given.starts_with(mount)) {
            let sentence = format!("{path} is a cgroup of v1 ({}); cgroup v2 is needed", older.display());
            let help = format!("the v2 hierarchy is mounted at {}", self.root().display());
            return Err(ExpectedError::new(Exit::Host, sentence).help(help));
        }
        let name = given.file_name().unwrap_or(given.as_os_str()).to_string_lossy();
        let near = names::near(&name, &self.all());
        let sentence = format!("there is no cgroup {path} below {}", self.root().display());
        Err(missing(sentence, &near, "`systemd-cgls` shows the cgroups of this host"))
    }

    /// The directory of a container's cgroup, by its id or a beginning of it (4 hex digits at least), or by its name
    /// for LXC and systemd-nspawn. docker, containerd, podman, cri-o and kubernetes layouts are known. Fails with 2
    /// where none or several fit.
    pub fn container(&self, id: &str) -> Result<PathBuf> {
        // `docker://0123…`, as kubectl shows it.
        let id = id.rsplit_once("://").map_or(id, |(_, id)| id);
        let all = self.all();
        let exact: Vec<&PathBuf> = all.iter().filter(|path| names::is_container_named(path, id)).collect();
        let found = if exact.is_empty() {
            all.iter().filter(|path| names::is_container_with_id(path, id)).collect()
        } else {
            exact
        };
        match outermost(&found)[..] {
            [one] => self.reach(one),
            [] => {
                let known = all.iter().filter(|path| names::container_id(path).is_some()).cloned().collect();
                let sentence = format!("no cgroup here is of a container with the id {id}");
                let otherwise =
                    "give the id of a running container: `docker inspect -f '{{.Id}}' NAME`, `crictl ps`";
                Err(missing(sentence, &outermost_of(known), otherwise))
            }
            ref several => Err(ambiguous(&format!("the container id {id}"), several)
                .help("give more digits of it, or one of these paths with --cgroup")),
        }
    }

    /// The directory of a systemd unit's cgroup. `NAME` is a service unless it has another unit's ending; `NAME@`
    /// finds a template's one instance. A unit of the system's own manager goes before one of the same name in a
    /// user's session or a container, as with systemctl. Fails with 2 where none or several fit.
    pub fn unit(&self, name: &str) -> Result<PathBuf> {
        let wanted = names::Unit::new(name);
        let all = self.all();
        let mut found: Vec<&PathBuf> = all.iter().filter(|path| wanted.is(path)).collect();
        if found.iter().filter(|path| names::is_of_system_manager(path)).count() > 0 {
            found.retain(|path| names::is_of_system_manager(path));
        }
        match found[..] {
            [one] => self.reach(one),
            [] => {
                let near = names::near(wanted.name(), &all);
                let sentence =
                    format!("no cgroup here is of the unit {}; it may not be running", wanted.name());
                Err(missing(sentence, &near, format!("look with `systemctl status {}`", wanted.name())))
            }
            ref several => Err(ambiguous(&format!("the unit {}", wanted.name()), several)
                .help("give one of these paths with --cgroup")),
        }
    }

    /// Where names are looked up.
    pub fn root(&self) -> &Path {
        // There is one: `from_mountinfo` sees to it.
        self.mounts.first().map_or(Path::new("/sys/fs/cgroup"), |mount| &mount.point)
    }

    /// The directory of a path that [`Self::all`] gave.
    fn reach(&self, path: &Path) -> Result<PathBuf> {
        let directories = self.mounts.iter().map(|mount| mount.below(path));
        let found = directories.into_iter().find(|directory| is_cgroup(directory));
        found.ok_or_else(|| {
            let sentence = format!("the cgroup {} has just been removed", path.display());
            ExpectedError::new(Exit::Usage, sentence)
        })
    }

    /// Every cgroup, as paths from the root of its mount; one that is seen at several mounts, once.
    fn all(&self) -> Vec<PathBuf> {
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        for mount in &self.mounts {
            let mut waiting = vec![mount.point.clone()];
            while let Some(directory) = waiting.pop() {
                let identity = fs::metadata(&directory).map(|meta| (meta.dev(), meta.ino()));
                let Ok(identity) = identity else { continue };
                if !seen.insert(identity) {
                    continue;
                }
                let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
                let inner = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
                waiting.extend(inner.map(|entry| entry.path()));
                if let Ok(below) = directory.strip_prefix(&mount.point) {
                    found.push(Path::new("/").join(below));
                }
            }
        }
        found.sort();
        found
    }
}

/// `cgroup.controllers` is in every cgroup of v2, the root included, and in none of v1.
fn is_cgroup(directory: &Path) -> bool {
    directory.join("cgroup.controllers").exists()
}

/// Those that are not below another: a container's own cgroups are the container's.
fn outermost<'a>(paths: &[&'a PathBuf]) -> Vec<&'a PathBuf> {
    let inside = |path: &PathBuf| paths.iter().any(|other| path != *other && path.starts_with(other));
    paths.iter().copied().filter(|path| !inside(path)).collect()
}

fn outermost_of(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    outermost(&paths.iter().collect::<Vec<_>>()).into_iter().cloned().collect()
}

fn list<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> String {
    let mut names: Vec<String> = paths.into_iter().map(|path| path.display().to_string()).collect();
    let more = names.len().saturating_sub(MOST_LISTED);
    names.truncate(MOST_LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    names.join(", ") + &more
}

/// Nothing was found; `otherwise` is what to do where nothing was near either.
fn missing(sentence: String, near: &[PathBuf], otherwise: impl Into<String>) -> ExpectedError {
    let help = if near.is_empty() { otherwise.into() } else { format!("there is {}", list(near)) };
    ExpectedError::new(Exit::Usage, sentence).help(help)
}

fn ambiguous(what: &str, several: &[&PathBuf]) -> ExpectedError {
    let sentence = format!("{what} fits {} cgroups: {}", several.len(), list(several.iter().copied()));
    ExpectedError::new(Exit::Usage, sentence)
}

/// Processes are looked up in /proc by their numbers: in that of another pid namespace these are somebody else's.
fn check_numbers(shown: Option<&str>, own: u32) -> Result<()> {
    let is_other = shown.and_then(|shown| shown.parse::<u32>().ok()).is_some_and(|shown| shown != own);
    if is_other {
        let sentence =
            "/proc is that of another pid namespace than ours, and has other numbers for processes";
        return Err(ExpectedError::new(Exit::Host, sentence)
            .help("mount it here: `mount -t proc proc /proc`, as `unshare --pid --fork --mount-proc` does"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
