use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::incident::Numbers;
use crate::protocol::Sender;
use crate::proxy::explicit::{Counts, Explicit, Role, Setup};
use crate::proxy::{Dialled, Feed, Pool, Slab, What};

/// Nothing here takes so long, however busy the host is.
pub const LONG: Duration = Duration::from_secs(60);

/// A running engine and what it records.
pub struct Proxy {
    pub engine: Explicit,
    pub address: SocketAddr,
    recorder: JoinHandle<Vec<Pair>>,
}

/// A pair of connections, as recorded.
#[derive(Debug, Default)]
pub struct Pair {
    pub dialled: Option<Dialled>,
    pub client: Vec<u8>,
    pub server: Vec<u8>,
    /// All notes but bytes, in order; before one of our own answers `AnsweredFor(ERRNO)`.
    pub notes: Vec<String>,
    /// Bytes there was no room for.
    pub missed: u64,
    pub error: String,
}

impl Pair {
    pub fn client(&self) -> String {
        String::from_utf8_lossy(&self.client).into_owned()
    }

    pub fn server(&self) -> String {
        String::from_utf8_lossy(&self.server).into_owned()
    }
}

pub fn forward() -> Proxy {
    start(Role::Forward, |_| {})
}

pub fn reverse(target: SocketAddr) -> Proxy {
    start(Role::Reverse { forward: target.to_string() }, |_| {})
}

pub fn start(role: Role, change: impl FnOnce(&mut Setup)) -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (pool, copies, feed) = Pool::new(32 << 20).unwrap();
    let mut setup = Setup {
        role,
        listeners: vec![listener],
        allow: Vec::new(),
        healthz: false,
        tag: None,
        connect_timeout: Duration::from_secs(10),
        most: 100,
        pool,
        copies,
        numbers: Numbers::default(),
        threads: 1,
    };
    change(&mut setup);
    let engine = Explicit::start(setup).unwrap();
    Proxy { engine, address, recorder: std::thread::spawn(move || record(&feed)) }
}

fn record(feed: &Feed) -> Vec<Pair> {
    let (mut open, mut done) = (BTreeMap::<(u32, u32), Pair>::new(), Vec::new());
    while let Ok((worker, mut slab)) = feed.slabs.recv() {
        let Slab { bytes, notes, .. } = &mut slab;
        for note in notes.drain(..) {
            let pair = open.entry((worker, note.slot)).or_default();
            match note.what {
                What::Dialled(dialled) => pair.dialled = Some(*dialled),
                What::Bytes { from, start, length } => {
                    let bytes = &bytes[start as usize..(start + length) as usize];
                    let side = if from == Sender::Client { &mut pair.client } else { &mut pair.server };
                    side.extend_from_slice(bytes);
                }
                What::Missed { length, .. } => pair.missed += length,
                What::AnsweredFor(answered) => {
                    pair.notes.push(format!("AnsweredFor({:?})", answered.errno));
                    pair.error = answered.error;
                }
                What::Named(id) => pair.notes.push(format!("Named({:032x})", *id)),
                What::Closed => done.extend(open.remove(&(worker, note.slot))),
                other => pair.notes.push(format!("{other:?}")),
            }
        }
        slab.clear();
        let _ = feed.back.send(slab);
    }
    assert!(open.is_empty(), "never closed: {open:?}");
    done.sort_by_key(|pair| pair.dialled.as_ref().map(|dialled| dialled.id));
    done
}

impl Proxy {
    pub fn connect(&self) -> Peer {
        Peer(TcpStream::connect(self.address).unwrap()).ready()
    }

    /// Sends one request on a connection of its own and reads the answer to the end.
    pub fn ask(&self, request: &str) -> String {
        let mut client = self.connect();
        client.send(request);
        client.rest()
    }

    /// Drains it; what it recorded.
    pub fn end(self) -> Vec<Pair> {
        self.end_and_count().0
    }

    pub fn end_and_count(self) -> (Vec<Pair>, Counts) {
        self.engine.drain();
        self.wait()
    }

    /// Waits for its end; what it recorded.
    pub fn wait(self) -> (Vec<Pair>, Counts) {
        let counts = self.engine.counts();
        self.engine.join();
        (self.recorder.join().unwrap(), counts)
    }
}

/// One side of a connection, in the test's hands.
pub struct Peer(pub TcpStream);

impl Peer {
    fn ready(self) -> Self {
        self.0.set_read_timeout(Some(LONG)).unwrap();
        self.0.set_write_timeout(Some(LONG)).unwrap();
        self.0.set_nodelay(true).unwrap();
        self
    }

    pub fn send(&mut self, text: impl AsRef<[u8]>) {
        self.0.write_all(text.as_ref()).unwrap();
    }

    /// Exactly so many bytes.
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Bytes up to and with this text.
    pub fn until(&mut self, text: &str) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(text.as_bytes()) {
            let mut byte = [0];
            match self.0.read(&mut byte) {
                Ok(1) => bytes.push(byte[0]),
                other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&bytes)),
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    /// A head.
    pub fn head(&mut self) -> String {
        self.until("\r\n\r\n")
    }

    /// All to the FIN.
    pub fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How it ends: with `FIN`, or with an error's kind.
    pub fn ends(&mut self) -> String {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Ok(_) => "FIN".to_owned(),
            Err(error) => format!("{:?}", error.kind()),
        }
    }

    pub fn fin(&self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// Closes it with a RST.
    pub fn reset(self) {
        socket2::SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// A server of the test's own.
pub struct Server {
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    listener: TcpListener,
}

impl Server {
    /// One that the test itself accepts from.
    pub fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, accepted: Arc::default(), listener }
    }

    pub fn accept(&self) -> Peer {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Peer(self.listener.accept().unwrap().0).ready()
    }

    /// One that serves each connection with `serve` until the test is over.
    pub fn serve(serve: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        let server = Self::bind();
        let (listener, accepted) = (server.listener.try_clone().unwrap(), Arc::clone(&server.accepted));
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                accepted.fetch_add(1, Ordering::Relaxed);
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(&mut Peer(stream).ready()));
            }
        });
        server
    }

    /// One that answers each request without a body with the head it got.
    pub fn echoing() -> Self {
        Self::serve(|peer| {
            while let Some(head) = peer.next_head() {
                peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len()));
            }
        })
    }

    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Peer {
    /// A head, or none at the end.
    pub fn next_head(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match self.0.read(&mut byte) {
                Ok(1) => bytes.push(byte[0]),
                _ => return None,
            }
        }
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A head and the body of the length that it tells.
    pub fn message(&mut self) -> (String, String) {
        let head = self.head();
        let length = head
            .split("\r\n")
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .map_or(0, |length| length.parse().unwrap());
        (head, String::from_utf8(self.take(length)).unwrap())
    }
}
