//! How targets are found, in the real kernel: cgroups, processes, programs, and sockets that are older than we are.

use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio, id};

use infernosim::target::Hierarchy;
use infernosim::target::older::{Connection, OlderSockets, Opened};
use infernosim::target::processes::in_cgroup;
use infernosim::target::programs::{Sharing, attached};

use crate::harness::{Capture, Netns, PYTHON, eventually, require_root};

/// A process that ends with its standard input, or when dropped.
struct Process {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, out }
    }

    fn python(script: &str, arguments: &[&str]) -> Self {
        Self::start(Command::new(PYTHON).args(["-c", script]).args(arguments))
    }

    fn line(&mut self) -> String {
        self.out.next().unwrap().unwrap()
    }

    /// Sends a line, returns the answer.
    fn ask(&mut self, line: &str) -> String {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
        self.line()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A cgroup with cgroups below it; all removed when dropped, inner ones first.
struct Nest {
    path: PathBuf,
    inner: Vec<PathBuf>,
}

impl Nest {
    fn new(name: &str, inner: &[&str]) -> Self {
        require_root();
        let path = Hierarchy::find().unwrap().own().join(format!("{name}-{}.slice", id()));
        let inner: Vec<PathBuf> = inner.iter().map(|name| path.join(name)).collect();
        for path in std::iter::once(&path).chain(&inner) {
            std::fs::create_dir(path).unwrap();
        }
        Self { path, inner }
    }

    fn put(&self, inner: &str, process: &Process) {
        std::fs::write(self.path.join(inner).join("cgroup.procs"), process.child.id().to_string()).unwrap();
    }
}

impl Drop for Nest {
    fn drop(&mut self) {
        for path in self.inner.iter().rev().chain([&self.path]) {
            eventually("the cgroup is empty", || std::fs::remove_dir(path).is_ok() || !path.exists());
        }
    }
}

#[test]
fn a_cgroup_and_its_processes_are_found_by_each_of_its_names() {
    let id = format!("{:064x}", 0xabcd_0000_0000_u64 + u64::from(id()));
    let (unit, container) =
        (format!("infs-shop-{}.service", std::process::id()), format!("docker-{id}.scope"));
    let nest = Nest::new("infs-names", &[&unit, &container, &format!("{container}/deep")]);
    let [shop, first, second] = [(); 3].map(|()| Process::start(&mut Command::new("cat")));
    nest.put(&unit, &shop);
    nest.put(&container, &first);
    nest.put(&format!("{container}/deep"), &second);

    let hierarchy = Hierarchy::find().unwrap();
    let (of_unit, of_container) = (nest.path.join(&unit), nest.path.join(&container));
    assert_eq!(hierarchy.unit(unit.strip_suffix(".service").unwrap()).unwrap(), of_unit);
    assert_eq!(hierarchy.container(&id).unwrap(), of_container);
    assert_eq!(hierarchy.of_process(second.child.id()).unwrap(), of_container.join("deep"));
    assert_eq!(hierarchy.cgroup(of_unit.to_str().unwrap()).unwrap(), of_unit);
    let from_root = nest.path.strip_prefix(hierarchy.cgroup("/").unwrap()).unwrap();
    let from_root = Path::new("/").join(from_root).join(&unit);
    assert_eq!(hierarchy.cgroup(from_root.to_str().unwrap()).unwrap(), of_unit);

    let pids = |processes: &[&Process]| {
        let mut pids: Vec<u32> = processes.iter().map(|process| process.child.id()).collect();
        pids.sort_unstable();
        pids
    };
    assert_eq!(in_cgroup(&of_unit), pids(&[&shop]));
    assert_eq!(in_cgroup(&of_container), pids(&[&first, &second]));
    assert_eq!(in_cgroup(&nest.path), pids(&[&shop, &first, &second]));
}

#[test]
fn a_threaded_cgroup_has_the_processes_of_its_threads() {
    let nest = Nest::new("infs-threads", &["threads"]);
    // To be threaded, a cgroup must be so before any process is in it.
    std::fs::write(nest.path.join("threads/cgroup.type"), "threaded").unwrap();
    let script = "import threading, sys\n\
        threading.Thread(target=sys.stdin.read).start()\n\
        print(threading.enumerate()[1].native_id, flush=True)";
    let mut process = Process::python(script, &[]);
    let thread = process.line();
    std::fs::write(nest.path.join("cgroup.procs"), process.child.id().to_string()).unwrap();
    std::fs::write(nest.path.join("threads/cgroup.threads"), thread).unwrap();
    assert!(std::fs::read_to_string(nest.path.join("threads/cgroup.procs")).is_err(), "the kernel changed");
    assert_eq!(in_cgroup(&nest.path.join("threads")), [process.child.id()]);
}

#[test]
fn programs_on_a_cgroup_and_above_it_are_named() {
    let mut running = Capture::of(&["cat"]).start().ready();
    let cgroup = Hierarchy::find().unwrap().own().join(format!("infernosim-{}", running.pid()));
    let below = cgroup.join("below");
    std::fs::create_dir(&below).unwrap();
    let found = attached(&below);
    std::fs::remove_dir(&below).unwrap();
    drop(running.stdin.take());
    let found = found.unwrap();
    let ours: Vec<_> = found.iter().filter(|program| program.cgroup == cgroup).collect();
    let connect: Vec<_> = ours.iter().filter(|program| program.hook == "cgroup_inet4_connect").collect();
    assert_eq!(connect.len(), 1, "{found:?}");
    assert_eq!((connect[0].name.as_str(), connect[0].sharing), ("on_connect4", Sharing::Shared));
    assert!(ours.iter().any(|program| program.hook == "cgroup_sock_ops" && program.name == "on_sockops"));
    assert!(connect[0].id > 0 && found.iter().all(|program| program.cgroup != below), "{found:?}");
}

/// A service with a connection to each of the ports it is given, and one that it accepted. It answers `read N` with
/// what reading from its Nth connection comes to, the accepted one being the last.
const SERVICE: &str = "
import socket, sys
out = [socket.create_connection(('127.0.0.1', int(port))) for port in sys.argv[1:]]
server = socket.create_server(('127.0.0.1', 0))
print(server.getsockname()[1], flush=True)
every = out + [server.accept()[0]]
print('ready', flush=True)
for line in sys.stdin:
    try:
        print(every[int(line.split()[1])].recv(100), flush=True)
    except OSError as error:
        print(type(error).__name__, flush=True)
";

#[test]
fn one_older_connection_is_reset_and_all_others_stay() {
    Netns::new().enter(|| {
        let [first, second] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = [&first, &second].map(|listener| listener.local_addr().unwrap().port());
        let mut service =
            Process::python(SERVICE, &ports.map(|port| port.to_string()).each_ref().map(String::as_str));
        let [mut first, mut second] = [&first, &second].map(|listener| listener.accept().unwrap().0);
        let mut client = TcpStream::connect(("127.0.0.1", service.line().parse().unwrap())).unwrap();
        assert_eq!(service.line(), "ready");

        let mut sockets = OlderSockets::of_this_namespace().unwrap();
        let older = sockets.find(&[service.child.id()]).unwrap();
        let to = |peer: &TcpStream| -> Connection {
            let ends = |connection: &&Connection| connection.local == peer.peer_addr().unwrap();
            older.connections.iter().find(ends).unwrap_or_else(|| panic!("{older:?}")).clone()
        };
        assert_eq!(older.connections.len(), 3, "{older:?}");
        let opened = [&first, &second, &client].map(|peer| to(peer).opened);
        assert_eq!(opened, [Opened::Outbound, Opened::Outbound, Opened::Inbound]);

        let chosen = to(&first);
        assert!(sockets.recycle(&chosen).unwrap());
        assert_eq!(service.ask("read 0"), "ConnectionAbortedError");
        let seen = first.read(&mut [0]).unwrap_err();
        assert_eq!(seen.kind(), std::io::ErrorKind::ConnectionReset);
        assert!(!sockets.recycle(&chosen).unwrap(), "it is gone");
        for (number, peer) in [&mut second, &mut client].into_iter().enumerate() {
            peer.write_all(b"still here").unwrap();
            assert_eq!(service.ask(&format!("read {}", number + 1)), "b'still here'");
        }
    });
}

#[test]
fn a_later_connection_between_the_same_addresses_is_left_alone() {
    Netns::new().enter(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = |from: Option<std::net::SocketAddr>| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_reuse_address(true).unwrap();
            if let Some(from) = from {
                socket.bind(&from.into()).unwrap();
            }
            socket.connect(&listener.local_addr().unwrap().into()).unwrap();
            (TcpStream::from(socket), listener.accept().unwrap().0)
        };
        let mut sockets = OlderSockets::of_this_namespace().unwrap();
        let (client, server) = connect(None);
        let address = client.local_addr().unwrap();
        let find = |sockets: &mut OlderSockets| {
            let older = sockets.find(&[id()]).unwrap();
            older.connections.into_iter().find(|connection| connection.local == address).unwrap()
        };
        let older = find(&mut sockets);
        // Who closes first keeps the address for a while (TIME_WAIT): here not the client.
        server.shutdown(Shutdown::Both).unwrap();
        drop((server, client));
        let (mut client, mut server) = connect(Some(address));
        let later = find(&mut sockets);
        assert_eq!((later.local, later.remote), (older.local, older.remote));
        assert_ne!(later.cookie, older.cookie);

        assert!(!sockets.recycle(&older).unwrap());
        server.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
        assert!(sockets.recycle(&later).unwrap());
        assert!(client.read(&mut [0]).is_err());
    });
}

#[test]
fn sockets_are_asked_for_in_the_namespace_that_they_are_in() {
    let (inside, outside) = (Netns::new(), Netns::new());
    let (client, server, sockets) = inside.enter(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0, OlderSockets::of_this_namespace().unwrap())
    });
    let local = client.local_addr().unwrap();
    let has = move |mut sockets: OlderSockets| {
        sockets.find(&[id()]).unwrap().connections.iter().any(|connection| connection.local == local)
    };
    // Made there, it answers for there, on whatever thread.
    assert!(has(sockets));
    assert!(!outside.enter(move || has(OlderSockets::of_this_namespace().unwrap())));
    drop((client, server));
}

#[test]
fn without_the_right_to_reset_nothing_is_reset_and_the_missing_capability_is_named() {
    Netns::new().enter(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut server = listener.accept().unwrap().0;
        let mut sockets = OlderSockets::of_this_namespace().unwrap();
        let older = sockets.find(&[id()]).unwrap();
        let local = client.local_addr().unwrap();
        let connection = older.connections.into_iter().find(|connection| connection.local == local).unwrap();
        // Of this thread alone, which ends here.
        caps::drop(None, caps::CapSet::Effective, caps::Capability::CAP_NET_ADMIN).unwrap();
        let error = sockets.recycle(&connection).unwrap_err();
        assert_eq!(error.exit as u8, 3);
        assert!(error.message.ends_with("cannot be reset: not permitted"), "{}", error.message);
        assert!(error.help.unwrap().contains("CAP_NET_ADMIN"));
        server.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    });
}
