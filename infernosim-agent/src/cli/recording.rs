use clap::Args;

use super::keeping::Keeping;
use crate::capture::Voice;
use crate::quantity::{duration, size};

/// What every command that records takes.
#[derive(Args, Debug)]
pub struct Recording {
    /// Memory for what is not yet on disk; beyond it events are dropped whole, counted and said.
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = size)]
    buffer: u64,
    #[command(flatten)]
    pub keeping: Keeping,
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
}
