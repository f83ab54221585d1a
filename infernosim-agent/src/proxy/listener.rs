use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use infernosim_common::{LISTENER_PRIORITY, Listeners};
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use super::socket::close_with_rst;
use crate::error::{Exit, ExpectedError, Result};
use crate::redirect::namespace_cookie;

/// The kernel takes the lesser of this and net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// The proxy's listening sockets in one network namespace, on loopback only.
#[derive(Debug)]
pub struct Listener {
    /// On 127.0.0.1.
    pub v4: TcpListener,
    /// On `::1`; none where IPv6 is off.
    pub v6: Option<TcpListener>,
    /// The network namespace they are in.
    pub namespace: u64,
    /// What replay needs besides.
    pub replay: Option<ReplaySockets>,
}

/// What replay needs in a network namespace besides what listens, on loopback only.
#[derive(Debug)]
pub struct ReplaySockets {
    /// Where lookups by UDP arrive, on 127.0.0.1; not blocking.
    pub dns_v4: UdpSocket,
    /// The same on `::1`; none where IPv6 is off.
    pub dns_v6: Option<UdpSocket>,
    /// Holds a port on which nobody listens: a connect to it is refused by the kernel.
    closed_v4: Socket,
    closed_v6: Option<Socket>,
}

impl Listener {
    /// Listens in this thread's network namespace, on ports that the kernel picks.
    pub fn bind() -> Result<Self> {
        let v4 = listen(Ipv4Addr::LOCALHOST.into()).map_err(|error| {
            ExpectedError::new(Exit::Host, format!("cannot listen on 127.0.0.1: {error}"))
                .help("is the loopback interface up? `ip link set lo up`")
        })?;
        let namespace = namespace_cookie(&v4)?;
        // With the interface down one can listen, and nobody can connect.
        is_reachable(&v4).map_err(|error| {
            ExpectedError::new(Exit::Host, format!("127.0.0.1 cannot be connected to: {error}"))
                .help("is the loopback interface up? `ip link set lo up`")
        })?;
        let v6 = listen(Ipv6Addr::LOCALHOST.into()).ok().filter(|v6| is_reachable(v6).is_ok());
        Ok(Self { v4, v6, namespace, replay: None })
    }

    /// The same, with what replay needs.
    pub fn bind_for_replay() -> Result<Self> {
        let mut listener = Self::bind()?;
        let replay = ReplaySockets::bind(listener.v6.is_some()).map_err(|error| {
            ExpectedError::new(Exit::Host, format!("cannot take ports on loopback: {error}"))
        })?;
        listener.replay = Some(replay);
        Ok(listener)
    }

    /// Accepts and closes what has arrived on 127.0.0.1; tells from where.
    pub fn accept(&self) -> std::io::Result<SocketAddr> {
        self.v4.accept().map(|(_, from)| from)
    }

    /// The ports, as the kernel half wants them.
    pub fn ports(&self) -> Listeners {
        let port = |listener: &TcpListener| number(listener.local_addr());
        let ports = Listeners {
            v4_port: port(&self.v4),
            v6_port: self.v6.as_ref().map_or(0, port),
            ..Listeners::default()
        };
        self.replay.as_ref().map_or(ports, |replay| replay.ports(ports))
    }
}

impl ReplaySockets {
    fn bind(v6: bool) -> std::io::Result<Self> {
        let of_v6 = |act: fn(IpAddr) -> std::io::Result<Socket>| {
            v6.then(|| act(Ipv6Addr::LOCALHOST.into())).transpose()
        };
        Ok(Self {
            dns_v4: datagrams(Ipv4Addr::LOCALHOST.into())?.into(),
            dns_v6: of_v6(datagrams)?.map(UdpSocket::from),
            closed_v4: closed(Ipv4Addr::LOCALHOST.into())?,
            closed_v6: of_v6(closed)?,
        })
    }

    fn ports(&self, listeners: Listeners) -> Listeners {
        let closed = |socket: &Socket| {
            number(socket.local_addr().and_then(|it| it.as_socket().ok_or_else(|| Errno::EINVAL.into())))
        };
        let dns = |socket: &UdpSocket| number(socket.local_addr());
        Listeners {
            v4_closed: closed(&self.closed_v4),
            v6_closed: self.closed_v6.as_ref().map_or(0, closed),
            v4_dns: dns(&self.dns_v4),
            v6_dns: self.dns_v6.as_ref().map_or(0, dns),
            ..listeners
        }
    }
}

fn number(address: std::io::Result<SocketAddr>) -> u32 {
    address.map_or(0, |address| address.port().into())
}

/// Loopback answers within the call: this is long.
const AT_ONCE: Duration = Duration::from_millis(5);
/// On a host that is very busy.
const AT_LAST: Duration = Duration::from_millis(250);

/// Connects to it. The relay will reset the connection, as everybody's whom the kernel half did not send.
fn is_reachable(listener: &TcpListener) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    if TcpStream::connect_timeout(&address, AT_ONCE).is_ok() {
        return Ok(());
    }
    // An interface that was set down keeps its addresses, and nobody ever answers. Asked only now: the kernel
    // may be busy with its interfaces (rtnl_lock) for longer than a program takes to its first connect.
    let up = InterfaceFlags::IFF_LOOPBACK | InterfaceFlags::IFF_UP;
    if !getifaddrs()?.any(|interface| interface.flags.contains(up)) {
        return Err(Errno::ENETDOWN.into());
    }
    TcpStream::connect_timeout(&address, AT_LAST).map(drop)
}

/// A socket of ours on a port that the kernel picks.
fn bound(address: IpAddr, kind: Type, protocol: Protocol) -> std::io::Result<Socket> {
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, kind.nonblocking().cloexec(), Some(protocol))?;
    // The kernel half knows by it what is not the target's, should we be in its cgroup. See `listen`.
    let _ = setsockopt(&socket, sockopt::Priority, &(LISTENER_PRIORITY as i32));
    socket.bind(&SocketAddr::new(address, 0).into())?;
    Ok(socket)
}

fn datagrams(address: IpAddr) -> std::io::Result<Socket> {
    bound(address, Type::DGRAM, Protocol::UDP)
}

fn closed(address: IpAddr) -> std::io::Result<Socket> {
    bound(address, Type::STREAM, Protocol::TCP)
}

fn listen(address: IpAddr) -> std::io::Result<TcpListener> {
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    // Accepted sockets inherit both (the kernel clones the listener): no system calls for each of them.
    socket.set_tcp_nodelay(true)?;
    close_with_rst(&socket)?;
    // How other captures know it. Not permitted to all of us: then there is no other capture either.
    let _ = setsockopt(&socket, sockopt::Priority, &(LISTENER_PRIORITY as i32));
    socket.bind(&SocketAddr::new(address, 0).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;

    #[test]
    fn replay_has_a_port_of_its_own_for_each_purpose() {
        let listener = Listener::bind_for_replay().unwrap();
        let ports = listener.ports();
        let of_v4 = [ports.v4_port, ports.v4_closed];
        assert!(of_v4.iter().all(|port| *port != 0) && of_v4[0] != of_v4[1] && ports.v4_dns != 0);
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), u16::try_from(ports.v4_closed).unwrap());
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        // Held: nobody else can come to listen there.
        assert!(TcpListener::bind(address).is_err());
        assert_eq!(listener.v6.is_some(), ports.v6_closed != 0 && ports.v6_dns != 0);
        assert_eq!(Listener::bind().unwrap().ports().v4_closed, 0);
    }

    #[test]
    fn accepted_sockets_inherit_what_the_relay_relies_on() {
        let listener = Listener::bind().unwrap();
        let _client = TcpStream::connect(listener.v4.local_addr().unwrap()).unwrap();
        // The first is that of the listener's own look.
        let (_, (accepted, _)) = [(); 2].map(|()| crate::proxy::socket::accept(&listener.v4).unwrap()).into();
        let accepted = SockRef::from(&accepted);
        assert_eq!(accepted.linger().unwrap(), Some(std::time::Duration::ZERO));
        assert!(accepted.tcp_nodelay().unwrap() && accepted.nonblocking().unwrap());
    }
}
