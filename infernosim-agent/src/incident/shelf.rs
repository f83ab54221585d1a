//! The incidents of one capture: DIR and, where it is rotated, DIR-2, DIR-3, … Each is whole: it has its own
//! logs, bodies, sequence and manifest.

mod account;
mod closing;
mod joined;
mod joining;
mod naming;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::line::{Dependency, Rotation};
use super::loss::Losses;
use super::manifest::{Manifest, now};
use super::store::{Ownership, Store};
use super::writer::Log;
use super::{Both, Direction};
use crate::error::Result;
use joined::Joined;
use naming::Naming;

/// What the kernel half says of traffic that is not in the incident, since the capture began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftAlone {
    /// By kind.
    pub unmediated: BTreeMap<String, u64>,
    /// Refused connects that there was no room to tell of.
    pub unseen: u64,
    /// Connections to ports that are not to be recorded.
    pub excluded: u64,
}

/// Asks the kernel half.
pub type AskKernel = Box<dyn FnMut() -> LeftAlone + Send>;

/// The incident that is being written, those before it, and how the next will be called.
pub struct Shelf {
    open: Open,
    next: Option<(Open, Both<File>)>,
    naming: Option<Naming>,
    owner: Ownership,
    /// What the manifests have in common.
    template: Manifest,
    ask_kernel: Option<AskKernel>,
    told: LeftAlone,
    sums: Sums,
    /// Of one that another process may write as well.
    joined: Option<Joined>,
}

/// An incident that is not closed yet.
#[derive(Debug)]
struct Open {
    store: Store,
    manifest: Manifest,
}

/// What there is to say of all of them at the end.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    /// The closed ones, in order.
    pub incidents: Vec<Closed>,
    /// What was seen and is in none of them.
    pub lost: Losses,
    /// Stretches of connections of which there is no copy: `lost` is then the least there was.
    pub gaps: u64,
    /// What was not to be kept.
    pub excluded: Losses,
    /// By name.
    pub dependencies: BTreeMap<String, Dependency>,
    /// What was neither seen nor relayed, by kind.
    pub unmediated: BTreeMap<String, u64>,
    /// What went wrong: each makes a recording incomplete.
    pub errors: Vec<String>,
    /// What else is worth saying.
    pub notes: Vec<String>,
}

/// A closed incident.
#[derive(Clone, Debug)]
pub struct Closed {
    /// Where it was made.
    pub path: PathBuf,
    /// How many lines it has.
    pub events: u64,
}

impl Shelf {
    /// Makes the first directory (see [`Store::create`]). With `rotation`, also makes sure that the numbered ones
    /// can follow: none of their names is taken, but by what `force` allows to be replaced.
    pub fn create(path: &Path, owner: Ownership, force: bool, rotation: Option<Rotation>) -> Result<Self> {
        let naming = rotation.map(|it| Naming::survey(path, force, it.max_incidents)).transpose()?;
        Ok(Self { naming, ..Self::of(Store::create(path, owner, force)?, owner) })
    }

    fn of(store: Store, owner: Ownership) -> Self {
        Self {
            open: Open { store, manifest: Manifest::default() },
            next: None,
            naming: None,
            owner,
            template: Manifest::default(),
            ask_kernel: None,
            told: LeftAlone::default(),
            sums: Sums::default(),
            joined: None,
        }
    }

    /// The logs to be written, opened.
    pub(super) fn logs(&self) -> Result<Both<Option<Log>>> {
        match &self.joined {
            Some(joined) => joined.logs(self.store().path()),
            None => Both::try_make(|direction| {
                self.store().create_log(direction.log()).map(|file| Some(Log::new(file)))
            }),
        }
    }

    /// The name of a log.
    pub(super) fn log_name(&self, direction: Direction) -> &OsStr {
        self.joined.as_ref().map_or_else(|| OsStr::new(direction.log()), |joined| &joined.name)
    }

    /// Has this said at the end.
    pub fn note(&mut self, text: String) {
        note(&mut self.sums.notes, text);
    }

    /// Writes the first manifest. Every later one has the same target and host.
    pub fn begin(&mut self, manifest: Manifest, ask_kernel: Option<AskKernel>) {
        self.ask_kernel = ask_kernel;
        if self.joined.is_some() {
            return self.begin_shared(&manifest);
        }
        let part = self.naming.is_some().then_some(1);
        self.open.manifest = Manifest { part, ..manifest.clone() };
        self.template = manifest;
        if let Err(error) = self.open.store.save(&self.open.manifest) {
            // The incident can be read without it.
            self.sums.notes.push(format!("incident.json could not be written at the beginning: {error}"));
        }
    }

    /// Whose it is.
    pub const fn owner(&self) -> Ownership {
        self.owner
    }

    /// The directory that is being written.
    pub const fn store(&self) -> &Store {
        &self.open.store
    }

    /// Makes the next directory. False where that fails: the recording goes on in this one.
    pub fn prepare(&mut self) -> bool {
        let Some(naming) = &mut self.naming else { return false };
        let made = naming.next(self.owner, &mut self.sums.notes).and_then(|store| {
            let manifest = Manifest {
                part: self.open.manifest.part.map(|part| part + 1),
                previous: name_of(self.open.store.path()),
                started_at: now(),
                ..self.template.clone()
            };
            let logs = store.create_logs().inspect_err(|_| store.discard())?;
            let saved = store.save(&manifest);
            if let Err(error) = saved {
                self.sums.notes.push(format!("incident.json could not be written: {error}"));
            }
            Ok((Open { store, manifest }, logs))
        });
        match made {
            Ok(next) => self.next = Some(next),
            Err(error) => {
                let here = self.open.store.path().display();
                note(&mut self.sums.notes, format!("{error}; the recording went on in {here}"));
            }
        }
        self.next.is_some()
    }

    /// The directory that was made last and is not written yet.
    pub fn next_store(&self) -> Option<&Store> {
        self.next.as_ref().map(|(open, _)| &open.store)
    }

    /// From here on the next directory is the one that is written; its logs. The one before must be closed.
    pub fn turn(&mut self) -> Option<Both<File>> {
        let (open, logs) = self.next.take()?;
        self.open = open;
        Some(logs)
    }

    /// What there is to say in the end.
    pub fn into_sums(mut self) -> Sums {
        self.drop_next();
        std::mem::take(&mut self.sums)
    }

    /// Removes everything again: nothing happened that is worth keeping.
    pub fn discard(mut self) {
        self.drop_next();
        if self.joined.is_some() {
            return self.leave();
        }
        self.open.store.discard();
    }

    /// One that was made and is not needed.
    pub fn drop_next(&mut self) {
        if let Some((next, _)) = self.next.take() {
            next.store.discard();
        }
    }
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").field("open", &self.open).field("sums", &self.sums).finish_non_exhaustive()
    }
}

fn name_of(path: &Path) -> Option<String> {
    path.file_name().map(|name| name.to_string_lossy().into_owned())
}

/// However long a capture goes on, what it has to say stays readable.
fn note(notes: &mut Vec<String>, text: String) {
    if notes.len() < 20 && !notes.contains(&text) {
        notes.push(text);
    }
}
