//! A folder that is not ours alone: its owner has other things in it, and another process may write the incident's
//! other log. It is neither emptied nor are its mode and owner changed.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use nix::errno::Errno;

use super::holder::holder;
use super::{BODIES, Directory, FILE_NAME, NEW_SECRETS, Ownership, SECRETS, Store, own};
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::Direction;

/// So often, and so far apart, we try to get a lock that others hold for moments only.
const TRIES: u32 = 500;
const TRY: Duration = Duration::from_millis(10);

/// What a log's name leads to.
#[derive(Debug)]
pub enum LogKind {
    /// A regular file of this name in this folder, there or not.
    File(PathBuf, OsString),
    /// Standard output, a pipe, a terminal, /dev/null.
    Special(File),
}

/// The log that this process alone writes.
#[derive(Debug)]
pub struct JoinedLog {
    /// Locked while it is open. Its position is where reading it goes on.
    pub file: File,
    /// Nobody had made it before.
    pub made: bool,
}

/// What `path` leads to; opens it where it is no regular file.
pub fn log_kind(path: &Path) -> Result<LogKind> {
    let fail = |error: &io::Error| unusable(path, error);
    if path == Path::new("-") {
        let stdout = io::stdout().as_fd().try_clone_to_owned().map_err(|error| fail(&error))?;
        return Ok(LogKind::Special(stdout.into()));
    }
    let special = path.metadata().is_ok_and(|found| {
        let kind = found.file_type();
        kind.is_char_device() || kind.is_fifo() || kind.is_socket()
    });
    if special {
        // Of a pipe this waits until somebody reads it, as a shell does.
        let file = OpenOptions::new().append(true).open(path).map_err(|error| fail(&error))?;
        return Ok(LogKind::Special(file));
    }
    let Some(name) = path.file_name() else {
        let message = format!("{} names no file", path.display());
        return Err(ExpectedError::new(Exit::Usage, message).help("name a log, for example ./outbound.log"));
    };
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(LogKind::File(folder.to_owned(), name.to_owned()))
}

impl Store {
    /// The folder at `path`, which must be there.
    pub fn shared(path: &Path, owner: Ownership, side: Direction) -> Result<Self> {
        let directory = Directory::at(path).and_then(|it| it.enter(OsStr::new(".")));
        let directory = directory.map_err(|error| unusable(path, &error))?;
        let tag = match side {
            Direction::Inbound => "-inbound",
            Direction::Outbound => "-outbound",
        };
        Ok(Self::new(path, Some(directory), owner, tag))
    }

    /// No folder: all but the lines is dropped. `path` is what people call it.
    pub fn nowhere(path: &Path, owner: Ownership) -> Self {
        Self::new(path, None, owner, "")
    }

    fn new(path: &Path, directory: Option<Directory>, owner: Ownership, tag: &'static str) -> Self {
        let (bodies, spare) = (OnceLock::new(), Mutex::new(None));
        Self {
            path: path.to_owned(),
            place: None,
            directory,
            bodies,
            owner,
            made_directory: false,
            spare,
            tag,
        }
    }

    /// Opens a log as the only one who writes it.
    pub fn join_log(&self, name: &OsStr) -> Result<JoinedLog> {
        let shown = self.path.join(name);
        let opened = self.directory().and_then(|directory| directory.append(name));
        let (file, made) = opened.map_err(|error| match error.raw_os_error() {
            Some(code) if code == Errno::ELOOP as i32 => {
                let message =
                    format!("{} is a symbolic link, and logs are not written through links", shown.display());
                ExpectedError::new(Exit::Usage, message).help("name the file itself")
            }
            _ => unusable(&shown, &error),
        })?;
        if !file.metadata().is_ok_and(|found| found.is_file()) {
            let message = format!("{} is no regular file", shown.display());
            return Err(ExpectedError::new(Exit::Usage, message).help("name another log with --log"));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let by = holder(&file).map_or_else(String::new, |pid| format!(" (pid {pid})"));
                let message = format!("{} is being written by another infernosim{by}", shown.display());
                return Err(ExpectedError::new(Exit::Host, message)
                    .help("end that one first, or name a log in another folder"));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(&shown, &error)),
        }
        if made {
            own(&file, 0o600, self.owner).map_err(|error| unusable(&shown, &error))?;
        }
        Ok(JoinedLog { file, made })
    }

    /// Whether a process writes this log now.
    pub fn is_written(&self, name: &OsStr) -> bool {
        let log = self.directory().and_then(|directory| directory.open(name));
        log.is_ok_and(|log| matches!(log.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Opens a log that others may write, for reading; none if there is none.
    pub fn open_log(&self, name: &OsStr) -> io::Result<Option<File>> {
        match self.directory()?.open(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            log => log.map(Some),
        }
    }

    /// The size of a log, in bytes; none if there is none.
    pub fn size(&self, name: &OsStr) -> Option<u64> {
        let found = self.directory().ok()?.look(name).ok()?;
        u64::try_from(found.st_size).ok()
    }

    /// The folder for a moment: whoever else changes what both have, the manifest or the secrets, waits.
    ///
    /// # Errors
    /// Where somebody holds it for seconds, stopped for instance.
    pub fn lock(&self) -> io::Result<File> {
        let folder = self.directory()?.reopen()?;
        for _ in 0..TRIES {
            match folder.try_lock() {
                Ok(()) => return Ok(folder),
                Err(TryLockError::WouldBlock) => std::thread::sleep(TRY),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        let by = holder(&folder).map_or_else(String::new, |pid| format!(", pid {pid}"));
        Err(io::Error::other(format!("its folder stays locked by another infernosim{by}")))
    }

    /// Removes a file of ours.
    pub fn remove(&self, name: &OsStr) {
        if let Ok(directory) = self.directory() {
            let _ = directory.remove(name);
        }
    }

    /// Removes the manifest.
    pub fn remove_manifest(&self) {
        self.remove(OsStr::new(FILE_NAME));
    }

    /// The first line of `secrets.json`, which has the key; `make` is what it is to be where there is no such file.
    /// The folder is to be locked.
    pub fn secrets_key(&self, make: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
        let shown = self.path.join(SECRETS);
        let fail = |error: io::Error| unusable(&shown, &error);
        let directory = self.directory().map_err(fail)?;
        let file = match directory.open(OsStr::new(SECRETS)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let first = make()?;
                self.put(directory, NEW_SECRETS, &first).map_err(fail)?;
                directory.rename(NEW_SECRETS, directory, SECRETS).map_err(fail)?;
                return Ok(first);
            }
            Err(error) => return Err(fail(error)),
        };
        let mut first = Vec::new();
        file.take(4096).read_to_end(&mut first).map_err(fail)?;
        let end = first.iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        first.truncate(end);
        Ok(first)
    }

    /// Removes `secrets.json` where it has nothing but this first line.
    pub fn remove_secrets_without_any(&self, first: &[u8]) {
        if self.size(OsStr::new(SECRETS)) == Some(first.len() as u64) {
            self.remove(OsStr::new(SECRETS));
        }
    }

    /// Appends whole lines to `secrets.json`, of which others append to it as well.
    pub fn append_secrets(&self, lines: &[u8]) -> io::Result<()> {
        let locked = self.lock()?;
        let (mut file, made) = self.directory()?.append(OsStr::new(SECRETS))?;
        if made {
            own(&file, 0o600, self.owner)?;
        }
        let mut length = whole_lines(&file)?;
        file.set_len(length)?;
        // The key stands there already, unless somebody removed the file.
        let key_ends = lines.iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let has_key = lines.starts_with(b"{\"version\"");
        let lines = if has_key && length > 0 { &lines[key_ends..] } else { lines };
        length = file.seek(SeekFrom::End(0))?;
        let written = file.write_all(lines);
        if written.is_err() {
            let _ = file.set_len(length);
        }
        drop(locked);
        written
    }

    /// Enters `bodies/`, or makes it.
    pub(super) fn join_bodies(&self) -> io::Result<Directory> {
        let directory = self.directory()?;
        match directory.make(OsStr::new(BODIES)) {
            Ok(()) => {
                let bodies = directory.enter(OsStr::new(BODIES))?;
                own(&bodies, 0o700, self.owner)?;
                Ok(bodies)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let bodies = directory.enter(OsStr::new(BODIES))?;
                self.sweep(&bodies);
                Ok(bodies)
            }
            Err(error) => Err(error),
        }
    }

    /// Removes what a killed process of our side had begun to write.
    fn sweep(&self, bodies: &Directory) {
        let ours = |name: &OsString| {
            let name = name.as_bytes();
            name.starts_with(b"new") && name.ends_with(self.tag.as_bytes())
        };
        for name in bodies.names().unwrap_or_default().iter().filter(|name| ours(name)) {
            let _ = bodies.remove(name.as_os_str());
        }
    }
}

/// Where the last whole line ends.
fn whole_lines(file: &File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut piece = vec![0; 64 << 10];
    while end > 0 {
        let from = end.saturating_sub(piece.len() as u64);
        let length = usize::try_from(end - from).unwrap_or(piece.len());
        file.read_exact_at(&mut piece[..length], from)?;
        if let Some(at) = piece[..length].iter().rposition(|&byte| byte == b'\n') {
            return Ok(from + at as u64 + 1);
        }
        end = from;
    }
    Ok(0)
}

pub(super) fn unusable(path: &Path, error: &io::Error) -> ExpectedError {
    let shown = path.display();
    let help = match error.kind() {
        io::ErrorKind::NotFound => "make the log's folder first",
        io::ErrorKind::StorageFull => "make room, or name a log on another file system with --log",
        _ => "name a log in a folder that you may write to with --log",
    };
    ExpectedError::new(Exit::Incident, format!("{shown} cannot be used: {error}")).help(help)
}
