use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Exit, ExpectedError, Result};

const PREFIX: &str = "infernosim-";

/// A cgroup (v2) made for one target, a child of our own. Removed when dropped, unless processes still live in
/// it: they go on, and a later run removes what has become empty.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    directory: File,
}

impl Cgroup {
    /// Makes it. Fails with exit status 3 where cgroup v2 is not mounted, or read-only, or not ours to change.
    pub fn create() -> Result<Self> {
        let mounts = read("/proc/self/mountinfo")?;
        let membership = read("/proc/self/cgroup")?;
        let parent = own_directory(&mounts, &membership).ok_or_else(|| {
            ExpectedError::new(Exit::Host, "no cgroup v2 hierarchy is mounted here")
                .help("mount one: `mount -t cgroup2 none /sys/fs/cgroup/unified` (make the directory first)")
        })?;
        remove_abandoned(&parent);
        let path = parent.join(format!("{PREFIX}{}", std::process::id()));
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(refused(&path, &error)),
            _ => {}
        }
        let directory = File::open(&path).map_err(|error| refused(&path, &error))?;
        Ok(Self { path, directory })
    }

    /// The directory, for CLONE_INTO_CGROUP and for attaching programs.
    pub const fn directory(&self) -> &File {
        &self.directory
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether no process lives in it. A cgroup that cannot be read counts as inhabited.
    pub fn is_empty(&self) -> bool {
        fs::read_to_string(self.path.join("cgroup.events"))
            .is_ok_and(|events| events.lines().any(|line| line == "populated 0"))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The kernel frees the last process a moment after wait(2) returned it.
        for _ in 0..20 {
            if fs::remove_dir(&self.path).is_ok() || !self.is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Whether the cgroup filesystem is there and cannot be written to, as in most containers.
pub fn is_mounted_read_only() -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let Some((_, mount)) = mounts.lines().find_map(cgroup2_mount) else { return false };
    nix::sys::statvfs::statvfs(&mount)
        .is_ok_and(|mount| mount.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY))
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path)
        .map_err(|error| ExpectedError::new(Exit::Host, format!("{path} cannot be read: {error}")))
}

/// The directory of this process's own v2 cgroup, or the mount's root where ours lies outside of it.
fn own_directory(mountinfo: &str, membership: &str) -> Option<PathBuf> {
    let (root, mount) = mountinfo.lines().find_map(cgroup2_mount)?;
    let own = membership.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let below = own.strip_prefix(root.trim_end_matches('/')).unwrap_or("");
    let below = below.trim_start_matches('/');
    if below.split('/').any(|part| part == "..") {
        return Some(mount);
    }
    Some(if below.is_empty() { mount } else { mount.join(below) })
}

/// The root and mount point of a line of mountinfo (proc_pid_mountinfo(5)) if it mounts cgroup2.
fn cgroup2_mount(line: &str) -> Option<(String, PathBuf)> {
    let (mount, kind) = line.split_once(" - ")?;
    if kind.split(' ').next() != Some("cgroup2") {
        return None;
    }
    let mut fields = mount.split(' ').skip(3);
    Some((unescape(fields.next()?), PathBuf::from(unescape(fields.next()?))))
}

/// Octal escapes of space, tab, newline and backslash.
fn unescape(field: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(field.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

/// Removes what killed runs left: cgroups of ours whose maker is gone and that are empty (rmdir refuses others).
fn remove_abandoned(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let maker = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse::<u32>().ok());
        if maker.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

fn refused(path: &Path, error: &io::Error) -> ExpectedError {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => ExpectedError::new(
            Exit::Host,
            format!("the cgroup filesystem is mounted read-only, so {shown} cannot be made"),
        )
        .help("in a container, mount it read-write (docker: --privileged with --cgroupns=host)"),
        io::ErrorKind::PermissionDenied => ExpectedError::new(
            Exit::Host,
            format!("not permitted to make the cgroup {shown}; capturing needs root"),
        )
        .help("run it with sudo, or see what this host allows with `infernosim doctor`"),
        _ => ExpectedError::new(Exit::Host, format!("the cgroup {shown} cannot be made: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "31 23 0:28 / /sys/fs/cgroup rw shared:1 - tmpfs tmpfs rw,mode=755\n\
        40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_own_directory_is_found_wherever_v2_is_mounted() {
        let own = |mounts: &str, membership: &str| own_directory(mounts, membership);
        assert_eq!(own(HYBRID, "4:memory:/a\n0::/\n"), Some("/sys/fs/cgroup/unified".into()));
        let session = "0::/user.slice/user-1000.slice/session-3.scope\n";
        let unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
        assert_eq!(
            own(unified, session),
            Some("/sys/fs/cgroup/user.slice/user-1000.slice/session-3.scope".into())
        );
        // A container that sees only its own subtree.
        let subtree = "30 23 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(own(subtree, "0::/docker/abc/x\n"), Some("/sys/fs/cgroup/x".into()));
        assert_eq!(own(unified, "0::/../outside\n"), Some("/sys/fs/cgroup".into()));
        let odd = "30 23 0:26 / /mnt/with\\040space rw - cgroup2 none rw\n";
        assert_eq!(own(odd, "0::/\n"), Some("/mnt/with space".into()));
        assert_eq!(own("30 23 0:26 / /sys/fs/cgroup rw - cgroup cgroup rw\n", "0::/\n"), None);
    }
}
