mod examine;
mod redirected;
mod replayed;

use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::error::{Exit, ExpectedError, Result};

/// Say what this host can do: works, or why not and what to do.
///
/// Every ability is tried, not guessed from versions; nothing is left behind.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Doctor {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Connect to this address and say whether that is the peer: what the doctor has a child of its own do.
    #[arg(long, hide = true)]
    connect: Option<SocketAddr>,
    /// Send a datagram to this address and say whether the answer comes from there: what another child does.
    #[arg(long, hide = true)]
    ask: Option<SocketAddr>,
}

const EXAMPLES: &str = "Examples:
  sudo infernosim doctor
  sudo infernosim doctor --json | jq '.[] | select(.works | not)'

Exit status: 3 if something does not work without which nothing can be captured.";

/// Something that this host can do or cannot, tried.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Ability {
    name: String,
    works: bool,
    /// Nothing can be captured without it.
    required: bool,
    /// What needs it.
    #[serde(rename = "for")]
    purpose: &'static str,
    /// What was found, or why not.
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

/// An answer over loopback that is not there by then does not come.
const ANSWERED: Duration = Duration::from_secs(5);

impl Doctor {
    /// Examines; returns the status to exit with.
    pub fn run(&self, out: &mut impl std::io::Write) -> Result<i32> {
        if let Some(address) = self.connect {
            return Ok(connect(address) as i32);
        }
        if let Some(address) = self.ask {
            return Ok(ask(address) as i32);
        }
        let abilities = examine::examine();
        let written = if self.json {
            serde_json::to_string_pretty(&abilities)
                .map_err(std::io::Error::from)
                .and_then(|text| writeln!(out, "{text}"))
        } else {
            print(&abilities, out)
        };
        written.or_else(super::quiet_if_pipe_broke)?;
        let able = abilities.iter().all(|ability| ability.works || !ability.required);
        Ok(if able { Exit::Pass } else { Exit::Host } as i32)
    }
}

/// As a target would: the peer must be who was asked for.
fn connect(address: SocketAddr) -> Exit {
    match TcpStream::connect(address).and_then(|stream| stream.peer_addr()) {
        Ok(peer) if peer == address => Exit::Pass,
        _ => Exit::Fail,
    }
}

/// As a strict client of a resolver would: the answer must come from whom it asked.
fn ask(address: SocketAddr) -> Exit {
    let asked = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.set_read_timeout(Some(ANSWERED))?;
        socket.send_to(b"asked", address)?;
        socket.recv_from(&mut [0; 64])
    });
    match asked {
        Ok((_, from)) if from == address => Exit::Pass,
        _ => Exit::Fail,
    }
}

fn print(abilities: &[Ability], out: &mut impl std::io::Write) -> std::io::Result<()> {
    for ability in abilities {
        let word = match (ability.works, ability.required) {
            (true, _) => "works",
            (false, true) => "NO",
            (false, false) => "no",
        };
        writeln!(out, "{word:<6} {:<26} {}", ability.name, ability.detail)?;
        if !ability.works {
            writeln!(out, "{:<6} {:<26} needed for {}", "", "", ability.purpose)?;
        }
        if let Some(help) = &ability.help {
            writeln!(out, "{:<6} {:<26} → {help}", "", "")?;
        }
    }
    Ok(())
}

impl Ability {
    /// Without it nothing can be captured.
    fn required<T>(name: impl Into<String>, tried: &Result<T>, detail: impl FnOnce(&T) -> String) -> Self {
        Self::of(name.into(), tried, detail, true, "any capture")
    }

    /// Something that `purpose` needs.
    fn optional<T>(
        name: impl Into<String>,
        purpose: &'static str,
        tried: &Result<T>,
        detail: impl FnOnce(&T) -> String,
    ) -> Self {
        Self::of(name.into(), tried, detail, false, purpose)
    }

    fn of<T>(
        name: String,
        tried: &Result<T>,
        detail: impl FnOnce(&T) -> String,
        required: bool,
        purpose: &'static str,
    ) -> Self {
        match tried {
            Ok(value) => Self { name, works: true, required, purpose, detail: detail(value), help: None },
            Err(ExpectedError { message, help, .. }) => {
                Self { name, works: false, required, purpose, detail: message.clone(), help: help.clone() }
            }
        }
    }
}
