//! An incident that a test writes, and a stub that answers from it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use infernosim_common::{Ahead, Flow};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::clock;
use crate::error::Result;
use crate::fault::Faults;
use crate::incident::reader::Incident;
use crate::proxy::Listener;
use crate::redirect::{Verdict, VerdictKey};
use crate::replay::causes::Live;
use crate::replay::matcher::{MatchOptions, Matcher, OnUnmatched};
use crate::replay::script::Script;
use crate::replay::seen;
use crate::replay::stub::{Explicitly, Kernel, LiveRule, Stub, StubSeen, StubSetup};

/// Long enough for anything that happens at all.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A kernel half that sends every connection where the test says.
#[derive(Default)]
pub struct Told {
    /// Where connections were meant to go, by the client's port.
    pub to: Mutex<BTreeMap<u16, SocketAddr>>,
    pub verdicts: Mutex<BTreeMap<VerdictKey, Verdict>>,
    pub series: Mutex<BTreeMap<SocketAddr, u32>>,
    pub aheads: Mutex<BTreeMap<u32, Ahead>>,
}

impl Kernel for Told {
    fn flow(&self, _namespace: u64, client: SocketAddr) -> Option<Flow> {
        let to = self.to.lock().unwrap().remove(&client.port())?;
        Some(Flow { destination: to.ip().into(), port: to.port().into(), ..Flow::default() })
    }

    fn resolver(&self, _namespace: u64, _client: SocketAddr) -> Option<Flow> {
        let resolver: SocketAddr = "192.0.2.53:53".parse().unwrap();
        Some(Flow { destination: resolver.ip().into(), port: 53, ..Flow::default() })
    }

    fn set(&self, key: VerdictKey, verdict: Verdict) -> Result<()> {
        self.verdicts.lock().unwrap().insert(key, verdict);
        Ok(())
    }

    fn number(&self, address: SocketAddr, series: u32) -> Result<()> {
        self.series.lock().unwrap().insert(address, series);
        Ok(())
    }

    fn set_ahead(&self, series: u32, ahead: Ahead, _anew: bool) -> Result<()> {
        self.aheads.lock().unwrap().insert(series, ahead);
        Ok(())
    }
}

/// What a test wants besides.
pub struct Wanted {
    pub time_scale: f64,
    pub on_unmatched: OnUnmatched,
    pub live: Vec<LiveRule>,
    pub faults: Arc<Faults>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { time_scale: 0.0, on_unmatched: OnUnmatched::Fail, live: Vec::new(), faults: Arc::default() }
    }
}

/// A stub that runs.
pub struct Running {
    pub stub: Option<Stub>,
    pub matcher: Arc<Mutex<Matcher>>,
    pub kernel: Arc<Told>,
    /// Where redirected connections arrive.
    pub redirected: SocketAddr,
    /// Where lookups do.
    pub dns: SocketAddr,
    /// The explicit listeners.
    pub server: SocketAddr,
    pub proxy: SocketAddr,
    _incident: tempfile::TempDir,
}

impl Running {
    /// From outbound lines; what they all have is added.
    pub fn start(lines: Vec<Value>, wanted: Wanted) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let request = json!({
            "id": "0".repeat(32), "type": "InboundRequest", "timestamp": "2026-01-01T00:00:00Z", "sequence": 1,
            "service": "127.0.0.1:8080", "protocol": "http/1.1", "method": "GET",
            "url": "http://127.0.0.1:8080/", "headers": {"Host": ["127.0.0.1:8080"]}, "bodySize": 0,
        });
        std::fs::write(directory.path().join("inbound.log"), format!("{request}\n")).unwrap();
        let mut log = String::new();
        for (number, mut line) in (2..).zip(lines) {
            let fields = line.as_object_mut().unwrap();
            let common = json!({
                "id": format!("{number:032x}"), "sequence": number,
                "timestamp": format!("2026-01-01T00:00:01.{number:09}Z"),
                "type": "OutboundCall", "duration": 1_000_000, "offsetNs": 1_000_000_000_u64 + number,
            });
            for (name, value) in common.as_object().unwrap() {
                fields.entry(name.clone()).or_insert_with(|| value.clone());
            }
            log.push_str(&format!("{line}\n"));
        }
        std::fs::write(directory.path().join("outbound.log"), log).unwrap();
        let script = Script::load(&Incident::open(directory.path()).unwrap()).unwrap();
        Self::of(&script, directory, wanted)
    }

    fn of(script: &Arc<Script>, directory: tempfile::TempDir, wanted: Wanted) -> Self {
        let options = MatchOptions { on_unmatched: wanted.on_unmatched, ..MatchOptions::default() };
        let matcher = Arc::new(Mutex::new(Matcher::new(Arc::clone(script), options)));
        let kernel = Arc::new(Told::default());
        let stub = Stub::start(StubSetup {
            script: Arc::clone(script),
            matcher: Arc::clone(&matcher),
            causes: Live::new(None),
            kernel: Some(Arc::clone(&kernel) as Arc<dyn Kernel>),
            time_scale: wanted.time_scale,
            on_unmatched: wanted.on_unmatched,
            live: wanted.live,
            faults: wanted.faults,
        })
        .unwrap();
        let listener = Listener::bind_for_replay().unwrap();
        let redirected = listener.v4.local_addr().unwrap();
        let dns = listener.replay.as_ref().unwrap().dns_v4.local_addr().unwrap();
        stub.serve(listener, 1).unwrap();
        let explicit = |how| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            stub.listen(listener, how).unwrap();
            address
        };
        let (server, proxy) = (explicit(Explicitly::Server), explicit(Explicitly::Proxy));
        let running =
            Self { stub: Some(stub), matcher, kernel, redirected, dns, server, proxy, _incident: directory };
        running.begin();
        running
    }

    pub fn begin(&self) {
        self.matcher().begin();
        self.stub().begin(clock::now()).unwrap();
    }

    pub fn stub(&self) -> &Stub {
        self.stub.as_ref().unwrap()
    }

    fn matcher(&self) -> std::sync::MutexGuard<'_, Matcher> {
        self.matcher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the run.
    pub fn end(&self) -> (StubSeen, Vec<seen::Call>) {
        let seen = self.stub().end();
        (seen, self.matcher().finish())
    }

    /// Connects as the target would to this address.
    pub fn connect(&self, to: &str) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let port = socket.local_addr().unwrap().as_socket().unwrap().port();
        // Before anybody can accept it.
        self.kernel.to.lock().unwrap().insert(port, to.parse().unwrap());
        socket.connect(&self.redirected.into()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.into()
    }

    /// What one request over a connection of its own is answered, to the connection's end.
    pub fn ask(&self, to: &str, request: &str) -> String {
        let mut client = self.connect(to);
        client.write_all(request.as_bytes()).unwrap();
        let _ = client.shutdown(std::net::Shutdown::Write);
        rest(&mut client)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(stub) = self.stub.take() {
            stub.stop();
        }
    }
}

/// Connects to a listener of the stub's.
pub fn open(to: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(to).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

/// All that is still to come.
pub fn rest(client: &mut TcpStream) -> String {
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    String::from_utf8(all).unwrap()
}

/// What comes, up to and with these bytes.
pub fn until(client: &mut TcpStream, end: &str) -> String {
    let mut all = Vec::new();
    while !all.ends_with(end.as_bytes()) {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap_or_else(|error| {
            panic!("{error} after {:?}", String::from_utf8_lossy(&all));
        });
        all.push(byte[0]);
    }
    String::from_utf8(all).unwrap()
}

/// A line of a GET of `http://stock.test/…` at 10.0.0.7, answered so.
pub fn get(path: &str, response: &Value) -> Value {
    let mut line = json!({
        "service": "stock.test", "protocol": "http/1.1", "method": "GET",
        "url": format!("http://stock.test{path}"), "headers": {"Host": ["stock.test"]}, "bodySize": 0,
        "status": 200, "connection": 1, "peer": "10.0.0.7:80",
    });
    for (name, value) in response.as_object().unwrap() {
        line[name] = value.clone();
    }
    line
}

/// A GET of this path of `stock.test`.
pub fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: stock.test\r\n\r\n")
}

/// Where stock.test is.
pub const STOCK: &str = "10.0.0.7:80";
