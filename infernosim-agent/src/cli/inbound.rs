use std::path::PathBuf;

use clap::Args;

use super::recording::Recording;
use super::serving::Serving;
use crate::capture::explicit::{Forward, Listen, Role, run};
use crate::error::Result;

/// Record what clients ask a service, by standing in front of it.
///
/// A reverse proxy: clients ask it instead of the service, it passes each request on as it is, and writes request and
/// response to the log. It needs no privileges.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Inbound {
    /// Where to listen; `:PORT` is this host's loopback, another address needs --allow.
    #[arg(long, value_name = "ADDRESS", default_value = ":18080")]
    listen: Listen,
    /// The service.
    #[arg(long, value_name = "HOST:PORT")]
    forward: Forward,
    /// Where to record: added to at its end. Its folder is the incident; `-` is standard output.
    #[arg(long, value_name = "PATH", default_value = "inbound.log")]
    log: PathBuf,
    /// Add `X-Request-Context: <id>` to each response, so that it names its own recording.
    #[arg(long)]
    tag_responses: bool,
    #[command(flatten)]
    serving: Serving,
    #[command(flatten)]
    recording: Recording,
}

const EXAMPLES: &str = "Examples:
  infernosim inbound --listen :18080 --forward localhost:8084 --log inbound.log
  infernosim inbound --forward localhost:8084 --tag-responses
  infernosim inbound --listen 0.0.0.0:8080 --allow 10.0.0.0/8 --forward localhost:8084 --healthz
  infernosim --mode=inbound --listen=:18080 --forward=localhost:8084 --log=inbound.log   the same

Exit status: 0; 4 if the recording is incomplete; 2 usage; 3 this host cannot (a port that is taken).";

impl Inbound {
    /// Serves until it is told to end; returns the status to exit with.
    pub fn run(self) -> Result<i32> {
        let Self { listen, forward, log, tag_responses, serving, recording } = self;
        run(&serving.options(Role::Inbound { forward, tag: tag_responses }, listen, log, &recording))
    }
}
