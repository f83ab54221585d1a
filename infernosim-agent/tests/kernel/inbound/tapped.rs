//! `--via tap`: what the target asks for is recorded as by the relay, and nobody is in its way.

use std::net::{IpAddr, SocketAddr, TcpListener};

use serde_json::{Value, json};

use crate::harness::{Capture, Finished, Lab, Origin, PYTHON, Recording, text};

/// Asks for all that an origin has, in turn on a kept and on a new connection, and says what it got and from where.
const CLIENT: &str = r#"
import http.client, sys
host, port = sys.argv[1:3]
kept = http.client.HTTPConnection(host, int(port), timeout=20)
for number, (method, path, body) in enumerate([
    ("GET", "/hello", None), ("HEAD", "/hello", None), ("GET", "/chunked", None), ("GET", "/gzip", None),
    ("GET", "/204", None), ("GET", "/304", None), ("GET", "/503", None), ("GET", "/hints", None),
    ("POST", "/echo", b"z" * 200000), ("POST", "/echo", iter([b"some", b"pieces"])), ("GET", "/bytes/3000000", None),
    ("GET", "/close", None), ("GET", "/sse", None), ("GET", "/n/7", None),
]):
    if path == "/hints":
        # The client's library does not know 103.
        continue
    for stream in (kept, http.client.HTTPConnection(host, int(port), timeout=20)):
        stream.request(method, f"{path}?{number}", body)
        answer = stream.getresponse()
        print(method, path, answer.status, len(answer.read()))
        if stream is not kept:
            stream.close()
        if path == "/sse" or not isinstance(body, (bytes, type(None))):
            break
"#;

/// What does not depend on when and by whom it was recorded.
fn comparable(recording: &Recording) -> Vec<Value> {
    let varying =
        ["id", "timestamp", "offsetNs", "duration", "responseChunks", "pid", "tid", "local", "sequence"];
    let mut events = recording.events.clone();
    for event in &mut events {
        let fields = event.as_object_mut().unwrap();
        for name in varying {
            assert!(fields.shift_remove(name).is_some() || name == "responseChunks", "{name}: {fields:#?}");
        }
    }
    events
}

#[test]
fn the_same_is_recorded_as_by_the_relay() {
    let lab = Lab::new();
    let near = Origin::start();
    let far = Origin::within(&lab.server);
    for (origin, host) in [(&near, "127.0.0.1".to_owned()), (&far, Lab::server_address(true).to_string())] {
        let words = [PYTHON, "-c", CLIENT, &host, &origin.port().to_string()];
        let run = |via: &str| {
            origin.clear();
            let capture = Capture::of(&words).option(&["--no-redact", "--via", via]);
            let capture = if host == "127.0.0.1" { capture } else { capture.within(&lab.client) };
            let finished = capture.run();
            assert_eq!(finished.code, 0, "{via}: {}", finished.stderr);
            let peers: Vec<String> = origin.seen().iter().map(|seen| seen.peer.clone()).collect();
            (finished.stdout.clone(), peers, comparable(&finished.recording()))
        };
        let (said, peers, by_relay) = run("proxy");
        let (said_by_tap, peers_by_tap, by_tap) = run("tap");
        assert_eq!((said_by_tap, peers_by_tap), (said, peers));
        assert_eq!(by_tap.len(), by_relay.len());
        for (tapped, relayed) in by_tap.iter().zip(&by_relay) {
            assert_eq!(tapped, relayed, "{tapped:#}\n{relayed:#}");
        }
    }
}

const CONNECT: &str = r#"
import socket, sys
for address in sys.argv[1:]:
    host, _, port = address.rpartition(":")
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    s.settimeout(20)
    try:
        s.connect((host, int(port)))
        s.sendall(b"GET /cut HTTP/1.1\r\nHost: a\r\n\r\n")
        while s.recv(1000):
            pass
        print("end")
    except OSError as e:
        print(type(e).__name__, e.errno)
    s.close()
"#;

/// The service fails as without us, and each failure has its errno.
fn failures(lab: &Lab, addresses: &[String]) -> Vec<(String, String, String)> {
    let mut words = vec![PYTHON, "-c", CONNECT];
    words.extend(addresses.iter().map(String::as_str));
    let capture = Capture::of(&words).option(&["--via", "tap"]).within(&lab.client);
    let native = capture.native();
    let finished: Finished = capture.run();
    assert_eq!((finished.code, &finished.stdout), (0, &native.stdout), "{}", finished.stderr);
    let recording = finished.recording();
    let fields = |event: &Value| {
        assert_eq!(event["comm"], "python3", "{event:#}");
        assert_eq!(event["pid"], recording.manifest["target"]["pid"], "{event:#}");
        let [kind, peer, errno] = ["type", "peer", "errno"].map(|name| text(&event[name]).to_owned());
        (kind, peer, errno)
    };
    recording.events.iter().map(fields).collect()
}

#[test]
fn refused_and_unreachable_dependencies() {
    let lab = Lab::new();
    let hosts = ["127.0.0.1", "::1", "10.77.0.2", "fd77::2", "10.78.0.1", "10.79.0.1"];
    let addresses: Vec<String> = hosts.iter().map(|host| format!("{host}:9")).collect();
    // Of other failures nobody beside the target is told the reason.
    let errnos = ["ECONNREFUSED", "ECONNREFUSED", "ECONNREFUSED", "ECONNREFUSED", "", ""];
    let expected: Vec<_> = hosts
        .iter()
        .zip(errnos)
        .map(|(host, errno)| {
            let peer = SocketAddr::new(host.parse::<IpAddr>().unwrap(), 9);
            ("Connection".to_owned(), peer.to_string(), errno.to_owned())
        })
        .collect();
    assert_eq!(failures(&lab, &addresses), expected);
}

#[test]
fn a_dependency_that_resets_and_one_that_says_nothing() {
    let lab = Lab::new();
    let listener = lab.server.enter(|| TcpListener::bind("10.77.0.2:0").unwrap());
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        use std::io::{Read, Write};
        for number in 0..4 {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1000]);
            if number % 2 == 0 {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf").unwrap();
                std::thread::sleep(std::time::Duration::from_millis(100));
                socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
            }
        }
    });
    // Two without us, two with us.
    let found = failures(&lab, &[address.to_string(), address.to_string()]);
    server.join().unwrap();
    assert_eq!(found[0], ("OutboundCall".to_owned(), address.to_string(), "ECONNRESET".to_owned()));
    assert_eq!(found[1], ("OutboundCall".to_owned(), address.to_string(), String::new()));
    assert_eq!(found.len(), 2);
}

#[test]
fn tls_by_its_name() {
    let place = tempfile::tempdir().unwrap();
    let (key, cert) = crate::protocols::certificate(place.path());
    let server = crate::harness::Daemon::start("openssl", |port| {
        let accept = format!("127.0.0.1:{port}");
        let words = ["s_server", "-www", "-quiet", "-key", &key, "-cert", &cert, "-accept", &accept];
        words.map(str::to_owned).to_vec()
    });
    let port = server.addr.port();
    let (resolve, url) = (format!("tls.test:{port}:127.0.0.1"), format!("https://tls.test:{port}/"));
    let words = ["curl", "-sSk", "--resolve", &resolve, "-o", "/dev/null", "-w", "%{http_code}", &url];
    let finished = Capture::of(&words).option(&["--via", "tap"]).run();
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "200"), "{}", finished.stderr);
    let recording = finished.recording();
    let call = recording.call();
    assert_eq!((text(&call["protocol"]), text(&call["sni"])), ("tls", "tls.test"));
    assert_eq!(call["alpn"], json!(["h2", "http/1.1"]));
    assert_eq!((text(&call["comm"]), text(&call["peer"])), ("curl", &*server.addr.to_string()));
    assert!(call.get("incomplete").is_none() && call["responseBodySize"].as_u64().unwrap() > 500, "{call:#}");
}
