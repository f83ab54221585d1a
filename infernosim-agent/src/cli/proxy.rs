use std::path::PathBuf;

use clap::Args;

use super::recording::Recording;
use super::serving::Serving;
use crate::capture::explicit::{Listen, Role, run};
use crate::error::Result;

/// Record what programs send through this process as their HTTP_PROXY.
///
/// A forward proxy: it takes http:// requests and CONNECT tunnels, passes them on, and writes each exchange to the
/// log. It needs no privileges, and programs that honour HTTP_PROXY, HTTPS_PROXY or a setting of their own.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Proxy {
    /// Where to listen; `:PORT` is this host's loopback, another address needs --allow.
    #[arg(long, value_name = "ADDRESS", default_value = ":9000")]
    listen: Listen,
    /// Where to record: added to at its end. Its folder is the incident; `-` is standard output.
    #[arg(long, value_name = "PATH", default_value = "outbound.log")]
    log: PathBuf,
    #[command(flatten)]
    serving: Serving,
    #[command(flatten)]
    recording: Recording,
}

const EXAMPLES: &str = "Examples:
  infernosim proxy --listen :9000 --log outbound.log
  HTTP_PROXY=http://localhost:9000 HTTPS_PROXY=http://localhost:9000 ./app
  infernosim proxy --log incident/outbound.log --max-body 1MiB
  infernosim proxy --listen 0.0.0.0:9000 --allow 172.17.0.0/16
  infernosim --mode=proxy --listen=:9000 --log=outbound.log   the same

Exit status: 0; 4 if the recording is incomplete; 2 usage; 3 this host cannot (a port that is taken).";

impl Proxy {
    /// Serves until it is told to end; returns the status to exit with.
    pub fn run(self) -> Result<i32> {
        let Self { listen, log, serving, recording } = self;
        run(&serving.options(Role::Proxy, listen, log, &recording))
    }
}
