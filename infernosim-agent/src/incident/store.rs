//! The incident's directory: made, owned, named, never through a link.
//!
//! It is opened once, and all that is made, renamed and removed in it is so by its descriptor: whoever moves it
//! away and puts something else in its place changes nothing.

mod directory;
mod holder;
mod shared;
#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::stat::{Mode, fchmod, fstat};
use nix::unistd::{Gid, Uid, fchown};

use super::manifest::{FILE_NAME, Manifest};
use super::{Both, json};
use crate::error::{Exit, ExpectedError, Result};
use crate::privilege;
pub use directory::Directory;
use directory::identity;
pub use shared::{JoinedLog, LogKind, log_kind};

const BODIES: &str = "bodies";
const SECRETS: &str = "secrets.json";
/// What makes a directory an incident, and what `--force` may therefore replace.
const OWN_FILES: [&str; 7] = [
    "incident.json",
    "inbound.log",
    "outbound.log",
    "events.log",
    SECRETS,
    "replay_result.txt",
    "replay_report.json",
];
/// A manifest on its way to its name.
const NEW_MANIFEST: &str = "incident.json.new";
/// Secrets on their way to their name.
const NEW_SECRETS: &str = "secrets.json.new";
/// A body on its way to its name.
const NEW_BODY: &str = "new";
/// Disk space that is set aside so that the manifest can be closed on a disk that is full, in bytes.
const SPARE: i64 = 64 << 10;

/// Whose the files shall be.
#[derive(Clone, Copy, Debug)]
pub struct Ownership {
    /// The user.
    pub uid: Uid,
    /// The group.
    pub gid: Gid,
}

/// A name in a directory, there or not.
#[derive(Clone, Debug)]
pub struct Place {
    /// The directory.
    pub parent: Arc<Directory>,
    /// The name in it.
    pub name: OsString,
    /// What people call it.
    pub path: PathBuf,
}

/// An incident directory that this process writes.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    /// None of one that was named `.` or `/`.
    place: Option<Place>,
    /// None where there are only lines.
    directory: Option<Directory>,
    /// Made at the start, or by the first body where the directory is not ours alone.
    bodies: OnceLock<Directory>,
    owner: Ownership,
    made_directory: bool,
    spare: Mutex<Option<File>>,
    /// What names on the way to their own end with, where somebody else writes to the directory as well.
    tag: &'static str,
}

impl Store {
    /// Makes the directory (mode 0700). One that exists must be empty; with `force` an old incident's files in it
    /// are removed first, and nothing else.
    pub fn create(path: &Path, owner: Ownership, force: bool) -> Result<Self> {
        let Some(name) = path.file_name() else {
            let directory = Directory::at(path).and_then(|it| it.enter(OsStr::new(".")));
            let directory = directory.map_err(|error| unusable(path, "used", &error))?;
            reuse(&directory, path, force)?;
            return Self::furnish(path, None, directory, owner, false);
        };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let parent = Directory::at(parent).map_err(|error| unusable(path, "made", &error))?;
        let place = Place { parent: Arc::new(parent), name: name.to_owned(), path: path.to_owned() };
        Self::create_at(place, owner, force)
    }

    /// The same at a place.
    pub fn create_at(place: Place, owner: Ownership, force: bool) -> Result<Self> {
        let made = match place.parent.make(&place.name) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(unusable(&place.path, "made", &error)),
        };
        let directory = place.enter()?;
        let path = place.path.clone();
        if made {
            check_ours(&directory, owner).map_err(|error| unusable(&path, "used", &error))?;
        } else {
            reuse(&directory, &path, force)?;
        }
        let again = place.clone();
        Self::furnish(&path, Some(place), directory, owner, made).inspect_err(|_| {
            if made {
                let _ = again.parent.remove_empty(&again.name);
            }
        })
    }

    fn furnish(
        path: &Path,
        place: Option<Place>,
        directory: Directory,
        owner: Ownership,
        made_directory: bool,
    ) -> Result<Self> {
        let fill = || -> io::Result<Directory> {
            directory.make(OsStr::new(BODIES))?;
            let bodies = directory.enter(OsStr::new(BODIES))?;
            check_ours(&bodies, owner)?;
            own(&bodies, 0o700, owner)?;
            Ok(bodies)
        };
        own(&directory, 0o700, owner).map_err(|error| not_given(path, owner, &error))?;
        let bodies = fill().map_err(|error| unusable(path, "written to", &error))?;
        let spare = Mutex::new(set_aside(&directory));
        Ok(Self {
            path: path.to_owned(),
            place,
            directory: Some(directory),
            bodies: bodies.into(),
            owner,
            made_directory,
            spare,
            tag: "",
        })
    }

    fn directory(&self) -> io::Result<&Directory> {
        self.directory.as_ref().ok_or_else(|| io::Error::other("there is no directory"))
    }

    fn bodies(&self) -> io::Result<&Directory> {
        if let Some(bodies) = self.bodies.get() {
            return Ok(bodies);
        }
        let made = self.join_bodies()?;
        Ok(self.bodies.get_or_init(|| made))
    }

    /// What people call it: where it was when it was made.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path that leads to it now: [`Store::path`], unless it was moved; none if it was removed or its file
    /// system is gone.
    pub fn whereabouts(&self) -> Option<PathBuf> {
        match &self.directory {
            Some(directory) => directory.path(&self.path),
            None => Some(self.path.clone()),
        }
    }

    /// Whether this open file is the one that has this name in the directory: a log that was removed or
    /// replaced while it was written is in no incident.
    pub fn holds(&self, name: &OsStr, file: &File) -> bool {
        let Some(directory) = &self.directory else { return true };
        let there = directory.look(name).map(|found| identity(&found)).ok();
        there.is_some() && there == fstat(file).map(|own| identity(&own)).ok()
    }

    /// Whether `bodies/` is the one that was made, if one was.
    pub fn holds_bodies(&self) -> bool {
        let (Some(directory), Some(bodies)) = (&self.directory, self.bodies.get()) else { return true };
        let there = directory.look(OsStr::new(BODIES)).map(|found| identity(&found)).ok();
        there.is_some() && there == bodies.status().map(|own| identity(&own)).ok()
    }

    /// Removes what was written, and the directory if it was not there before.
    pub fn discard(&self) {
        if let Some(directory) = &self.directory {
            let _ = empty(directory);
        }
        if let (Some(place), true) = (&self.place, self.made_directory) {
            let _ = place.parent.remove_empty(&place.name);
        }
    }

    /// Both logs, new and empty.
    pub fn create_logs(&self) -> Result<Both<File>> {
        Both::try_make(|direction| self.create_log(direction.log()))
    }

    /// A new empty log.
    pub fn create_log(&self, name: &str) -> Result<File> {
        let create = || self.create_file(self.directory()?, name);
        create().map_err(|error| unusable(&self.path, "written to", &error))
    }

    /// Writes the manifest, in the place of an older one in one step: a reader sees the one or the other.
    pub fn save(&self, manifest: &Manifest) -> io::Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let text = manifest.to_text();
        let save = || {
            self.put(directory, NEW_MANIFEST, text.as_bytes())?;
            directory.rename(NEW_MANIFEST, directory, FILE_NAME)
        };
        let saved = save();
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        match &saved {
            Err(error) if error.kind() == io::ErrorKind::StorageFull && spare().is_some() => save(),
            _ => saved,
        }
    }

    pub(super) fn write_body(&self, sha256: &[u8; 32], bytes: &[u8]) -> io::Result<()> {
        let (bodies, name) = (self.bodies()?, format!("{NEW_BODY}{}", self.tag));
        self.put(bodies, &name, bytes)?;
        bodies.rename(&name, bodies, &hex(sha256))
    }

    pub(super) fn create_secrets(&self) -> io::Result<File> {
        self.create_file(self.directory()?, SECRETS)
    }

    pub(super) fn create_spool(&self, number: u64) -> io::Result<File> {
        self.create_file(self.bodies()?, &self.spool(number))
    }

    pub(super) fn keep_spool(&self, number: u64, sha256: &[u8; 32]) -> io::Result<()> {
        let bodies = self.bodies()?;
        bodies.rename(&self.spool(number), bodies, &hex(sha256))
    }

    /// Takes a body that is not complete along to another incident.
    pub(super) fn move_spool(&self, number: u64, other: &Self) -> io::Result<()> {
        self.bodies()?.rename(&self.spool(number), other.bodies()?, &other.spool(number))
    }

    pub(super) fn remove_spool(&self, number: u64) {
        if let Some(bodies) = self.bodies.get() {
            let _ = bodies.remove(self.spool(number).as_str());
        }
    }

    fn spool(&self, number: u64) -> String {
        format!("{NEW_BODY}-{number}{}", self.tag)
    }

    /// A new file of this name with this content, or no file.
    fn put(&self, directory: &Directory, name: &str, content: &[u8]) -> io::Result<()> {
        let _ = directory.remove(name);
        let written = self.create_file(directory, name).and_then(|mut file| file.write_all(content));
        if written.is_err() {
            let _ = directory.remove(name);
        }
        written
    }

    fn create_file(&self, directory: &Directory, name: &str) -> io::Result<File> {
        let file = directory.create(name)?;
        own(&file, 0o600, self.owner)?;
        Ok(file)
    }
}

impl Place {
    /// Whether an incident may be written here: nothing is there, or an empty directory, or, with `force`, an
    /// older incident. Says whether something is there.
    pub fn check(&self, force: bool) -> Result<bool> {
        if self.parent.look(&self.name).is_err() {
            return Ok(false);
        }
        check(&self.enter()?, &self.path, force).map(|_| true)
    }

    /// Opens the directory here. Not through a link: --force would then empty one that the user did not name.
    fn enter(&self) -> Result<Directory> {
        self.parent.enter(&self.name).map_err(|error| {
            if !self.parent.has_link(&self.name) {
                return unusable(&self.path, "used", &error);
            }
            let shown = self.path.display();
            let message = format!("{shown} is a symbolic link, and incidents are not written through links");
            ExpectedError::new(Exit::Usage, message).help("name the directory itself")
        })
    }
}

/// What we made is ours until we give it to its owner: else somebody has put another in its place.
fn check_ours(directory: &Directory, owner: Ownership) -> io::Result<()> {
    let found = Uid::from_raw(directory.status()?.st_uid);
    if found == Uid::effective() || found == owner.uid {
        return Ok(());
    }
    Err(io::Error::other("somebody put another directory in its place"))
}

fn own(file: &impl AsFd, mode: u32, owner: Ownership) -> io::Result<()> {
    fchmod(file, Mode::from_bits_truncate(mode))?;
    if Uid::effective().is_root() {
        fchown(file, Some(owner.uid), Some(owner.gid))?;
    }
    Ok(())
}

/// Makes room for an incident in a directory that was there before.
fn reuse(directory: &Directory, path: &Path, force: bool) -> Result<()> {
    match check(directory, path, force)? {
        true => empty(directory).map_err(|error| unusable(path, "emptied", &error)),
        false => Ok(()),
    }
}

/// Whether there is an older incident in it, which `force` allows to be replaced.
fn check(directory: &Directory, path: &Path, force: bool) -> Result<bool> {
    let shown = path.display();
    if directory.names().map_err(|error| unusable(path, "used", &error))?.is_empty() {
        return Ok(false);
    }
    if !holds_incident(directory) {
        return Err(ExpectedError::new(
            Exit::Usage,
            format!("{shown} exists and is not an incident, so nothing is written to it"),
        )
        .help("name a directory that does not exist yet, or an empty one"));
    }
    if !force {
        return Err(ExpectedError::new(Exit::Usage, format!("{shown} already holds an incident"))
            .help("name another directory with --incident, or replace this one with --force"));
    }
    Ok(true)
}

fn holds_incident(directory: &Directory) -> bool {
    // `bodies` alone: a capture was killed while it made the next incident's directory.
    let only_bodies = || directory.names().is_ok_and(|names| names == [BODIES]);
    OWN_FILES.iter().any(|name| directory.has(name)) || only_bodies()
}

/// Removes what an incident is made of.
fn empty(directory: &Directory) -> io::Result<()> {
    for name in OWN_FILES.into_iter().chain([NEW_MANIFEST, NEW_SECRETS]) {
        let _ = directory.remove(name);
    }
    let bodies = match directory.enter(OsStr::new(BODIES)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        bodies => bodies?,
    };
    for name in bodies.names()? {
        // A directory in it is none of ours, and stays: removing `bodies` then says so.
        let _ = bodies.remove(name.as_os_str());
    }
    directory.remove_empty(OsStr::new(BODIES))
}

/// A file without a name that holds disk space, where the file system knows such files.
fn set_aside(directory: &Directory) -> Option<File> {
    let file = directory.create_nameless().ok()?;
    fallocate(&file, FallocateFlags::empty(), 0, SPARE).ok().map(|()| file)
}

fn not_given(path: &Path, owner: Ownership, error: &io::Error) -> ExpectedError {
    if error.raw_os_error() != Some(Errno::EPERM as i32) || privilege::may_give() {
        return unusable(path, "taken over", error);
    }
    let user = owner.uid;
    let message = format!("cannot give the incident to user {user}, whose it is to be: CAP_CHOWN is missing");
    ExpectedError::new(Exit::Host, message)
        .help("give it to us, or run us without sudo, or name ourselves with --user")
}

fn unusable(path: &Path, what: &str, error: &io::Error) -> ExpectedError {
    let shown = path.display();
    let help = match error.kind() {
        io::ErrorKind::NotFound => "make its parent directory first",
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            "name a directory that you may write to with --incident"
        }
        io::ErrorKind::StorageFull => "make room, or name a directory on another file system",
        _ => "name another directory with --incident",
    };
    ExpectedError::new(Exit::Incident, format!("the incident {shown} cannot be {what}: {error}")).help(help)
}

/// Lower-case hex digits, as bodies are named.
pub fn hex(digest: &[u8]) -> String {
    let mut out = Vec::with_capacity(64);
    json::hex(&mut out, digest);
    String::from_utf8(out).unwrap_or_default()
}
