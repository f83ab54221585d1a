//! Connections that fail: in the target as without us, and in the recording with their errno.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use socket2::SockRef;

use crate::harness::{Capture, Lab, Origin, Tcp, text};

/// A port of loopback on which nobody listens, for as long as the socket lives: it is bound and no more.
fn closed_port(address: &str) -> (socket2::Socket, u16) {
    let address: std::net::SocketAddr = address.parse().unwrap();
    let socket =
        socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None).unwrap();
    socket.bind(&address.into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    (socket, port)
}

const CONNECT: &str = r#"
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family)
s.settimeout(20)
try:
    s.connect((sys.argv[1], int(sys.argv[2])))
    print("connected")
    s.sendall(b"hello")
    print("read", s.recv(100))
except OSError as e:
    print(type(e).__name__, e.errno)
"#;

#[test]
fn a_closed_local_port_refuses_as_it_does_without_us() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (_socket, port) = closed_port(address);
        let host = if address.starts_with('[') { "[::1]" } else { "127.0.0.1" };
        let url = format!("http://{host}:{port}/");
        let curl = Capture::of(&["sh", "-c", "curl -sS \"$0\" 2>&1", &url]);
        let native = curl.native();
        let captured = curl.run();
        assert_eq!(native.code, 7, "{native:?}");
        // curl says how long it took.
        let sentence = |text: &str| text.split(" after ").next().unwrap().to_owned();
        assert_eq!((captured.code, sentence(&captured.stdout)), (7, sentence(&native.stdout)));
        assert_eq!(captured.recording().calls().len(), 0);

        let python = Capture::python(CONNECT, &[host.trim_matches(['[', ']']), &port.to_string()]);
        let native = python.native();
        assert_eq!(native.stdout, "ConnectionRefusedError 111\n");
        assert_eq!(python.run().stdout, native.stdout);
    }
}

/// A service that listens on 127.0.0.1 only, asked for by a name that has `::1` too and first.
#[test]
fn fallback_from_ipv6_to_ipv4_works() {
    let origin = Origin::start();
    let resolve = format!("h:{}:[::1],127.0.0.1", origin.port());
    let url = format!("http://h:{}/hello", origin.port());
    let finished = Capture::of(&["curl", "-sS", "--resolve", &resolve, &url]).run();
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "hello, world\n"), "{}", finished.stderr);
    let recording = finished.recording();
    let calls = recording.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0]["peer"], origin.addr.to_string());
}

/// The target fails too, and the log names the errno. `errnos` are those that a kernel may give.
fn fails_elsewhere(lab: &Lab, host: &str, port: u16, errnos: &[&str]) {
    let capture = Capture::python(CONNECT, &[host, &port.to_string()]).within(&lab.client);
    let native = capture.native();
    assert!(native.stdout.contains("Error"), "{native:?}");
    let finished = capture.run();
    assert!(finished.stdout.contains("Error") && !finished.stdout.contains("read"), "{}", finished.stdout);
    let recording = finished.recording();
    assert_eq!(recording.events.len(), 1, "{:#?}", recording.events);
    let event = &recording.events[0];
    assert_eq!(event["type"], "Connection");
    assert!(errnos.contains(&text(&event["errno"])), "{event:#}");
    assert!(!text(&event["error"]).is_empty(), "{event:#}");
    let peer = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    assert_eq!(event["peer"], peer);
    assert_eq!(event["comm"], "python3");
    assert_eq!(recording.manifest["dependencies"][0]["failed"], 1, "{:#}", recording.manifest);
}

#[test]
fn a_refusing_host_refuses_and_is_recorded() {
    let lab = Lab::new();
    fails_elsewhere(&lab, "10.77.0.2", 9, &["ECONNREFUSED"]);
    fails_elsewhere(&lab, "fd77::2", 9, &["ECONNREFUSED"]);
}

#[test]
fn an_unreachable_host_fails_and_is_recorded() {
    let lab = Lab::new();
    fails_elsewhere(&lab, "10.78.0.1", 80, &["EHOSTUNREACH"]);
    fails_elsewhere(&lab, "fd78::1", 80, &["EHOSTUNREACH", "ENETUNREACH"]);
    // No route at all.
    fails_elsewhere(&lab, "10.79.0.1", 80, &["ENETUNREACH"]);
}

/// curl and python say "reset" where the origin resets, and not something else.
#[test]
fn a_reset_in_the_middle_of_an_answer_is_a_reset_and_recorded_as_one() {
    let origin = Tcp::start(|mut stream| {
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly so much").unwrap();
        // The client has it before the reset may overtake it.
        std::thread::sleep(Duration::from_millis(300));
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let url = format!("http://{}/cut", origin.addr);
    let capture = Capture::of(&["sh", "-c", "curl -sS \"$0\" 2>&1", &url]);
    let native = capture.native();
    assert!(native.code == 56 && native.stdout.contains("reset"), "{native:?}");
    let finished = capture.run();
    assert_eq!((finished.code, &finished.stdout), (native.code, &native.stdout));
    let recording = finished.recording();
    let event = recording.call();
    assert_eq!(event["status"], 200);
    assert_eq!(event["incomplete"], true, "{event:#}");
    assert_eq!(event["errno"], "ECONNRESET");
    assert_eq!(event["responseBody"], "only so much");
    assert_eq!(recording.manifest["dependencies"][0]["failed"], 1);
}

/// An answer that lasts until the connection ends is whole when it ended, and not when it broke.
#[test]
fn a_reset_does_not_complete_an_answer_that_ends_with_its_connection() {
    let origin = Tcp::start(|mut stream| {
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer);
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nonly so much").unwrap();
        std::thread::sleep(Duration::from_millis(300));
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let finished = Capture::of(&["curl", "-sS", &format!("http://{}/cut", origin.addr)]).run();
    assert_eq!(finished.code, 56, "{}", finished.stderr);
    let recording = finished.recording();
    let event = recording.call();
    assert_eq!(event["responseBody"], "only so much");
    assert_eq!(event["incomplete"], true, "{event:#}");
    assert_eq!(event["errno"], "ECONNRESET");
}

/// An answer that ends too early without a reset is an end of file, and incomplete too.
#[test]
fn a_close_in_the_middle_of_an_answer_is_a_close() {
    let origin = Tcp::start(|mut stream| {
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly so much").unwrap();
    });
    let capture = Capture::of(&["sh", "-c", "curl -sS \"$0\" 2>&1", &format!("http://{}/cut", origin.addr)]);
    let native = capture.native();
    assert_eq!(native.code, 18, "{native:?}");
    let finished = capture.run();
    assert_eq!((finished.code, &finished.stdout), (native.code, &native.stdout));
    let recording = finished.recording();
    let event = recording.call();
    assert_eq!(event["incomplete"], true, "{event:#}");
    assert!(event.get("errno").is_none(), "{event:#}");
}

/// The client gives up; the origin sees its end, and the line says that there was no answer.
#[test]
fn a_server_that_never_answers_is_given_up_by_the_client_and_not_by_us() {
    let origin = Tcp::start(|mut stream| {
        let mut bytes = Vec::new();
        let ended = stream.read_to_end(&mut bytes);
        (bytes, ended.is_ok())
    });
    let url = format!("http://{}/never", origin.addr);
    let finished = Capture::of(&["curl", "-sS", "-m", "1", &url]).run();
    assert_eq!(finished.code, 28, "{}", finished.stderr);
    let (bytes, ended) = origin.result();
    assert!(bytes.starts_with(b"GET /never HTTP/1.1\r\n") && ended);
    let recording = finished.recording();
    let event = recording.call();
    assert_eq!(event["incomplete"], true);
    assert!(event.get("status").is_none(), "{event:#}");
    assert!(event["duration"].as_u64().unwrap() >= 900_000_000, "{event:#}");
}

#[test]
fn a_connection_on_which_nothing_is_said_is_a_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = "import socket, sys\nsocket.create_connection(('127.0.0.1', int(sys.argv[1]))).close()";
    let recording = Capture::python(script, &[&port.to_string()]).record();
    assert_eq!(recording.events.len(), 1);
    let event = &recording.events[0];
    assert_eq!(event["type"], "Connection");
    assert!(event.get("errno").is_none(), "{event:#}");
    assert_eq!(event["url"], format!("tcp://127.0.0.1:{port}"));
}
