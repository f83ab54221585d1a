//! What is open already when a rule begins to hold.

use super::running::{ask, control};
use super::{Session, err, inject, out, redis};
use crate::harness::{Kind, PYTHON, Place, Server};

/// One connection; each line is sent to be given back, but for `read`, which waits for what is still to come.
const ECHO: &str = r#"
import socket, sys
stream = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print("up", flush=True)
for line in sys.stdin:
    word = line.strip()
    stream.settimeout(5 if word == "read" else 0.5)
    try:
        if word != "read":
            stream.sendall(f"ECHO {word}\r\n".encode())
        print(word, stream.recv(99).decode().split()[1:], flush=True)
    except TimeoutError:
        print(word, "silent", flush=True)
    except OSError as error:
        print(word, type(error).__name__, flush=True)
"#;

#[test]
fn rules_that_hold_for_a_time_reach_it() {
    let place = tempfile::tempdir().unwrap();
    let redis = redis(place.path());
    let socket = place.path().join("control").to_str().unwrap().to_owned();
    let port = redis.addr.port().to_string();
    let on = |arguments: &[&str]| control(&[arguments, &["--control", &socket]].concat());
    let (blackhole, down) = (format!("dep=*:{port} blackhole"), format!("dep=*:{port} down"));

    let mut session = Session::start(&["--control", &socket], &[PYTHON, "-c", ECHO, &port]);
    session.stdout.line("up");
    assert_eq!(ask(&mut session, "a"), "a ['a']");
    assert_eq!(on(&["--add", &blackhole]).1, "1\n");
    assert_eq!(ask(&mut session, "b"), "b silent");
    assert_eq!(ask(&mut session, "c"), "c silent");
    assert_eq!(on(&["--remove", "1"]).0, 0);
    // Held, and not lost: both, in their order.
    let read = ask(&mut session, "read");
    let both = if read.contains("'c'") { read } else { format!("{read} {}", ask(&mut session, "read")) };
    assert!(both.contains("'b'") && both.contains("'c'"), "{both}");
    assert_eq!(ask(&mut session, "d"), "d ['d']");
    // Those that say which occurrences hit connects alone.
    assert_eq!(on(&["--add", &format!("{down} at=1")]).1, "2\n");
    assert_eq!(ask(&mut session, "e"), "e ['e']");
    assert_eq!(on(&["--add", &down]).1, "3\n");
    assert_eq!(ask(&mut session, "f"), "f ConnectionResetError");
    let (_, listed) = on(&["--list"]);
    assert!(listed.contains("down: reached 1, fired 1, observed 1"), "{listed}");
    let (_, said) = session.end();
    assert!(said.contains("blackhole: reached 1, fired 1, observed 1"), "{said}");
}

#[test]
fn what_is_held_at_the_end_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let redis = redis(place.path());
    let (rule, port) =
        (format!("dep=*:{} blackhole after=500ms", redis.addr.port()), redis.addr.port().to_string());
    let began = std::time::Instant::now();
    let ended = inject(
        &["--inject", &rule, "--duration", "2s"],
        &[PYTHON, "-c", STEADY, "redis", "127.0.0.1", &port],
    );
    // It was not cut, and the client was answered before it gave up after 20 s.
    assert!(ended.status.success(), "{} {}", out(&ended), err(&ended));
    let longest: f64 = out(&ended).split(' ').next().unwrap().parse().unwrap();
    assert!((0.9..10.0).contains(&longest), "{longest} of {:?}", began.elapsed());
}

/// One connection, asked again and again for three seconds: the longest that an answer took, and how many there were.
const STEADY: &str = r#"
import http.client, socket, sys, time
host, port = sys.argv[2], int(sys.argv[3])
if sys.argv[1] == "http":
    connection = http.client.HTTPConnection(host, port, timeout=20)
    def once():
        connection.request("GET", "/n/7")
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read()
else:
    stream = socket.create_connection((host, port), timeout=20)
    def once():
        stream.sendall(b"PING\r\n")
        assert stream.recv(99) == b"+PONG\r\n"
began, longest, count = time.monotonic(), 0, 0
while time.monotonic() < began + 3:
    at = time.monotonic()
    once()
    longest, count = max(longest, time.monotonic() - at), count + 1
    time.sleep(0.02)
print(longest, count)
"#;

#[test]
fn a_blackhole_that_ends_has_lost_nothing() {
    let place = tempfile::tempdir().unwrap();
    let redis = redis(place.path());
    let nginx = Server::start(Kind::Nginx, &Place::loopback());
    for (protocol, port) in [("redis", redis.addr.port()), ("http", nginx.addr.port())] {
        let (rule, port) = (format!("dep=*:{port} blackhole after=1s during=1s"), port.to_string());
        let ended = inject(&["--inject", &rule], &[PYTHON, "-c", STEADY, protocol, "127.0.0.1", &port]);
        assert!(ended.status.success(), "{protocol}: {} {}", out(&ended), err(&ended));
        let longest: f64 = out(&ended).split(' ').next().unwrap().parse().unwrap();
        // It may have begun between two of them.
        assert!(longest >= 0.7, "{protocol}: {}", out(&ended));
        assert!(err(&ended).contains("fired 1, observed 1"), "{}", err(&ended));
    }
}

/// A connection that is there before any rule, asked twice.
const KEPT: &str = r#"
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20)
print("up", flush=True)
for line in sys.stdin:
    connection.request("GET", "/n/7")
    answer = connection.getresponse()
    answer.read()
    print(line.strip(), answer.status, flush=True)
"#;

#[test]
fn an_open_http_connection_meets_rules_that_come_later() {
    let nginx = Server::start(Kind::Nginx, &Place::loopback());
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("control").to_str().unwrap().to_owned();
    let port = nginx.addr.port().to_string();
    let mut session = Session::start(&["--control", &socket], &[PYTHON, "-c", KEPT, &port]);
    session.stdout.line("up");
    assert_eq!(ask(&mut session, "a"), "a 200");
    assert_eq!(control(&["--add", "status=503", "--control", &socket]).0, 0);
    assert_eq!(ask(&mut session, "b"), "b 503");
    session.end();
}

/// A connection that is kept, and that is read from while nothing was asked; then a request whose answer takes its time.
const IDLE: &str = r#"
import http.client, sys
def connect():
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20)
    connection.request("GET", "/n/7")
    answer = connection.getresponse()
    assert answer.status == 200 and answer.read()
    return connection
connection = connect()
print("up", flush=True)
for line in sys.stdin:
    word = line.strip()
    try:
        if word == "again":
            connection = connect()
        elif word == "idle":
            connection.sock.settimeout(0.5)
            connection.sock.recv(1)
        elif word == "asks":
            connection.request("GET", "/n/7")
            connection.getresponse().read()
        print(word, "ok", flush=True)
    except OSError as error:
        print(word, type(error).__name__, flush=True)
"#;

#[test]
fn an_idle_http_connection_is_reset_when_its_dependency_goes_down() {
    let nginx = Server::start(Kind::Nginx, &Place::loopback());
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("control").to_str().unwrap().to_owned();
    let port = nginx.addr.port().to_string();
    let on = |arguments: &[&str]| control(&[arguments, &["--control", &socket]].concat()).0;
    let mut session = Session::start(&["--control", &socket], &[PYTHON, "-c", IDLE, &port]);
    session.stdout.line("up");
    // Of others it sees nothing.
    for rule in ["dep=other.test down".to_owned(), format!("dep=*:{port} down at=7"), "refuse".to_owned()] {
        assert_eq!(on(&["--add", &rule]), 0);
    }
    assert_eq!(ask(&mut session, "idle"), "idle TimeoutError");
    assert_eq!(on(&["--remove", "3"]), 0);
    assert_eq!(ask(&mut session, "asks"), "asks ok");
    assert_eq!(on(&["--add", &format!("dep=*:{port} down")]), 0);
    // Before it asks again.
    assert_eq!(ask(&mut session, "idle"), "idle ConnectionResetError");
    assert_eq!(ask(&mut session, "again"), "again ConnectionRefusedError");
    assert_eq!(on(&["--remove", "4"]), 0);
    assert_eq!([ask(&mut session, "again"), ask(&mut session, "asks")], ["again ok", "asks ok"]);
    let (_, said) = session.end();
    assert!(said.contains("down: reached 2, fired 2, observed 2"), "{said}");
}
