//! `incident.json`: what a recording is of, how it went, and in which version of the format it is.

mod merge;
#[cfg(test)]
mod tests;
mod version;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Direction, regular};
use crate::clock;
use crate::error::{Exit, ExpectedError, Result};

pub use version::{FormatVersion, Unreadable};

/// The name of the manifest in an incident's directory.
pub const FILE_NAME: &str = "incident.json";
/// One that is longer is none of ours, in bytes.
const LONGEST: u64 = 64 << 20;

/// The content of `incident.json`. Absent fields read as their defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Manifest {
    /// The version of everything in the directory.
    pub format_version: FormatVersion,
    /// What wrote it.
    pub tool: Tool,
    /// What was recorded.
    pub target: Target,
    /// Where.
    pub host: Host,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC; absent while the capture runs and after it was killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// The capture ended in order: the logs are whole and `logs` holds their digests.
    pub closed: bool,
    /// Which of the numbered incidents of its capture this is, from 1, where there may be several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<u32>,
    /// The name of the one before, in the same directory as this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// The name of the one after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Lines by `type`.
    pub counts: BTreeMap<String, u64>,
    /// What was seen and not kept.
    pub lost: Lost,
    /// What was seen and not to be kept: the selectors said so, or the capture's last incident was full.
    #[serde(skip_serializing_if = "Lost::is_nothing")]
    pub excluded: Lost,
    /// The dependencies called.
    pub dependencies: Vec<Dependency>,
    /// Traffic of the target that was neither seen nor relayed: reason → how many.
    pub unmediated: BTreeMap<String, u64>,
    /// What was done about secrets.
    pub redaction: Redaction,
    /// File name → its digest, once closed; of the explicit form, as much of it as the counts here are of.
    pub logs: BTreeMap<String, LogFile>,
    /// How its lines are numbered, of the explicit form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<Clocked>,
}

/// The program that wrote an incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tool {
    /// `infernosim`.
    pub name: String,
    /// Its version, `1.2.3`.
    pub version: String,
}

impl Tool {
    /// This program.
    pub fn this() -> Self {
        Self { name: "infernosim".into(), version: env!("CARGO_PKG_VERSION").into() }
    }
}

/// The process under capture.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Target {
    /// The command line; bytes that are not UTF-8 are replaced.
    pub command: Vec<String>,
    /// Its first process, as the host numbers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The processes that were named, where it was running already.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pids: Vec<u32>,
    /// The cgroups it is all of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cgroups: Vec<String>,
    /// The user it ran as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What the explicit proxies listened on, where the target was told of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explicit: Option<Explicit>,
}

/// The explicit form: which of its two processes wrote the incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Explicit {
    /// `infernosim inbound`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbound: Option<Proxy>,
    /// `infernosim proxy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outbound: Option<Proxy>,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Proxy {
    /// The name of its log.
    pub log: String,
    /// The addresses on which it listened, `127.0.0.1:9000`.
    pub listen: Vec<String>,
    /// Where it took what came, as it was told: `localhost:8084`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward: Option<String>,
}

impl Explicit {
    /// One process of it; the name of its log is for the shelf to say.
    pub fn of(direction: Direction, listen: Vec<String>, forward: Option<String>) -> Self {
        let mut explicit = Self::default();
        *explicit.proxy_mut(direction) = Some(Proxy { log: String::new(), listen, forward });
        explicit
    }

    /// That of one direction.
    pub const fn proxy(&self, direction: Direction) -> Option<&Proxy> {
        match direction {
            Direction::Inbound => self.inbound.as_ref(),
            Direction::Outbound => self.outbound.as_ref(),
        }
    }

    /// That of one direction, to be changed.
    pub const fn proxy_mut(&mut self, direction: Direction) -> &mut Option<Proxy> {
        match direction {
            Direction::Inbound => &mut self.inbound,
            Direction::Outbound => &mut self.outbound,
        }
    }
}

/// How the two processes number lines without asking each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Clocked {
    /// The boot whose monotonic clock it is.
    pub boot_id: String,
    /// CLOCK_MONOTONIC, in ns, at which
    pub monotonic_ns: u64,
    /// the sequence was this.
    pub base: u64,
}

/// The machine of the capture.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Host {
    /// Kernel release, as `uname -r` says it.
    pub kernel: String,
    /// Machine, as `uname -m` says it.
    pub arch: String,
    /// Node name.
    pub hostname: String,
}

/// What was seen and not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lost {
    /// Whole events.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The same by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub by_reason: BTreeMap<String, Count>,
}

impl Lost {
    fn is_nothing(&self) -> bool {
        self.events == 0 && self.bytes == 0
    }
}

/// So much was not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Count {
    /// Whole events.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One dependency of the target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Dependency {
    /// Its name, as in the lines' `service`.
    pub service: String,
    /// What it was spoken to in.
    pub protocol: String,
    /// Calls and connections made to it.
    pub calls: u64,
    /// Calls without a whole answer, and connections that were not made.
    pub failed: u64,
}

/// The redaction policy of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Redaction {
    /// `none`: everything is stored as it was sent. `default`: what docs/redaction.md names was replaced by tokens;
    /// `default+custom`: what `names` adds, too.
    pub policy: String,
    /// The names that were added.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Values that were replaced, each time they were met.
    #[serde(skip_serializing_if = "is_zero")]
    pub values: u64,
    /// Different ones.
    #[serde(skip_serializing_if = "is_zero")]
    pub distinct: u64,
    /// Of these, values that are not in `secrets.json`.
    #[serde(skip_serializing_if = "is_zero")]
    pub unstored: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde calls")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Redaction {
    /// Takes in what was replaced, and how many values could not be written.
    pub fn count(&mut self, replaced: super::redact::Replaced, unwritten: u64) {
        (self.values, self.distinct) = (replaced.values, replaced.distinct);
        self.unstored = replaced.unstored + unwritten;
    }
}

impl Default for Redaction {
    fn default() -> Self {
        Self { policy: "none".into(), names: Vec::new(), values: 0, distinct: 0, unstored: 0 }
    }
}

/// A closed log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogFile {
    /// SHA-256 of the file, 64 hex digits.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// Its lines.
    pub lines: u64,
}

/// The time, as manifests say it.
pub fn now() -> String {
    let ns = i128::from(clock::wall(clock::now()));
    jiff::Timestamp::from_nanosecond(ns).map_or_else(|_| String::new(), |time| time.to_string())
}

impl Manifest {
    /// Reads `dir`'s manifest; `None` if there is none, as in incidents of the Go InfernoSIM.
    ///
    /// # Errors
    /// `Exit::Incident` if it cannot be read, is malformed, or is of a version that this program cannot read.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(FILE_NAME);
        let fail = |what: String| ExpectedError::new(Exit::Incident, format!("{}: {what}", path.display()));
        let text = match regular::read(&path, LONGEST) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(fail(format!("cannot be read: {e}"))),
        };
        let malformed = |e: serde_json::Error| {
            fail(format!("malformed: {e}"))
                .help("restore the file, or remove it to read the logs beside it without their manifest")
        };
        // The version first and alone: what else a newer major version holds may have any shape.
        let value: Value = serde_json::from_str(&text).map_err(malformed)?;
        if let Some(version) = value.get("formatVersion") {
            let version = FormatVersion::deserialize(version).map_err(malformed)?;
            version
                .check_readable_by(FormatVersion::CURRENT)
                .map_err(|e| fail(e.to_string()).help(e.help(value["tool"]["version"].as_str())))?;
        }
        serde_json::from_str(&text).map(Some).map_err(malformed)
    }

    /// The text of `incident.json`.
    pub fn to_text(&self) -> String {
        // Plain structs with string keys always serialise.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}
