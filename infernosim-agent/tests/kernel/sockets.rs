//! Sockets in all their kinds: what a program asks them is answered as without us.

use crate::harness::{Capture, Origin, Recording, Side, text};

/// What all scripts begin with: an exchange over a connected socket.
const PRELUDE: &str = r#"
import errno, os, select, socket, sys, threading
port = int(sys.argv[1])
def ask(s, path="/hello"):
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    got = b""
    while piece := s.recv(65536):
        got += piece
    return got.split(b"\r\n\r\n")[1]
"#;

/// Runs a script without us and captured; both must print the same. Gives what was recorded.
fn alike(script: &str, origin: &Origin) -> Recording {
    let capture = Capture::python(&format!("{PRELUDE}{script}"), &[&origin.port().to_string()]);
    let native = capture.native();
    assert_eq!(native.code, 0, "{native:?}");
    let finished = capture.run();
    assert_eq!((finished.code, &finished.stdout), (0, &native.stdout), "{}", finished.stderr);
    finished.recording()
}

#[test]
fn getpeername_is_the_peer_that_was_asked_for() {
    let v4 = Origin::start();
    let script = r#"
s = socket.create_connection(("127.0.0.1", port))
print(s.getpeername(), s.getsockname()[0], ask(s))
"#;
    let recording = alike(script, &v4);
    assert_eq!(text(&recording.call()["peer"]), v4.addr.to_string());

    let v6 = Origin::start_v6();
    let script = r#"
s = socket.create_connection(("::1", port))
print(s.getpeername(), s.getsockname()[0], ask(s))
"#;
    let recording = alike(script, &v6);
    assert_eq!(text(&recording.call()["peer"]), v6.addr.to_string());
}

#[test]
fn a_dual_stack_socket_reaches_ipv4_by_a_mapped_address() {
    let origin = Origin::start();
    let script = r#"
s = socket.socket(socket.AF_INET6)
s.connect(("::ffff:127.0.0.1", port))
print(s.getpeername(), s.getsockname()[0], ask(s))
"#;
    let recording = alike(script, &origin);
    // One peer has one name, however it was spelt.
    assert_eq!(text(&recording.call()["peer"]), origin.addr.to_string());
}

#[test]
fn a_non_blocking_connect_is_announced_by_poll() {
    let origin = Origin::start();
    let script = r#"
s = socket.socket()
s.setblocking(False)
print(errno.errorcode[s.connect_ex(("127.0.0.1", port))])
p = select.poll()
p.register(s, select.POLLOUT)
print(p.poll(10000)[0][1], s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), s.getpeername()[1] == port)
s.setblocking(True)
print(ask(s))
"#;
    assert_eq!(alike(script, &origin).calls().len(), 1);
}

#[test]
fn a_socket_bound_first_keeps_its_address_and_port() {
    let origin = Origin::start();
    let script = r#"
s = socket.socket()
s.bind(("127.0.0.1", 0))
bound = s.getsockname()
s.connect(("127.0.0.1", port))
print(s.getsockname() == bound, s.getpeername(), ask(s))
s = socket.socket()
s.bind(("127.9.9.9", 0))
s.connect(("127.0.0.1", port))
print(s.getsockname()[0], s.getpeername(), ask(s))
s = socket.socket()
s.setsockopt(socket.SOL_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
s.bind(("127.8.8.8", 0))
s.connect(("127.0.0.1", port))
print(s.getsockname()[0], ask(s))
"#;
    let recording = alike(script, &origin);
    let calls = recording.calls();
    assert_eq!(calls.len(), 3);
    assert!(text(&calls[1]["local"]).starts_with("127.9.9.9:"), "{:#}", calls[1]);
}

/// The first bytes travel with sendto, which connects by itself.
#[test]
fn tcp_fast_open() {
    let origin = Origin::start();
    let script = r#"
s = socket.socket()
request = b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
print(s.sendto(request, socket.MSG_FASTOPEN, ("127.0.0.1", port)), s.getpeername())
got = b""
while piece := s.recv(65536):
    got += piece
print(got)
s = socket.socket()
s.setsockopt(socket.SOL_TCP, 30, 1)  # TCP_FASTOPEN_CONNECT
s.connect(("127.0.0.1", port))
print(ask(s))
"#;
    assert_eq!(alike(script, &origin).calls().len(), 2);
}

#[test]
fn mptcp() {
    let origin = Origin::start();
    let enabled = std::fs::read_to_string("/proc/sys/net/mptcp/enabled").unwrap_or_default();
    let script = r#"
try:
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
except OSError as e:
    print("no MPTCP", errno.errorcode[e.errno])
    sys.exit()
s.connect(("127.0.0.1", port))
print(s.getpeername(), ask(s))
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
s.setblocking(False)
s.connect_ex(("127.0.0.1", port))
select.select([], [s], [], 10)
print(s.getpeername())
s.setblocking(True)
print(ask(s))
"#;
    let recording = alike(script, &origin);
    if enabled.trim() == "1" {
        assert_eq!(recording.calls().len(), 2);
    } else {
        // Then the kernel itself refuses, and that is all there is to see.
        eprintln!("THIS KERNEL HAS NO MPTCP (net.mptcp.enabled = {enabled:?}): only its refusal was tested");
        assert_eq!(recording.calls().len(), 0);
    }
}

#[test]
fn many_threads_at_once() {
    let origin = Origin::start();
    let script = r#"
wrong = []
def work(thread):
    for number in range(20):
        s = socket.create_connection(("127.0.0.1", port))
        path = f"/t/{thread}/{number}"
        if s.getpeername() != ("127.0.0.1", port) or ask(s, path) != path.encode():
            wrong.append(path)
threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
[t.start() for t in threads]
[t.join() for t in threads]
print(wrong)
"#;
    let recording = alike(script, &origin);
    let calls = recording.calls();
    assert_eq!(calls.len(), 320);
    let mut urls: Vec<&str> = calls.iter().map(|call| text(&call["url"])).collect();
    urls.sort_unstable();
    urls.dedup();
    assert_eq!(urls.len(), 320);
    assert!(calls.iter().all(|call| text(&call["responseBody"]).len() > 4 && call["status"] == 200));
    let mut threads: Vec<u64> = calls.iter().map(|call| call["tid"].as_u64().unwrap()).collect();
    threads.sort_unstable();
    threads.dedup();
    assert_eq!(threads.len(), 16);
    assert!(calls.iter().all(|call| call["pid"] == calls[0]["pid"]));
}

#[test]
fn children_and_what_they_execute_are_captured() {
    let origin = Origin::start();
    let script = "curl -sS \"$0/a\" & curl -sS \"$0/b\" & (curl -sS \"$0/c\"; true) & wait";
    let recording = Capture::of(&["sh", "-c", script, &origin.url("")]).record();
    let calls = recording.calls();
    assert_eq!(calls.len(), 3);
    let mut pids: Vec<u64> = calls.iter().map(|call| call["pid"].as_u64().unwrap()).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 3);
    assert!(!pids.contains(&recording.manifest["target"]["pid"].as_u64().unwrap()));
    assert!(calls.iter().all(|call| call["comm"] == "curl"));
}

/// A daemon's way: the parent ends at once, and its child goes on and connects.
#[test]
fn a_child_that_outlives_the_command_is_captured_as_long_as_there_is_drain() {
    let origin = Origin::start();
    let script = "(sleep 0.3; curl -sS \"$0/late\" >/dev/null) >/dev/null 2>&1 & exit 0";
    let finished = Capture::of(&["sh", "-c", script, &origin.url("")]).run();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    // Whether it was recorded, the contract leaves open (the capture ends with CMD); that it works, it does not.
    crate::harness::eventually("the child's request arrives", || origin.seen().len() == 1);
    assert!(finished.recording().calls().len() <= 1);
}

#[test]
fn udp_is_left_alone_and_counted() {
    let origin = Origin::start();
    let script = r#"
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.connect(server.getsockname())
print(client.getpeername() == server.getsockname())
client.send(b"one")
client.sendto(b"two", server.getsockname())
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"three", server.getsockname())
print([server.recv(10) for _ in range(3)])
"#;
    let recording = alike(script, &origin);
    assert_eq!(recording.events.len(), 0);
    assert_eq!(recording.unmediated("udp-datagrams"), 3, "{:#}", recording.manifest);
}

#[test]
fn unix_sockets_are_left_alone_and_counted() {
    let origin = Origin::start();
    let script = r#"
import tempfile
place = tempfile.mkdtemp()
for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
    path = os.path.join(place, str(int(kind)))
    server = socket.socket(socket.AF_UNIX, kind)
    server.bind(path)
    server.listen()
    client = socket.socket(socket.AF_UNIX, kind)
    client.connect(path)
    print(client.getpeername() == path)
    peer, _ = server.accept()
    client.send(b"x")
    print(peer.recv(10))
    os.unlink(path)
os.rmdir(place)
"#;
    let recording = alike(script, &origin);
    assert_eq!(recording.events.len(), 0);
    assert_eq!(recording.manifest["unmediated"], serde_json::json!({"unix-sockets": 2}));
}

#[test]
fn a_socket_may_connect_again() {
    let origin = Origin::start();
    let script = r#"
closed = socket.socket()
closed.bind(("127.0.0.1", 0))
s = socket.socket()
print(errno.errorcode[s.connect_ex(closed.getsockname())])
s.connect(("127.0.0.1", port))
print(s.getpeername(), ask(s, "/second"))
print(errno.errorcode[s.connect_ex(("127.0.0.1", port))])

# Dissolved by AF_UNSPEC (connect(2)), then used for another peer.
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
s = socket.socket()
s.connect(("127.0.0.1", port))
print(libc.connect(s.fileno(), b"\0" * 16, 16))
try:
    print(s.getpeername())
except OSError as e:
    print(errno.errorcode[e.errno])
print(errno.errorcode[s.connect_ex(closed.getsockname())])
s.connect(("127.0.0.1", port))
print(s.getpeername(), ask(s, "/third"))
"#;
    let recording = alike(script, &origin);
    let urls: Vec<&str> = recording.calls().iter().map(|call| text(&call["url"])).collect();
    assert_eq!(urls, ["http://x/second", "http://x/third"]);
}

/// What a listener of the target's own sees of its clients, and what its clients see of it.
#[test]
fn a_target_that_serves_itself_sees_what_it_would() {
    let origin = Origin::start();
    let script = r#"
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
peer, address = server.accept()
print(client.getpeername() == server.getsockname(), peer.getsockname() == server.getsockname())
client.sendall(b"\0ping")
print(peer.recv(10))
peer.sendall(b"pong")
print(client.recv(10))
peer.close()
print(client.recv(10))
"#;
    let recording = alike(script, &origin);
    let (calls, exchange) = (recording.calls(), recording.exchange());
    assert_eq!((calls.len(), &calls[0]["protocol"]), (1, &"tcp".into()));
    assert_eq!(exchange.sent(&recording), recording.body(calls[0], Side::Request));
    assert_eq!(exchange.answer(&recording), recording.body(calls[0], Side::Response));
}

/// Options that a program sets and reads back.
#[test]
fn socket_options_stay_the_programs() {
    let origin = Origin::start();
    let script = r#"
s = socket.socket()
s.setsockopt(socket.SOL_TCP, socket.TCP_NODELAY, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
s.setsockopt(socket.SOL_TCP, socket.TCP_KEEPIDLE, 77)
s.setsockopt(socket.SOL_TCP, 18, 5000)  # TCP_USER_TIMEOUT
s.connect(("127.0.0.1", port))
print([s.getsockopt(socket.SOL_TCP, option) for option in (socket.TCP_NODELAY, socket.TCP_KEEPIDLE, 18)])
print(s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
print(ask(s))
"#;
    assert_eq!(alike(script, &origin).calls().len(), 1);
}
