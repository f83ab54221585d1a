use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::values::{duration, size};
use crate::capture::{Options, run};
use crate::clock;
use crate::error::Result;
use crate::incident::Limits;
use crate::incident::redact::Policy;

/// Record the outbound traffic of a command.
///
/// CMD runs as it would without us: same user, environment, terminal, output and exit status. Its TCP
/// connections are redirected to this process, relayed byte for byte, and written to an incident: a directory
/// of JSON lines. Needs root.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Capture {
    /// Where to record [default: ./incident-<UTC time>].
    #[arg(long, value_name = "DIR")]
    incident: Option<PathBuf>,
    /// Replace an incident that DIR already holds.
    #[arg(long)]
    force: bool,
    /// How outbound traffic is seen.
    #[arg(long, value_name = "WAY", default_value = "proxy", value_parser = ["proxy"])]
    via: String,
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
    /// How long connections that are still open at the end may go on.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    drain: u64,
    /// Run CMD as this user [default: who called sudo].
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Print errors only.
    #[arg(short, long)]
    quiet: bool,
    /// The command to run and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

const EXAMPLES: &str = "Examples:
  sudo infernosim capture -- ./app
  sudo infernosim capture --incident checkout-bug --force -- python3 app.py --port 8080

Exit status: that of CMD (128 and the signal's number if a signal ended it); 4 if CMD succeeded but the
recording is incomplete; 127 CMD not found, 126 not executable; 2 usage; 3 this host cannot.";

/// A budget below this holds not even the copies on their way to the recorder.
const LEAST_BUFFER: u64 = 8 << 20;

impl Capture {
    /// Captures; returns the status to exit with.
    pub fn run(self) -> Result<i32> {
        let options = Options {
            command: self.command,
            incident: self.incident.unwrap_or_else(default_directory),
            force: self.force,
            user: self.user,
            buffer: self.buffer.max(LEAST_BUFFER),
            limits: Limits { inline_body: self.inline_body, max_body: self.max_body.unwrap_or(u64::MAX) },
            redact: (!self.no_redact).then(|| policy(&self.redact)),
            drain_ns: self.drain,
            quiet: self.quiet,
        };
        run(&options)
    }
}

fn redacted(name: &str) -> Result<String, String> {
    Policy::default().add(name).map(|()| name.to_owned())
}

fn policy(names: &[String]) -> Policy {
    let mut policy = Policy::default();
    // Each was tried when it was read.
    names.iter().for_each(|name| policy.add(name).unwrap_or_default());
    policy
}

fn default_directory() -> PathBuf {
    let seconds = i64::try_from(clock::wall(clock::now()) / 1_000_000_000).unwrap_or(0);
    let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    PathBuf::from(format!("incident-{}", time.strftime("%Y%m%dT%H%M%SZ")))
}
