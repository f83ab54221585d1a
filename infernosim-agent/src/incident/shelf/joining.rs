//! An incident that two processes write, each one log of it, and that they join and leave when they like: the explicit
//! form. What both change, the manifest and the secrets, each changes with the folder locked, and never for longer than
//! that takes; its log it holds locked all the time.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::Path;

use serde::Deserialize;

use super::account::Account;
use super::{Shelf, note};
use crate::clock::{self, Nanos};
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::manifest::{self, Clocked, Explicit, LogFile, Manifest, Redaction as Redacted, now};
use crate::incident::reader::Secrets;
use crate::incident::redact::{Policy, Redaction};
use crate::incident::store::{JoinedLog, LogKind, Store, log_kind};
use crate::incident::writer::Log;
use crate::incident::{Both, Direction, Numbers, Ownership, Share};
use crate::seed;

/// What this process has of it.
#[derive(Debug)]
pub struct Joined {
    pub side: Direction,
    /// That of its log.
    pub name: OsString,
    /// Its log, locked until this is closed.
    file: File,
    /// What was there of it.
    account: Account,
    /// None where there are only lines.
    clocked: Option<Clocked>,
    /// When it was joined.
    at: Nanos,
    made_log: bool,
    made_manifest: bool,
    /// The first line of secrets.json.
    pub secrets_key: Vec<u8>,
}

impl Joined {
    /// Its log, to be written.
    pub fn logs(&self, path: &Path) -> Result<Both<Option<Log>>> {
        let Account { hash, bytes, lines, .. } = self.account.clone();
        let file = self.file.try_clone().map_err(|error| unusable(path, &error))?;
        let log =
            if self.clocked.is_some() { Log::after(file, hash, bytes, lines) } else { Log::special(file) };
        let mut logs = Both::default();
        *logs.of_mut(self.side) = Some(log);
        Ok(logs)
    }

    pub const fn has_only_lines(&self) -> bool {
        self.clocked.is_none()
    }
}

impl Shelf {
    /// Joins the incident in the folder of this log, which must be there, as the only writer of the log; the log
    /// itself need not be there. What is no regular file (`-` is standard output, /dev/null, a pipe) gets the lines
    /// and nothing else.
    ///
    /// # Errors
    /// `Exit::Usage` where the log is a link, or the folder holds an incident of another kind; `Exit::Host` where
    /// somebody else writes the log; `Exit::Incident` where it cannot be written.
    pub fn join(log: &Path, owner: Ownership, side: Direction) -> Result<Self> {
        let (folder, name) = match log_kind(log)? {
            LogKind::File(folder, name) => (folder, name),
            LogKind::Special(file) => {
                let joined = Joined {
                    side,
                    name: log.as_os_str().to_owned(),
                    file,
                    account: Account::default(),
                    clocked: None,
                    at: Nanos(0),
                    made_log: false,
                    made_manifest: false,
                    secrets_key: Vec::new(),
                };
                return Ok(Self { joined: Some(joined), ..Self::of(Store::nowhere(log, owner), owner) });
            }
        };
        let mut shelf = Self::of(Store::shared(&folder, owner, side)?, owner);
        let store = &shelf.open.store;
        let locked = store.lock().map_err(|error| unusable(&folder, &error))?;
        let found = Manifest::read(&store.whereabouts().unwrap_or(folder.clone()))?;
        check(store, found.as_ref(), &name, side)?;
        let JoinedLog { file, made } = store.join_log(&name)?;
        let mut joined = Joined {
            side,
            name,
            file,
            account: Account::default(),
            clocked: None,
            at: Nanos(0),
            made_log: made,
            made_manifest: found.is_none(),
            secrets_key: Vec::new(),
        };
        match joined.enter(store, found, &mut shelf.sums.notes) {
            Ok(manifest) => shelf.open.manifest = manifest,
            Err(error) => {
                if made {
                    store.remove(&joined.name);
                }
                return Err(unusable(&folder.join(&joined.name), &error));
            }
        }
        drop(locked);
        shelf.joined = Some(joined);
        Ok(shelf)
    }

    /// What this process writes of it, to be told to [`crate::incident::Lines::share`]; `None` of one that is not
    /// shared.
    pub fn share(&self) -> Option<Share> {
        let Joined { side, clocked, account, .. } = self.joined.as_ref()?;
        let clocked = clocked.clone().map(|clocked| (clocked, account.last));
        Some(Share { side: *side, only_lines: clocked.is_none(), clocked })
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

impl Joined {
    /// Adds to the manifest what this process recorded. The folder is locked. Without `log`, that was removed.
    pub(super) fn close(
        &self,
        manifest: &mut Manifest,
        session: &Manifest,
        log: Option<LogFile>,
        store: &Store,
    ) {
        let name = self.name.to_string_lossy().into_owned();
        if log.is_none() {
            manifest.forget(self.side, !self.others_are_there(manifest, store));
            manifest.logs.remove(&name);
        }
        let is_there = log.is_some();
        manifest.logs.extend(log.map(|log| (name, log)));
        manifest.add(session);
        if let Some(distinct) = store.whereabouts().and_then(|folder| Secrets::count_in(&folder)) {
            // A value that both met is one.
            manifest.redaction.distinct = distinct;
        }
        let (others_write, others_are_told) = self.others_write(manifest, store);
        manifest.closed = is_there && !others_write && others_are_told;
        manifest.ended_at = (!others_write).then(now);
        if !others_write {
            store.remove_secrets_without_any(&self.secrets_key);
        }
    }

    /// Reads what is there of the log, and says in the manifest that it is written from now on. The folder is locked.
    fn enter(
        &mut self,
        store: &Store,
        found: Option<Manifest>,
        notes: &mut Vec<String>,
    ) -> io::Result<Manifest> {
        let name = self.name.to_string_lossy().into_owned();
        let mut manifest = found.unwrap_or_else(|| Manifest {
            redaction: Redacted { policy: Redacted::UNSAID.into(), ..Redacted::default() },
            ..Manifest::default()
        });
        self.account = Account::of(&self.file, manifest.logs.get(&name))?;
        if let Some(mended) = self.account.mend(&self.file)? {
            note(notes, format!("{}: {mended}", store.path().join(&self.name).display()));
        } else if self.account.log_file().bytes < self.file.metadata()?.len() {
            // Its last line has got its end only now.
            self.account = Account::of(&self.file, manifest.logs.get(&name))?;
        }
        if self.account.replaced {
            manifest.forget(self.side, !self.others_are_there(&manifest, store));
        }
        manifest.add(&self.account.news);
        manifest.logs.insert(name.clone(), self.account.log_file());
        let largest = self.account.last.max(self.look_at_others(&mut manifest, store)?);
        if self.made_manifest && manifest.counts.values().any(|count| *count > 0) {
            // Whoever wrote these lines replaced nothing in them.
            manifest.redaction = Redacted::default();
        }
        (manifest.closed, manifest.ended_at) = (false, None);
        if manifest.started_at.is_empty() {
            manifest.started_at = now();
        }
        let proxy = manifest.target.explicit.get_or_insert_with(Explicit::default).proxy_mut(self.side);
        proxy.get_or_insert_default().log = name;
        let clocked = match manifest.sequence.take().filter(Clocked::is_of_now) {
            Some(clocked) => clocked,
            None => Clocked::after(largest),
        };
        manifest.sequence = Some(clocked.clone());
        self.at = clock::now();
        if manifest.logs.len() == 1 && self.account.lines == 0 {
            // Connections are then numbered from 1.
            self.at = Nanos(clocked.monotonic_ns);
        }
        self.clocked = Some(clocked);
        store.save(&manifest)?;
        Ok(manifest)
    }

    /// The largest number in the logs of the other side. What of them was never told of, logs of the Go tool, is told of
    /// now.
    fn look_at_others(&self, manifest: &mut Manifest, store: &Store) -> io::Result<u64> {
        let mut largest = 0;
        for name in self.others(manifest) {
            let Some(file) = store.open_log(&name)? else { continue };
            let key = name.to_string_lossy().into_owned();
            let account = Account::of(&file, manifest.logs.get(&key))?;
            largest = largest.max(account.last);
            if !manifest.logs.contains_key(&key) && account.torn == 0 {
                manifest.add(&account.news);
                manifest.logs.insert(key, account.log_file());
            }
        }
        Ok(largest)
    }

    fn others(&self, manifest: &Manifest) -> Vec<OsString> {
        other_logs(self.side, Some(manifest)).into_iter().filter(|name| *name != self.name).collect()
    }

    pub(super) fn others_are_there(&self, manifest: &Manifest, store: &Store) -> bool {
        self.others(manifest).iter().any(|name| store.size(name).is_some())
    }

    /// Whether somebody writes another log; and, if not, whether the manifest tells of all that is in them.
    pub(super) fn others_write(&self, manifest: &Manifest, store: &Store) -> (bool, bool) {
        let others = self.others(manifest);
        let told = |name: &OsString| {
            let log = manifest.logs.get(&*name.to_string_lossy());
            log.map_or(0, |log| log.bytes) == store.size(name).unwrap_or(0)
        };
        (others.iter().any(|name| store.is_written(name)), others.iter().all(told))
    }
}

impl Clocked {
    /// From now on, above this number.
    fn after(largest: u64) -> Self {
        let base = largest.saturating_add(1);
        Self { boot_id: clock::boot_id(), monotonic_ns: clock::now().0, base }
    }

    /// Whether the clock has run on since.
    fn is_of_now(&self) -> bool {
        self.boot_id == clock::boot_id() && self.monotonic_ns <= clock::now().0
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

/// The names that the logs of the other side have.
fn other_logs(side: Direction, manifest: Option<&Manifest>) -> BTreeSet<OsString> {
    let (other, names): (_, &[&str]) = match side {
        Direction::Inbound => (Direction::Outbound, &["outbound.log", "events.log"]),
        Direction::Outbound => (Direction::Inbound, &["inbound.log"]),
    };
    let explicit = manifest.and_then(|manifest| manifest.target.explicit.as_ref());
    let named = explicit.and_then(|explicit| explicit.proxy(other)).map(|proxy| proxy.log.as_str());
    names.iter().copied().chain(named).filter(|name| !name.is_empty()).map(OsString::from).collect()
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

fn unusable(path: &Path, error: &io::Error) -> ExpectedError {
    ExpectedError::new(Exit::Incident, format!("{} cannot be recorded into: {error}", path.display()))
        .help("name a log in a folder that you may write to with --log")
}
