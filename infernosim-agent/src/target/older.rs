//! Connections of the target that are older than the attach. The kernel half redirects connects, so what was
//! connected before stays as it is: unmediated, unless it is reset (`--recycle`) and the target connects again.
//!
//! The kernel is asked over sock_diag(7), which answers for the network namespace in which the question's socket
//! was made; which process has which socket is in /proc/PID/fd.

mod diag;
mod netlink;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use nix::errno::Errno;

use self::diag::{Inet, Unix};
use self::netlink::Netlink;
use crate::error::{Exit, ExpectedError, Result};

/// What Linux has if nobody changed it (net.ipv4.ip_local_port_range).
const EPHEMERAL: RangeInclusive<u16> = 32768..=60999;

/// Asks about the sockets of one network namespace.
#[derive(Debug)]
pub struct OlderSockets {
    netlink: Netlink,
    ephemeral: RangeInclusive<u16>,
}

/// A TCP connection of the target's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The target's end. IPv4 in an IPv6 socket is shown as IPv4.
    pub local: SocketAddr,
    /// The other.
    pub remote: SocketAddr,
    /// Which end opened it.
    pub opened: Opened,
    /// What it is doing.
    pub state: State,
    /// The first of the processes that have it open.
    pub pid: u32,
    /// The user that made the socket.
    pub uid: u32,
    /// The inode number in `socket:[N]` of /proc/PID/fd.
    pub inode: u32,
    /// The socket's cookie, the same that `bpf_get_socket_cookie` gives: it tells whether the kernel half knows it.
    pub cookie: u64,
    identity: diag::Identity,
}

/// Which end opened a connection. The kernel does not say, so this is inferred, see [`opened`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Opened {
    /// The target connected to a dependency.
    Outbound,
    /// The target accepted it.
    Inbound,
    /// Its local port is neither listened on nor one that the kernel gives out: the target accepted it and its
    /// listener is gone, or it bound a port before it connected.
    Unclear,
}

/// The states of a connection that a process may have open (`TCP_*`, net/tcp_states.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// Open in both directions.
    Established = 1,
    /// connect(2) has not been answered.
    SynSent = 2,
    /// The target has said that it sends no more; unacknowledged.
    FinWait1 = 4,
    /// The target has said that it sends no more; acknowledged.
    FinWait2 = 5,
    /// The other end has said that it sends no more.
    CloseWait = 8,
    /// Both have; the target's is unacknowledged.
    LastAck = 9,
    /// Both have, at the same time.
    Closing = 11,
}

/// A TCP socket of the target's that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub local: SocketAddr,
    /// The socket's cookie.
    pub cookie: u64,
    /// The id of the cgroup it was made in, where the kernel tells: programs of other cgroups do not see it.
    pub cgroup: Option<u64>,
}

/// What processes had open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Older {
    /// Their TCP connections, and those that wait for them to be accepted.
    pub connections: Vec<Connection>,
    /// Their listening TCP sockets.
    pub listeners: Vec<Listener>,
    /// The cookies of their UDP sockets.
    pub datagrams: Vec<u64>,
    /// What their UNIX stream and seqpacket sockets are connected to, an entry each: the path of the socket that
    /// they connected to, or `@name`; empty where it is in another network namespace or not accepted yet. Pairs made
    /// by socketpair(2) and connections they accepted do not count.
    pub unix: Vec<String>,
}

impl OlderSockets {
    /// Of this thread's network namespace, also when it is another thread that asks later. Fails with exit status 3
    /// where the kernel lacks CONFIG_INET_DIAG.
    pub fn of_this_namespace() -> Result<Self> {
        let netlink = Netlink::open().map_err(|error| cannot_ask(error.into()))?;
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
        let ephemeral = range.ok().and_then(|text| {
            let mut ports = text.split_ascii_whitespace().map(str::parse);
            Some(ports.next()?.ok()?..=ports.next()?.ok()?)
        });
        Ok(Self { netlink, ephemeral: ephemeral.unwrap_or(EPHEMERAL) })
    }

    /// What `pids` (numbers as our /proc has them) have open in this namespace. Processes that have ended are
    /// passed over; fails with 3 where we may not look.
    ///
    /// To miss none, attach first: then every later connection is redirected. Those are in this list too, to be
    /// told by their cookie or by the remote address, which is our listener's.
    pub fn find(&mut self, pids: &[u32]) -> Result<Older> {
        let holders = sockets(pids)?;
        if holders.is_empty() {
            return Ok(Older::default());
        }
        let all = self.inet(|family| diag::inet_request(family, State::ALL | 1 << diag::LISTEN))?;
        // CONFIG_INET_UDP_DIAG is not everywhere; older UDP sockets are then not tapped.
        let datagrams = self.inet(diag::datagram_request).unwrap_or_default();
        let unix = self.unix(&holders).map_err(|error| cannot_ask(error.into()))?;
        let is_own = |socket: &&Inet| holders.contains_key(&socket.inode);
        let listeners = all.iter().filter(is_own).filter(|socket| socket.state == diag::LISTEN);
        let listener = |socket: &Inet| Listener {
            local: socket.local,
            cookie: socket.identity.cookie(),
            cgroup: socket.cgroup,
        };
        Ok(Older {
            connections: connections(&all, &holders, &self.ephemeral),
            listeners: listeners.map(listener).collect(),
            datagrams: datagrams.iter().filter(is_own).map(|socket| socket.identity.cookie()).collect(),
            unix,
        })
    }

    fn inet(&mut self, request: impl Fn(u8) -> Vec<u8>) -> Result<Vec<Inet>> {
        let mut all = Vec::new();
        for family in [libc::AF_INET, libc::AF_INET6] {
            match self.netlink.dump(diag::SOCK_DIAG_BY_FAMILY, &request(family as u8)) {
                Ok(answers) => all.extend(answers.iter().filter_map(|answer| diag::inet(answer))),
                // IPv6 is not built in, or its module is not there.
                Err(Errno::ENOENT | Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT) if family == libc::AF_INET6 => {}
                Err(error) => return Err(cannot_ask(error.into())),
            }
        }
        Ok(all)
    }

    /// Resets exactly this connection (SOCK_DESTROY): the target finds it broken with ECONNABORTED, its peer with
    /// ECONNRESET. True if it was there; false if it had ended. A later connection between the same addresses has
    /// another cookie and is left alone.
    ///
    /// Fails with 3 where it is not allowed (CAP_NET_ADMIN) or not built in (CONFIG_INET_DIAG_DESTROY).
    pub fn recycle(&mut self, connection: &Connection) -> Result<bool> {
        let request = diag::destroy_request(&connection.identity);
        match self.netlink.ask(diag::SOCK_DESTROY, &request) {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT | Errno::ESTALE) => Ok(false),
            Err(error) => Err(cannot_reset(connection, error)),
        }
    }

    fn unix(&mut self, holders: &BTreeMap<u32, u32>) -> nix::Result<Vec<String>> {
        let answers = match self.netlink.dump(diag::SOCK_DIAG_BY_FAMILY, &diag::unix_request()) {
            // CONFIG_UNIX_DIAG is not everywhere; nothing but this count depends on it.
            Err(Errno::ENOENT | Errno::EOPNOTSUPP) => return Ok(Vec::new()),
            answers => answers?,
        };
        let all: Vec<Unix> = answers.iter().filter_map(|answer| diag::unix(answer)).collect();
        Ok(unix_connections(&all, holders))
    }
}

impl State {
    const EACH: [Self; 7] = [
        Self::Established,
        Self::SynSent,
        Self::FinWait1,
        Self::FinWait2,
        Self::CloseWait,
        Self::LastAck,
        Self::Closing,
    ];
    /// As the mask that sock_diag(7) takes.
    const ALL: u32 = {
        let (mut mask, mut index) = (0, 0);
        while index < Self::EACH.len() {
            mask |= 1 << Self::EACH[index] as u8;
            index += 1;
        }
        mask
    };

    fn from_kernel(state: u8) -> Option<Self> {
        Self::EACH.into_iter().find(|own| *own as u8 == state)
    }
}

/// The sockets that processes have open: inode number → the first process that has it.
fn sockets(pids: &[u32]) -> Result<BTreeMap<u32, u32>> {
    let mut holders = BTreeMap::new();
    for &pid in pids {
        let entries = match fs::read_dir(format!("/proc/{pid}/fd")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(may_not_look(pid)),
            Err(_) => continue,
        };
        for entry in entries.flatten() {
            let Ok(what) = fs::read_link(entry.path()) else { continue };
            let inode =
                what.to_str().and_then(|what| what.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            if let Some(inode) = inode {
                holders.entry(inode).or_insert(pid);
            }
        }
    }
    Ok(holders)
}

fn connections(
    all: &[Inet],
    holders: &BTreeMap<u32, u32>,
    ephemeral: &RangeInclusive<u16>,
) -> Vec<Connection> {
    let listeners: BTreeSet<SocketAddr> =
        all.iter().filter(|socket| socket.state == diag::LISTEN).map(|socket| socket.local).collect();
    let own_listeners: BTreeMap<SocketAddr, u32> = all
        .iter()
        .filter(|socket| socket.state == diag::LISTEN)
        .filter_map(|socket| Some((socket.local, *holders.get(&socket.inode)?)))
        .collect();
    let own = all.iter().filter_map(|socket| {
        let holder = match socket.inode {
            // Nobody has accepted it yet.
            0 => listens_for(socket.local).into_iter().find_map(|at| own_listeners.get(&at))?,
            inode => holders.get(&inode)?,
        };
        Some(Connection {
            local: socket.local,
            remote: socket.remote,
            opened: opened(socket.local, socket.remote, &listeners, ephemeral),
            state: State::from_kernel(socket.state)?,
            pid: *holder,
            uid: socket.uid,
            inode: socket.inode,
            cookie: socket.identity.cookie(),
            identity: socket.identity.clone(),
        })
    });
    own.collect()
}

/// Which end opened a connection, from what listens in the namespace (whoever's it is: workers accept on their
/// parent's socket) and the ports that the kernel gives to sockets that connect:
///
/// 1. Something listens on the local port: inbound. The kernel gives no such port to a connect, so this is wrong
///    only where the target bound the port itself, beside the listener (SO_REUSEADDR, SO_REUSEPORT).
/// 2. Else the local port is one that the kernel gives out: outbound. Wrong where the target listened on such a
///    port, accepted, and closed the listener.
/// 3. Else something listens on the remote address in this namespace: outbound.
/// 4. Else it is unclear.
fn opened(
    local: SocketAddr,
    remote: SocketAddr,
    listeners: &BTreeSet<SocketAddr>,
    ephemeral: &RangeInclusive<u16>,
) -> Opened {
    let listened = |at: SocketAddr| listens_for(at).iter().any(|listener| listeners.contains(listener));
    if listened(local) {
        Opened::Inbound
    } else if ephemeral.contains(&local.port()) || listened(remote) {
        Opened::Outbound
    } else {
        Opened::Unclear
    }
}

/// Where a listener may be that accepts connections to this address.
fn listens_for(at: SocketAddr) -> [SocketAddr; 3] {
    // A wildcard listener of IPv6 takes IPv4 too, unless told not to (IPV6_V6ONLY).
    let any = |ip: IpAddr| SocketAddr::new(ip, at.port());
    [at, any([0_u8; 4].into()), any([0_u8; 16].into())]
}

/// What the processes' sockets are connected to. Who connects has mostly no name, and its peer has its listener's;
/// the two ends of a socketpair have none.
fn unix_connections(all: &[Unix], holders: &BTreeMap<u32, u32>) -> Vec<String> {
    // Those that nobody has accepted yet have no inode.
    let open = all.iter().filter(|socket| socket.inode != 0);
    let by_inode: BTreeMap<u32, &Unix> = open.map(|socket| (socket.inode, socket)).collect();
    let listens: BTreeSet<&str> =
        all.iter().filter(|socket| socket.listens()).map(|socket| socket.name.as_str()).collect();
    let accepted = |socket: &Unix| !socket.name.is_empty() && listens.contains(socket.name.as_str());
    let own = all
        .iter()
        .filter(|socket| socket.is_connection() && holders.contains_key(&socket.inode) && !accepted(socket));
    let connected_to = own.filter_map(|socket| match by_inode.get(&socket.peer?) {
        Some(peer) => (!peer.name.is_empty()).then(|| peer.name.clone()),
        // Pairs are made in one namespace and at once: this one was connected by its path.
        None => Some(String::new()),
    });
    connected_to.collect()
}

fn cannot_ask(error: io::Error) -> ExpectedError {
    let sentence = format!("the kernel does not tell which connections the target has (sock_diag: {error})");
    ExpectedError::new(Exit::Host, sentence)
        .help("a kernel with CONFIG_INET_DIAG is needed; as a module it is called tcp_diag")
}

fn may_not_look(pid: u32) -> ExpectedError {
    let sentence = format!("not permitted to look which sockets process {pid} has open");
    ExpectedError::new(Exit::Host, sentence).help("run it with sudo, or with CAP_SYS_PTRACE")
}

fn cannot_reset(connection: &Connection, error: Errno) -> ExpectedError {
    let Connection { local, remote, .. } = connection;
    let (why, help) = match error {
        Errno::EPERM | Errno::EACCES => {
            ("not permitted".to_owned(), "run it with sudo, or with CAP_NET_ADMIN")
        }
        Errno::EOPNOTSUPP | Errno::EINVAL => (
            "this kernel cannot (it is built without CONFIG_INET_DIAG_DESTROY)".to_owned(),
            "restart the target while it is captured, so that it connects again",
        ),
        other => (other.desc().to_owned(), "see what this host can do with `infernosim doctor`"),
    };
    let sentence = format!("the connection {local} → {remote} cannot be reset: {why}");
    ExpectedError::new(Exit::Host, sentence).help(help)
}

#[cfg(test)]
mod tests;
