//! Who is at the ends of a connection.

use std::net::SocketAddr;

use super::super::direction::Direction;
use super::super::json;

/// Both ends of a connection and whose the target's is; what every line about it says.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The connection's number in this capture, from 1; 0 for one that never came to be.
    pub connection: u64,
    /// The target's own end, where known.
    pub local: Option<SocketAddr>,
    /// The other end: the ORIGINAL destination of an outbound connection, the client of an inbound one. Nobody where
    /// the name of a dependency was not found.
    pub peer: Option<SocketAddr>,
    /// Who opened it, or accepted it, where known.
    pub process: Option<Process>,
    /// Outbound: the DNS name by which a dependency was reached, where known, or the authority that a proxy was asked
    /// for; it names the dependency wherever what is said on the connection does not. Inbound: what the target is
    /// called, where that is not its own end: `host:port`.
    pub name: Option<String>,
}

/// Who in the target has a connection.
#[derive(Clone, Debug)]
pub struct Process {
    /// The process.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// Process and thread as their own pid namespace numbers them, where that differs.
    pub own: Option<(u32, u32)>,
    /// The thread's name.
    pub comm: String,
}

impl Peer {
    /// `host:port` of what was asked, as far as the connection tells: the target's own end, or the dependency.
    pub fn asked(&self, direction: Direction) -> String {
        let spelt = |address: Option<SocketAddr>| {
            address.map_or_else(|| "unknown".to_owned(), |address| address.to_string())
        };
        match (direction, &self.name, self.peer) {
            (Direction::Inbound, Some(name), _) => name.clone(),
            (Direction::Inbound, None, _) => spelt(self.local),
            // A name has no colon, an authority with a port has.
            (Direction::Outbound, Some(name), Some(peer)) if !name.contains(':') => {
                format!("{name}:{}", peer.port())
            }
            (Direction::Outbound, Some(name), _) => name.clone(),
            (Direction::Outbound, None, peer) => spelt(peer),
        }
    }

    /// Whom a selector asks about: the target's own end, or the dependency; of one that was not found, only the port.
    pub fn address(&self, direction: Direction) -> SocketAddr {
        let known = match direction {
            Direction::Inbound => self.local.or(self.peer),
            Direction::Outbound => self.peer,
        };
        known.unwrap_or_else(|| {
            let port = self.name.as_ref().and_then(|name| name.rsplit_once(':')?.1.parse().ok());
            SocketAddr::from(([0, 0, 0, 0], port.unwrap_or(0)))
        })
    }

    /// Its fields.
    pub fn write(&self, out: &mut Vec<u8>) {
        if self.connection > 0 {
            json::key(out, "connection");
            json::number(out, self.connection);
        }
        if let Some(process) = &self.process {
            process.write(out);
        }
        if let Some(local) = self.local {
            json::key(out, "local");
            json::address(out, local);
        }
        if let Some(peer) = self.peer {
            json::key(out, "peer");
            json::address(out, peer);
        }
    }
}

impl Process {
    fn write(&self, out: &mut Vec<u8>) {
        json::key(out, "pid");
        json::number(out, self.pid.into());
        json::key(out, "tid");
        json::number(out, self.tid.into());
        if let Some((pid, tid)) = self.own {
            json::key(out, "ownPid");
            json::number(out, pid.into());
            json::key(out, "ownTid");
            json::number(out, tid.into());
        }
        json::key(out, "comm");
        json::string(out, &self.comm);
    }
}
