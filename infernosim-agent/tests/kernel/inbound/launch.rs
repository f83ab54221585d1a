//! `-- CMD`: a server that we start is heard from its first request on.

use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::harness::{Capture, Wire, eventually};

/// Listens late, as servers do, and serves one connection of two requests.
const SERVER: &str = r#"
import socket, sys, time
time.sleep(float(sys.argv[2]))
stream, peer = socket.create_server(("127.0.0.1", int(sys.argv[1]))).accept()
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
    for number in 0..50 {
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let client = std::thread::spawn(move || ask(addr));
        let late = format!("{}", f64::from(number % 10) / 200.0);
        let finished = Capture::python(SERVER, &[&addr.port().to_string(), &late]).run();
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

fn ask(addr: SocketAddr) -> SocketAddr {
    let mut stream = None;
    eventually("the port opens", || {
        stream = (0..1000).find_map(|_| TcpStream::connect(addr).ok());
        // A connect to a port of the client's own choice may meet itself (RFC 9293 section 3.5).
        stream.take_if(|stream| stream.local_addr().unwrap() == addr);
        stream.is_some()
    });
    let mut wire = Wire::new(stream.unwrap());
    for (path, body) in [("first", b"0"), ("second", b"1")] {
        wire.send(format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(wire.response().unwrap().1, body);
    }
    wire.stream.local_addr().unwrap()
}
