use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::wire::Wire;
use super::{Netns, sha256};

/// Twenty times "squeezed ", compressed.
pub const GZIP: [u8; 32] = [
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x2b, 0x2e, 0x2c, 0x4d, 0x4d, 0xad, 0x4a,
    0x4d, 0x51, 0x28, 0x1e, 0x3a, 0x0c, 0x00, 0xd8, 0xbe, 0xdb, 0x00, 0xb4, 0x00, 0x00, 0x00,
];

/// An HTTP/1 server of whose answers every byte is known; threads of the test's own process.
pub struct Origin {
    pub addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Who asked, as the server sees it.
    pub peer: String,
    pub head: String,
    pub body: Vec<u8>,
}

impl Origin {
    /// On loopback, IPv4.
    pub fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// On loopback, IPv6.
    pub fn start_v6() -> Self {
        Self::on(TcpListener::bind("[::1]:0").unwrap())
    }

    /// In a namespace, on all its addresses.
    pub fn within(netns: &Netns) -> Self {
        Self::at(netns, 0)
    }

    /// In a namespace, on this port of all its addresses.
    pub fn at(netns: &Netns, port: u16) -> Self {
        Self::on(netns.enter(move || TcpListener::bind(("::", port)).unwrap()))
    }

    /// On this address, for as long as the process lives.
    pub fn serve(addr: SocketAddr) {
        Self::on(TcpListener::bind(addr).unwrap());
        loop {
            std::thread::park();
        }
    }

    fn on(listener: TcpListener) -> Self {
        let addr = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let theirs = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&theirs);
                std::thread::spawn(move || serve(stream, &seen));
            }
        });
        Self { addr, seen }
    }

    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// The requests so far, whole ones.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Forgets them.
    pub fn clear(&self) {
        self.seen.lock().unwrap().clear();
    }
}

impl Seen {
    /// What was asked for.
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// Name and value of each header field, in wire order.
    pub fn fields(&self) -> Vec<(&str, &str)> {
        let lines = self.head.split("\r\n").skip(1).filter(|line| !line.is_empty());
        lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim())).collect()
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields().into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Seen>>) {
    let peer = stream.peer_addr().map_or_else(|_| String::new(), |peer| peer.ip().to_canonical().to_string());
    let mut wire = Wire::new(stream);
    while let Some(head) = wire.head() {
        let head = head.iter().map(|byte| char::from(*byte)).collect();
        let mut request = Seen { peer: peer.clone(), head, body: Vec::new() };
        let interim = match request.field("expect") {
            Some("100-continue") => "HTTP/1.1 100 Continue\r\n\r\n",
            _ => "",
        };
        wire.send(interim);
        let length = request.field("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let body = match request.field("transfer-encoding") {
            Some("chunked") => wire.chunked(),
            _ => wire.exactly(length),
        };
        let Some(body) = body else { return };
        request.body = body;
        let keep = request.field("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close"));
        seen.lock().unwrap().push(request.clone());
        if !answer(&mut wire, &request) || !keep {
            return;
        }
    }
}

/// Whether the connection goes on.
fn answer(wire: &mut Wire, request: &Seen) -> bool {
    let mut words = request.head.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let (route, number) = path.rsplit_once('/').unwrap_or_default();
    match path {
        "/hello" => {
            let body = if method == "HEAD" { "" } else { "hello, world\n" };
            // Names of odd case, in an order of their own, one of them twice.
            wire.send(format!(
                "HTTP/1.1 200 OK\r\nX-zebra: 1\r\nSet-Cookie: a=1\r\nCONTENT-LENGTH: 13\r\nx-Apple: 2\r\n\
                 Set-Cookie: b=2\r\ncontent-type: text/plain\r\n\r\n{body}"
            ));
        }
        "/echo" => whole(wire, &format!("{} {}\n", request.body.len(), sha256(&request.body))),
        "/chunked" => wire.send(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
             5\r\nfirst\r\n7;ext=1\r\n second\r\n0\r\nX-Sum: 12\r\n\r\n",
        ),
        "/gzip" => {
            let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 32\r\n\r\n";
            wire.send([head.as_bytes(), &GZIP].concat());
        }
        "/sse" => return events(wire, 5),
        "/204" => wire.send("HTTP/1.1 204 No Content\r\nX-Empty: yes\r\n\r\n"),
        // A length of the answer it would have been (RFC 9110 section 15.4.5).
        "/304" => wire.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: \"x\"\r\n\r\n"),
        "/503" => wire.send("HTTP/1.1 503 Out Of Order\r\nContent-Length: 4\r\n\r\nlate"),
        "/hints" => {
            wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
            whole(wire, "after the hint");
        }
        "/close" => {
            wire.send("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil ");
            std::thread::sleep(Duration::from_millis(20));
            wire.send("the end");
            return false;
        }
        "/upgrade" => {
            wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
            while let Some(bytes) = wire.some() {
                wire.send(bytes);
            }
            return false;
        }
        _ if route == "/sse" => return events(wire, number.parse().unwrap()),
        _ if route == "/n" => whole(wire, &format!("{number}\n")),
        _ if route == "/late" => {
            std::thread::sleep(Duration::from_millis(number.parse().unwrap()));
            whole(wire, path);
        }
        _ if route == "/bytes" => {
            let body = pattern(number.parse().unwrap_or(0));
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
            wire.send(body);
        }
        _ if route == "/paced" => paced(wire, number.parse().unwrap_or(0)),
        _ => whole(wire, path),
    }
    true
}

fn whole(wire: &mut Wire, body: &str) {
    wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
}

/// So many events, 120 ms apart.
fn events(wire: &mut Wire, count: usize) -> bool {
    wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n");
    for number in 0..count {
        if number > 0 {
            std::thread::sleep(Duration::from_millis(120));
        }
        wire.send(format!("data: {number}\n\n"));
    }
    false
}

/// So many MiB, 30 ms apart.
fn paced(wire: &mut Wire, mib: usize) {
    wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", mib << 20));
    for piece in pattern(mib << 20).chunks(1 << 20) {
        std::thread::sleep(Duration::from_millis(30));
        wire.send(piece);
    }
}

/// Bytes that are no UTF-8, in which no two stretches of a power of two are alike.
fn pattern(length: usize) -> Vec<u8> {
    let block: Vec<u8> =
        (0..65_537_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0] | 0x80).collect();
    let mut bytes = Vec::with_capacity(length + block.len());
    while bytes.len() < length {
        bytes.extend_from_slice(&block);
    }
    bytes.truncate(length);
    bytes
}
