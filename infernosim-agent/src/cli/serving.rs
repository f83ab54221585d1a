use std::path::PathBuf;

use clap::Args;
use ipnet::IpNet;

use super::recording::Recording;
use crate::capture::explicit::{Listen, Options, Role};
use crate::quantity::duration;

/// What the two commands take that programs are told to send through.
#[derive(Args, Debug)]
pub struct Serving {
    /// Serve clients with these addresses too, not this host's alone; may be repeated, or a list with commas.
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = network)]
    allow: Vec<IpNet>,
    /// Answer GET /healthz ourselves, with 200; it is neither passed on nor recorded.
    #[arg(long)]
    healthz: bool,
    /// How long to wait until a connection is answered.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = patience)]
    connect_timeout: u64,
}

impl Serving {
    /// All that serving and recording in this role take.
    pub fn options(self, role: Role, listen: Listen, log: PathBuf, recording: &Recording) -> Options {
        Options {
            role,
            listen,
            allow: self.allow,
            healthz: self.healthz,
            connect_timeout_ns: self.connect_timeout,
            log,
            buffer: recording.buffer(),
            limits: recording.keeping.limits(),
            redact: recording.keeping.policy(),
            duration_ns: recording.duration,
            drain_ns: recording.drain,
            voice: recording.voice(),
        }
    }
}

/// `10.0.0.0/8`, or an address.
fn network(text: &str) -> Result<IpNet, String> {
    let wrong = || format!("`{text}` is no network; write 10.0.0.0/8, fd00::/8 or an address");
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
        .map(|net| net.trunc())
        .map_err(|_| wrong())
}

fn patience(text: &str) -> Result<u64, String> {
    match duration(text)? {
        0 => Err("with no time at all nothing could be reached".to_owned()),
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_addresses() {
        assert_eq!(network("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(network("10.1.2.3").unwrap().to_string(), "10.1.2.3/32");
        assert_eq!(network("fd00::1/8").unwrap().to_string(), "fd00::/8");
        assert_eq!(network("::1").unwrap().to_string(), "::1/128");
        for wrong in ["", "10.0.0.0/33", "localhost", "10.0.0/8"] {
            assert!(network(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn some_patience_is_needed() {
        assert!(patience("0s").is_err());
        assert_eq!(patience("1ms"), Ok(1_000_000));
    }
}
