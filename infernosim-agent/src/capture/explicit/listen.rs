use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::str::FromStr;

use socket2::{Domain, Protocol, Socket, Type};

use crate::error::{Exit, ExpectedError, Result};

/// Connections that may wait to be accepted; the kernel takes the less of this and net.core.somaxconn.
const BACKLOG: i32 = 4096;
/// The other loopback is asked for the port that the kernel chose for the first. So many choices are tried.
const TRIES: u32 = 16;

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Absent: this host's loopback, 127.0.0.1 and, where it is free, ::1. Programs are told `localhost`, and some try
    /// the one first, some the other.
    ip: Option<IpAddr>,
    /// 0 for one that is free.
    port: u16,
}

/// The sockets.
#[derive(Debug)]
pub struct Listening {
    /// Non-blocking.
    pub listeners: Vec<TcpListener>,
    /// Their addresses, in the same order.
    pub addresses: Vec<SocketAddr>,
    /// What a user should know about them.
    pub remark: Option<String>,
}

impl Listen {
    /// Whether other hosts may reach it.
    pub fn is_open(&self) -> bool {
        self.ip.is_some_and(|ip| !ip.to_canonical().is_loopback())
    }

    /// Takes the port.
    ///
    /// # Errors
    /// `Exit::Host` if it is taken, needs a privilege, or the address is none of this host's.
    pub fn bind(self) -> Result<Listening> {
        let Some(ip) = self.ip else { return self.bind_loopback() };
        let first = bind(SocketAddr::new(ip, self.port)).map_err(|error| self.cannot(ip, &error))?;
        Listening::of(vec![first], None)
    }

    fn bind_loopback(self) -> Result<Listening> {
        let (v4, v6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
        let mut tries = 0;
        loop {
            tries += 1;
            let first = bind(SocketAddr::new(v4, self.port)).map_err(|error| self.cannot(v4, &error))?;
            let port = first.local_addr().map_err(|error| self.cannot(v4, &error))?.port();
            match bind(SocketAddr::new(v6, port)) {
                Ok(second) => return Listening::of(vec![first, second], None),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    if self.port == 0 && tries < TRIES {
                        continue;
                    }
                    let remark = format!(
                        "[::1]:{port} is taken by another program: what asks localhost may reach that one instead"
                    );
                    return Listening::of(vec![first], Some(remark));
                }
                // This host has no IPv6.
                Err(_) => return Listening::of(vec![first], None),
            }
        }
    }

    fn cannot(self, ip: IpAddr, error: &io::Error) -> ExpectedError {
        let address = SocketAddr::new(ip, self.port);
        let fail = |message: String, help: String| ExpectedError::new(Exit::Host, message).help(help);
        match error.kind() {
            io::ErrorKind::AddrInUse => fail(
                format!("{address} is taken: another program listens there"),
                format!(
                    "name another port with --listen, or see who has it: ss -ltnp 'sport = :{}'",
                    self.port
                ),
            ),
            io::ErrorKind::PermissionDenied => fail(
                format!("{address} cannot be listened on without privileges"),
                "name a port from 1024 up with --listen".to_owned(),
            ),
            io::ErrorKind::AddrNotAvailable => fail(
                format!("{ip} is no address of this host"),
                "name one that `ip address` shows, or :PORT for loopback, with --listen".to_owned(),
            ),
            _ => fail(
                format!("{address} cannot be listened on: {error}"),
                "name another address with --listen".to_owned(),
            ),
        }
    }
}

impl Listening {
    fn of(listeners: Vec<TcpListener>, remark: Option<String>) -> Result<Self> {
        let addresses: io::Result<Vec<SocketAddr>> = listeners.iter().map(TcpListener::local_addr).collect();
        let addresses = addresses
            .map_err(|error| ExpectedError::new(Exit::Host, format!("a socket has no address: {error}")))?;
        Ok(Self { listeners, addresses, remark })
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Or the port could not be taken again while connections of before are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    // A port that was bound by another who listens by then fails only here (EADDRINUSE).
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

impl FromStr for Listen {
    type Err = String;

    /// `:PORT`, `localhost:PORT`, `PORT`, or an address with a port.
    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let wrong = || {
            format!(
                "`{text}` is no address to listen on; write :9000, or an address and a port as 10.0.0.1:9000"
            )
        };
        let port = port.parse().map_err(|_| wrong())?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let ip = match host {
            "" | "localhost" => None,
            "*" => return Err("write 0.0.0.0 or [::] for all addresses of this host".to_owned()),
            host => Some(host.parse::<IpAddr>().map_err(|_| wrong())?),
        };
        // Without brackets the end of an IPv6 address reads as a port.
        if ip.is_some_and(|ip| ip.is_ipv6()) && !text.starts_with('[') {
            return Err(wrong());
        }
        Ok(Self { ip, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_loopback_and_nothing_else() {
        for text in [":9000", "9000", "localhost:9000"] {
            let listen: Listen = text.parse().unwrap();
            assert_eq!(listen, Listen { ip: None, port: 9000 }, "{text}");
            assert!(!listen.is_open());
        }
    }

    #[test]
    fn addresses_are_open_unless_they_are_loopback() {
        for (text, is_open) in [
            ("127.0.0.1:9000", false),
            ("127.9.9.9:9000", false),
            ("[::1]:9000", false),
            ("[::ffff:127.0.0.1]:9000", false),
            ("0.0.0.0:9000", true),
            ("[::]:9000", true),
            ("10.0.0.1:9000", true),
            ("[fd00::1]:9000", true),
            ("[::ffff:10.0.0.1]:9000", true),
        ] {
            assert_eq!(text.parse::<Listen>().unwrap().is_open(), is_open, "{text}");
        }
        for wrong in ["", ":", ":http", "host:9000", ":99999", "::1:9000", "::1", "*:9000", "1.2.3:9000"] {
            assert!(wrong.parse::<Listen>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn both_loopbacks_have_the_same_port_and_a_port_is_taken_once() {
        let listening = ":0".parse::<Listen>().unwrap().bind().unwrap();
        let port = listening.addresses[0].port();
        assert!(port > 0 && listening.addresses.iter().all(|address| address.port() == port));
        assert_eq!(listening.addresses[0].ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        let again = format!(":{port}").parse::<Listen>().unwrap().bind().unwrap_err();
        assert_eq!(again.exit, Exit::Host);
        assert!(again.message.contains("is taken") && again.help.unwrap().contains("--listen"));
    }
}
