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
    /// The other end: the ORIGINAL destination of an outbound connection, the client of an inbound one.
    pub peer: SocketAddr,
    /// Who opened it, or accepted it, where known.
    pub process: Option<Process>,
    /// The DNS name by which a dependency was reached, where known: it names the dependency wherever what is
    /// said on the connection does not.
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
        match (direction, &self.name) {
            (Direction::Inbound, _) => {
                self.local.map_or_else(|| "unknown".to_owned(), |local| local.to_string())
            }
            (Direction::Outbound, Some(name)) => format!("{name}:{}", self.peer.port()),
            (Direction::Outbound, None) => self.peer.to_string(),
        }
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
        json::key(out, "peer");
        json::address(out, self.peer);
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
