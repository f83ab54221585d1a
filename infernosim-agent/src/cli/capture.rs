use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueHint};

use super::recording::Recording;
use super::targets::Targets;
use crate::capture::selector::{Selector, Term};
use crate::capture::{Options, run};
use crate::clock;
use crate::error::Result;
use crate::incident::Rotation;
use crate::quantity::size;
use crate::redirect::TapSetting;

/// Record what a command or a running service is asked, what it asks others, and the names it looks up.
///
/// CMD runs as it would without us: same user, environment, terminal, output and exit status. A running service
/// is not restarted, moved or changed. Requests of its clients and lookups are copied in the kernel, beside their
/// way; TCP connections that the target makes are redirected to this process and relayed byte for byte, or with
/// `--via tap` copied too. All of it is written to an incident: a directory of JSON lines. Needs root.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
#[command(group = ArgGroup::new("target").required(true).multiple(true).args(Targets::WORDS))]
pub struct Capture {
    #[command(flatten)]
    targets: Targets,
    /// Where to record [default: ./incident-<UTC time>].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    incident: Option<PathBuf>,
    /// Replace an incident that DIR already holds.
    #[arg(long)]
    force: bool,
    /// How outbound traffic is seen: redirected through us (proxy) or copied beside its way (tap).
    #[arg(long, value_name = "WAY", default_value = "proxy", value_parser = ["proxy", "tap"])]
    via: String,
    /// Memory in the kernel for copies that are not read yet, rounded up to a power of two; what finds no room is
    /// lost, counted and said.
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = ring_size)]
    tap_buffer: u64,
    /// Where there is no room for a copy, drop the packet, so that TCP sends it again, instead of losing the copy:
    /// the traffic waits for the recording, about 200 ms each time.
    #[arg(long)]
    strict_capture: bool,
    /// Reset connections of the running target that are older than the capture, so that it makes new ones.
    #[arg(long, conflicts_with = "command")]
    recycle: bool,
    /// Begin a new incident (DIR-2, DIR-3, …) whenever one has this size.
    #[arg(long, value_name = "SIZE", value_parser = rotation_size)]
    max_size: Option<u64>,
    /// End the capture when this many incidents are full.
    #[arg(long, value_name = "N", requires = "max_size", value_parser = clap::value_parser!(u32).range(1..))]
    max_incidents: Option<u32>,
    /// Record only this: port=N, dep=PATTERN[:PORT] or path=PATTERN; * and ? match.
    #[arg(long, value_name = "WHAT")]
    only: Vec<Term>,
    /// Do not record this.
    #[arg(long, value_name = "WHAT")]
    exclude: Vec<Term>,
    #[command(flatten)]
    recording: Recording,
}

const EXAMPLES: &str = "Examples:
  sudo infernosim capture -- ./app
  sudo infernosim capture --pid 4242 --duration 60s
  sudo infernosim capture --pid 4242 --via tap
  sudo infernosim capture --unit shop
  sudo infernosim capture --incident checkout-bug --force -- python3 app.py --port 8080
  sudo infernosim capture --only payments.test --exclude '/health*' -- ./app
  sudo infernosim capture --max-size 100MiB --max-incidents 10 -- ./app

Exit status: that of CMD (128 and the signal's number if a signal ended it); 4 if CMD succeeded but the \
recording is incomplete; 127 CMD not found, 126 not executable; 2 usage; 3 this host cannot.";

/// Bodies up to this size are held in memory and then written at once.
const LEAST_ROTATION: u64 = 1 << 20;

/// What the kernel takes for a ring.
const RING: std::ops::RangeInclusive<u64> = (64 << 10)..=(1 << 30);

impl Capture {
    /// Captures; returns the status to exit with.
    ///
    /// # Errors
    /// Whatever keeps it from being done at all.
    pub fn run(self) -> Result<i32> {
        let options = Options {
            selection: self.targets.required()?,
            duration_ns: self.recording.duration,
            recycle: self.recycle,
            tap: TapSetting {
                ring: u32::try_from(self.tap_buffer).unwrap_or(u32::MAX),
                outbound: self.via == "tap",
                strict: self.strict_capture,
            },
            incident: self.incident.unwrap_or_else(default_directory),
            force: self.force,
            user: self.targets.user,
            buffer: self.recording.buffer(),
            limits: self.recording.keeping.limits(),
            rotation: self.max_size.map(|max_size| Rotation { max_size, max_incidents: self.max_incidents }),
            selector: Selector { only: self.only, exclude: self.exclude },
            redact: self.recording.keeping.policy(),
            drain_ns: self.recording.drain,
            voice: self.recording.voice(),
        };
        run(&options)
    }
}

fn rotation_size(text: &str) -> Result<u64, String> {
    let size = size(text)?;
    if size < LEAST_ROTATION {
        return Err("an incident may not be limited to less than 1MiB".to_owned());
    }
    Ok(size)
}

fn ring_size(text: &str) -> Result<u64, String> {
    let size = size(text)?;
    if !RING.contains(&size) {
        return Err("the tap's memory is at least 64KiB and at most 1GiB".to_owned());
    }
    Ok(size)
}

fn default_directory() -> PathBuf {
    let seconds = i64::try_from(clock::wall(clock::now()) / 1_000_000_000).unwrap_or(0);
    let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    PathBuf::from(format!("incident-{}", time.strftime("%Y%m%dT%H%M%SZ")))
}
