//! Answers that do not end, and connections that become something else.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use super::running::{ask, control};
use super::{Session, err, inject, out};
use crate::harness::{Output, PYTHON};

/// `/events`: the second event comes once somebody has asked for `/next`. `/up`: what comes behind the 101 is echoed.
const SERVES: &str = r#"
import socket, threading
seen = threading.Event()
def serve(peer):
    head = peer.recv(65536)
    if head.startswith(b"GET /events"):
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n")
        seen.wait(20)
        peer.sendall(b"4\r\ntwo\n\r\n0\r\n\r\n")
    elif head.startswith(b"GET /up"):
        peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
        while data := peer.recv(65536):
            peer.sendall(data)
    else:
        seen.set()
        peer.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
listener = socket.create_server(("127.0.0.1", 0))
print("port", listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"#;

/// Asks for the second event only when the first is there.
const READS: &str = r#"
import http.client, sys
connect = lambda: http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=5)
events, other = connect(), connect()
events.request("GET", "/events")
answer = events.getresponse()
print(answer.status, answer.getheader("X-Shed"), answer.readline())
other.request("GET", "/next")
print(other.getresponse().status, answer.read())
"#;

/// Says ten bytes behind the 101, and then once more.
const SWITCHES: &str = r#"
import socket, sys
peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5)
peer.sendall(b"GET /up HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
print(peer.recv(65536).split(b"\r\n")[0])
peer.sendall(b"0123456789" * 2)
got = b""
while data := peer.recv(65536):
    got += data
print(got)
"#;

/// Asks for the events, and reads them when told to.
const WATCHES: &str = r#"
import socket, sys
peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
peer.sendall(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
print("up", flush=True)
for line in sys.stdin:
    word = line.strip()
    peer.settimeout(0.5 if word == "tries" else 10)
    try:
        got = b""
        while word.encode() not in got and word != "tries" or not got:
            got += peer.recv(65536)
        print(word, "came", flush=True)
    except TimeoutError:
        print(word, "silent", flush=True)
"#;

struct Serves {
    child: Child,
    port: String,
}

impl Serves {
    fn start() -> Self {
        let mut child = Command::new(PYTHON).args(["-c", SERVES]).stdout(Stdio::piped()).spawn().unwrap();
        let port = Output::of(child.stdout.take().unwrap()).line("port ");
        Self { child, port: port.trim().rsplit(' ').next().unwrap().to_owned() }
    }
}

impl Drop for Serves {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_stream_with_another_head_is_not_held_back() {
    let server = Serves::start();
    let rules = ["--inject", "op='* /events' status=203 set-header='X-Shed: yes'"];
    let ended = inject(&rules, &[PYTHON, "-c", READS, &server.port]);
    assert_eq!(out(&ended), "203 yes b'one\\n'\n204 b'two\\n'\n", "{}", err(&ended));
    assert!(err(&ended).contains("reached 1, fired 1, observed 1"), "{}", err(&ended));
}

#[test]
fn what_follows_an_upgrade_is_bytes_that_can_be_disturbed() {
    let server = Serves::start();
    let ended = inject(&["--inject", "limit-bytes=10"], &[PYTHON, "-c", SWITCHES, &server.port]);
    assert_eq!(out(&ended), "b'HTTP/1.1 101 Switching Protocols'\nb'0123456789'\n", "{}", err(&ended));
    assert!(err(&ended).contains("fired 1, observed 1"), "{}", err(&ended));
}

#[test]
fn a_partition_that_begins_within_an_answer_holds_what_is_left_of_it() {
    let server = Serves::start();
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("control").to_str().unwrap().to_owned();
    let on = |arguments: &[&str]| control(&[arguments, &["--control", &socket]].concat()).0;
    let mut session = Session::start(&["--control", &socket], &[PYTHON, "-c", WATCHES, &server.port]);
    session.stdout.line("up");
    assert_eq!(ask(&mut session, "one"), "one came");
    // Of another's it sees nothing.
    assert_eq!(on(&["--add", "dep=other.test partition"]), 0);
    assert_eq!(on(&["--add", &format!("dep=*:{} partition", server.port)]), 0);
    let mut other = std::net::TcpStream::connect(format!("127.0.0.1:{}", server.port)).unwrap();
    other.write_all(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(other.read(&mut [0; 99]).unwrap() > 0);
    assert_eq!(ask(&mut session, "tries"), "tries silent");
    assert_eq!(on(&["--remove", "2"]), 0);
    assert_eq!(ask(&mut session, "two"), "two came");
    let (_, said) = session.end();
    assert!(said.contains("partition: reached 1, fired 1, observed 1"), "{said}");
    assert!(said.contains("partition: reached 0, fired 0"), "{said}");
}
