use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Hierarchy;
use crate::error::{Exit, ExpectedError, Result};

const PREFIX: &str = "infernosim-";

/// A cgroup (v2) for one target: made for it as a child of our own, and removed when dropped, unless processes still live
/// in it (they go on, and a later run removes what has become empty); or given, and left as it is.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    directory: File,
    is_given: bool,
}

impl Cgroup {
    /// Makes it. Fails with exit status 3 where cgroup v2 is not mounted, or read-only, or not ours to change.
    pub fn create() -> Result<Self> {
        let parent = Hierarchy::find()?.own();
        remove_abandoned(&parent);
        let path = parent.join(format!("{PREFIX}{}", std::process::id()));
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(refused(&path, &error)),
            _ => {}
        }
        let directory = File::open(&path).map_err(|error| refused(&path, &error))?;
        Ok(Self { path, directory, is_given: false })
    }

    /// One that somebody else has made, and removes. Fails as [`Hierarchy::cgroup`] does where there is none.
    pub fn given(path: &str) -> Result<Self> {
        let path = Hierarchy::find()?.cgroup(path)?;
        let directory = File::open(&path).map_err(|error| refused(&path, &error))?;
        Ok(Self { path, directory, is_given: true })
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
        if self.is_given {
            return;
        }
        // The kernel frees the last process a moment after wait(2) returned it.
        for _ in 0..20 {
            if fs::remove_dir(&self.path).is_ok() || !self.is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
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
            format!("not permitted to make the cgroup {shown}; this needs root"),
        )
        .help("run it with sudo, or see what this host allows with `infernosim doctor`"),
        _ => ExpectedError::new(Exit::Host, format!("the cgroup {shown} cannot be made: {error}")),
    }
}
