use std::io::ErrorKind;
use std::net::{IpAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use super::{eventually, program, require_root};

/// Names of this process's namespaces, one each.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A network namespace with its loopback up; removed when dropped.
pub struct Netns {
    name: String,
}

/// Two namespaces joined by a cable: `client` is 10.77.0.1 and fd77::1, `server` is 10.77.0.2 and fd77::2. Behind
/// the server is nothing: it says of 10.78.0.0/16 and fd78::/16 that their hosts are unreachable.
pub struct Lab {
    pub client: Netns,
    pub server: Netns,
}

impl Netns {
    pub fn new() -> Self {
        require_root();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("infs-{}-{number}", std::process::id());
        ip(&["netns", "add", &name]);
        let netns = Self { name };
        netns.ip("link set lo up");
        netns
    }

    /// The file that stands for it.
    pub fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    /// The name that `ip netns` knows it by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The beginning of a command line that runs the rest of it in here.
    pub fn prefix(&self) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--net={}", self.path()), "--".to_owned()]
    }

    /// Whether there is an interface of this name in it.
    pub fn has_link(&self, link: &str) -> bool {
        self.shows_link(link, link)
    }

    /// Whether `ip` says this of that interface.
    fn shows_link(&self, link: &str, what: &str) -> bool {
        let output = Command::new(program("ip")).args(["-n", &self.name, "link", "show", link]).output();
        String::from_utf8_lossy(&output.unwrap().stdout).contains(what)
    }

    /// Moves a device from our namespace into it.
    pub fn take(&self, link: &str) {
        ip(&["link", "set", link, "netns", &self.name]);
    }

    /// Runs `ip` in it.
    pub fn ip(&self, words: &str) {
        let mut all = vec!["-n", &self.name];
        all.extend(words.split(' '));
        ip(&all);
    }

    /// Runs `tc` in it.
    pub fn tc(&self, words: &str) {
        let output =
            Command::new(program("tc")).args(["-n", &self.name]).args(words.split(' ')).output().unwrap();
        assert!(output.status.success(), "tc {words}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Sets a sysctl in it, as `net/ipv4/ip_forward`.
    pub fn sysctl(&self, name: &str, value: &str) {
        let (name, value) = (format!("/proc/sys/{name}"), value.to_owned());
        self.enter(move || std::fs::write(&name, value).unwrap_or_else(|error| panic!("{name}: {error}")));
    }

    /// Does something in it, on a thread of its own; sockets made there stay there.
    pub fn enter<T: Send + 'static>(&self, act: impl FnOnce() -> T + Send + 'static) -> T {
        let path = self.path();
        let thread = std::thread::spawn(move || {
            Self::move_thread(&path);
            act()
        });
        thread.join().unwrap()
    }

    /// Moves the calling thread, for good, into the namespace that this file stands for.
    pub fn move_thread(path: &str) {
        setns(std::fs::File::open(path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new(program("ip")).args(["netns", "del", &self.name]).output();
    }
}

impl Lab {
    pub fn new() -> Self {
        let lab = Self { client: Netns::new(), server: Netns::new() };
        // Made in the client's namespace, so its name meets no other's.
        lab.client.ip(&format!("link add cable type veth peer name cable netns {}", lab.server.name));
        for (netns, host) in [(&lab.client, 1), (&lab.server, 2)] {
            netns.ip(&format!("addr add 10.77.0.{host}/24 dev cable"));
            netns.ip(&format!("addr add fd77::{host}/64 dev cable nodad"));
            netns.ip("link set cable up");
        }
        lab.server.sysctl("net/ipv4/ip_forward", "1");
        lab.server.sysctl("net/ipv6/conf/all/forwarding", "1");
        lab.server.ip("route add unreachable 10.78.0.0/16");
        lab.server.ip("-6 route add unreachable fd78::/16");
        lab.client.ip("route add 10.78.0.0/16 via 10.77.0.2");
        lab.client.ip("-6 route add fd78::/16 via fd77::2");
        // Until the kernel's linkwatch has run (`net/core/link_watch.c`) a cable that is up drops what it is given:
        // seconds on a busy machine, and EHOSTUNREACH.
        for netns in [&lab.client, &lab.server] {
            eventually("the cable is up", || netns.shows_link("cable", "state UP"));
        }
        lab.client.enter(|| eventually("the cable carries", || Self::carries(false) && Self::carries(true)));
        lab
    }

    /// Whether the server refuses a port that nobody has.
    fn carries(v6: bool) -> bool {
        let asked = TcpStream::connect_timeout(&(Self::server_address(v6), 1).into(), Duration::from_secs(5));
        asked.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    }

    /// The server's address in one of the families.
    pub fn server_address(v6: bool) -> IpAddr {
        if v6 { "fd77::2" } else { "10.77.0.2" }.parse().unwrap()
    }
}

fn ip(words: &[&str]) {
    let output = Command::new(program("ip")).args(words).output().unwrap();
    assert!(output.status.success(), "ip {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}
