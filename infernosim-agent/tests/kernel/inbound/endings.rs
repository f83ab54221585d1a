//! Exchanges that do not end well are recorded as what they are, and nothing is made of connections without any.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use super::{attached, connect, detach};
use crate::harness::{Exchange, PYTHON, Recording, Running, Service, Wire, eventually, text};

/// Does with each connection what the first request on it says.
const ACTS: &str = r#"
import os, socket, struct, sys, threading, time
def act(stream):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = stream.recv(1)
        if not piece:
            return
        head += piece
    path = head.split()[1]
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    def reset():
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if path == b"/silent":
        pass
    elif path == b"/reset":
        reset()
    elif path == b"/cut":
        stream.sendall(half)
    elif path == b"/cut-reset":
        stream.sendall(half)
        time.sleep(0.3)
        reset()
    elif path == b"/never":
        while stream.recv(1000):
            pass
    elif path == b"/slow":
        stream.sendall(half)
        stream.recv(1)
    elif path == b"/early":
        stream.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch")
        stream.shutdown(socket.SHUT_WR)
        while stream.recv(65536):
            pass
    elif path == b"/half":
        rest = b""
        while piece := stream.recv(1000):
            rest += piece
        time.sleep(0.2)
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(rest), rest))
    stream.close()
def serve(listener):
    while True:
        stream, _ = listener.accept()
        threading.Thread(target=act, args=[stream], daemon=True).start()
listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=[listener], daemon=True).start()
print(f"READY main={os.getpid()} port={listener.getsockname()[1]}", flush=True)
sys.stdin.read()
"#;

struct Lab {
    addr: SocketAddr,
    capture: Running,
    _service: Service,
}

fn lab() -> Lab {
    let service = Service::run(&[], &[PYTHON, "-c", ACTS]);
    let addr = SocketAddr::from(([127, 0, 0, 1], service.pids["port"] as u16));
    Lab { addr, capture: attached(&service.pid_text("main")), _service: service }
}

impl Lab {
    fn ask(&self, path: &str) -> Wire {
        let mut wire = connect(self.addr);
        wire.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        wire
    }

    /// The end of the capture; the service's part of what is under way is given a moment first.
    fn end(self) -> Recording {
        std::thread::sleep(Duration::from_millis(300));
        detach(self.capture).recording()
    }
}

/// The request is whole; the response says that it is not, and why.
fn assert_failed(exchange: &Exchange<'_>, status: u64, words: &[&str]) {
    let response = exchange.response;
    assert!(exchange.request.get("incomplete").is_none(), "{exchange:#?}");
    assert_eq!(response["incomplete"], true, "{response:#}");
    assert_eq!(exchange.status(), status, "{response:#}");
    let error = text(&response["error"]);
    assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {response:#}");
}

#[test]
fn a_server_that_does_not_answer_or_not_in_full() {
    let lab = lab();
    for path in ["/silent", "/reset", "/cut", "/cut-reset"] {
        let mut wire = lab.ask(path);
        while wire.some().is_some() {}
    }
    let recording = lab.end();
    let exchanges = recording.exchanges();
    assert_eq!(recording.asked(), ["GET /silent", "GET /reset", "GET /cut", "GET /cut-reset"]);
    assert_failed(&exchanges[0], 0, &["target", "closed"]);
    assert_failed(&exchanges[1], 0, &["target", "reset"]);
    assert_failed(&exchanges[2], 200, &["target", "closed"]);
    assert_failed(&exchanges[3], 200, &["target", "reset"]);
    for exchange in &exchanges[2..] {
        assert_eq!(text(&exchange.response["body"]), "half", "{:#}", exchange.response);
    }
}

#[test]
fn a_client_that_goes_before_it_is_answered() {
    let lab = lab();
    // It closes; it resets; it goes in the middle of the answer.
    drop(lab.ask("/never"));
    let wire = lab.ask("/never");
    std::thread::sleep(Duration::from_millis(100));
    SockRef::from(&wire.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(wire);
    let mut wire = lab.ask("/slow");
    wire.head().unwrap();
    SockRef::from(&wire.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(wire);
    let recording = lab.end();
    let exchanges = recording.exchanges();
    assert_eq!(exchanges.len(), 3);
    assert_failed(&exchanges[0], 0, &["client", "closed"]);
    assert_failed(&exchanges[1], 0, &["client", "reset"]);
    assert_failed(&exchanges[2], 200, &["client", "reset"]);
}

#[test]
fn a_client_that_vanishes_in_the_middle_of_its_request() {
    let lab = lab();
    let mut wire = connect(lab.addr);
    wire.send("POST /never HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nonly so much");
    std::thread::sleep(Duration::from_millis(100));
    drop(wire);
    let mut wire = connect(lab.addr);
    wire.send("GET /half-a-head HTTP/1.1\r\nHos");
    drop(wire);
    let recording = lab.end();
    let exchanges = recording.exchanges();
    assert!(exchanges.iter().all(|exchange| !exchange.is_whole()), "{exchanges:#?}");
    let upload = exchanges.iter().find(|exchange| exchange.path() == "/never").unwrap();
    assert_eq!(upload.request["incomplete"], true, "{upload:#?}");
    assert!(text(&upload.request["error"]).contains("client"), "{upload:#?}");
    assert_eq!(text(&upload.request["body"]), "only so much");
}

#[test]
fn an_answer_that_comes_before_the_request_is_whole() {
    let lab = lab();
    let mut wire = connect(lab.addr);
    wire.send("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    wire.send([b'x'; 5000]);
    let (head, body) = wire.response().unwrap();
    assert!(head.contains("413") && body == b"much", "{head}");
    drop(wire);
    let recording = lab.end();
    let exchange = recording.exchange();
    assert_eq!(exchange.request["incomplete"], true, "{exchange:#?}");
    assert_eq!(exchange.status(), 413);
    assert_eq!(exchange.answer(&recording), b"much");
}

/// Half-closed by the client, which still hears the answer.
#[test]
fn a_client_that_shuts_its_half_down() {
    let lab = lab();
    let mut wire = lab.ask("/half");
    wire.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(wire.response().unwrap().1, b"");
    let recording = lab.end();
    let exchange = recording.exchange();
    exchange.assert_whole();
    assert_eq!((exchange.status(), exchange.path()), (200, "/half"));
}

#[test]
fn a_request_that_is_not_answered_before_the_capture_ends() {
    let lab = lab();
    let wires = [lab.ask("/never"), lab.ask("/slow")];
    let log = lab.capture.incident.join("inbound.log");
    eventually("the requests are told while they wait", || {
        std::fs::read_to_string(&log).unwrap().matches("\"InboundRequest\"").count() == 2
    });
    let recording = lab.end();
    let exchanges = recording.exchanges();
    assert_eq!(exchanges.len(), 2);
    for exchange in exchanges {
        let status = if exchange.path() == "/slow" { 200 } else { 0 };
        assert_failed(&exchange, status, &["capture", "ended"]);
    }
    drop(wires);
}

/// Scans, probes and connections that nobody uses: no requests, no losses, and nothing that hides what follows.
#[test]
fn connections_without_a_request() {
    let lab = lab();
    let mut open = Vec::new();
    for number in 0..100 {
        let stream = TcpStream::connect(lab.addr).unwrap();
        match number % 4 {
            0 => SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
            1 => stream.shutdown(Shutdown::Write).unwrap(),
            2 => open.push(stream),
            _ => {}
        }
    }
    let mut garbage = connect(lab.addr);
    garbage.stream.write_all(&[0xff; 300]).unwrap();
    let mut wire = lab.ask("/half");
    wire.stream.shutdown(Shutdown::Write).unwrap();
    wire.response().unwrap();
    let recording = lab.end();
    let http: Vec<_> = recording.exchanges();
    let http: Vec<_> = http.iter().filter(|exchange| exchange.request["protocol"] == "http/1.1").collect();
    assert_eq!(http.len(), 1, "{:#?}", recording.events);
    assert_eq!(http[0].path(), "/half");
    let others = recording.exchanges().len() - 1;
    assert!(others <= 1, "{:#?}", recording.events);
    drop((open, garbage));
}
