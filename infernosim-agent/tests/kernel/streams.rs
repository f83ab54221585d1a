//! Connections that end with bytes still on their way, and readers that are slow.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;

use crate::harness::{Capture, Tcp, text};

fn reset(stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Bytes that may be cut anywhere are at least the first ones, and in order.
#[test]
fn a_reset_in_flight_leaves_a_true_beginning_and_an_error() {
    let origin = Tcp::start(|mut stream| {
        let bytes: Vec<u8> = (0..2_000_000_u32).flat_map(u32::to_be_bytes).collect();
        let _ = stream.write_all(&bytes);
        reset(&stream);
    });
    let script = r#"
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
got = b""
try:
    while piece := s.recv(65536):
        got += piece
    print("end")
except ConnectionResetError:
    print("reset")
whole = got[:len(got) // 4 * 4]
print(whole == b"".join(n.to_bytes(4, "big") for n in range(len(whole) // 4)), len(got) > 0)
"#;
    let finished = Capture::python(script, &[&origin.port().to_string()]).run();
    assert_eq!(finished.stdout, "reset\nTrue True\n", "{}", finished.stderr);
    let recording = finished.recording();
    assert_eq!(text(&recording.call()["errno"]), "ECONNRESET");
}

/// A client that closes with unread bytes resets, which the server's next write or read meets.
#[test]
fn a_client_that_closes_with_bytes_unread_resets() {
    let origin = Tcp::start(|mut stream| {
        stream.write_all(&[7; 1000]).unwrap();
        let mut buffer = [0; 100];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return "fin".to_owned(),
                Ok(_) => {}
                Err(error) => return format!("{:?}", error.kind()),
            }
        }
    });
    let script = r#"
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.recv(10)
s.close()
"#;
    let capture = Capture::python(script, &[&origin.port().to_string()]);
    assert_eq!(capture.native().code, 0);
    assert_eq!(origin.result(), "ConnectionReset");
    assert_eq!(capture.run().code, 0);
    assert_eq!(origin.result(), "ConnectionReset");
}

/// A reader that does not read holds the writer up: nobody in between swallows the stream.
#[test]
fn back_pressure_reaches_the_writer() {
    // The server reads nothing until the writer stalled for a whole second. Two sockets, each
    // with its buffers of some megabytes, stand in between; a relay that buffers without bounds never stalls.
    let script = r#"
import select, socket, sys, time
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
gate = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
s.setblocking(False)
total = 0
while total < 400_000_000 and select.select([], [s], [], 1.0)[1]:
    total += s.send(b"\0" * 65536)
print("stalled", total < 400_000_000)
gate.sendall(b"go")
s.setblocking(True)
s.shutdown(socket.SHUT_WR)
got = b""
while piece := s.recv(100):
    got += piece
print(int(got) == total)
"#;
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let receiver = std::sync::Arc::new(std::sync::Mutex::new(receiver));
    let gate = Tcp::start(move |mut stream| {
        let mut word = [0; 2];
        stream.read_exact(&mut word).unwrap();
        let _ = sender.send(());
    });
    let stalled = Tcp::start(move |mut stream| {
        receiver.lock().unwrap().recv_timeout(Duration::from_secs(60)).unwrap();
        let (mut total, mut buffer) = (0, vec![0; 1 << 20]);
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            total += read;
        }
        stream.write_all(total.to_string().as_bytes()).unwrap();
        total
    });
    let ports = [stalled.port().to_string(), gate.port().to_string()];
    let finished = Capture::python(script, &[&ports[0], &ports[1]]).run();
    assert_eq!(finished.stdout, "stalled True\nTrue\n", "{}", finished.stderr);
    assert!(finished.peak_rss_kib < 200 << 10, "{} KiB", finished.peak_rss_kib);
    // Every byte went through; how much of it the buffer could keep is another matter, and said.
    stalled.result();
}

/// No time-outs of our own: a connection may be silent for longer than any of ours lasts.
#[test]
fn a_silent_connection_stays_open() {
    let origin = Tcp::start(|mut stream| {
        let mut word = [0; 5];
        stream.read_exact(&mut word).unwrap();
        stream.write_all(&word).unwrap();
    });
    let script = r#"
import socket, sys, time
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
time.sleep(6)
s.sendall(b"later")
print(s.recv(10))
"#;
    let finished = Capture::python(script, &[&origin.port().to_string()]).run();
    assert_eq!(finished.stdout, "b'later'\n", "{}", finished.stderr);
}
