//! Bodies that are files: `bodies/<sha256>`.

use std::fs::File;
use std::io::{self, Read, Seek};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use sha2::{Digest, Sha256};

use super::Incident;
use crate::error::{Exit, ExpectedError, Result};

impl Incident {
    /// The whole body of this digest, checked against it.
    ///
    /// # Errors
    /// As [`Incident::open_body`].
    pub fn read_body(&self, sha256: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut file = self.open_body(sha256)?;
        file.read_to_end(&mut bytes).map_err(|e| self.bad_body(sha256, &format!("cannot be read: {e}")))?;
        Ok(bytes)
    }

    /// The body of this digest as a file at its start, checked against the digest; for bodies of any size.
    ///
    /// The digest comes from a log that anybody may have written, so it must not lead out of the incident: it is
    /// 64 hex digits, and neither `bodies` nor the file may be a symbolic link.
    ///
    /// # Errors
    /// `Exit::Incident` if the name is no digest, if there is no such file, or if its content is another.
    pub fn open_body(&self, sha256: &str) -> Result<File> {
        if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
            let message = format!("{sha256:?} cannot name a body: not 64 hex digits");
            return Err(ExpectedError::new(Exit::Incident, message));
        }
        let name = sha256.to_ascii_lowercase();
        let mut file = self.open_unlinked(&name).map_err(|e| match e {
            Errno::ENOENT => self.bad_body(&name, "is missing"),
            Errno::ELOOP | Errno::ENOTDIR => self.bad_body(&name, "is reached by a symbolic link"),
            e => self.bad_body(&name, &format!("cannot be opened: {}", e.desc())),
        })?;
        match digest(&mut file) {
            Ok(found) if found == name => Ok(file),
            Ok(_) => Err(self.bad_body(&name, "has another content than its name says")),
            Err(e) => Err(self.bad_body(&name, &format!("cannot be read: {e}"))),
        }
    }

    fn open_unlinked(&self, name: &str) -> nix::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let bodies = open(&self.dir.join("bodies"), flags | OFlag::O_DIRECTORY, Mode::empty())?;
        // O_NONBLOCK: a FIFO put there must not hang us; it has no effect on a regular file.
        Ok(File::from(openat(bodies, name, flags | OFlag::O_NONBLOCK, Mode::empty())?))
    }

    fn bad_body(&self, name: &str, what: &str) -> ExpectedError {
        let path = self.dir.join("bodies").join(name);
        ExpectedError::new(Exit::Incident, format!("{} {what}", path.display()))
            .help("copy the incident's directory whole, bodies/ included, and unaltered")
    }
}

/// The SHA-256 of a regular file as lower-case hex; leaves it at its start.
fn digest(file: &mut File) -> io::Result<String> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    file.rewind()?;
    Ok(format!("{:x}", hasher.finalize()))
}
