//! The version of the incident format.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `major.minor`. A minor step adds files, fields, types; a reader ignores what it does not know. A major step
/// changes the meaning of what is there; a reader refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FormatVersion {
    /// Changes where old readers would misread.
    pub major: u32,
    /// Changes where old readers would miss something.
    pub minor: u32,
}

/// Why a version cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Its major version is no longer read.
    #[error("format {found} is older than what this infernosim reads ({reader})")]
    TooOld {
        /// The incident's.
        found: FormatVersion,
        /// The reader's.
        reader: FormatVersion,
    },
    /// Its major version did not exist yet.
    #[error("format {found} is newer than what this infernosim reads ({reader})")]
    TooNew {
        /// The incident's.
        found: FormatVersion,
        /// The reader's.
        reader: FormatVersion,
    },
}

impl FormatVersion {
    /// What this program writes.
    pub const CURRENT: Self = Self { major: 1, minor: 0 };

    /// Can a program that writes `reader` read this? Within a major version always, in both directions.
    ///
    /// # Errors
    /// `TooOld` or `TooNew` where the major versions differ.
    pub fn check_readable_by(self, reader: Self) -> Result<(), Unreadable> {
        match self.major.cmp(&reader.major) {
            std::cmp::Ordering::Less => Err(Unreadable::TooOld { found: self, reader }),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(Unreadable::TooNew { found: self, reader }),
        }
    }
}

impl Unreadable {
    /// What to do; `writer` is the version of the program that wrote the incident, if known.
    pub fn help(&self, writer: Option<&str>) -> String {
        match (self, writer) {
            (Self::TooNew { .. }, Some(writer)) => {
                format!("use infernosim {writer}, which wrote it, or newer")
            }
            (Self::TooNew { .. }, None) => "use a newer infernosim".into(),
            (Self::TooOld { .. }, Some(writer)) => {
                format!("read it with infernosim {writer}, which wrote it")
            }
            (Self::TooOld { .. }, None) => "read it with the infernosim that wrote it".into(),
        }
    }
}

/// What a new manifest is written with; one that does not say its version is taken for the first.
impl Default for FormatVersion {
    fn default() -> Self {
        Self::CURRENT
    }
}

impl fmt::Display for FormatVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Serialize for FormatVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FormatVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parts = text.split_once('.').and_then(|(major, minor)| Some((number(major)?, number(minor)?)));
        let (major, minor) = parts
            .ok_or_else(|| D::Error::custom(format_args!("{text:?} is not a version such as \"1.0\"")))?;
        Ok(Self { major, minor })
    }
}

/// Digits only: `u32::from_str` would also take a sign.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}
