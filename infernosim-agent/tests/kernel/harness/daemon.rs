use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Cgroup, Netns, eventually, program};

/// A server that is a program of its own; ended when dropped.
pub struct Daemon {
    child: Child,
    pub addr: SocketAddr,
}

/// Where a server runs and listens.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub ip: IpAddr,
    pub netns: Option<&'a Netns>,
    pub cgroup: Option<&'a Cgroup>,
}

impl<'a> Place<'a> {
    /// This machine's loopback, IPv4.
    pub fn loopback() -> Self {
        Self { ip: Ipv4Addr::LOCALHOST.into(), netns: None, cgroup: None }
    }

    /// An address in a namespace.
    pub fn within(netns: &'a Netns, ip: IpAddr) -> Self {
        Self { ip, netns: Some(netns), cgroup: None }
    }

    /// The same, in a cgroup.
    pub fn in_cgroup(self, cgroup: &'a Cgroup) -> Self {
        Self { cgroup: Some(cgroup), ..self }
    }

    /// The beginning of a command line that runs the rest of it here.
    pub fn prefix(&self) -> Vec<String> {
        let cgroup = self.cgroup.map(Cgroup::prefix).unwrap_or_default();
        cgroup.into_iter().chain(self.netns.map(Netns::prefix).unwrap_or_default()).collect()
    }

    /// Does something in the namespace, if there is one.
    pub fn enter<T: Send + 'static>(&self, act: impl FnOnce() -> T + Send + 'static) -> T {
        match self.netns {
            Some(netns) => netns.enter(act),
            None => act(),
        }
    }

    /// A port that was free a moment ago, and the kernel gives it to nobody else so soon.
    fn free(&self) -> SocketAddr {
        let ip = self.ip;
        self.enter(move || TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap())
    }
}

impl Daemon {
    /// Starts it on a port of loopback that `words` is told, and waits until it listens.
    pub fn start(name: &str, words: impl FnOnce(u16) -> Vec<String>) -> Self {
        Self::at(&Place::loopback(), name, |addr| words(addr.port()))
    }

    /// Starts it at a place, on an address that `words` is told, and waits until it listens.
    pub fn at(place: &Place<'_>, name: &str, words: impl FnOnce(SocketAddr) -> Vec<String>) -> Self {
        let addr = place.free();
        let mut line = place.prefix();
        line.push(program(name).to_str().unwrap().to_owned());
        line.extend(words(addr));
        let mut command = Command::new(program(&line[0]));
        command.args(&line[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        eventually(&format!("{name} listens"), || {
            assert_eq!(child.try_wait().unwrap(), None, "{command:?} ended");
            place.enter(move || TcpStream::connect(addr).is_ok())
        });
        Self { child, addr }
    }

    /// Its process; the first one where it has several.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // In order first: a master that is killed leaves its workers behind.
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        for _ in 0..200 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
