use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
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
        Ok(Self { v4, v6, namespace })
    }

    /// Accepts and closes what has arrived on 127.0.0.1; tells from where.
    pub fn accept(&self) -> std::io::Result<SocketAddr> {
        self.v4.accept().map(|(_, from)| from)
    }

    /// The ports, as the kernel half wants them.
    pub fn ports(&self) -> Listeners {
        let port = |listener: &TcpListener| listener.local_addr().map_or(0, |address| address.port().into());
        Listeners { v4_port: port(&self.v4), v6_port: self.v6.as_ref().map_or(0, port) }
    }
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

fn listen(address: std::net::IpAddr) -> std::io::Result<TcpListener> {
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
