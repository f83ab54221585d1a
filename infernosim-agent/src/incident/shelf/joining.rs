//! An incident that two processes write, each one log of it: the explicit form.

use std::path::Path;

use super::Shelf;
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::redact::{Policy, Redaction};
use crate::incident::{Direction, Numbers, Ownership, Share};

impl Shelf {
    /// Joins the incident in the folder of this log, which must be there, as the only writer of the log; the log
    /// itself need not be there. What is no regular file (`-` is standard output, /dev/null, a pipe) gets the lines
    /// and nothing else.
    ///
    /// # Errors
    /// `Exit::Usage` where the log is a link, or the folder holds an incident of another kind; `Exit::Host` where
    /// somebody else writes the log; `Exit::Incident` where it cannot be written.
    pub fn join(log: &Path, owner: Ownership, side: Direction) -> Result<Self> {
        let _ = (owner, side);
        Err(ExpectedError::new(Exit::Bug, format!("{} cannot be joined yet", log.display())))
    }

    /// What this process writes of it, to be told to [`crate::incident::Lines::share`]; `None` of one that is not
    /// shared.
    pub fn share(&self) -> Option<Share> {
        None
    }

    /// What its connections are numbered by.
    pub fn numbers(&self) -> Numbers {
        Numbers::default()
    }

    /// Redaction by this policy, with the key that all who write the incident have.
    ///
    /// # Errors
    /// `Exit::Incident` where `secrets.json` cannot be read or written, `Exit::Host` without random bytes.
    pub fn redaction(&self, policy: Option<Policy>) -> Result<Redaction> {
        Redaction::new(policy)
    }
}
