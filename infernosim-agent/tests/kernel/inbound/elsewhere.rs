//! Sockets that were made in a cgroup which the capture is not attached to: the kernel runs no program of ours for
//! them, so that all that can be done is to say so.

use super::{connect, service};
use crate::harness::{Capture, Cgroup, PYTHON, Recording, Running};

const KIND: &str = "listeners-of-another-cgroup";

fn assert_said(stderr: &str, recording: &Recording, addr: &str) {
    assert!(stderr.contains(&format!("what comes in at {addr} is not recorded")), "{stderr}");
    assert_eq!(recording.manifest["unmediated"][KIND], 1, "{:#}", recording.manifest);
}

/// A server that was moved into its cgroup after it had listened.
#[test]
fn a_server_that_was_moved_after_it_listened() {
    let cgroup = Cgroup::new();
    let server = service();
    let end = |capture: Running| {
        let mut wire = connect(server.addr);
        wire.send("GET /n/1 HTTP/1.1\r\nHost: a\r\n\r\n");
        wire.response().unwrap();
        super::detach(capture)
    };
    let pid = server.pid_text();
    // Where it was made it is heard.
    let finished = end(super::attached(&pid));
    assert!(finished.recording().manifest["unmediated"].get(KIND).is_none());
    assert_eq!(finished.recording().exchanges().len(), 1);
    cgroup.add(server.pid());
    for option in [["--pid", &pid], ["--cgroup", &cgroup.name()]] {
        let finished = end(Capture::attached(&option).start().ready());
        assert_said(&finished.stderr, &finished.recording(), &server.addr.to_string());
    }
}

/// A listener that CMD inherits, as from a supervisor that listens for it.
#[test]
fn a_listener_that_is_inherited() {
    const SUPERVISOR: &str = "
import os, socket, sys
listener = socket.create_server(('127.0.0.1', 0))
os.dup2(listener.fileno(), 9)
print(listener.getsockname()[1], flush=True)
os.execvp(sys.argv[1], sys.argv[1:])
";
    const CMD: &str = "
import socket
listener = socket.socket(fileno=9)
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
client.sendall(b'x')
server.recv(1)
";
    let finished = Capture::python(CMD, &[]).through(&[PYTHON, "-c", SUPERVISOR]).run();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let port = finished.stdout.trim();
    assert_said(&finished.stderr, &finished.recording(), &format!("127.0.0.1:{port}"));
}
