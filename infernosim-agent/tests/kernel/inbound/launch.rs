//! `-- CMD`: a server that we start is heard from its first request on.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::harness::{Capture, Lab, PYTHON, Service, Wire, eventually, long};

/// Listens late, as servers do, and serves one connection of two requests.
const SERVER: &str = r#"
import socket, sys, time
time.sleep(float(sys.argv[2]))
family = socket.AF_INET6 if ":" in sys.argv[3] else socket.AF_INET
stream, peer = socket.create_server((sys.argv[3], int(sys.argv[1])), family=family).accept()
for number in range(2):
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += stream.recv(1000)
    stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number)
stream.recv(1)
print(peer[1])
"#;

/// A client waits for the port to open and asks at once, when the server may not have accepted yet.
#[test]
fn the_first_request_after_the_port_opens_is_recorded() {
    for number in 0..if long() { 50 } else { 12 } {
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let client = std::thread::spawn(move || ask(addr));
        let late = format!("{}", f64::from(number % 10) / 200.0);
        let finished = Capture::python(SERVER, &[&addr.port().to_string(), &late, "127.0.0.1"]).run();
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        let client = client.join().unwrap();
        assert_eq!(finished.stdout, format!("{}\n", client.port()));
        let recording = finished.recording();
        assert_eq!(recording.asked(), ["GET /first", "GET /second"]);
        for (number, exchange) in recording.exchanges().iter().enumerate() {
            exchange.assert_whole();
            assert_eq!(exchange.client(), client);
            assert_eq!(exchange.request["local"], addr.to_string());
            assert_eq!(exchange.answer(&recording), number.to_string().as_bytes());
        }
        assert_eq!(recording.events.len(), 4, "{:#?}", recording.events);
    }
}

/// In a namespace that our command enters; the client is in another.
#[test]
fn the_first_request_to_a_server_in_another_namespace() {
    let lab = Lab::new();
    for v6 in [false, true] {
        let ip = Lab::server_address(v6);
        let addr = SocketAddr::new(ip, 7171);
        let host = ip.to_string();
        let words = ["ip", "netns", "exec", lab.server.name(), PYTHON, "-c", SERVER, "7171", "0", &host];
        let running = Capture::of(&words).start();
        let client = lab.client.enter(move || ask(addr));
        let recording = running.finish().recording();
        assert_eq!(recording.asked(), ["GET /first", "GET /second"]);
        for exchange in recording.exchanges() {
            exchange.assert_whole();
            assert_eq!((exchange.client(), &exchange.request["local"]), (client, &addr.to_string().into()));
        }
    }
}

/// The answer is the last that it does, and its end the end of the capture.
const LAST: &str = r#"
import os, socket, sys
if len(sys.argv) > 2:
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"READY main={os.getpid()} port={listener.getsockname()[1]}", flush=True)
else:
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
stream, _ = listener.accept()
stream.recv(1000)
stream.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + b"last" * 50000)
os._exit(0)
"#;

#[test]
fn the_last_answer_of_a_server_that_exits() {
    let last = |addr: SocketAddr, wait: Duration| {
        let mut wire = patient(addr);
        wire.send("GET /last HTTP/1.1\r\nHost: a\r\n\r\n");
        // More than fits into the client's buffer: the rest the kernel still has when the server is gone.
        std::thread::sleep(wait);
        assert_eq!(wire.response().unwrap().1, b"last".repeat(50_000));
    };
    for number in 0..if long() { 50 } else { 6 } {
        let wait = Duration::from_millis(if number % 3 == 0 { 100 } else { 0 });
        let finished = if number % 2 == 0 {
            let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let client = std::thread::spawn(move || last(addr, wait));
            let finished = Capture::python(LAST, &[&addr.port().to_string()]).run();
            client.join().unwrap();
            finished
        } else {
            let service = Service::run(&[], &[PYTHON, "-c", LAST, "0", "ready"]);
            let capture = super::attached(&service.pid_text("main"));
            last(SocketAddr::from(([127, 0, 0, 1], service.pids["port"] as u16)), wait);
            drop(service);
            capture.wait_for_end()
        };
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        let recording = finished.recording();
        let exchange = recording.exchange();
        exchange.assert_whole();
        assert_eq!(exchange.answer(&recording), b"last".repeat(50_000));
    }
}

/// Connects as soon as somebody listens.
fn patient(addr: SocketAddr) -> Wire {
    let mut stream = None;
    eventually("the port opens", || {
        stream = (0..1000).find_map(|_| TcpStream::connect(addr).ok());
        // A connect to a port of the client's own choice may meet itself (RFC 9293 section 3.5).
        stream.take_if(|stream| stream.local_addr().unwrap() == addr);
        stream.is_some()
    });
    Wire::new(stream.unwrap())
}

fn ask(addr: SocketAddr) -> SocketAddr {
    let mut wire = patient(addr);
    for (path, body) in [("first", b"0"), ("second", b"1")] {
        wire.send(format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(wire.response().unwrap().1, body);
    }
    wire.stream.local_addr().unwrap()
}
