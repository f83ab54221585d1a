//! What the tokens of an incident stand for: `secrets.json`. For a replay; never to be shown.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use serde::Deserialize;

use super::{Incident, cannot_read};
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::event::Base64;
use crate::incident::redact::command::replace_known;
use crate::incident::redact::{Live, Policy, Redaction};

/// The file's name in an incident's directory.
const FILE_NAME: &str = "secrets.json";
/// The version that this program reads.
const VERSION: u64 = 1;
/// So many values are looked for in a command line.
const MOST_LOOKED_FOR: usize = 10_000;

/// Tokens and the values that they stand for.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// That of the tokens, where the file tells it.
    key: Option<[u8; 32]>,
    values: BTreeMap<String, Vec<u8>>,
}

/// A line of the file: the first one has the version, all others a token and its value.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Line {
    version: Option<u64>,
    key: Option<String>,
    token: Option<String>,
    value: Option<String>,
    value_b64: Option<Base64>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.values.len())
    }
}

impl Incident {
    /// What redacts live messages as this recording was. Where its key is lost, tokens compare as if all were equal.
    pub fn live(&self, secrets: &Secrets) -> Live {
        let Some(redaction) = self.manifest().map(|manifest| &manifest.redaction) else {
            return Live::default();
        };
        let mut policy = Policy::default();
        // A name that this version does not understand is of a newer one.
        redaction.names.iter().for_each(|name| drop(policy.add(name)));
        let policy = (!["", "none"].contains(&redaction.policy.as_str())).then_some(policy);
        Live::new(&Redaction::with_key(policy, secrets.key.unwrap_or_default()), secrets.key.is_none())
    }

    /// Its secrets; none if it was recorded without redaction, or if no secret was met.
    ///
    /// # Errors
    /// `Exit::Incident` if the file cannot be read, is malformed (a torn last line is left out), or is of a newer
    /// version.
    pub fn secrets(&self) -> Result<Secrets> {
        Secrets::read(&self.dir)
    }
}

/// 64 hex digits.
fn key_of(hex: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    if hex.len() != 64 {
        return None;
    }
    for (byte, at) in key.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?;
    }
    Some(key)
}

impl Secrets {
    /// Of the incident in `dir`.
    fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE_NAME);
        // O_NONBLOCK: a FIFO put there must not hang us.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let file = match open(&path, flags, Mode::empty()) {
            Ok(file) => std::fs::File::from(file),
            Err(Errno::ENOENT) => return Ok(Self::default()),
            Err(error) => return Err(cannot_read(&path, &error.into())),
        };
        let fail = |at: usize, what: &str| {
            ExpectedError::new(Exit::Incident, format!("{}:{}: {what}", path.display(), at + 1))
                .help("restore the file, or remove it to replay with tokens in the place of secrets")
        };
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Err(fail(0, "is no regular file"));
        }
        let (mut key, mut values) = (None, BTreeMap::new());
        let mut reader = BufReader::new(file);
        let mut text = Vec::new();
        for at in 0.. {
            text.clear();
            let length = reader.read_until(b'\n', &mut text).map_err(|error| cannot_read(&path, &error))?;
            // The capture is still running, or was killed.
            if length == 0 || !text.ends_with(b"\n") {
                break;
            }
            let line: Line = serde_json::from_slice(&text).map_err(|_| fail(at, "malformed"))?;
            if line.version.is_some_and(|version| version > VERSION) {
                return Err(fail(at, "written by a newer infernosim than this one"));
            }
            key = key.or(line.key.as_deref().and_then(key_of));
            let value = line.value.map(String::into_bytes).or(line.value_b64.map(|it| it.0));
            if let (Some(token), Some(value)) = (line.token, value) {
                values.insert(token, value);
            }
        }
        Ok(Self { key, values })
    }

    /// From the text of a file.
    #[cfg(test)]
    pub(in crate::incident) fn parse(text: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE_NAME), text).unwrap();
        Self::read(dir.path()).unwrap()
    }

    /// What `token` (`redacted-` and 24 hex digits) stands for, as it was sent, escapes decoded.
    pub fn get(&self, token: &str) -> Option<&[u8]> {
        self.values.get(token).map(Vec::as_slice)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// How many the incident in `dir` has; `None` if that cannot be read.
    pub(in crate::incident) fn count_in(dir: &Path) -> Option<u64> {
        Self::read(dir).ok().map(|secrets| secrets.len() as u64)
    }

    /// Puts the tokens of the incident in `dir` where their values stand in a command line: what was met in the traffic
    /// need not look like a secret there. As far as they can be read.
    pub fn replace_in(command: &mut [String], dir: &Path) {
        if let Ok(secrets) = Self::read(dir) {
            let known = secrets.values.iter().take(MOST_LOOKED_FOR);
            replace_known(command, known.map(|(token, value)| (token.as_str(), value.as_slice())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Secrets> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("incident.json"), "{}").unwrap();
        std::fs::write(dir.path().join(FILE_NAME), text).unwrap();
        Incident::open(dir.path()).unwrap().secrets()
    }

    const FIRST: &str = "{\"version\":1,\"key\":\"00\"}\n";

    #[test]
    fn tokens_and_values() {
        let text = format!(
            "{FIRST}{{\"token\":\"a\",\"value\":\"x\\ny\",\"later\":1}}\n{{\"token\":\"b\",\"valueB64\":\"/w==\"}}\n{{\"token\":\"c\",\"val"
        );
        let secrets = read(&text).unwrap();
        assert_eq!((secrets.get("a"), secrets.get("b")), (Some(&b"x\ny"[..]), Some(&b"\xff"[..])));
        assert_eq!((secrets.len(), secrets.get("c")), (2, None));
        assert_eq!(format!("{secrets:?}"), "2 secrets", "not a value of them");
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for (text, reason) in [
            (format!("{FIRST}!\n"), "secrets.json:2: malformed"),
            ("{\"version\":2}\n".to_owned(), "secrets.json:1: written by a newer"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.message.contains(reason), "{error}");
            assert_eq!(error.exit, Exit::Incident);
        }
        assert!(read("").unwrap().is_empty());
        let dir = tempfile::tempdir().unwrap();
        assert!(Secrets::read(dir.path()).unwrap().is_empty(), "no file is no secret");
        std::os::unix::fs::symlink("/dev/null", dir.path().join(FILE_NAME)).unwrap();
        assert!(Secrets::read(dir.path()).is_err());
    }
}
