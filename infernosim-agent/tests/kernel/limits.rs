//! Near its limits infernosim steps aside: connections go direct, work, and are counted.

use serde_json::json;

use crate::harness::programs::capture;
use crate::harness::{Capture, Lab, Origin, Recording, Tally, program};

#[test]
fn near_the_limit_of_open_files_connections_go_direct_and_are_counted() {
    let count = 150;
    let tally = Tally::start(2 * count + 10);
    let prlimit = program("prlimit");
    let mut running = capture("connections", &json!({ "addr": tally.addr }))
        .through(&[prlimit.to_str().unwrap(), "--nofile=256:256"])
        .start()
        .ready();
    let expected = format!("RESULT {count} answered ");
    assert_eq!(running.ask(&format!("open {count}"), "RESULT"), expected);
    assert_eq!(running.ask("ask", "RESULT"), expected);
    let finished = running.finish();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let recording = finished.recording();
    let direct = recording.unmediated("agent-at-limit");
    assert!(direct > 0, "{:#}", recording.manifest);
    // Each connection was either relayed, and then both its requests are there, or counted.
    assert_eq!(recording.calls().len() as u64 + 2 * direct, 2 * count as u64);
    assert!(!recording.calls().is_empty());
    assert!(finished.stderr.contains("agent-at-limit"), "{}", finished.stderr);
}

/// Connections that come while nobody counts them: the kernel half sends us no more than we can look after.
#[test]
fn a_burst_while_we_are_stopped_leaves_nobody_waiting() {
    let script = r#"
import http.client, os, signal, socket, sys, time
port, agent = int(sys.argv[1]), os.getppid()
os.kill(agent, signal.SIGSTOP)
idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(150)]
time.sleep(0.3)
os.kill(agent, signal.SIGCONT)
for number in range(5):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    c.request("GET", f"/n/{number}")
    assert c.getresponse().read() == str(number).encode()
"#;
    let tally = Tally::start(10);
    let prlimit = program("prlimit");
    let recording = Capture::python(script, &[&tally.addr.port().to_string()])
        .option(&["--drain", "1s"])
        .through(&[prlimit.to_str().unwrap(), "--nofile=256:256"])
        .record();
    assert!(recording.unmediated("agent-at-limit") > 0, "{:#}", recording.manifest);
}

/// When there is room again, capturing goes on.
#[test]
fn after_the_limit_connections_are_captured_again() {
    let tally = Tally::start(300);
    let prlimit = program("prlimit");
    let script = r#"
import http.client, sys, time
def ask(number):
    c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
    c.request("GET", f"/n/{number}")
    assert c.getresponse().read() == str(number).encode()
    return c
many = [ask(n) for n in range(100)]
for c in many:
    c.close()
time.sleep(1)
for n in range(200, 210):
    ask(n).close()
    time.sleep(0.02)
"#;
    let recording = Capture::python(script, &[&tally.addr.port().to_string()])
        .through(&[prlimit.to_str().unwrap(), "--nofile=256:256"])
        .record();
    assert!(recording.unmediated("agent-at-limit") > 0);
    let late =
        recording.calls().iter().filter(|call| call["url"].as_str().unwrap().contains("/n/20")).count();
    assert_eq!(late, 10);
}

/// A connection that we cannot serve works, is not recorded, and is counted once under this word.
fn assert_stepped_aside(recording: &Recording, reason: &str) {
    assert_eq!(recording.events.len(), 0, "{:#?}", recording.events);
    assert_eq!(recording.manifest["unmediated"], json!({ reason: 1 }));
}

#[test]
fn a_socket_bound_to_a_device_goes_direct() {
    let lab = Lab::new();
    let origin = Origin::within(&lab.server);
    let url = format!("http://10.77.0.2:{}/hello", origin.port());
    let finished = Capture::of(&["curl", "-sS", "--interface", "if!cable", &url]).within(&lab.client).run();
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "hello, world\n"), "{}", finished.stderr);
    assert_stepped_aside(&finished.recording(), "bound-to-device");
}

#[test]
fn a_link_local_address_is_reached_directly() {
    let lab = Lab::new();
    lab.client.ip("addr add fe80::77:1/64 dev cable nodad");
    lab.server.ip("addr add fe80::77:2/64 dev cable nodad");
    let origin = Origin::within(&lab.server);
    let url = format!("http://[fe80::77:2%25cable]:{}/hello", origin.port());
    let finished = Capture::of(&["curl", "-sS", &url]).within(&lab.client).run();
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "hello, world\n"), "{}", finished.stderr);
    assert_stepped_aside(&finished.recording(), "link-local-ipv6");
}

/// A target that finds our listener and talks to it gets nothing, and nobody is relayed in circles.
#[test]
fn our_own_listener_is_no_way_in() {
    let script = r#"
import os, socket, sys
agent = os.getppid()
inodes = set()
for fd in os.listdir(f"/proc/{agent}/fd"):
    try:
        name = os.readlink(f"/proc/{agent}/fd/{fd}")
    except OSError:
        continue
    if name.startswith("socket:["):
        inodes.add(name[8:-1])
ports = set()
for family, file in ((4, "/proc/net/tcp"), (6, "/proc/net/tcp6")):
    for line in open(file).readlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and fields[9] in inodes:
            ports.add((family, int(fields[1].rsplit(":", 1)[1], 16)))
assert ports, "no listener of infernosim was found"
for family, port in sorted(ports):
    for host in ("127.0.0.1", "::ffff:127.0.0.1") if family == 4 else ("::1",):
        s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        s.settimeout(20)
        try:
            s.connect((host, port))
            s.sendall(b"GET / HTTP/1.1\r\n\r\n")
            print("nothing" if s.recv(100) == b"" else "something")
        except OSError as e:
            print("nothing" if not isinstance(e, TimeoutError) else "hangs")
"#;
    let finished = Capture::python(script, &[]).run();
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert!(
        !lines.is_empty() && lines.iter().all(|line| *line == "nothing"),
        "{lines:?} {}",
        finished.stderr
    );
    assert!(finished.recording().events.len() <= lines.len());
}
