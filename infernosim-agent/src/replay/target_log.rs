//! `target.log`: what CMD writes in replay, whose own streams are the report's.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::error::{Exit, ExpectedError, Result};
use crate::target::Streams;

const FILE_NAME: &str = "target.log";
/// So many last lines are told of a CMD that ended, and so many bytes are looked at for them.
const LINES: usize = 20;
const TAIL: u64 = 64 << 10;

/// The log of one replay, begun anew with it.
#[derive(Debug)]
pub struct TargetLog {
    path: PathBuf,
    file: File,
}

impl TargetLog {
    /// Makes it in `directory`, readable by its owner alone; what an earlier replay wrote is replaced.
    ///
    /// # Errors
    /// `Exit::Host` if it cannot be written.
    pub fn create(directory: &Path) -> Result<Self> {
        let path = directory.join(FILE_NAME);
        let cannot = |error: std::io::Error| {
            ExpectedError::new(Exit::Host, format!("{} cannot be written: {error}", path.display()))
                .help("replay a copy of the incident that you may write to")
        };
        let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
        let mut options = File::options();
        options.read(true).append(true).create(true).mode(0o600).custom_flags(flags);
        let file = options.open(&path).map_err(cannot)?;
        let metadata = file.metadata().map_err(cannot)?;
        if !metadata.is_file() || metadata.nlink() != 1 {
            return Err(cannot(std::io::Error::other("it is no plain file of its own")));
        }
        file.set_len(0).map_err(cannot)?;
        Ok(Self { path, file })
    }

    /// The streams of a CMD that is started for this run, from 1.
    ///
    /// # Errors
    /// `Exit::Host` if there is no descriptor left.
    pub fn streams(&mut self, run: u32) -> Result<Streams> {
        let cannot =
            |error| ExpectedError::new(Exit::Host, format!("no descriptor for the command: {error}"));
        let _ = writeln!(self.file, "--- run {run}");
        let input: OwnedFd = File::open("/dev/null").map_err(cannot)?.into();
        let [output, error] = [self.file.try_clone(), self.file.try_clone()];
        Ok(Streams { input, output: output.map_err(cannot)?.into(), error: error.map_err(cannot)?.into() })
    }

    /// Its last lines, without those that we wrote.
    pub fn tail(&self) -> Vec<String> {
        self.try_tail().unwrap_or_default()
    }

    fn try_tail(&self) -> std::io::Result<Vec<String>> {
        let flags = OFlag::O_NOFOLLOW.bits();
        let mut file = File::options().read(true).custom_flags(flags).open(&self.path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut lines = VecDeque::new();
        for line in BufReader::new(file.take(TAIL)).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            if line.starts_with("--- run ") {
                lines.clear();
            } else {
                lines.push_back(line);
            }
            if lines.len() > LINES {
                lines.pop_front();
            }
        }
        Ok(lines.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_the_last_run_are_told() {
        let place = tempfile::tempdir().unwrap();
        let mut log = TargetLog::create(place.path()).unwrap();
        let write = |log: &mut TargetLog, run, text: &str| {
            File::from(log.streams(run).unwrap().error).write_all(text.as_bytes()).unwrap();
        };
        write(&mut log, 1, "first\n");
        write(&mut log, 2, &(0..30).map(|number| format!("{number}\n")).collect::<String>());
        let tail = log.tail();
        assert_eq!((tail.len(), tail[0].as_str(), tail[19].as_str()), (20, "10", "29"));
        assert_eq!(log.file.metadata().unwrap().mode() & 0o777, 0o600);
        TargetLog::create(place.path()).unwrap();
        assert_eq!(log.tail(), [""; 0], "another replay begins it anew");
    }

    #[test]
    fn no_link_is_followed() {
        let place = tempfile::tempdir().unwrap();
        let victim = place.path().join("victim");
        std::fs::write(&victim, "kept").unwrap();
        std::os::unix::fs::symlink(&victim, place.path().join(FILE_NAME)).unwrap();
        assert!(TargetLog::create(place.path()).is_err());
        std::fs::remove_file(place.path().join(FILE_NAME)).unwrap();
        std::fs::hard_link(&victim, place.path().join(FILE_NAME)).unwrap();
        assert!(TargetLog::create(place.path()).is_err());
        assert_eq!(std::fs::read(&victim).unwrap(), b"kept");
    }
}
