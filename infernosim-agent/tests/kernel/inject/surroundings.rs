//! Other protocols, other selectors, other places.

use std::net::Ipv6Addr;
use std::process::{Command, Stdio};

use super::{Session, err, inject, out, redis};
use crate::harness::{Cgroup, Kind, Netns, Output, PYTHON, Place, Server, program};

#[test]
fn redis_is_disturbed_as_bytes() {
    let place = tempfile::tempdir().unwrap();
    let redis = redis(place.path());
    let (port, value) = (redis.addr.port().to_string(), "x".repeat(100_000));
    let cli = |rule: &str, words: &[&str]| {
        let rule = format!("dep=*:{port} {rule}");
        let began = std::time::Instant::now();
        let ended = inject(&["--inject", &rule], &[&["redis-cli", "-p", &port], words].concat());
        let fired = err(&ended).contains("reached 1, fired 1, observed 1");
        assert!(fired, "{rule}: {}", err(&ended));
        (out(&ended), err(&ended), began.elapsed().as_secs_f64())
    };
    let set = Command::new(program("redis-cli")).args(["-p", &port, "SET", "k", &value]).output().unwrap();
    assert_eq!(out(&set), "OK\n");
    let (said, _, seconds) = cli("latency=+400ms", &["PING"]);
    assert!(said == "PONG\n" && seconds >= 0.4, "{said} {seconds}");
    let (said, _, seconds) = cli("bandwidth=100kB/s", &["GET", "k"]);
    assert!(said.trim() == value && seconds >= 0.9, "{} {seconds}", said.len());
    let (said, told, _) = cli("reset", &["PING"]);
    assert!(!said.contains("PONG") && (said + &told).contains("reset by peer"), "{told}");
    let (said, told, _) = cli("reset=50000", &["GET", "k"]);
    assert!(!said.contains(&value), "{told}");
    // The other direction.
    let (said, _, seconds) = cli("stream=upstream bandwidth=100kB/s", &["SET", "k", &value]);
    assert!(said == "OK\n" && seconds >= 0.9, "{said} {seconds}");
}

/// Asks as often as it is told to.
const ASKS: &str = r#"
import http.client, sys
print("up", flush=True)
for line in sys.stdin:
    connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=5)
    try:
        connection.request("GET", "/n/7")
        print(line.strip(), connection.getresponse().status, flush=True)
    except OSError as error:
        print(line.strip(), type(error).__name__, flush=True)
    connection.close()
"#;

/// A service that was there before us; it ends with its input.
pub struct Service {
    child: std::process::Child,
    stdout: Output,
}

impl Service {
    pub fn start(prefix: &[String], server: &Server) -> Self {
        let (host, port) = (server.addr.ip().to_string(), server.addr.port().to_string());
        let words = prefix.iter().map(String::as_str).chain([PYTHON, "-c", ASKS, &host, &port]);
        let words: Vec<&str> = words.collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = Output::of(child.stdout.take().unwrap());
        stdout.line("up");
        Self { child, stdout }
    }

    pub fn pid(&self) -> String {
        self.child.id().to_string()
    }

    pub fn ask(&mut self, word: &str) -> String {
        use std::io::Write as _;
        writeln!(self.child.stdin.as_mut().unwrap(), "{word}").unwrap();
        self.stdout.line(word)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[test]
fn a_cgroup_and_nobody_else() {
    let server = Server::start(Kind::Nginx, &Place::loopback());
    let cgroup = Cgroup::new();
    let mut inside = Service::start(&cgroup.prefix(), &server);
    let mut outside = Service::start(&[], &server);
    let plan = tempfile::NamedTempFile::new().unwrap();
    let dep = server.addr;
    let text =
        format!("seed = 9\n[[rule]]\ndep = \"{dep}\"\nstatus = 503\n[[rule]]\nat = 2\nrefuse = true\n");
    std::fs::write(plan.path(), text).unwrap();
    let plan = plan.path().to_str().unwrap();
    let session = Session::start(&["--cgroup", &cgroup.name(), "--plan", plan], &[]);
    let said = [inside.ask("a"), inside.ask("b"), inside.ask("c"), outside.ask("d"), outside.ask("e")];
    assert_eq!(said, ["a 503", "b ConnectionRefusedError", "c 503", "d 200", "e 200"]);
    let (code, told) = session.end();
    assert_eq!(code, 0, "{told}");
    // --seed stands before that of the plan.
    assert!(told.contains("seed 7"), "{told}");
    assert_eq!(inside.ask("f"), "f 200");
}

#[test]
fn a_process_in_another_network_namespace_and_ipv6() {
    let netns = Netns::new();
    let server = Server::start(Kind::Nginx, &Place::within(&netns, Ipv6Addr::LOCALHOST.into()));
    let mut service = Service::start(&netns.prefix(), &server);
    let pid = service.pid();
    let port = server.addr.port();
    let rules = [format!("dep=[::1]:{port} status=503"), format!("dep=[::1]:{port} at=2 refuse")];
    let session = Session::start(&["--pid", &pid, "--inject", &rules[0], "--inject", &rules[1]], &[]);
    let said = [service.ask("a"), service.ask("b"), service.ask("c")];
    assert_eq!(said, ["a 503", "b ConnectionRefusedError", "c 503"]);
    let (_, told) = session.end();
    assert!(told.contains("refuse: reached 3, fired 1, observed 1"), "{told}");
    assert_eq!(service.ask("d"), "d 200");
}
