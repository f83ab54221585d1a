//! What waits at the target's listeners: connections that it has not accepted, and requests that it has not read.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;

/// Of a longer table the rest is not looked at, in bytes: it would cost more than it tells.
const MOST: u64 = 2 << 20;
/// States of include/net/tcp_states.h.
const ESTABLISHED: &str = "01";
const LISTEN: &str = "0A";

/// At one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queues {
    /// Connections that nobody has accepted.
    pub not_accepted: u64,
    /// Connections with bytes that nobody has read.
    pub not_read: u64,
}

impl Queues {
    /// Of the listeners on these ports, in the network namespace of a process.
    pub fn of(process: u32, ports: &BTreeSet<u16>) -> Option<Self> {
        let table = |name: &str| {
            let file = File::open(format!("/proc/{process}/net/{name}")).ok()?;
            let mut text = String::new();
            file.take(MOST).read_to_string(&mut text).ok()?;
            Some(text)
        };
        let mut queues = Self::default();
        queues.add(&table("tcp")?, ports);
        // Without IPv6 there is none.
        queues.add(&table("tcp6").unwrap_or_default(), ports);
        Some(queues)
    }

    /// How many connections found no room among those that were to be accepted, on all listeners of the network namespace of a
    /// process: ListenOverflows of /proc/PID/net/netstat (net/ipv4/tcp_input.c: tcp_conn_request).
    pub fn overflows(process: u32) -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{process}/net/netstat")).ok()?;
        let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
        let (names, values) = (lines.next()?, lines.next()?);
        let at = names.split(' ').position(|name| name == "ListenOverflows")?;
        values.split(' ').nth(at)?.parse().ok()
    }

    /// Lines of proc_pid_net(5): `sl local_address rem_address st tx_queue:rx_queue …`. Of a listener rx_queue is how many
    /// connections wait to be accepted, else how many bytes wait to be read (net/ipv4/tcp_ipv4.c: get_tcp4_sock).
    fn add(&mut self, table: &str, ports: &BTreeSet<u16>) {
        for line in table.lines().skip(1) {
            let mut words = line.split_ascii_whitespace().skip(1);
            let (Some(local), Some(state), Some(queued)) = (words.next(), words.nth(1), words.next()) else {
                continue;
            };
            let port = local.rsplit_once(':').and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
            let waiting = queued.rsplit_once(':').and_then(|(_, bytes)| u64::from_str_radix(bytes, 16).ok());
            let (Some(waiting), true) = (waiting, port.is_some_and(|port| ports.contains(&port))) else {
                continue;
            };
            match state {
                LISTEN => self.not_accepted += waiting,
                ESTABLISHED => self.not_read += u64::from(waiting > 0),
                _ => {}
            }
        }
    }

    /// The greater of each.
    pub fn most(self, other: Self) -> Self {
        Self {
            not_accepted: self.not_accepted.max(other.not_accepted),
            not_read: self.not_read.max(other.not_read),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_that_finds_no_room_is_counted() {
        use nix::sys::socket::{Backlog, listen};
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listen(&listener, Backlog::new(0).unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let before = Queues::overflows(std::process::id()).unwrap();
        let _first = TcpStream::connect(address).unwrap();
        let wait = std::time::Duration::from_millis(50);
        let _second = TcpStream::connect_timeout(&address, wait).unwrap_err();
        assert!(Queues::overflows(std::process::id()).unwrap() > before);
    }

    #[test]
    fn what_is_not_accepted_and_what_is_not_read_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ports = BTreeSet::from([address.port()]);
        let own = std::process::id();
        assert_eq!(Queues::of(own, &ports), Some(Queues::default()));
        let mut streams: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
        let accepted = listener.accept().unwrap();
        streams[0].write_all(b"GET").unwrap();
        // Loopback delivers before write returns.
        assert_eq!(Queues::of(own, &ports), Some(Queues { not_accepted: 2, not_read: 1 }));
        assert_eq!(Queues::of(own, &BTreeSet::new()), Some(Queues::default()));
        drop(accepted);
    }
}
