//! What one process has of an incident that two write.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;

use super::account::Account;
use super::joining::unusable;
use crate::clock::{self, Nanos};
use crate::error::Result;
use crate::incident::manifest::{Clocked, Explicit, LogFile, Manifest, Redaction, now};
use crate::incident::reader::Secrets;
use crate::incident::store::Store;
use crate::incident::writer::Log;
use crate::incident::{Both, Direction, Share};

/// That.
#[derive(Debug)]
pub struct Joined {
    pub side: Direction,
    /// That of its log.
    pub name: OsString,
    /// Its log, locked until this is closed.
    pub file: File,
    /// What was there of it.
    account: Account,
    /// None where there are only lines.
    clocked: Option<Clocked>,
    /// When it was joined.
    pub at: Nanos,
    /// There was no log, and no manifest, before.
    pub made_log: bool,
    pub made_manifest: bool,
    /// The first line of secrets.json.
    pub secrets_key: Vec<u8>,
}

impl Joined {
    /// With this log, of which nothing is known, as if it were no file.
    pub fn new(side: Direction, name: OsString, file: File) -> Self {
        Self {
            side,
            name,
            file,
            account: Account::default(),
            clocked: None,
            at: Nanos(0),
            made_log: false,
            made_manifest: false,
            secrets_key: Vec::new(),
        }
    }

    /// What lines are to know of it.
    pub fn share(&self) -> Share {
        let clocked = self.clocked.clone().map(|clocked| (clocked, self.account.last));
        Share { side: self.side, only_lines: clocked.is_none(), clocked }
    }

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

    /// Whether there is no directory.
    pub const fn has_only_lines(&self) -> bool {
        self.clocked.is_none()
    }

    /// Adds to the manifest what this process recorded. The folder is locked. Without `log`, that was removed.
    pub fn close(&self, manifest: &mut Manifest, session: &Manifest, log: Option<LogFile>, store: &Store) {
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

    /// Reads what is there of the log. Says what had to be done to it.
    pub fn read(&mut self, found: Option<&Manifest>) -> io::Result<Option<String>> {
        let known = found.and_then(|manifest| manifest.logs.get(&*self.name.to_string_lossy()));
        self.account = Account::of(&self.file, known)?;
        let mended = self.account.mend(&self.file)?;
        if self.account.bytes < self.file.metadata()?.len() {
            // Its last line has got its end only now.
            self.account = Account::of(&self.file, known)?;
        }
        Ok(mended)
    }

    /// Says in the manifest what there is of the log, and that it is written from now on. The folder is locked.
    pub fn enter(&mut self, store: &Store, found: Option<Manifest>) -> io::Result<Manifest> {
        let name = self.name.to_string_lossy().into_owned();
        self.made_manifest = found.is_none();
        let mut manifest = found.unwrap_or_else(|| Manifest {
            redaction: Redaction { policy: Redaction::UNSAID.into(), ..Redaction::default() },
            ..Manifest::default()
        });
        if self.account.replaced {
            manifest.forget(self.side, !self.others_are_there(&manifest, store));
        }
        manifest.add(&self.account.news);
        manifest.logs.insert(name.clone(), self.account.log_file());
        let clocked = manifest.sequence.take().filter(Clocked::is_of_now);
        let largest = self.account.last.max(self.look_at_others(&mut manifest, store, clocked.is_none())?);
        if self.made_manifest && manifest.counts.values().any(|count| *count > 0) {
            // Whoever wrote these lines replaced nothing in them.
            manifest.redaction = Redaction::default();
        }
        (manifest.closed, manifest.ended_at) = (false, None);
        if manifest.started_at.is_empty() {
            manifest.started_at = now();
        }
        let proxy = manifest.target.explicit.get_or_insert_with(Explicit::default).proxy_mut(self.side);
        proxy.get_or_insert_default().log = name;
        let clocked = clocked.unwrap_or_else(|| Clocked::after(largest));
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

    /// Tells of what was never told of in the logs of the other side: logs of the Go tool. Gives the largest number in
    /// those that were looked at: with `with_numbers`, all.
    fn look_at_others(&self, manifest: &mut Manifest, store: &Store, with_numbers: bool) -> io::Result<u64> {
        let mut largest = 0;
        for name in self.others(manifest) {
            let key = name.to_string_lossy().into_owned();
            if manifest.logs.contains_key(&key) && !with_numbers {
                continue;
            }
            let Some(file) = store.open_log(&name)? else { continue };
            let account = Account::of(&file, manifest.logs.get(&key))?;
            largest = largest.max(account.last);
            // Who writes it now is about to tell of it.
            let untold = !manifest.logs.contains_key(&key) && !store.is_written(&name);
            if untold && account.torn == 0 {
                manifest.add(&account.news);
                manifest.logs.insert(key, account.log_file());
            }
        }
        Ok(largest)
    }

    fn others(&self, manifest: &Manifest) -> Vec<OsString> {
        other_logs(self.side, Some(manifest)).into_iter().filter(|name| *name != self.name).collect()
    }

    pub fn others_are_there(&self, manifest: &Manifest, store: &Store) -> bool {
        self.others(manifest).iter().any(|name| store.size(name).is_some())
    }

    /// Whether somebody writes another log; and, if not, whether the manifest tells of all that is in them.
    pub fn others_write(&self, manifest: &Manifest, store: &Store) -> (bool, bool) {
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

/// The names that the logs of the other side have.
pub fn other_logs(side: Direction, manifest: Option<&Manifest>) -> BTreeSet<OsString> {
    let (other, names): (_, &[&str]) = match side {
        Direction::Inbound => (Direction::Outbound, &["outbound.log", "events.log"]),
        Direction::Outbound => (Direction::Inbound, &["inbound.log"]),
    };
    let explicit = manifest.and_then(|manifest| manifest.target.explicit.as_ref());
    let named = explicit.and_then(|explicit| explicit.proxy(other)).map(|proxy| proxy.log.as_str());
    names.iter().copied().chain(named).filter(|name| !name.is_empty()).map(OsString::from).collect()
}
