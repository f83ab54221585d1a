//! Files of an incident are regular ones. Incidents are passed on: a FIFO in one would hang who reads it, and a link to
//! `/dev/zero` would take all memory.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Opens a regular file to be read, or one that a link leads to.
///
/// # Errors
/// What the system says, or that it is something else: a directory, a pipe, a device.
pub(super) fn open(path: &Path) -> io::Result<File> {
    // O_NONBLOCK: else opening a FIFO waits for its writer. It has no effect on a regular file.
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file")) }
}

/// The text of one of at most `most` bytes.
///
/// # Errors
/// As [`open`]; that it is longer, or no UTF-8.
pub(super) fn read(path: &Path, most: u64) -> io::Result<String> {
    let mut text = String::new();
    open(path)?.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most { Err(io::Error::other("it is too long")) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_regular_files_are_read_and_only_so_much() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "12345").unwrap();
        symlink("file", at("link")).unwrap();
        symlink("/dev/zero", at("device")).unwrap();
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for name in ["file", "link"] {
            assert_eq!(read(&at(name), 5).unwrap(), "12345");
            assert_eq!(read(&at(name), 4).unwrap_err().to_string(), "it is too long");
        }
        for name in ["device", "fifo", "."] {
            assert_eq!(read(&at(name), 5).unwrap_err().to_string(), "it is no regular file", "{name}");
        }
        assert_eq!(read(&at("gone"), 5).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
