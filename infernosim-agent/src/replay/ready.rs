//! Whether the target listens where the requests are to be sent. It is asked for, not slept for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener};
use std::time::Duration;

use crate::clock;
use crate::error::{Exit, ExpectedError, Result};
use crate::target::processes;

/// TCP_LISTEN (net/tcp_states.h), as proc_net(5) shows it.
const LISTEN: &str = "0A";
/// Whoever listens on loopback answers within the call: this is long.
const AT_ONCE: Duration = Duration::from_millis(200);

/// Waits until one of the target's processes listens on each of these ports, and says where to connect to: on loopback
/// where that is listened on. `pause` waits some milliseconds, and says false to give up, where the target has ended or the
/// user wants no more: then there is no answer.
///
/// # Errors
/// `Exit::Fail` if that is not so within `limit_ns`: says where the target listens instead.
pub fn wait(
    ports: &BTreeSet<u16>,
    target: &dyn Fn() -> Vec<u32>,
    limit_ns: u64,
    pause: &mut dyn FnMut() -> bool,
) -> Result<Option<BTreeMap<u16, SocketAddr>>> {
    let began = clock::now();
    loop {
        let found = listeners(&target());
        if let Some(bases) = bases(ports, &found) {
            return Ok(Some(bases));
        }
        if clock::now().since(began) >= limit_ns {
            return Err(not_ready(ports, &found, limit_ns));
        }
        if !pause() {
            return Ok(None);
        }
    }
}

/// Whether somebody accepts connections there.
pub fn accepts(at: SocketAddr) -> bool {
    TcpStream::connect_timeout(&at, AT_ONCE).is_ok()
}

/// Looks whether a port that CMD is to listen on is free. To be called before CMD is started, in the network namespace
/// that it will have.
///
/// # Errors
/// `Exit::Host` if somebody listens there: says who.
pub fn check_free(ports: &BTreeSet<u16>) -> Result<()> {
    let sockets = sockets_of(std::process::id());
    let Some(taken) = sockets.iter().find(|socket| ports.contains(&socket.at.port())) else { return Ok(()) };
    let who = holder(taken.inode).map_or("another process".to_owned(), |pid| {
        format!("process {pid} ({})", processes::command_line(pid).join(" "))
    });
    Err(ExpectedError::new(
        Exit::Host,
        format!("{} is taken by {who}, and the command is to listen there", taken.at),
    )
    .help("stop it, or have the command listen elsewhere and say where with --target-base"))
}

/// Ports that no other replay's CMD is started for meanwhile, in this network namespace.
pub type Claim = Vec<UnixListener>;

/// Claims the ports that CMD is to listen on. Of two replays that begin at once both find a port free, and the listener of one's
/// CMD is then taken for the other's: whose socket it is may not be seen by who has given up its privileges.
///
/// # Errors
/// `Exit::Host` if another replay has one of them.
pub fn claim(ports: &BTreeSet<u16>) -> Result<Claim> {
    let claim = |port: &u16| {
        // Abstract names are each network namespace's own, and go with their socket (unix(7)).
        let name = UnixAddress::from_abstract_name(format!("infernosim-replay-{port}"));
        name.and_then(|name| UnixListener::bind_addr(&name)).map_err(|error| {
            let message = match error.kind() {
                io::ErrorKind::AddrInUse => format!("another replay has a command listen on port {port}"),
                _ => format!("port {port} cannot be claimed: {error}"),
            };
            ExpectedError::new(Exit::Host, message)
                .help("wait for its end, or give each a network namespace: unshare --net (with its lo up)")
        })
    };
    ports.iter().map(claim).collect()
}

/// A listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Socket {
    at: SocketAddr,
    inode: u64,
}

/// Where these processes listen.
fn listeners(target: &[u32]) -> BTreeSet<SocketAddr> {
    let mut namespaces: BTreeMap<Option<u64>, Namespace> = BTreeMap::new();
    for &process in target {
        let namespace = namespaces.entry(processes::network_namespace(process)).or_insert_with(|| {
            Namespace { sockets: sockets_of(process), own: BTreeSet::new(), hidden: false }
        });
        match inodes(process) {
            Ok(inodes) => namespace.own.extend(inodes),
            Err(error) => namespace.hidden |= error.kind() == io::ErrorKind::PermissionDenied,
        }
    }
    namespaces.into_values().flat_map(Namespace::listeners).collect()
}

/// A network namespace in which the target has processes.
struct Namespace {
    sockets: Vec<Socket>,
    /// The sockets of the target's processes.
    own: BTreeSet<u64>,
    /// Not all of them may be looked at: then a port must do.
    hidden: bool,
}

impl Namespace {
    fn listeners(self) -> impl Iterator<Item = SocketAddr> {
        let Self { sockets, own, hidden } = self;
        let of_target = sockets.into_iter().filter(move |socket| hidden || own.contains(&socket.inode));
        of_target.map(|socket| socket.at)
    }
}

/// Where to connect to for each port, if all of them are listened on.
fn bases(ports: &BTreeSet<u16>, found: &BTreeSet<SocketAddr>) -> Option<BTreeMap<u16, SocketAddr>> {
    let best = |port: u16| {
        let of_port = found.iter().filter(|at| at.port() == port);
        let reached = of_port.map(|at| SocketAddr::new(reach(at.ip()), port));
        // IPv4's loopback, IPv6's, then whatever address is listened on.
        reached.min_by_key(|at| (!at.ip().is_loopback(), at.is_ipv6(), *at))
    };
    ports.iter().map(|&port| Some((port, best(port)?))).collect()
}

/// Whom to connect to for a listener at this address. `[::]` mostly takes IPv4 too, but need not (IPV6_V6ONLY).
fn reach(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V6(ip) => ip.to_canonical(),
        ip @ IpAddr::V4(_) => ip,
    }
}

/// All listening TCP sockets of a process's network namespace; of one that has ended none.
fn sockets_of(process: u32) -> Vec<Socket> {
    let read = |file| fs::read_to_string(format!("/proc/{process}/net/{file}")).unwrap_or_default();
    ["tcp", "tcp6"].map(read).iter().flat_map(|table| parse(table)).collect()
}

/// proc_net_tcp (Documentation/networking/proc_net_tcp.rst): local address, …, state, …, inode.
fn parse(table: &str) -> Vec<Socket> {
    let line = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let at = address(words.next()?)?;
        (words.nth(1)? == LISTEN).then_some(())?;
        Some(Socket { at, inode: words.nth(5)?.parse().ok()? })
    };
    table.lines().skip(1).filter_map(line).collect()
}

/// `0100007F:1F90`: words of 32 bits in the byte order of the machine, then the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// The sockets that a process has open: links that read `socket:[inode]` (proc_pid_fd(5)). Who may list them need not be
/// allowed to read them.
fn inodes(process: u32) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for descriptor in fs::read_dir(format!("/proc/{process}/fd"))?.flatten() {
        match fs::read_link(descriptor.path()) {
            Ok(link) => found.extend(link.to_str().and_then(socket)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            // It was closed meanwhile.
            Err(_) => {}
        }
    }
    Ok(found)
}

fn socket(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// A process that has this socket open.
fn holder(inode: u64) -> Option<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|&pid| inodes(pid).is_ok_and(|inodes| inodes.contains(&inode)))
}

fn not_ready(ports: &BTreeSet<u16>, found: &BTreeSet<SocketAddr>, limit_ns: u64) -> ExpectedError {
    let list = |items: Vec<String>| items.join(", ");
    let wanted = list(ports.iter().map(u16::to_string).collect());
    let seconds = limit_ns / 1_000_000_000;
    let instead = match found.len() {
        0 => "it listens nowhere".to_owned(),
        _ => format!("it listens on {}", list(found.iter().map(SocketAddr::to_string).collect())),
    };
    ExpectedError::new(
        Exit::Fail,
        format!("the target did not listen on port {wanted} within {seconds} s: {instead}"),
    )
    .help("where it listens elsewhere than it did in the recording, say so with --target-base")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn own() -> Vec<u32> {
        vec![std::process::id()]
    }

    #[test]
    fn the_kernels_tables_are_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 100 0 0 10 0\n\
   1: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000000000000000 20 4 30 10 -1\n\
   2: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 4713 1\n\
   torn\n";
        let found = parse(table);
        let expected = [("127.0.0.1:8080", 4711), ("[::1]:80", 4713)];
        let expected = expected.map(|(at, inode)| Socket { at: at.parse().unwrap(), inode });
        assert_eq!(found, expected);
    }

    #[test]
    fn loopback_is_preferred_and_ipv4_before_ipv6() {
        let base = |found: &[&str]| {
            let found = found.iter().map(|at| at.parse().unwrap()).collect();
            bases(&BTreeSet::from([80]), &found).map(|bases| bases[&80].to_string())
        };
        assert_eq!(base(&["0.0.0.0:80", "[::]:80"]).unwrap(), "127.0.0.1:80");
        assert_eq!(base(&["[::]:80"]).unwrap(), "[::1]:80");
        assert_eq!(base(&["10.0.0.1:80", "[::1]:80"]).unwrap(), "[::1]:80");
        assert_eq!(base(&["10.0.0.1:80", "10.0.0.2:81"]).unwrap(), "10.0.0.1:80");
        assert_eq!(base(&["[::ffff:127.0.0.1]:80"]).unwrap(), "127.0.0.1:80");
        assert_eq!(base(&["127.0.0.1:8080"]), None);
    }

    #[test]
    fn a_listener_is_found_once_it_is_there_and_the_port_is_then_taken() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let ports = BTreeSet::from([port]);
        check_free(&ports).unwrap();
        let mut looks = 0;
        let mut listener = None;
        let found = wait(&ports, &own, 60_000_000_000, &mut || {
            looks += 1;
            if looks == 3 {
                listener = Some(TcpListener::bind(("127.0.0.1", port)).unwrap());
            }
            true
        });
        assert_eq!(found.unwrap().unwrap()[&port], SocketAddr::from(([127, 0, 0, 1], port)));
        assert_eq!(looks, 3);
        let error = check_free(&ports).unwrap_err();
        assert_eq!(error.exit, Exit::Host);
        assert!(error.message.contains(&format!("process {} (", std::process::id())), "{}", error.message);
    }

    #[test]
    fn a_port_is_claimed_once_until_it_is_let_go() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ports = BTreeSet::from([listener.local_addr().unwrap().port()]);
        let claimed = claim(&ports).unwrap();
        let error = claim(&ports).unwrap_err();
        assert_eq!(error.exit, Exit::Host);
        assert!(
            error.message.starts_with("another replay has a command listen on port "),
            "{}",
            error.message
        );
        drop(claimed);
        claim(&ports).unwrap();
    }

    #[test]
    fn another_processs_listener_is_not_the_targets() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ports = BTreeSet::from([listener.local_addr().unwrap().port()]);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let target = || vec![child.id()];
        let mut looks = 0;
        let given_up = wait(&ports, &target, 60_000_000_000, &mut || {
            looks += 1;
            looks < 5
        });
        let timed_out = wait(&ports, &own, 0, &mut || true).unwrap().is_some();
        let late = wait(&BTreeSet::from([1]), &own, 0, &mut || true).unwrap_err();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(given_up.unwrap(), None);
        assert!(timed_out, "our own listener is found");
        assert!(late.message.contains(&listener.local_addr().unwrap().to_string()), "{}", late.message);
    }
}
