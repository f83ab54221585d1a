//! Names that are looked up without DNS, by a UNIX socket: not recorded, but counted, with the socket's name.

use crate::dns::resolver::{Child2, Names};
use crate::harness::{Capture, PYTHON, Service, eventually, program};

/// Connects as often as it is told to each of two sockets of its own, and once where nobody listens.
const CONNECTS: &str = "
import socket, sys
for path in sys.argv[2:]:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path.replace('@', '\\0'))
    listener.listen(100)
    for _ in range(int(sys.argv[1])):
        client = socket.socket(socket.AF_UNIX)
        client.connect(path.replace('@', '\\0'))
        server, _ = listener.accept()
        client.send(b'x' * 10); server.recv(10); server.send(b'y'); client.recv(1)
    one, other = socket.socketpair()
    one.send(b'z'); other.recv(1)
try:
    socket.socket(socket.AF_UNIX).connect('/nobody/listens')
except FileNotFoundError:
    pass
";

#[test]
fn nscd_answers_and_is_named() {
    let names = Names::new();
    let (run, hosts) = (names.path().join("run"), names.path().join("hosts"));
    std::fs::create_dir(&run).unwrap();
    std::fs::write(hosts, "10.99.0.9 cached.test\n").unwrap();
    // Only nscd has the name.
    let nscd = program("nscd");
    let mut words = names.with(&[("run", "/run/nscd"), ("hosts", "/etc/hosts")]);
    words.extend([nscd.to_str().unwrap(), "--foreground"].map(str::to_owned));
    std::fs::create_dir_all("/run/nscd").unwrap();
    let _nscd = Child2::start(&words);
    eventually("nscd listens", || run.join("socket").exists());
    let mut command = names.with(&[("run", "/run/nscd")]);
    command.extend(["sh", "-c", "getent hosts cached.test && getent hosts cached.test"].map(str::to_owned));
    let finished = Capture::of(&command.iter().map(String::as_str).collect::<Vec<_>>()).run();
    assert_eq!(finished.stdout.matches("10.99.0.9").count(), 2, "{}{}", finished.stdout, finished.stderr);
    let recording = finished.recording();
    let counts = recording.manifest["unmediated"].as_object().unwrap();
    let resolver = counts.iter().find(|(kind, _)| kind.ends_with("/run/nscd/socket"));
    let (kind, count) = resolver.unwrap_or_else(|| panic!("{counts:?}"));
    assert!(kind.starts_with("unix-resolver "), "{kind}");
    assert!(count.as_u64() >= Some(2), "each getent asks: {count}");
    assert!(finished.stderr.contains(kind), "{}", finished.stderr);
    assert_eq!(recording.unmediated("unix-sockets"), 0, "{counts:?}");
}

/// Without nscd every program of glibc's tries its socket: what does not connect looks nothing up.
#[test]
fn a_socket_that_nobody_listens_on_is_not_counted() {
    let recording = Capture::of(&["getent", "hosts", "localhost"]).record();
    assert_eq!(recording.manifest["unmediated"], serde_json::json!({}));
}

#[test]
fn every_connection_to_a_unix_socket_is_counted() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("socket");
    let abstract_name = format!("@infernosim-test-{}", std::process::id());
    // Somebody else's at the same time are not the target's.
    let other = place.path().join("other");
    let _other = Child2::start(&[PYTHON, "-c", CONNECTS, "20", other.to_str().unwrap()].map(str::to_owned));
    let recording = Capture::python(CONNECTS, &["7", path.to_str().unwrap(), &abstract_name]).record();
    assert_eq!(recording.unmediated("unix-sockets"), 14, "{:#}", recording.manifest);
}

#[test]
fn connections_of_a_running_service_are_counted_and_of_nobody_else() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let shell = ["sh", "-c", "echo READY main=$$; while read line; do eval \"$line\"; echo DONE; done"];
    let (mut target, mut other) = (Service::run(&[], &shell), Service::run(&[], &shell));
    std::fs::write(place.path().join("connects.py"), CONNECTS).unwrap();
    let run = |count: u32, name: &str| format!("{PYTHON} {} {count} {}", path("connects.py"), path(name));
    let capture = Capture::attached(&["--pid", &target.pid_text("main")]).start().ready();
    target.line(&run(5, "a"), "DONE");
    other.line(&run(50, "b"), "DONE");
    target.end();
    let recording = capture.wait_for_end().recording();
    other.end();
    assert_eq!(recording.unmediated("unix-sockets"), 5, "{:#}", recording.manifest);
}
