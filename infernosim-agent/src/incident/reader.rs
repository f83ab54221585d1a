//! Reads an incident: its manifest, its events in order, its bodies. Streams: memory is bounded by the longest
//! line, whatever the length of the logs.

mod bodies;
mod events;
mod log;
mod secrets;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::Direction;
use super::event::Event;
use super::manifest::{self, Manifest};
use crate::error::{Exit, ExpectedError, Result};

pub use events::Events;
pub use secrets::Secrets;

/// The names of the logs in an incident's directory, a preferred name before its older ones.
const INBOUND: &[&str] = &["inbound.log"];
const OUTBOUND: &[&str] = &["outbound.log", "events.log"];

/// An incident on disk, of this format or of the Go InfernoSIM's.
#[derive(Clone, Debug)]
pub struct Incident {
    /// The directory; of a single log the one it is in.
    dir: PathBuf,
    /// The one log to read, where a log was asked for and not a directory.
    log: Option<PathBuf>,
    manifest: Option<Manifest>,
}

/// An event and the text it was read from.
#[derive(Clone, Debug)]
pub struct Record {
    /// What the text says.
    pub event: Event,
    /// The JSON object as it is stored. One line, unless the log was reformatted.
    pub text: String,
    /// Where it stands.
    pub place: Place,
    /// The event's sequence, or that of the event before it in its log: its place in the merged order.
    order: u64,
}

/// Where an event stands: the bytes of its JSON object in one of the logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which log, as a place in [`Events::into_logs`].
    pub log: u8,
    /// Its bytes.
    pub length: u32,
    /// Where the first one is.
    pub offset: u64,
}

/// Something about a log that is worth saying and no error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The log ends within a line, as while a capture runs and after its SIGKILL; that line was left out.
    TornTail {
        /// The log.
        file: PathBuf,
        /// The line, from 1.
        line: u64,
        /// Its bytes.
        bytes: u64,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::TornTail { file, line, bytes } = self;
        let file = file.display();
        write!(f, "{file}:{line}: the last line is torn and was left out ({bytes} bytes): ")?;
        f.write_str("the capture is still running, or was killed")
    }
}

impl Incident {
    /// Opens the incident in the directory `path`, or the one log `path`.
    ///
    /// # Errors
    /// `Exit::Incident` if there is none, if it cannot be read, or if it is of a newer major version.
    pub fn open(path: &Path) -> Result<Self> {
        let metadata = path.metadata().map_err(|e| cannot_read(path, &e))?;
        if !metadata.is_dir() {
            let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            return Ok(Self {
                dir: dir.to_owned(),
                log: Some(path.to_owned()),
                manifest: Manifest::read(dir)?,
            });
        }
        let manifest = Manifest::read(path)?;
        let any_log = || [INBOUND, OUTBOUND].concat().iter().any(|name| path.join(name).exists());
        if manifest.is_none() && !any_log() {
            let (dir, file) = (path.display(), manifest::FILE_NAME);
            return Err(ExpectedError::new(
                Exit::Incident,
                format!("{dir} is not an incident: it holds neither {file} nor a log"),
            )
            .help("name the directory that `infernosim capture --incident DIR` wrote"));
        }
        Ok(Self { dir: path.to_owned(), log: None, manifest })
    }

    /// The directory it is in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its manifest as it was when opened; an incident of the Go InfernoSIM has none.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Reads the manifest anew.
    ///
    /// # Errors
    /// As [`Manifest::read`].
    pub fn refresh(&mut self) -> Result<Option<&Manifest>> {
        self.manifest = Manifest::read(&self.dir)?;
        Ok(self.manifest())
    }

    /// Its events, both logs merged by sequence.
    ///
    /// # Errors
    /// `Exit::Incident` if a log that is there cannot be opened.
    pub fn events(&self) -> Result<Events> {
        Events::open(self.sources(), self.log.is_some(), false)
    }

    /// Its events while it grows: see [`Events::stop_following`].
    ///
    /// # Errors
    /// As [`Incident::events`].
    pub fn follow(&self) -> Result<Events> {
        Events::open(self.sources(), self.log.is_some(), true)
    }

    /// For each log the paths it may have.
    fn sources(&self) -> Vec<Vec<PathBuf>> {
        match &self.log {
            Some(log) => vec![vec![log.clone()]],
            None => Direction::ALL
                .into_iter()
                .map(|direction| self.names(direction).iter().map(|name| self.dir.join(name)).collect())
                .collect(),
        }
    }

    /// The names that the log of a direction may have, the likeliest first: an explicit proxy's has the one that it was
    /// told, which may be the other's usual one.
    fn names(&self, direction: Direction) -> Vec<&str> {
        let explicit = self.manifest.as_ref().and_then(|manifest| manifest.target.explicit.as_ref());
        let told = |direction| {
            let log = explicit.and_then(|explicit| explicit.proxy(direction))?.log.as_str();
            // What is no name in this folder is not followed out of it.
            (!log.is_empty() && !log.contains('/')).then_some(log)
        };
        let (usual, other) = match direction {
            Direction::Inbound => (INBOUND, told(Direction::Outbound)),
            Direction::Outbound => (OUTBOUND, told(Direction::Inbound)),
        };
        let usual = usual.iter().copied().filter(|name| Some(*name) != other);
        told(direction).into_iter().chain(usual).collect()
    }
}

fn cannot_read(path: &Path, e: &io::Error) -> ExpectedError {
    let path = path.display();
    match e.kind() {
        io::ErrorKind::NotFound => ExpectedError::new(Exit::Incident, format!("{path} does not exist"))
            .help("name the directory that `infernosim capture --incident DIR` wrote"),
        io::ErrorKind::PermissionDenied => {
            ExpectedError::new(Exit::Incident, format!("{path} may not be read by this user"))
                .help("read it as the user who captured it, or through sudo")
        }
        _ => ExpectedError::new(Exit::Incident, format!("{path} cannot be read: {e}")),
    }
}
