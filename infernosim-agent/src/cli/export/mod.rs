//! `infernosim export`: what was recorded, in formats that other programs read. Secrets are never exported: where
//! they were replaced by tokens, the tokens are.

mod curl;
mod har;

use std::io::{BufWriter, Write};

use clap::Subcommand;

use super::inspect::Stop;
use crate::error::{Exit, Result};

/// Write what was recorded in a format that other programs read
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Export {
    Curl(curl::Curl),
    Har(har::Har),
}

const EXAMPLES: &str = "\
Examples:
  infernosim export curl ./incident 12
  infernosim export har ./incident -o incident.har";

impl Export {
    /// Runs the command. `out` is standard output.
    ///
    /// # Errors
    /// `Exit::Incident` if the incident cannot be read or the exchange cannot be exported, `Exit::Usage` if it holds
    /// no such ID, `Exit::Host` if the output cannot be written. A reader that went away is no error.
    pub fn run(&self, out: &mut impl Write) -> Result<Exit> {
        let mut out = BufWriter::with_capacity(64 << 10, out);
        let ended = match self {
            Self::Curl(curl) => curl.run(&mut out),
            Self::Har(har) => har.run(&mut out),
        };
        match ended.and(out.flush().map_err(Stop::from)) {
            Ok(()) | Err(Stop::Unread) => Ok(Exit::Pass),
            Err(Stop::Failed(e)) => Err(e),
        }
    }
}
