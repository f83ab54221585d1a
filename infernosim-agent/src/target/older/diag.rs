use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::netlink::attributes;

/// linux/sock_diag.h.
pub const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// linux/sock_diag.h.
pub const SOCK_DESTROY: u16 = 21;
/// `TCP_LISTEN`, which UNIX sockets use too (net/tcp_states.h).
pub const LISTEN: u8 = 10;
const ESTABLISHED: u8 = 1;

/// `struct inet_diag_sockid`.
const IDENTITY: usize = 48;
/// Where the socket's cookie is in it.
const COOKIE: usize = 40;
/// `struct inet_diag_msg`.
const INET_ANSWER: usize = 72;
/// `struct unix_diag_msg`.
const UNIX_ANSWER: usize = 16;

/// `INET_DIAG_CGROUP_ID` (linux/inet_diag.h).
const CGROUP_ID: u16 = 21;
/// What to tell, and what is told (linux/unix_diag.h).
const SHOW_NAME: u32 = 1;
const SHOW_PEER: u32 = 4;
const NAME: u16 = 0;
const PEER: u16 = 2;

/// What the kernel finds a TCP socket by: family and `struct inet_diag_sockid`, whose cookie no other socket has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    family: u8,
    id: [u8; IDENTITY],
}

/// A TCP socket of `struct inet_diag_msg` (sock_diag(7)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inet {
    /// `TCP_*`.
    pub state: u8,
    /// Its own address.
    pub local: SocketAddr,
    /// Its peer's.
    pub remote: SocketAddr,
    /// Who made it.
    pub uid: u32,
    /// 0 if no process has it open.
    pub inode: u32,
    /// The id of the cgroup it was made in, where the kernel tells (Linux 5.9).
    pub cgroup: Option<u64>,
    /// To find it again.
    pub identity: Identity,
}

/// A UNIX socket of `struct unix_diag_msg`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unix {
    /// `SOCK_*`.
    pub kind: u8,
    /// `TCP_*`.
    pub state: u8,
    /// Its inode number.
    pub inode: u32,
    /// Its path, or `@` and its abstract name; empty if it has none.
    pub name: String,
    /// Its peer's inode number.
    pub peer: Option<u32>,
}

impl Identity {
    /// As one number, as `bpf_get_socket_cookie` gives it (sock_diag_save_cookie: the low half first).
    pub fn cookie(&self) -> u64 {
        let half = |at| u64::from(word(&self.id, at).unwrap_or(0));
        half(COOKIE) | half(COOKIE + 4) << 32
    }
}

impl Unix {
    /// Whether it waits for connections.
    pub const fn listens(&self) -> bool {
        self.state == LISTEN
    }

    /// Whether it is one end of a connection, not a datagram socket with a peer.
    pub fn is_connection(&self) -> bool {
        let kind = i32::from(self.kind);
        self.state == ESTABLISHED && (kind == libc::SOCK_STREAM || kind == libc::SOCK_SEQPACKET)
    }
}

/// Asks for the TCP sockets of a family in the states of a mask (`struct inet_diag_req_v2`).
pub fn inet_request(family: u8, states: u32) -> Vec<u8> {
    request(family, libc::IPPROTO_TCP, states)
}

/// Asks for the UDP sockets of a family, connected or not.
pub fn datagram_request(family: u8) -> Vec<u8> {
    request(family, libc::IPPROTO_UDP, u32::MAX)
}

fn request(family: u8, protocol: i32, states: u32) -> Vec<u8> {
    let mut request = vec![family, protocol as u8, 0, 0];
    request.extend(states.to_ne_bytes());
    request.extend([0; IDENTITY]);
    request
}

/// Names one socket, in whatever state.
pub fn destroy_request(socket: &Identity) -> Vec<u8> {
    let mut request = inet_request(socket.family, u32::MAX);
    request.truncate(8);
    request.extend(socket.id);
    request
}

/// Asks for all connected and listening UNIX sockets, with names and peers (`struct unix_diag_req`).
pub fn unix_request() -> Vec<u8> {
    let mut request = vec![libc::AF_UNIX as u8, 0, 0, 0];
    let states: u32 = 1 << ESTABLISHED | 1 << LISTEN;
    for word in [states, 0, SHOW_NAME | SHOW_PEER, 0, 0] {
        request.extend(word.to_ne_bytes());
    }
    request
}

/// An answer to [`inet_request`].
pub fn inet(answer: &[u8]) -> Option<Inet> {
    let fixed = answer.first_chunk::<INET_ANSWER>()?;
    let (family, state) = (fixed[0], fixed[1]);
    let id: [u8; IDENTITY] = fixed[4..4 + IDENTITY].try_into().ok()?;
    let address = |port: usize, ip: usize| -> Option<SocketAddr> {
        let port = u16::from_be_bytes([id[port], id[port + 1]]);
        let ip: IpAddr = match i32::from(family) {
            libc::AF_INET => Ipv4Addr::from(<[u8; 4]>::try_from(&id[ip..ip + 4]).ok()?).into(),
            libc::AF_INET6 => Ipv6Addr::from(<[u8; 16]>::try_from(&id[ip..ip + 16]).ok()?).to_canonical(),
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    };
    Some(Inet {
        state,
        local: address(0, 4)?,
        remote: address(2, 20)?,
        uid: word(fixed, 64)?,
        inode: word(fixed, 68)?,
        cgroup: attributes(&answer[INET_ANSWER..]).find_map(|(kind, value)| {
            (kind == CGROUP_ID).then(|| value.try_into().ok().map(u64::from_ne_bytes))?
        }),
        identity: Identity { family, id },
    })
}

/// An answer to [`unix_request`].
pub fn unix(answer: &[u8]) -> Option<Unix> {
    let fixed = answer.first_chunk::<UNIX_ANSWER>()?;
    let mut socket = Unix { kind: fixed[1], state: fixed[2], inode: word(fixed, 4)?, ..Unix::default() };
    for (kind, value) in attributes(&answer[UNIX_ANSWER..]) {
        match kind {
            NAME => socket.name = name(value),
            PEER => socket.peer = word(value, 0),
            _ => {}
        }
    }
    Some(socket)
}

/// A path, perhaps with a NUL at its end, or an abstract name, which begins with one (unix(7)).
fn name(bytes: &[u8]) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match bytes {
        [0, name @ ..] => format!("@{}", text(name)),
        [path @ .., 0] | path => text(path),
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_have_the_kernels_sizes() {
        assert_eq!(inet_request(2, 0).len(), 56, "struct inet_diag_req_v2");
        assert_eq!(unix_request().len(), 24, "struct unix_diag_req");
    }

    #[test]
    fn names_are_paths_or_abstract() {
        assert_eq!(name(b"/run/x.sock\0"), "/run/x.sock");
        assert_eq!(name(b"/run/x.sock"), "/run/x.sock");
        assert_eq!(name(b"\0/tmp/.X11-unix/X0"), "@/tmp/.X11-unix/X0");
        assert_eq!(name(b""), "");
    }

    proptest! {
        #[test]
        fn an_inet_answer_is_read_and_can_be_asked_for_again(id: [u8; 24], rest: [u8; 24], uid: u32, inode: u32) {
            let id = [id, rest].concat();
            let mut answer = vec![libc::AF_INET6 as u8, 1, 0, 0];
            answer.extend(&id);
            answer.extend([0; 12]);
            answer.extend([uid, inode].iter().flat_map(|word| word.to_ne_bytes()));
            let socket = inet(&answer).unwrap();
            prop_assert_eq!((socket.uid, socket.inode), (uid, inode));
            prop_assert_eq!(socket.local.port(), u16::from_be_bytes([id[0], id[1]]));
            prop_assert_eq!(socket.remote.port(), u16::from_be_bytes([id[2], id[3]]));
            prop_assert_eq!(socket.identity.cookie(), u64::from_ne_bytes(id[40..].try_into().unwrap()));
            prop_assert_eq!(&destroy_request(&socket.identity)[8..], &id);
        }

        #[test]
        fn garbage_is_never_a_panic(mut bytes: Vec<u8>, family in prop::sample::select(vec![1_u8, 2, 10, 77])) {
            bytes.insert(0, family);
            let _ = (inet(&bytes), unix(&bytes));
            bytes.resize(100, family);
            prop_assert_eq!(inet(&bytes).is_some(), family == 2 || family == 10);
        }
    }
}
