//! The files of a replay in the incident's directory: mode 0600, its owner's, never through a link, replaced in one
//! step.

use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::path::Path;

use serde::Deserialize as _;

use super::document::{Report, VERSION};
use super::{faulted, json, text};
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::Directory;
use crate::incident::manifest::FormatVersion;
use crate::replay::RunLedger;
use crate::replay::judge::Judgement;
use crate::replay::judge::volatile::{FILE_NAME as VOLATILE, VolatileFile};

/// For people.
pub const RESULT: &str = "replay_result.txt";
/// For programs.
pub const REPORT: &str = "replay_report.json";
/// What became of each fault, as JSON lines.
pub const FAULTS: &str = "faults.jsonl";
/// The same faults to the same occurrences, for `--plan`.
pub const FAULT_PLAN: &str = "fault-plan.toml";
/// A report that is longer is none of ours, in bytes.
const LONGEST_REPORT: u64 = 64 << 20;
/// The same of `volatile.toml`.
const LONGEST_VOLATILE: u64 = 4 << 20;

/// What `volatile.toml` in `dir` says; none if there is none.
///
/// # Errors
/// `Exit::Incident` if it cannot be read or is malformed.
pub fn read_volatile(dir: &Path) -> Result<Option<VolatileFile>> {
    let path = dir.join(VOLATILE);
    let fail = |what: String| ExpectedError::new(Exit::Incident, format!("{}: {what}", path.display()));
    match read(dir, VOLATILE, LONGEST_VOLATILE) {
        Ok(text) => VolatileFile::parse(&text)
            .map(Some)
            .map_err(|e| ExpectedError { help: e.help, ..fail(e.message) }),
        // Where `dir` is none, who opens the incident says so.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(fail(format!("cannot be read: {error}"))),
    }
}

/// The last report in `dir`; none if there is none that this program can read.
pub fn read_last(dir: &Path) -> Option<Report> {
    parse(&read(dir, REPORT, LONGEST_REPORT).ok()?).ok()
}

/// Reads a report: a file, or the one in a directory.
///
/// # Errors
/// `Exit::Incident` if there is none, or it cannot be read.
pub fn read_report(path: &Path) -> Result<Report> {
    let is_incident = ["incident.json", "inbound.log", "events.log"].iter().any(|it| path.join(it).exists());
    let path = if path.is_dir() { path.join(REPORT) } else { path.to_owned() };
    let fail = |what: String| ExpectedError::new(Exit::Incident, format!("{}: {what}", path.display()));
    let (dir, name) = (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or_default());
    let text = read(dir, name, LONGEST_REPORT).map_err(|error| {
        fail(format!("cannot be read: {error}")).help(if is_incident {
            "the incident was not replayed yet: do it first, with `infernosim replay`"
        } else {
            "name a replay_report.json, or a directory that holds one"
        })
    })?;
    parse(&text).map_err(fail)
}

/// Writes both results.
///
/// # Errors
/// `Exit::Incident` if they cannot be written.
pub fn save(dir: &Path, report: &Report) -> Result<()> {
    replace(dir, RESULT, &text(report))?;
    replace(dir, REPORT, &json(report))
}

/// Writes the ledgers of a replay with faults, a line for each firing, and the one at the place `told` as a plan; of a replay
/// without any the last ones go.
///
/// # Errors
/// `Exit::Incident` if they cannot be written.
pub fn save_faults(dir: &Path, ledgers: &[RunLedger], told: usize) -> Result<()> {
    if ledgers.is_empty() && !dir.join(FAULTS).exists() {
        return Ok(());
    }
    replace(dir, FAULTS, &faulted::lines(ledgers))?;
    replace(dir, FAULT_PLAN, &faulted::plan(ledgers.get(told)))
}

/// Writes what was learned to be volatile into `volatile.toml`, behind what stands there. Nothing of runs that diverged:
/// what a broken service does is no reason to look away from now on.
///
/// # Errors
/// `Exit::Incident` if it cannot be written.
pub fn save_volatile(dir: &Path, judgement: &Judgement, file: Option<&VolatileFile>) -> Result<()> {
    match VolatileFile::with(file, &judgement.volatile) {
        Some(text) if judgement.is_clean => replace(dir, VOLATILE, &text),
        _ => Ok(()),
    }
}

fn replace(dir: &Path, name: &str, content: &str) -> Result<()> {
    let written = Directory::at(dir).and_then(|it| it.replace(name, content.as_bytes()));
    written.map_err(|error| {
        let path = dir.join(name);
        ExpectedError::new(Exit::Incident, format!("{} cannot be written: {error}", path.display()))
            .help("make the incident's directory writable: the results of a replay are kept there")
    })
}

fn read(dir: &Path, name: impl AsRef<OsStr>, most: u64) -> io::Result<String> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let file = Directory::at(dir)?.open(name.as_ref())?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut text = String::new();
    file.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most { Err(io::Error::other("it is too long")) } else { Ok(text) }
}

fn parse(text: &str) -> Result<Report, String> {
    let malformed = |error: serde_json::Error| format!("malformed: {error}");
    // The version first and alone: what else a newer major version holds may have any shape.
    let value: serde_json::Value = serde_json::from_str(text).map_err(malformed)?;
    let version = value.get("reportVersion").ok_or("it is no report of a replay")?;
    let version = FormatVersion::deserialize(version).map_err(malformed)?;
    version.check_readable_by(VERSION).map_err(|error| error.to_string())?;
    serde_json::from_value(value).map_err(malformed)
}
