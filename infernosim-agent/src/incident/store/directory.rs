//! A directory by its descriptor: names are looked up in the directory that was opened, whatever its path
//! leads to by now, and never through a link.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::NixPath;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, unlinkat};

/// Which file: its device and inode.
pub type Identity = (u64, u64);

/// An open directory.
#[derive(Debug)]
pub struct Directory {
    descriptor: OwnedFd,
}

impl Directory {
    /// Opens the directory at `path`, through links, as a place in which names are looked up.
    pub fn at(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self { descriptor: openat(AT_FDCWD, path, flags, Mode::empty())? })
    }

    /// Opens the directory of this name in it, unless that is a link.
    pub fn enter(&self, name: &OsStr) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(Self { descriptor: openat(self, name, flags, Mode::empty())? })
    }

    /// Makes a directory in it, mode 0700.
    pub fn make(&self, name: &OsStr) -> io::Result<()> {
        Ok(mkdirat(self, name, Mode::S_IRWXU)?)
    }

    /// Makes a file in it, mode 0600; never one, let alone a link, that somebody else put there.
    pub fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(openat(self, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
    }

    /// Puts a file of this name and content in the place of one that is there, in one step: mode 0600, of the directory's
    /// owner where we may give it to them. Never through a link.
    pub fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let new = format!("{name}.new");
        let _ = self.remove(new.as_str());
        let written = self.create(&new).and_then(|mut file| {
            if Uid::effective().is_root() {
                let owner = self.status()?;
                let owned =
                    fchown(&file, Some(Uid::from_raw(owner.st_uid)), Some(Gid::from_raw(owner.st_gid)));
                // Who writes as the user that called sudo may give nothing away: in /tmp it stays that user's.
                owned.or_else(|error| if error == Errno::EPERM { Ok(()) } else { Err(error) })?;
            }
            file.write_all(content)?;
            self.rename(&new, self, name)
        });
        written.inspect_err(|_| {
            let _ = self.remove(new.as_str());
        })
    }

    /// Opens the file of this name for reading it and appending to it; made where there is none, mode 0600. Says
    /// whether it was. Never through a link.
    pub fn append(&self, name: &OsStr) -> io::Result<(File, bool)> {
        // O_NONBLOCK: a FIFO put there must not hang us.
        let open = OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        match openat(self, name, open | OFlag::O_CREAT | OFlag::O_EXCL, mode) {
            Ok(file) => Ok((file.into(), true)),
            Err(Errno::EEXIST) => Ok((openat(self, name, open, mode)?.into(), false)),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the file of this name for reading it. Never through a link.
    pub fn open(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        Ok(openat(self, name, flags, Mode::empty())?.into())
    }

    /// The directory itself, to be locked: each call gives a lock of its own.
    pub fn reopen(&self) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(openat(self, ".", flags, Mode::empty())?.into())
    }

    /// Makes a file without a name, which is gone once it is closed.
    pub fn create_nameless(&self) -> io::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_TMPFILE | OFlag::O_CLOEXEC;
        Ok(openat(self, ".", flags, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
    }

    /// Gives a file of this directory a name in another one (or in this one), in the place of what has it.
    pub fn rename(&self, name: &str, other: &Self, new: &str) -> io::Result<()> {
        Ok(renameat(self, name, other, new)?)
    }

    /// Removes a file.
    pub fn remove(&self, name: &(impl NixPath + ?Sized)) -> io::Result<()> {
        Ok(unlinkat(self, name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// Removes a directory that is empty.
    pub fn remove_empty(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(self, name, UnlinkatFlags::RemoveDir)?)
    }

    /// What is in it, in no order.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        // Opened anew: the position within a directory belongs to its open description.
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut names = Vec::new();
        for entry in Dir::openat(self, ".", flags, Mode::empty())?.iter() {
            let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// What has this name in it, a link being itself.
    pub fn look(&self, name: &OsStr) -> io::Result<FileStat> {
        Ok(fstatat(self, name, AtFlags::AT_SYMLINK_NOFOLLOW)?)
    }

    /// Whether this name is in it.
    pub fn has(&self, name: &str) -> bool {
        self.look(OsStr::new(name)).is_ok()
    }

    /// Whether what has this name in it is a symbolic link.
    pub fn has_link(&self, name: &OsStr) -> bool {
        let kind = |found: FileStat| SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT;
        self.look(name).is_ok_and(|found| kind(found) == SFlag::S_IFLNK)
    }

    /// Which directory it is, and who owns it.
    pub fn status(&self) -> io::Result<FileStat> {
        Ok(fstat(self)?)
    }

    /// A path that leads to it now; none if there is none any more, since it was removed or its file system
    /// was unmounted. `hint` is where it was.
    pub fn path(&self, hint: &Path) -> Option<PathBuf> {
        let own = identity(&self.status().ok()?);
        let leads_here =
            |path: &PathBuf| std::fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == own);
        // proc(5), /proc/pid/fd: the link's text is the path by which the kernel knows it.
        let link = || std::fs::read_link(format!("/proc/self/fd/{}", self.descriptor.as_raw_fd())).ok();
        Some(hint.to_owned()).filter(leads_here).or_else(|| link().filter(leads_here))
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Which file a status is of.
pub const fn identity(status: &FileStat) -> Identity {
    (status.st_dev, status.st_ino)
}
