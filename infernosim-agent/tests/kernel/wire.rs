//! Inbound capture over cables that lose, repeat, swap and cut packets: what a program's TCP puts right is recorded
//! right, and what breaks is recorded as broken.

use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use socket2::SockRef;

use crate::harness::{
    Cable, Capture, Exchange, Finished, Kind, Lab, Netns, Origin, PYTHON, Place, Recording, Running, Server,
    Service, Side, Wire, eventually, sha256, text,
};

/// A server at the end of a cable, and its capture.
struct Far<'c> {
    client: &'c Netns,
    server: Server,
    capture: Running,
}

fn at<'c>(client: &'c Netns, server: &Netns, ip: impl Into<IpAddr>) -> Far<'c> {
    let server = Server::start(Kind::Rust, &Place::within(server, ip.into()));
    let capture = Capture::attached(&["--pid", &server.pid_text()]).start().ready();
    Far { client, server, capture }
}

impl Far<'_> {
    fn connect(&self) -> Wire {
        connect(self.client, self.server.addr)
    }

    /// Ends the capture, once what is under way has come.
    fn end(self) -> Finished {
        std::thread::sleep(Duration::from_millis(300));
        self.capture.signal(Signal::SIGINT);
        self.capture.wait_for_end()
    }

    /// The same, of a capture that lost nothing.
    fn recording(self) -> Recording {
        let finished = self.end();
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        finished.recording()
    }
}

fn connect(netns: &Netns, addr: SocketAddr) -> Wire {
    Wire::new(netns.enter(move || TcpStream::connect(addr).unwrap()))
}

/// Bytes in which no two stretches are alike.
fn body(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11).to_be_bytes()
    });
    words.take(length.div_ceil(8)).flatten().take(length).collect()
}

fn download(wire: &mut Wire, length: usize) -> Vec<u8> {
    wire.send(format!("GET /bytes/{length} HTTP/1.1\r\nHost: a\r\n\r\n"));
    wire.response().expect("an answer was cut").1
}

fn upload(wire: &mut Wire, bytes: &[u8]) {
    wire.send(format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", bytes.len()));
    wire.send(bytes);
    let answer = wire.response().expect("no answer to an upload").1;
    assert_eq!(answer, format!("{} {}\n", bytes.len(), sha256(bytes)).as_bytes());
}

fn upload_chunked(wire: &mut Wire, bytes: &[u8]) {
    wire.send("POST /echo?chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in bytes.chunks(70_001) {
        wire.send(format!("{:x}\r\n", piece.len()));
        wire.send([piece, b"\r\n"].concat());
    }
    wire.send("0\r\n\r\n");
    let answer = wire.response().expect("no answer to an upload").1;
    assert_eq!(answer, format!("{} {}\n", bytes.len(), sha256(bytes)).as_bytes());
}

/// By hash: nobody wants to read them.
fn assert_same(actual: &[u8], expected: &[u8]) {
    assert_eq!((actual.len(), sha256(actual)), (expected.len(), sha256(expected)));
}

/// Downloads and uploads on one connection, and what is recorded of them.
fn treated(words: &str) {
    let cable = Cable::new(7);
    cable.treat(words);
    let far = at(&cable.client, &cable.server, Cable::SERVER);
    let mut wire = far.connect();
    let (sent, chunked) = (body(1, 1_500_000), body(2, 700_000));
    let answer = download(&mut wire, 1_500_000);
    upload(&mut wire, &sent);
    upload_chunked(&mut wire, &chunked);
    for number in 0..20 {
        wire.send(format!("GET /n/{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(wire.response().unwrap().1, format!("{number}\n").as_bytes());
    }
    drop(wire);
    let recording = far.recording();
    let exchanges = recording.exchanges();
    assert_eq!(exchanges.len(), 23);
    exchanges.iter().for_each(Exchange::assert_whole);
    assert_same(&exchanges[0].answer(&recording), &answer);
    assert_same(&exchanges[1].sent(&recording), &sent);
    assert_same(&exchanges[2].sent(&recording), &chunked);
    for (number, exchange) in exchanges[3..].iter().enumerate() {
        assert_eq!(exchange.path(), format!("/n/{number}"));
        assert_eq!(exchange.answer(&recording), format!("{number}\n").as_bytes());
    }
    assert!(cable_did(&cable, words), "the cable did not do {words}: {:?}", cable.counts());
}

/// Whether the cable did all that it was told.
fn cable_did(cable: &Cable, words: &str) -> bool {
    let counts = cable.counts();
    words.split(' ').all(|word| {
        let name = word.split('=').next().unwrap();
        counts.get(name).is_some_and(|count| *count >= 10)
    })
}

#[test]
fn lost_packets_are_sent_again() {
    treated("drop=0.02");
}

#[test]
fn packets_overtake_each_other() {
    treated("late=0.2");
}

#[test]
fn packets_come_twice() {
    treated("twice=0.3");
}

#[test]
fn packets_are_cut_again_and_overlap() {
    treated("recut=0.4");
}

#[test]
fn all_of_it_together() {
    treated("drop=0.01 late=0.1 twice=0.1 recut=0.2");
}

/// What TCP does not take is not recorded, and a reset that it does not believe ends nothing.
#[test]
fn strangers_segments_change_nothing() {
    let cable = Cable::new(1);
    let far = at(&cable.client, &cable.server, Cable::SERVER);
    let (mut wire, sent) = (far.connect(), body(3, 200_000));
    for _ in 0..8 {
        wire.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
        wire.send(&sent[..5000]);
        std::thread::sleep(Duration::from_millis(50));
        // In the middle of a request; the server has sent nothing that could be confused.
        cable.treat("forge=1");
        wire.send(&sent[5000..]);
        assert!(wire.response().is_some(), "the connection broke");
    }
    assert_eq!(cable.counts()["forge"], 16);
    drop(wire);
    let recording = far.recording();
    let exchanges = recording.exchanges();
    assert_eq!(exchanges.len(), 8);
    for exchange in exchanges {
        exchange.assert_whole();
        assert_same(&exchange.sent(&recording), &sent);
    }
}

/// 100 MiB each way, through a cable of which little goes at once.
#[test]
fn a_hundred_mebibytes_through_a_narrow_cable() {
    let lab = Lab::new();
    for netns in [&lab.client, &lab.server] {
        netns.tc("qdisc add dev cable root tbf rate 2gbit burst 64kb latency 50ms");
    }
    let far = at(&lab.client, &lab.server, Lab::server_address(false));
    let (length, mut wire) = (100 << 20, far.connect());
    let sent = body(4, length);
    upload(&mut wire, &sent);
    let answer = download(&mut wire, length);
    upload_chunked(&mut wire, &sent[..1 << 20]);
    drop(wire);
    let recording = far.recording();
    let exchanges = recording.exchanges();
    assert_eq!(exchanges.len(), 3);
    exchanges.iter().for_each(Exchange::assert_whole);
    assert_same(&exchanges[0].sent(&recording), &sent);
    assert_same(&exchanges[1].answer(&recording), &answer);
    assert_same(&exchanges[2].sent(&recording), &sent[..1 << 20]);
}

/// The request's end is the FIN's only company, and both may be lost on the way.
#[test]
fn half_closed_connections_are_answered() {
    let cable = Cable::new(5);
    cable.treat("drop=0.1 late=0.3 twice=0.2");
    let far = at(&cable.client, &cable.server, Cable::SERVER);
    for number in 0..20 {
        let mut wire = far.connect();
        wire.send(format!("GET /close?{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
        wire.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(wire.response().unwrap().1, b"until the end");
    }
    let recording = far.recording();
    let exchanges = recording.exchanges();
    assert_eq!(exchanges.len(), 20);
    for (number, exchange) in exchanges.iter().enumerate() {
        exchange.assert_whole();
        assert_eq!(exchange.path(), format!("/close?{number}"));
        assert_eq!(exchange.answer(&recording), b"until the end");
    }
}

/// The FIN comes first, then the request, then what ends the handshake.
#[test]
fn a_fin_that_overtakes_all_the_rest() {
    let cable = Cable::new(6);
    cable.treat_of_client("backwards=1");
    let far = at(&cable.client, &cable.server, Cable::SERVER);
    for number in 0..5 {
        let mut wire = far.connect();
        wire.send(format!("GET /close?{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
        wire.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(wire.response().unwrap().1, b"until the end");
    }
    assert!(cable.counts()["backwards"] >= 5);
    let recording = far.recording();
    let exchanges = recording.exchanges();
    assert_eq!(exchanges.len(), 5);
    exchanges.iter().for_each(Exchange::assert_whole);
}

/// The request is cut short, and what came of it is a true beginning.
fn assert_cut_upload(recording: &Recording, sent: &[u8], words: &[&str]) {
    let exchange = recording.exchange();
    assert_eq!(exchange.request["incomplete"], true, "{:#}", exchange.request);
    let error = text(&exchange.request["error"]);
    assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
    let got = exchange.sent(recording);
    assert!(!got.is_empty() && got.len() < sent.len());
    assert_same(&got, &sent[..got.len()]);
}

/// Likewise of an answer.
fn assert_cut_answer(recording: &Recording, words: &[&str]) {
    let exchange = recording.exchange();
    assert!(exchange.request.get("incomplete").is_none(), "{:#}", exchange.request);
    assert_eq!((&exchange.response["incomplete"], exchange.status()), (&true.into(), 200));
    let error = text(&exchange.response["error"]);
    assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
    assert!(exchange.answer(recording).len() < 50_000_000);
}

fn begin_upload(far: &Far<'_>, sent: &[u8]) -> Wire {
    let mut wire = far.connect();
    wire.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n");
    wire.send(sent);
    wire
}

fn begin_download(far: &Far<'_>) -> Wire {
    let mut wire = far.connect();
    wire.send("GET /bytes/50000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    wire.exactly(300_000).unwrap();
    wire
}

#[test]
fn clients_that_reset_in_the_middle() {
    for words in ["drop=0.02 late=0.2", "late=0"] {
        let cable = Cable::new(9);
        cable.treat(words);
        let far = at(&cable.client, &cable.server, Cable::SERVER);
        let sent = body(5, 3_000_000);
        let wire = begin_upload(&far, &sent);
        SockRef::from(&wire.stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(wire);
        assert_cut_upload(&far.recording(), &[sent, vec![0; 1]].concat(), &["client", "reset"]);
        let far = at(&cable.client, &cable.server, Cable::SERVER);
        let wire = begin_download(&far);
        SockRef::from(&wire.stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(wire);
        assert_cut_answer(&far.recording(), &["client", "reset"]);
    }
}

/// No FIN, no reset, nothing: the server waits, and so do we.
#[test]
fn clients_that_vanish() {
    let cable = Cable::new(11);
    let far = at(&cable.client, &cable.server, Cable::SERVER);
    let sent = body(6, 400_000);
    let wire = begin_upload(&far, &sent);
    std::thread::sleep(Duration::from_millis(300));
    cable.treat("dead=1");
    drop(wire);
    assert_cut_upload(&far.recording(), &[sent, vec![0; 1]].concat(), &["capture", "ended"]);
    cable.treat("dead=0");
    let far = at(&cable.client, &cable.server, Cable::SERVER);
    let wire = begin_download(&far);
    cable.treat("dead=1");
    drop(wire);
    assert_cut_answer(&far.recording(), &["capture", "ended"]);
}

/// Its kernel says that it has gone.
#[test]
fn a_client_that_is_killed() {
    let cable = Cable::new(13);
    cable.treat("drop=0.02 late=0.2");
    let far = at(&cable.client, &cable.server, Cable::SERVER);
    let url = far.server.url("/echo");
    let mut words = cable.client.prefix();
    words.extend([PYTHON, "-c", ENDLESS, &url].map(str::to_owned));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut client = Service::run(&[], &words);
    client.line("", "SENT");
    kill(Pid::from_raw(client.pids["main"] as i32), Signal::SIGKILL).unwrap();
    client.end();
    // What it had sent, and its end, may be long on their way.
    eventually("the end of the upload is told", || {
        std::fs::metadata(far.capture.incident.join("inbound.log")).is_ok_and(|log| log.len() > 0)
    });
    let sent = vec![b'x'; 50_000_000];
    assert_cut_upload(&far.recording(), &sent, &["client"]);
}

/// Uploads some of what it has promised, and says so.
const ENDLESS: &str = r#"
import os, socket, sys
host, port = sys.argv[1].split("/")[2].split(":")
print(f"READY main={os.getpid()}", flush=True)
sys.stdin.readline()
stream = socket.create_connection((host, int(port)))
stream.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 3000000)
print("SENT", flush=True)
sys.stdin.read()
"#;

/// The other way round: the target asks, and what comes back to it comes in disorder.
#[test]
fn calls_over_a_bad_cable() {
    let cable = Cable::new(17);
    let words = "drop=0.02 late=0.2 twice=0.1 recut=0.2";
    cable.treat(words);
    let origin = Origin::within(&cable.server);
    let url = |path: &str| format!("http://10.76.0.2:{}{path}", origin.port());
    let sent = body(8, 900_000);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &sent).unwrap();
    let upload = format!("@{}", file.path().display());
    let (get, post) = (url("/bytes/1500000"), url("/echo"));
    let got = tempfile::NamedTempFile::new().unwrap();
    let path = got.path().to_str().unwrap();
    let command =
        ["curl", "-sS", "-o", path, &get, "--next", "-sS", "-H", "Expect:", "--data-binary", &upload, &post];
    let finished = Capture::of(&command).option(&["--via", "tap"]).within(&cable.client).run();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(cable_did(&cable, words), "{:?}", cable.counts());
    let recording = finished.recording();
    let calls = recording.calls();
    assert_eq!(calls.len(), 2, "{:#?}", recording.events);
    let got = std::fs::read(got.path()).unwrap();
    assert_eq!(got.len(), 1_500_000);
    assert_same(&recording.body(calls[0], Side::Response), &got);
    assert_eq!(recording.body(calls[1], Side::Response), finished.stdout.as_bytes());
    assert_same(&recording.body(calls[1], Side::Request), &sent);
}
