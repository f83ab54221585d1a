//! Dependencies that are not there, that speak no HTTP, that no stub speaks to, or that are live.

use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{ask, free_port};
use crate::harness::{Capture, Finished, Netns, Output, PYTHON, Replay, program};

/// A service that for each request does what WHAT says with PEER, a port, and tells what came of it.
const SERVICE: &str = r#"
import os, random, socket, ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WHAT, PEER = os.environ["WHAT"], ("127.0.0.1", int(os.environ["PEER"]))

pool = []

def talk(path):
    if WHAT == "pool":
        # Which connection it is, is another in each run.
        while len(pool) < 3:
            pool.append(socket.create_connection(PEER, 5))
        one = random.choice(pool)
        one.sendall(b"ECHO " + path.encode() + b"\r\n")
        return str(one.recv(100))
    if WHAT == "refused":
        errors = []
        for _ in range(3):
            with socket.socket() as one:
                errors.append(one.connect_ex(PEER))
        with socket.socket() as one:
            one.setblocking(False)
            errors.append(one.connect_ex(PEER))
        return str(errors)
    with socket.create_connection(PEER, 5) as one:
        if WHAT == "tls":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(one, server_hostname="pay.test") as within:
                within.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return str(within.recv(12))
        said = []
        for word in (b"PING\r\n", b"SET a 1\r\n", b"INCR a\r\n"):
            one.sendall(word)
            said.append(one.recv(100))
        return str(said)

class Service(BaseHTTPRequestHandler):
    def do_GET(self):
        body = talk(self.path).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments): pass

server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Service)
print("listening", flush=True)
server.serve_forever()
"#;

struct Scene {
    netns: Netns,
    words: Vec<String>,
    finished: Finished,
    told: String,
}

/// A program in the namespace; killed when dropped.
struct Peer(std::process::Child);

impl Peer {
    fn start(netns: &Netns, words: &[&str], ready: &str) -> Self {
        let mut all = netns.prefix();
        all.extend(words.iter().map(|word| (*word).to_owned()));
        all[3] = program(words[0]).to_str().unwrap().to_owned();
        let mut command = Command::new(program(&all[0]));
        command.args(&all[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let output = Output::of(child.stdout.take().unwrap());
        if !ready.is_empty() {
            output.line(ready);
        }
        Self(child)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Scene {
    fn captured(netns: Netns, what: &str, peer: u16) -> Self {
        Self::captured_asking(netns, what, peer, &["/"])
    }

    fn captured_asking(netns: Netns, what: &str, peer: u16, paths: &'static [&'static str]) -> Self {
        let port = netns.enter(free_port);
        let words: Vec<String> = [
            "env".into(),
            format!("WHAT={what}"),
            format!("PEER={peer}"),
            format!("PORT={port}"),
            PYTHON.into(),
            "-c".into(),
            SERVICE.into(),
        ]
        .into();
        let all: Vec<&str> = words.iter().map(String::as_str).collect();
        let running = Capture::of(&all).within(&netns).start().ready();
        running.stdout.line("listening");
        let base = format!("http://127.0.0.1:{port}");
        let told = netns.enter(move || paths.iter().map(|path| ask(&base, path, None)).collect());
        kill(Pid::from_raw(running.target_pid() as i32), Signal::SIGTERM).unwrap();
        Self { netns, words, finished: running.finish(), told }
    }

    fn replay(&self) -> Replay {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        Replay::of(&self.finished.incident).against(&words).within(&self.netns).option(&["--runs", "3"])
    }
}

#[test]
fn connects_that_were_refused_are_refused_again() {
    let netns = Netns::new();
    let nobody = netns.enter(free_port);
    let scene = Scene::captured(netns, "refused", nobody);
    // ECONNREFUSED; EINPROGRESS of the one that does not wait.
    assert_eq!(scene.told, "[111, 111, 111, 115]");
    let replayed = scene.replay().run();
    replayed.assert_passed(3);
}

/// A redis in this namespace, and its port.
fn redis(netns: &Netns) -> (Peer, u16) {
    let port = netns.enter(free_port);
    let text = port.to_string();
    let redis = ["redis-server", "--port", &text, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    let peer = Peer::start(netns, &redis, "");
    crate::harness::eventually("redis listens", || {
        netns.enter(move || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())
    });
    (peer, port)
}

#[test]
fn a_pool_may_say_a_turn_on_another_connection_than_it_did() {
    let netns = Netns::new();
    let (peer, port) = redis(&netns);
    let paths = &["/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8"];
    let scene = Scene::captured_asking(netns, "pool", port, paths);
    assert!(scene.told.contains("/8"), "{}", scene.told);
    drop(peer);
    // Its connections are closed at the end of a run, which this pool does not expect.
    let replayed = scene.replay().option(&["--fresh"]).run();
    replayed.assert_passed(3);
    assert!(replayed.result.contains("PASS_STRONG"), "{}", replayed.all());
}

#[test]
fn redis_answers_turn_by_turn_from_the_recording() {
    let netns = Netns::new();
    let (peer, port) = redis(&netns);
    let scene = Scene::captured(netns, "redis", port);
    assert_eq!(scene.told, r"[b'+PONG\r\n', b'+OK\r\n', b':2\r\n']");
    drop(peer);
    let replayed = scene.replay().run();
    replayed.assert_passed(3);
    assert!(replayed.result.contains("PASS_STRONG"), "{}", replayed.all());
}

#[test]
fn a_dependency_over_tls_is_named_and_may_be_live() {
    let netns = Netns::new();
    let port = netns.enter(free_port);
    let place = tempfile::TempDir::with_prefix("infernosim-test-").unwrap();
    let (key, certificate) = (place.path().join("key"), place.path().join("certificate"));
    let made = Command::new(program("openssl"))
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=pay.test"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success());
    let at = format!("127.0.0.1:{port}");
    let (key, certificate) = (key.to_str().unwrap(), certificate.to_str().unwrap());
    let words =
        ["openssl", "s_server", "-accept", &at, "-key", key, "-cert", certificate, "-www", "-naccept", "100"];
    let _peer = Peer::start(&netns, &words, "ACCEPT");
    let scene = Scene::captured(netns, "tls", port);
    let refused = scene.replay().run();
    assert_eq!(refused.code, 4, "{}", refused.all());
    assert!(refused.stderr.contains("no stub speaks the protocol of pay.test"), "{}", refused.all());
    assert!(refused.stderr.contains("--live"), "{}", refused.all());
    let live = scene.replay().option(&["--live", "pay.test", "--live", "pya.test"]).run();
    assert_eq!(live.code, 0, "{}", live.all());
    assert!(live.stderr.contains("--live pya.test made nobody live"), "{}", live.all());
    assert!(!live.stderr.contains("--live pay.test"), "{}", live.all());
    assert!(live.result.contains("pay.test"), "what was live was not tested: {}", live.all());
}
