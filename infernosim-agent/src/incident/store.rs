//! The incident's directory: made, owned, named, never through a link.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::unistd::{Gid, Uid, fchown};

use super::json;
use super::manifest::{FILE_NAME, Manifest};
use crate::error::{Exit, ExpectedError, Result};

const BODIES: &str = "bodies";
/// What makes a directory an incident, and what `--force` may therefore replace.
const OWN_FILES: [&str; 7] = [
    "incident.json",
    "inbound.log",
    "outbound.log",
    "events.log",
    "secrets.json",
    "replay_result.txt",
    "replay_report.json",
];

/// Whose the files shall be.
#[derive(Clone, Copy, Debug)]
pub struct Ownership {
    /// The user.
    pub uid: Uid,
    /// The group.
    pub gid: Gid,
}

/// An incident directory that this process writes.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    owner: Ownership,
    made_directory: bool,
}

impl Store {
    /// Makes the directory (mode 0700). One that exists must be empty; with `force` an old incident's files in it
    /// are removed first, and nothing else.
    pub fn create(path: &Path, owner: Ownership, force: bool) -> Result<Self> {
        let mut store = Self { path: path.to_owned(), owner, made_directory: false };
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => store.made_directory = true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => store.reuse(force)?,
            Err(error) => return Err(store.unusable("made", &error)),
        }
        let own = |path: &Path| -> io::Result<()> { store.own(&open_directory(path)?, 0o700) };
        own(path).map_err(|error| store.unusable("taken over", &error))?;
        let bodies = path.join(BODIES);
        let made = fs::DirBuilder::new().mode(0o700).create(&bodies).and_then(|()| own(&bodies));
        made.map_err(|error| store.unusable("written to", &error))?;
        Ok(store)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what was written, and the directory if it was not there before.
    pub fn discard(&self) {
        for name in OWN_FILES {
            let _ = fs::remove_file(self.path.join(name));
        }
        let _ = fs::remove_dir_all(self.path.join(BODIES));
        if self.made_directory {
            let _ = fs::remove_dir(&self.path);
        }
    }

    /// A new empty log.
    pub fn create_log(&self, name: &str) -> Result<File> {
        self.create_file(Path::new(name)).map_err(|error| self.unusable("written to", &error))
    }

    /// Writes the manifest, in the place of an older one in one step: a reader sees the one or the other.
    pub fn save(&self, manifest: &Manifest) -> io::Result<()> {
        let temporary = Path::new("incident.json.new");
        let _ = fs::remove_file(self.path.join(temporary));
        self.create_file(temporary)?.write_all(manifest.to_text().as_bytes())?;
        fs::rename(self.path.join(temporary), self.path.join(FILE_NAME))
    }

    pub(super) fn write_body(&self, sha256: &[u8; 32], bytes: &[u8]) -> io::Result<()> {
        let name = Path::new(BODIES).join(hex(sha256));
        let temporary = Path::new(BODIES).join("new");
        let _ = fs::remove_file(self.path.join(&temporary));
        let written = self
            .create_file(&temporary)
            .and_then(|mut file| file.write_all(bytes))
            .and_then(|()| fs::rename(self.path.join(&temporary), self.path.join(name)));
        if written.is_err() {
            let _ = fs::remove_file(self.path.join(&temporary));
        }
        written
    }

    pub(super) fn create_spool(&self, number: u64) -> io::Result<File> {
        self.create_file(&spool(number))
    }

    pub(super) fn keep_spool(&self, number: u64, sha256: &[u8; 32]) -> io::Result<()> {
        fs::rename(self.path.join(spool(number)), self.path.join(BODIES).join(hex(sha256)))
    }

    pub(super) fn remove_spool(&self, number: u64) {
        let _ = fs::remove_file(self.path.join(spool(number)));
    }

    pub(super) fn create_file(&self, name: &Path) -> io::Result<File> {
        // O_EXCL: never a file, let alone a link, that somebody else put there.
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(self.path.join(name))?;
        self.own(&file, 0o600)?;
        Ok(file)
    }

    fn own(&self, file: &File, mode: u32) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        if Uid::effective().is_root() {
            fchown(file, Some(self.owner.uid), Some(self.owner.gid))?;
        }
        Ok(())
    }

    fn reuse(&self, force: bool) -> Result<()> {
        let shown = self.path.display();
        if self.path.is_symlink() {
            let message = format!("{shown} is a symbolic link, and incidents are not written through links");
            return Err(ExpectedError::new(Exit::Usage, message).help("name the directory itself"));
        }
        // Not through a link: --force would then empty a directory that the user did not name.
        let mut entries = open_directory(&self.path)
            .and_then(|_| fs::read_dir(&self.path))
            .map_err(|error| self.unusable("used", &error))?;
        if entries.next().is_none() {
            return Ok(());
        }
        if !OWN_FILES.iter().any(|name| self.path.join(name).exists()) {
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
        for name in OWN_FILES {
            let _ = fs::remove_file(self.path.join(name));
        }
        match fs::remove_dir_all(self.path.join(BODIES)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.unusable("emptied", &error)),
            _ => Ok(()),
        }
    }

    fn unusable(&self, what: &str, error: &io::Error) -> ExpectedError {
        let shown = self.path.display();
        let help = match error.kind() {
            io::ErrorKind::NotFound => "make its parent directory first",
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                "name a directory that you may write to with --incident"
            }
            io::ErrorKind::StorageFull => "make room, or name a directory on another file system",
            _ => "name another directory with --incident",
        };
        ExpectedError::new(Exit::Incident, format!("the incident {shown} cannot be {what}: {error}"))
            .help(help)
    }
}

fn open_directory(path: &Path) -> io::Result<File> {
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn spool(number: u64) -> PathBuf {
    Path::new(BODIES).join(format!("new-{number}"))
}

/// Lower-case hex digits, as bodies are named.
pub fn hex(digest: &[u8]) -> String {
    let mut out = Vec::with_capacity(64);
    json::hex(&mut out, digest);
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn owner() -> Ownership {
        Ownership { uid: Uid::effective(), gid: Gid::effective() }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_is_written_is_private_and_leaves_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("incident");
        let store = Store::create(&path, owner(), false).unwrap();
        let mut manifest = Manifest::default();
        store.save(&manifest).unwrap();
        manifest.closed = true;
        store.save(&manifest).unwrap();
        store.create_log("outbound.log").unwrap().write_all(b"a\nb\n").unwrap();
        store.write_body(&[0xab; 32], b"body").unwrap();
        assert_eq!(Manifest::read(&path).unwrap(), Some(manifest));
        let body = path.join("bodies").join("ab".repeat(32));
        assert_eq!(fs::read(&body).unwrap(), b"body");
        assert_eq!([mode(&path), mode(&body), mode(&path.join("outbound.log"))], [0o700, 0o600, 0o600]);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 3);
        assert_eq!(fs::read_dir(path.join("bodies")).unwrap().count(), 1);
    }

    #[test]
    fn an_incident_is_replaced_only_by_force_and_nothing_else_ever_is() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("incident");
        Store::create(&path, owner(), false).unwrap().save(&Manifest::default()).unwrap();
        assert_eq!(Store::create(&path, owner(), false).unwrap_err().exit, Exit::Usage);
        fs::write(path.join("notes.txt"), "mine").unwrap();
        Store::create(&path, owner(), true).unwrap();
        assert!(!path.join("incident.json").exists() && path.join("notes.txt").exists());
        // Now it is a directory with somebody's notes in it.
        fs::remove_dir(path.join("bodies")).unwrap();
        assert_eq!(Store::create(&path, owner(), true).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn links_are_not_followed() {
        let parent = tempfile::tempdir().unwrap();
        let (path, link) = (parent.path().join("incident"), parent.path().join("link"));
        let store = Store::create(&path, owner(), false).unwrap();
        let elsewhere = tempfile::NamedTempFile::new().unwrap();
        for name in ["incident.json.new", "outbound.log"] {
            symlink(elsewhere.path(), path.join(name)).unwrap();
        }
        store.save(&Manifest::default()).unwrap();
        assert!(store.create_log("outbound.log").is_err());
        assert_eq!(fs::read(elsewhere.path()).unwrap(), b"");
        assert!(!fs::symlink_metadata(path.join("incident.json")).unwrap().is_symlink());
        symlink(&path, &link).unwrap();
        assert!(Store::create(&link, owner(), true).is_err());
        assert!(path.join("incident.json").exists());
    }
}
