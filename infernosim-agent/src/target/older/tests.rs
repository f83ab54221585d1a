use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::id;

use socket2::SockRef;

use super::*;

fn found() -> Older {
    OlderSockets::of_this_namespace().unwrap().find(&[id()]).unwrap()
}

fn inode(socket: &impl AsRawFd) -> u32 {
    let link = fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap();
    link.to_str().unwrap().trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

fn one(older: &Older, socket: &TcpStream) -> Connection {
    let inode = inode(socket);
    let same: Vec<_> = older.connections.iter().filter(|connection| connection.inode == inode).collect();
    assert_eq!(same.len(), 1, "{older:?}");
    same[0].clone()
}

#[test]
fn both_ends_of_a_connection_are_found_and_told_apart() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(address).unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let older = found();
        for (socket, opened) in [(&connecting, Opened::Outbound), (&accepted, Opened::Inbound)] {
            let connection = one(&older, socket);
            assert_eq!(connection.local, socket.local_addr().unwrap());
            assert_eq!(connection.remote, socket.peer_addr().unwrap());
            assert_eq!((connection.opened, connection.state), (opened, State::Established), "{connection:?}");
            assert_eq!((connection.pid, connection.uid), (id(), nix::unistd::geteuid().as_raw()));
            assert_eq!(connection.cookie, SockRef::from(socket).cookie().unwrap());
        }
        let listening = inode(&listener);
        assert!(older.connections.iter().all(|connection| connection.inode != listening));
    }
}

#[test]
fn a_connection_that_is_half_closed_is_still_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connecting = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    connecting.shutdown(std::net::Shutdown::Write).unwrap();
    let older = found();
    assert_eq!(one(&older, &accepted).state, State::CloseWait);
    assert!(matches!(one(&older, &connecting).state, State::FinWait1 | State::FinWait2));
}

#[test]
fn a_mapped_address_is_shown_as_the_ipv4_address_it_is() {
    let listener = TcpListener::bind("[::]:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connecting = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let older = found();
    let inbound = one(&older, &accepted);
    assert_eq!((inbound.local, inbound.opened), (connecting.peer_addr().unwrap(), Opened::Inbound));
    assert_eq!(one(&older, &connecting).opened, Opened::Outbound);
}

#[test]
fn sockets_of_other_processes_are_not_found() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _connecting = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut sockets = OlderSockets::of_this_namespace().unwrap();
    // A child inherits none of them, and number 0 is nobody's.
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let older = sockets.find(&[child.id(), 0]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(older.unwrap(), Older::default());
}

#[test]
fn unix_sockets_count_by_what_they_are_connected_to() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("shop.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let connections: Vec<_> = (0..2).map(|_| UnixStream::connect(&path).unwrap()).collect();
    // One that nobody has accepted, a pair, and a datagram socket with a peer.
    let accepted = listener.accept().unwrap();
    let _pair = UnixStream::pair().unwrap();
    let _datagrams = std::os::unix::net::UnixDatagram::pair().unwrap();
    let mut names = found().unix;
    names.sort();
    assert_eq!(names, ["", path.to_str().unwrap()]);
    drop((connections, accepted));
    assert_eq!(found().unix, [""; 0]);
}

#[test]
fn which_end_opened_is_inferred_from_ports() {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let opened = |local: &str, remote: &str, listeners: &[&str]| {
        let listeners = listeners.iter().map(|text| address(text)).collect();
        opened(address(local), address(remote), &listeners, &(32768..=60999))
    };
    let table: [(&str, &str, &[&str], Opened); 10] = [
        ("10.0.0.1:40000", "10.0.0.2:80", &[], Opened::Outbound),
        ("10.0.0.1:40000", "10.0.0.2:80", &["0.0.0.0:80", "127.0.0.1:40000"], Opened::Outbound),
        ("10.0.0.1:80", "10.0.0.2:40000", &["10.0.0.1:80"], Opened::Inbound),
        ("10.0.0.1:80", "10.0.0.2:40000", &["0.0.0.0:80"], Opened::Inbound),
        ("10.0.0.1:80", "10.0.0.2:40000", &["[::]:80"], Opened::Inbound),
        ("[fd00::1]:80", "[fd00::2]:40000", &["[::]:80"], Opened::Inbound),
        ("10.0.0.1:40000", "10.0.0.2:50000", &["0.0.0.0:40000"], Opened::Inbound),
        ("10.0.0.1:700", "10.0.0.2:2049", &[], Opened::Unclear),
        ("10.0.0.1:700", "10.0.0.2:2049", &["0.0.0.0:2049"], Opened::Outbound),
        ("10.0.0.1:80", "10.0.0.2:40000", &["0.0.0.0:81", "127.0.0.1:80"], Opened::Unclear),
    ];
    for (local, remote, listeners, expected) in table {
        assert_eq!(opened(local, remote, listeners), expected, "{local} {remote} {listeners:?}");
    }
}

#[test]
fn why_a_connection_cannot_be_reset_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connecting = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let connection = one(&found(), &connecting);
    let not_built = cannot_reset(&connection, Errno::EOPNOTSUPP);
    assert!(not_built.message.contains("CONFIG_INET_DIAG_DESTROY"), "{}", not_built.message);
    let not_allowed = cannot_reset(&connection, Errno::EPERM);
    assert!(not_allowed.help.unwrap().contains("CAP_NET_ADMIN"));
    assert_eq!((not_built.exit, not_allowed.exit), (Exit::Host, Exit::Host));
}
