//! An incident that two processes write, each one log of it, and that they join and leave when they like: the explicit
//! form. What both change, the manifest and the secrets, each changes with the folder locked, and never for longer than
//! that takes; its log it holds locked all the time.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use serde::Deserialize;

use super::joined::{Joined, other_logs};
use super::{Shelf, note};
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::manifest::{self, Manifest};
use crate::incident::redact::{Policy, Redaction};
use crate::incident::store::{JoinedLog, LogKind, Store, log_kind};
use crate::incident::{Direction, Numbers, Ownership, Share};
use crate::seed;

/// A log longer than this, in bytes, is not read with the folder locked.
const LONG: u64 = 1 << 20;

impl Shelf {
    /// Joins the incident in the folder of this log, which must be there, as the only writer of the log; the log
    /// itself need not be there. What is no regular file (`-` is standard output, /dev/null, a pipe) gets the lines
    /// and nothing else.
    ///
    /// # Errors
    /// `Exit::Usage` where the log is a link, or the folder holds an incident of another kind; `Exit::Host` where
    /// somebody else writes the log; `Exit::Incident` where it cannot be written.
    pub fn join(log: &Path, owner: Ownership, side: Direction) -> Result<Self> {
        match log_kind(log)? {
            LogKind::File(folder, name) => Self::join_in(&folder, name, owner, side),
            LogKind::Special(file) => {
                let joined = Joined::new(side, log.as_os_str().to_owned(), file);
                Ok(Self { joined: Some(joined), ..Self::of(Store::nowhere(log, owner), owner) })
            }
        }
    }

    fn join_in(folder: &Path, name: OsString, owner: Ownership, side: Direction) -> Result<Self> {
        let mut shelf = Self::of(Store::shared(folder, owner, side)?, owner);
        let store = &shelf.open.store;
        let read = || Manifest::read(&store.whereabouts().unwrap_or_else(|| folder.to_owned()));
        let locked = store.lock().map_err(|error| unusable(folder, &error))?;
        let found = read()?;
        check(store, found.as_ref(), &name, side)?;
        let JoinedLog { file, made } = store.join_log(&name)?;
        let mut joined = Joined::new(side, name, file);
        joined.made_log = made;
        let enter = || {
            let length = joined.file.metadata()?.len();
            // Until the manifest names it, whoever joins meanwhile takes it for one whose manifest was removed.
            // But a long log takes a while, for which nobody else has to wait: what is in it is ours to say.
            let locked = Some(locked).filter(|_| length <= LONG);
            let mended = joined.read(found.as_ref())?;
            let locked = locked.map_or_else(|| store.lock(), Ok)?;
            let found = read().map_err(|error| io::Error::other(error.message))?;
            let manifest = joined.enter(store, found)?;
            drop(locked);
            Ok((manifest, mended))
        };
        match enter() {
            Ok((manifest, mended)) => {
                let shown = folder.join(&joined.name);
                let said = mended.map(|mended| format!("{}: {mended}", shown.display()));
                said.into_iter().for_each(|said| note(&mut shelf.sums.notes, said));
                shelf.open.manifest = manifest;
            }
            Err(error) => {
                if made {
                    store.remove(&joined.name);
                }
                return Err(unusable(&folder.join(&joined.name), &error));
            }
        }
        shelf.joined = Some(joined);
        Ok(shelf)
    }

    /// What this process writes of it, to be told to [`crate::incident::Lines::share`]; `None` of one that is not
    /// shared.
    pub fn share(&self) -> Option<Share> {
        self.joined.as_ref().map(Joined::share)
    }

    /// What its connections are numbered by: no two in the incident have the same number.
    pub fn numbers(&self) -> Numbers {
        let Some(joined) = self.joined.as_ref() else { return Numbers::default() };
        // The numbers that lines get serve here, too: they differ by side and by session.
        self.share()
            .and_then(|share| share.number(joined.at))
            .map_or_else(Numbers::default, |first| Numbers::from(first, 2))
    }

    /// Redaction by this policy, with the key that all who write the incident have.
    ///
    /// # Errors
    /// `Exit::Incident` where `secrets.json` cannot be read or written, `Exit::Host` without random bytes.
    pub fn redaction(&mut self, policy: Option<Policy>) -> Result<Redaction> {
        let store = &self.open.store;
        let joined = match &mut self.joined {
            Some(joined) if policy.is_some() && !joined.has_only_lines() => joined,
            _ => return Redaction::new(policy),
        };
        let locked = store.lock().map_err(|error| unusable(store.path(), &error))?;
        let first = store.secrets_key(|| Ok(Redaction::first_line(&seed::key()?)))?;
        drop(locked);
        let key = key_of(&first).ok_or_else(|| {
            let shown = store.path().join("secrets.json");
            let message = format!("{} does not begin with the key of a secrets.json", shown.display());
            ExpectedError::new(Exit::Incident, message)
                .help("restore the file, or record into another folder")
        })?;
        joined.secrets_key = first;
        Ok(Redaction::with_key(policy, key))
    }

    /// Whether another process may write it as well.
    pub(in crate::incident) const fn is_shared(&self) -> bool {
        self.joined.is_some()
    }

    /// Whether there is no directory.
    pub(in crate::incident) fn has_only_lines(&self) -> bool {
        self.joined.as_ref().is_some_and(Joined::has_only_lines)
    }

    /// Says in the manifest what this process does.
    pub(super) fn begin_shared(&mut self, session: &Manifest) {
        let Some(side) = self.joined.as_ref().map(|joined| joined.side) else { return };
        let own = session.target.explicit.as_ref().and_then(|explicit| explicit.proxy(side)).cloned();
        let changed = self.change(|manifest, _, joined| {
            (manifest.tool, manifest.host) = (session.tool.clone(), session.host.clone());
            let explicit = manifest.target.explicit.get_or_insert_default();
            let log = joined.name.to_string_lossy().into_owned();
            *explicit.proxy_mut(joined.side) = Some(manifest::Proxy { log, ..own.unwrap_or_default() });
            manifest.redaction.join(&session.redaction.policy, &session.redaction.names);
        });
        if let Err(error) = changed {
            // The incident can be read without it.
            note(
                &mut self.sums.notes,
                format!("incident.json could not be written at the beginning: {error}"),
            );
        }
    }

    /// Changes the manifest as it is now on the disk, where others change it too.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Manifest, &Store, &Joined)) -> io::Result<()> {
        let store = &self.open.store;
        let Some(joined) = self.joined.as_ref().filter(|joined| !joined.has_only_lines()) else {
            return Ok(());
        };
        let locked = store.lock()?;
        let path = store.whereabouts().ok_or_else(|| io::Error::other("its folder is gone"))?;
        // Where somebody removed it, what we knew of it last.
        let found = Manifest::read(&path).map_err(|error| io::Error::other(error.message))?;
        let mut manifest = found.unwrap_or_else(|| self.open.manifest.clone());
        change(&mut manifest, store, joined);
        let saved = store.save(&manifest);
        drop(locked);
        self.open.manifest = manifest;
        saved
    }

    /// Nothing was recorded: leaves the folder as it was found, as far as nobody else is in it.
    pub(super) fn leave(self) {
        let Some(joined) = &self.joined else { return };
        let store = &self.open.store;
        if joined.has_only_lines() {
            return;
        }
        let Ok(locked) = store.lock() else { return };
        let is_empty = joined.file.metadata().is_ok_and(|found| found.len() == 0);
        if joined.made_log && is_empty {
            store.remove(&joined.name);
        }
        if joined.made_manifest && is_empty && !joined.others_are_there(&self.open.manifest, store) {
            store.remove_manifest();
            store.remove_secrets_without_any(&joined.secrets_key);
        }
        drop(locked);
    }
}

/// Whether the log may be written here.
fn check(store: &Store, found: Option<&Manifest>, name: &OsStr, side: Direction) -> Result<()> {
    let folder = store.path().display();
    let refuse = |exit, message: String| {
        Err(ExpectedError::new(exit, message).help("name a log in another folder with --log"))
    };
    let Some(manifest) = found else {
        // Its numbers are in the manifest that somebody removed.
        return match other_logs(side, None).iter().find(|log| store.is_written(log)) {
            Some(log) => refuse(
                Exit::Host,
                format!(
                    "{} is being written, and its incident.json is gone",
                    store.path().join(log).display()
                ),
            ),
            None => Ok(()),
        };
    };
    let Some(explicit) = &manifest.target.explicit else {
        return refuse(Exit::Usage, format!("{folder} holds an incident that `infernosim capture` made"));
    };
    for of in Direction::ALL {
        let Some(proxy) = explicit.proxy(of) else { continue };
        let is_this = OsStr::new(&proxy.log) == name;
        let is_there = store.size(OsStr::new(&proxy.log)).is_some();
        if is_this != (of == side) && is_there {
            let log = &proxy.log;
            let what = if of == side { "already has a log of this side" } else { "has another side's log" };
            return refuse(Exit::Usage, format!("the incident in {folder} {what}, {log}"));
        }
    }
    Ok(())
}

fn key_of(first: &[u8]) -> Option<[u8; 32]> {
    #[derive(Deserialize)]
    struct First {
        version: u64,
        key: String,
    }
    let First { version: 1, key } = serde_json::from_slice(first).ok()? else { return None };
    let bytes: Option<Vec<u8>> =
        (0..key.len()).step_by(2).map(|at| u8::from_str_radix(key.get(at..at + 2)?, 16).ok()).collect();
    bytes?.try_into().ok()
}

pub(super) fn unusable(path: &Path, error: &io::Error) -> ExpectedError {
    ExpectedError::new(Exit::Incident, format!("{} cannot be recorded into: {error}", path.display()))
        .help("name a log in a folder that you may write to with --log")
}
