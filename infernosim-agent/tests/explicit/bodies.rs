//! Bodies of every size and framing arrive as they were sent, at once where they come at once, and are recorded so.

use std::sync::mpsc::channel;
use std::time::Duration;

use crate::harness::{
    Client, Folder, Origin, Recording, Running, Side, Tcp, Wire, curl, curl_through, sha256, text,
};

/// A memory that holds whatever these tests send, however slow the disk.
const ROOM: [&str; 2] = ["--buffer", "512MiB"];
const LARGE: usize = 50 << 20;

fn large() -> Vec<u8> {
    (0..LARGE as u32 / 4).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

/// curl's last line.
fn upload(words: &[&str], stdin: &[u8]) -> String {
    let words = [&["-sS", "--max-time", "50"], words].concat();
    Client::of("curl", &words).stdin(stdin).run().text()
}

#[test]
fn fifty_megabytes_down() {
    let (origin, folder) = (Origin::start(), Folder::new());
    let url = origin.url(&format!("/bytes/{LARGE}"));
    let hash = sha256(&curl(&[&url]).stdout);
    let proxy = folder.proxy(&ROOM);
    let through = curl_through(&proxy, &[&url]);
    assert_eq!((through.stdout.len(), sha256(&through.stdout)), (LARGE, hash.clone()));
    let inbound = folder.inbound(origin.addr, &ROOM);
    let before = curl(&[&inbound.url(&format!("/bytes/{LARGE}"))]);
    assert_eq!((before.stdout.len(), sha256(&before.stdout)), (LARGE, hash.clone()));
    proxy.stop();
    inbound.stop();
    let recording = folder.both();
    let call = recording.calls()[0];
    assert_eq!(sha256(&recording.body(call, Side::Response)), hash);
    let response = recording.of_type("InboundResponse")[0];
    assert_eq!(sha256(&recording.body(response, Side::Request)), hash);
    // One file for both, since it is named by what it holds.
    assert_eq!(recording.body_files(), [hash]);
}

#[test]
fn fifty_megabytes_up_with_a_length_and_in_chunks() {
    let (origin, folder) = (Origin::start(), Folder::new());
    let (proxy, body) = (folder.proxy(&ROOM), large());
    let file = folder.join("large");
    std::fs::write(&file, &body).unwrap();
    let (at, said) = (proxy.url(""), format!("{LARGE} {}\n", sha256(&body)));
    let url = origin.url("/echo");
    // It is large enough for curl to ask whether it may: 100 Continue goes from end to end.
    assert_eq!(upload(&["-x", &at, "-T", file.to_str().unwrap(), &url], b""), said);
    assert_eq!(upload(&["-x", &at, "-T", "-", &url], &body), said);
    proxy.stop();
    let recording = folder.recorded("outbound.log");
    let [length, chunked] = recording.calls()[..] else { panic!("{:#?}", recording.events) };
    assert_eq!(length["headers"]["Content-Length"][0], LARGE.to_string());
    assert_eq!(length["headers"]["Expect"][0], "100-continue");
    assert_eq!(chunked["headers"]["Transfer-Encoding"][0], "chunked");
    for call in [length, chunked] {
        assert_eq!(text(&call["method"]), "PUT");
        assert_eq!(text(&call["responseBody"]), said);
        assert_eq!(sha256(&recording.body(call, Side::Request)), sha256(&body));
    }
}

/// One direction after the other, each event only once the one before has arrived: who held one back would hang.
#[test]
fn a_stream_arrives_as_it_is_sent() {
    for is_inbound in [false, true] {
        let (arrived, go_on) = channel::<()>();
        let go_on = std::sync::Arc::new(std::sync::Mutex::new(go_on));
        let server = Tcp::start(move |stream| {
            let mut wire = Wire::new(stream);
            wire.head().unwrap();
            wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
            for number in 0..5 {
                wire.send(format!("data: {number}\n\n"));
                go_on.lock().unwrap().recv_timeout(Duration::from_secs(20)).unwrap();
                // What comes sooner is recorded as one piece.
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let folder = Folder::new();
        let running = start(&folder, is_inbound, server.addr);
        let mut client = running.connect();
        let target = if is_inbound { "/events".to_owned() } else { format!("http://{}/events", server.addr) };
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", server.addr));
        let head = String::from_utf8(client.head().unwrap()).unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        for number in 0..5 {
            let event = format!("data: {number}\n\n");
            assert_eq!(client.exactly(event.len()).unwrap(), event.as_bytes());
            arrived.send(()).unwrap();
        }
        // It ends where the server's connection ends, and not before.
        assert!(client.rest().is_empty());
        running.stop();
        let (event, chunks) = streamed(&folder, is_inbound);
        assert_eq!(event, "data: 0\n\ndata: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\n");
        assert_eq!(chunks, [9; 5]);
    }
}

fn start(folder: &Folder, is_inbound: bool, server: std::net::SocketAddr) -> Running {
    if is_inbound { folder.inbound(server, &[]) } else { folder.proxy(&[]) }
}

/// The body of the only answer, and the sizes in which it came.
fn streamed(folder: &Folder, is_inbound: bool) -> (String, Vec<u64>) {
    let recording: Recording = folder.recorded(if is_inbound { "inbound.log" } else { "outbound.log" });
    let (event, side) = match is_inbound {
        true => (recording.of_type("InboundResponse")[0], Side::Request),
        false => (recording.call(), Side::Response),
    };
    let chunks = event["responseChunks"].as_array().unwrap_or_else(|| panic!("{event:#}"));
    let sizes = chunks.iter().map(|chunk| chunk[1].as_u64().unwrap()).collect();
    (String::from_utf8(recording.body(event, side)).unwrap(), sizes)
}

/// Framing is the sender's: chunks with their extensions, trailers, interim answers, answers without a body.
#[test]
fn framing_passes_byte_for_byte() {
    let (origin, folder) = (Origin::start(), Folder::new());
    let proxy = folder.proxy(&[]);
    let inbound = folder.inbound(origin.addr, &[]);
    for (method, path) in [
        ("GET", "/chunked"),
        ("GET", "/gzip"),
        ("HEAD", "/hello"),
        ("GET", "/204"),
        ("GET", "/304"),
        ("GET", "/503"),
        ("GET", "/hints"),
        ("GET", "/close"),
    ] {
        let asked = |target: &str| {
            format!("{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", origin.addr)
        };
        let mut direct = Wire::new(std::net::TcpStream::connect(origin.addr).unwrap());
        direct.send(asked(path));
        let direct = direct.rest();
        for (running, target) in [(&proxy, origin.url(path)), (&inbound, path.to_owned())] {
            let mut wire = running.connect();
            wire.send(asked(&target));
            assert_eq!(without_hop(&wire.rest()), without_hop(&direct), "{method} {path}");
        }
    }
    proxy.stop();
    inbound.stop();
    let recording = folder.both();
    let statuses: Vec<u64> = recording.calls().iter().map(|call| call["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 200, 200, 204, 304, 503, 200, 200]);
    let responses = recording.of_type("InboundResponse");
    assert_eq!(responses.len(), 8);
    assert!(responses.iter().all(|response| response.get("error").is_none()), "{responses:#?}");
    let chunked = recording.calls()[0];
    assert_eq!(chunked["responseBody"], "first second");
    assert_eq!(chunked["responseTrailers"]["X-Sum"][0], "12");
    assert_eq!(recording.calls()[7]["responseBody"], "until the end");
}

/// All that was said, but for lines about the connection itself.
fn without_hop(bytes: &[u8]) -> String {
    let said: String = bytes.iter().copied().map(char::from).collect();
    assert!(said.starts_with("HTTP/1."), "{said:?}");
    let of_hop = |line: &&str| {
        let line = line.to_ascii_lowercase();
        line.starts_with("via: ") || line.starts_with("connection: ")
    };
    // A server of HTTP/1.0 may be passed on as 1.1.
    let said = said.replacen("HTTP/1.0", "HTTP/1.1", 1);
    said.split("\r\n").filter(|line| !of_hop(line)).collect::<Vec<_>>().join("\r\n")
}
