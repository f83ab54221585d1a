use clap::Args;

use super::values::{duration, size};
use crate::capture::Voice;
use crate::incident::Limits;
use crate::incident::redact::Policy;

/// What every command that records takes.
#[derive(Args, Debug)]
pub struct Recording {
    /// Memory for what is not yet on disk; beyond it events are dropped whole, counted and said.
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = size)]
    buffer: u64,
    /// Bodies longer than this go to files of their own.
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = size)]
    inline_body: u64,
    /// Cut bodies after this much, and mark them [default: never].
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_body: Option<u64>,
    /// Replace the values of this header or field too: `header:NAME`, `field:NAME`, or NAME for both; `*` is any text.
    #[arg(long, value_name = "NAME", value_parser = redacted)]
    redact: Vec<String>,
    /// Store passwords, tokens and cookies as they are sent.
    #[arg(long, conflicts_with = "redact")]
    no_redact: bool,
    /// End after this time [default: with the target, or at Ctrl-C].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<u64>,
    /// How long connections that are still open at the end may go on.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub drain: u64,
    /// Print the summary at the end, and errors, as one line of JSON each, on standard error.
    #[arg(long)]
    json: bool,
    /// Print errors only.
    #[arg(short, long)]
    quiet: bool,
}

/// A budget below this holds not even the copies on their way to the recorder.
const LEAST_BUFFER: u64 = 8 << 20;

impl Recording {
    /// What is said on stderr.
    pub const fn voice(&self) -> Voice {
        Voice { quiet: self.quiet, json: self.json }
    }

    /// Memory for the recording, in bytes.
    pub fn buffer(&self) -> u64 {
        self.buffer.max(LEAST_BUFFER)
    }

    /// What is kept of bodies.
    pub fn limits(&self) -> Limits {
        Limits { inline_body: self.inline_body, max_body: self.max_body.unwrap_or(u64::MAX) }
    }

    /// Which names are secret; `None` stores everything as it was sent.
    pub fn policy(&self) -> Option<Policy> {
        if self.no_redact {
            return None;
        }
        let mut policy = Policy::default();
        // Each was tried when it was read.
        self.redact.iter().for_each(|name| policy.add(name).unwrap_or_default());
        Some(policy)
    }
}

fn redacted(name: &str) -> Result<String, String> {
    Policy::default().add(name).map(|()| name.to_owned())
}
