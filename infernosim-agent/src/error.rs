//! Errors that a user can act on, and the exit codes.

use std::fmt;

/// The exit codes of every command, as documented in `docs/exit-codes.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// All went well.
    Pass = 0,
    /// A divergence, a missed objective, a failed run.
    Fail = 1,
    /// The command line is wrong.
    Usage = 2,
    /// This host cannot: privilege, kernel, port taken.
    Host = 3,
    /// The incident is unusable, or its recording incomplete, or nothing was exercised.
    Incident = 4,
    /// A bug in InfernoSIM (the status of a Rust panic).
    Bug = 101,
    /// CMD was found but could not be executed (as a shell says it).
    NotExecutable = 126,
    /// CMD was not found (as a shell says it).
    NotFound = 127,
}

/// A mistake or a condition that was to be expected: said in one lowercase sentence, with what to do.
#[derive(Debug)]
pub struct ExpectedError {
    /// What happened, with the likely cause; lowercase, no full stop.
    pub message: String,
    /// What to do about it; lowercase, no full stop.
    pub help: Option<String>,
    /// The status to exit with.
    pub exit: Exit,
}

impl ExpectedError {
    /// An error that ends the command with `exit`.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, exit }
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for ExpectedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ExpectedError {}

/// What most fallible functions of this crate return.
pub type Result<T, E = ExpectedError> = std::result::Result<T, E>;
