//! The socket calls of the relay that std does not have.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _};
use std::time::Duration;
use std::{io, mem};

use infernosim_common::{Flow, Ip};
use nix::errno::Errno;
use nix::libc;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use crate::redirect::destination;

/// Accepts a connection, non-blocking and CLOEXEC from its first moment, and tells who made it.
pub fn accept(listener: &TcpListener) -> Result<(TcpStream, SocketAddr), Errno> {
    let mut stream = None;
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the kernel writes at most `length` bytes of an address to `storage`, both given by try_init; the
    // descriptor it returns is new and nobody else's.
    let accepted = unsafe {
        SockAddr::try_init(|storage, length| {
            let fd = libc::accept4(listener.as_raw_fd(), storage.cast(), length, flags);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            stream = Some(TcpStream::from_raw_fd(fd));
            Ok(())
        })
    };
    let ((), address) = accepted.map_err(|error| errno(&error))?;
    match (stream, address.as_socket()) {
        (Some(stream), Some(address)) => Ok((stream, address)),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// Begins to connect to a flow's original destination, from the source the target had bound, if any.
pub fn dial(flow: &Flow) -> Result<TcpStream, Errno> {
    let to = destination(flow);
    let domain = if to.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(domain, kind, Some(Protocol::TCP)).map_err(|error| errno(&error))?;
    socket.set_tcp_nodelay(true).and_then(|()| close_with_rst(&socket)).map_err(|error| errno(&error))?;
    if flow.source != Ip::UNSPECIFIED {
        bind_source(&socket, flow.source.into())?;
    }
    match socket.connect(&to.into()).map_err(|error| errno(&error)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket.into()),
        Err(error) => Err(error),
    }
}

fn bind_source(socket: &Socket, source: IpAddr) -> Result<(), Errno> {
    if source.is_unspecified() {
        return Ok(());
    }
    // Else the port would be picked without regard to the destination, from far fewer.
    // SAFETY: an int option, read from a live int.
    let result = unsafe {
        let on: libc::c_int = 1;
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            mem::size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    Errno::result(result)?;
    socket.bind(&SocketAddr::new(source, 0).into()).map_err(|error| errno(&error))
}

/// Lets the socket close with a FIN. Until then every socket of the relay closes with a RST (SO_LINGER of zero,
/// socket(7)), so that an answer which our death cuts short never looks like a whole one.
pub fn close_with_fin(stream: &impl AsFd) {
    let _ = SockRef::from(stream).set_linger(None);
}

/// Makes the socket, and those accepted from it, close with a RST.
pub fn close_with_rst(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_linger(Some(Duration::ZERO))
}

/// The errno of an I/O error.
pub fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

/// Bytes that were given to the socket and not sent yet (tcp(7), SIOCOUTQNSD of linux/sockios.h): a RST discards them.
pub fn unsent(socket: &impl AsFd) -> Result<usize, Errno> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the kernel writes one int, to a live one.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), SIOCOUTQNSD, &raw mut bytes) };
    Errno::result(result)?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// linux/sockios.h; libc does not have it.
const SIOCOUTQNSD: libc::Ioctl = 0x894B;
