//! Clients as they are: what each did is recorded, and nothing that it or its origin sees differs without us.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::harness::{Capture, Lab, Origin, Recording, Seen, Side, sha256, text};

const PYTHON_GET: &str = r#"
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as answer:
    print(answer.status, answer.headers.items())
    sys.stdout.buffer.write(answer.read())
"#;

const PYTHON_POST: &str = r#"
import sys, urllib.request
body = b"payload \xff " * 7000
print(urllib.request.urlopen(sys.argv[1], data=body).read())
"#;

const NODE_GET: &str = r#"
fetch(process.argv[1]).then(async (answer) => {
    console.log(answer.status, JSON.stringify([...answer.headers]));
    console.log(await answer.text());
});
"#;

const NODE_POST: &str = r#"
fetch(process.argv[1], { method: "POST", body: Buffer.alloc(70000, "node ") })
    .then(async (answer) => console.log(await answer.text()));
"#;

/// A header of many fields as the log has it: names in the order in which they came.
fn as_logged(fields: &[(&str, &str)]) -> String {
    let mut logged: Map<String, Value> = Map::new();
    for (name, value) in fields {
        let values = logged.entry(*name).or_insert_with(|| json!([]));
        values.as_array_mut().unwrap().push(json!(value));
    }
    serde_json::to_string(&logged).unwrap()
}

/// What a line says of a request is what the origin saw of it.
fn assert_request(recording: &Recording, event: &Value, seen: &Seen, origin: &Origin) {
    let mut words = seen.head.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    assert_eq!(event["method"], method);
    assert_eq!(text(&event["url"]), origin.url(target));
    assert_eq!(event["service"], origin.addr.to_string());
    assert_eq!(serde_json::to_string(&event["headers"]).unwrap(), as_logged(&seen.fields()));
    assert_eq!(recording.body(event, Side::Request), seen.body);
    assert_eq!(event["peer"], origin.addr.to_string());
}

/// Runs a client twice, without us and captured; it asks for `/hello` once.
fn get(command: &[&str], origin: &Origin, comm: &str) {
    // Byte for byte, cookies too.
    let capture = Capture::of(command).option(&["--no-redact"]);
    let native = capture.native();
    assert_eq!(native.code, 0, "{native:?}");
    let without = origin.seen();
    origin.clear();

    let finished = capture.run();
    assert_eq!((finished.code, &finished.stdout), (native.code, &native.stdout), "{}", finished.stderr);
    let seen = origin.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].head, without[0].head, "a header differs on the wire");

    let recording = finished.recording();
    let event = recording.call();
    assert_request(&recording, event, &seen[0], origin);
    assert_eq!(event["status"], 200);
    assert_eq!(text(&event["protocol"]), "http/1.1");
    let fields = [
        ("X-zebra", "1"),
        ("Set-Cookie", "a=1"),
        ("CONTENT-LENGTH", "13"),
        ("x-Apple", "2"),
        ("Set-Cookie", "b=2"),
        ("content-type", "text/plain"),
    ];
    assert_eq!(serde_json::to_string(&event["responseHeaders"]).unwrap(), as_logged(&fields));
    assert_eq!(event["responseBody"], "hello, world\n");
    assert!(event["duration"].as_u64().unwrap() > 0, "{event:#}");
    assert_eq!(event["comm"], comm);
    // It was CMD itself, and not a child of it.
    assert_eq!(event["pid"], recording.manifest["target"]["pid"]);
    let local: std::net::SocketAddr = text(&event["local"]).parse().unwrap();
    assert_eq!(local.ip(), origin.addr.ip());
    let timestamp = text(&event["timestamp"]);
    assert!(timestamp.len() == 30 && timestamp.ends_with('Z'), "RFC 3339 in UTC with ns: {timestamp}");
    let dependency = &recording.manifest["dependencies"][0];
    assert_eq!(
        *dependency,
        json!({
            "service": origin.addr.to_string(), "protocol": "http/1.1", "calls": 1, "failed": 0
        })
    );
}

/// Runs a client that posts 70,000 bytes or so to `/echo`; they come too large for the line.
fn post(command: &[&str], origin: &Origin) {
    let capture = Capture::of(command);
    let native = capture.native();
    assert_eq!(native.code, 0, "{native:?}");
    origin.clear();
    let finished = capture.run();
    assert_eq!((finished.code, &finished.stdout), (native.code, &native.stdout), "{}", finished.stderr);
    let (recording, seen) = (finished.recording(), origin.seen());
    let event = recording.call();
    assert_request(&recording, event, &seen[0], origin);
    assert!(seen[0].body.len() >= 70_000);
    // It stands in a file that its hash names, and not in the line.
    let hash = sha256(&seen[0].body);
    assert_eq!(event["bodySha256"], hash);
    assert!(event.get("body").is_none() && event.get("bodyB64").is_none());
    assert_eq!(recording.body_files(), [hash]);
    assert_eq!(text(&event["responseBody"]), format!("{} {}\n", seen[0].body.len(), sha256(&seen[0].body)));
}

#[test]
fn curl_over_ipv4() {
    let origin = Origin::start();
    get(&["curl", "-sS", "-i", &origin.url("/hello?a=b&c=%20d")], &origin, "curl");
}

#[test]
fn curl_over_ipv6() {
    let origin = Origin::start_v6();
    get(&["curl", "-sS", "-i", &origin.url("/hello")], &origin, "curl");
}

#[test]
fn curl_posts_70_kb() {
    let origin = Origin::start();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![b'x'; 70_000]).unwrap();
    let data = format!("@{}", file.path().display());
    post(&["curl", "-sS", "--data-binary", &data, &origin.url("/echo")], &origin);
}

#[test]
fn python_over_ipv4() {
    let origin = Origin::start();
    get(&[crate::harness::PYTHON, "-c", PYTHON_GET, &origin.url("/hello")], &origin, "python3");
}

#[test]
fn python_over_ipv6() {
    let origin = Origin::start_v6();
    get(&[crate::harness::PYTHON, "-c", PYTHON_GET, &origin.url("/hello")], &origin, "python3");
}

#[test]
fn python_posts_70_kb() {
    let origin = Origin::start();
    post(&[crate::harness::PYTHON, "-c", PYTHON_POST, &origin.url("/echo")], &origin);
}

#[test]
fn node_over_ipv4() {
    let origin = Origin::start();
    get(&["node", "-e", NODE_GET, &origin.url("/hello")], &origin, "node");
}

#[test]
fn node_over_ipv6() {
    let origin = Origin::start_v6();
    get(&["node", "-e", NODE_GET, &origin.url("/hello")], &origin, "node");
}

#[test]
fn node_posts_70_kb() {
    let origin = Origin::start();
    post(&["node", "-e", NODE_POST, &origin.url("/echo")], &origin);
}

#[test]
fn wget_over_ipv4() {
    let origin = Origin::start();
    get(&["wget", "-q", "-O", "-", &origin.url("/hello")], &origin, "wget");
}

#[test]
fn wget_over_ipv6() {
    let origin = Origin::start_v6();
    get(&["wget", "-q", "-O", "-", &origin.url("/hello")], &origin, "wget");
}

#[test]
fn wget_posts_70_kb() {
    let origin = Origin::start();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![b'w'; 70_001]).unwrap();
    let data = format!("--post-file={}", file.path().display());
    post(&["wget", "-q", "-O", "-", &data, &origin.url("/echo")], &origin);
}

#[test]
fn a_name_names_the_dependency_and_the_peer_stays_the_address() {
    let origin = Origin::start();
    let resolve = format!("shop.test:{}:127.0.0.1", origin.port());
    let url = format!("http://shop.test:{}/hello", origin.port());
    let recording = Capture::of(&["curl", "-sS", "--resolve", &resolve, &url]).record();
    let event = recording.call();
    assert_eq!(event["url"], url);
    assert_eq!(event["service"], format!("shop.test:{}", origin.port()));
    assert_eq!(event["peer"], origin.addr.to_string());
}

/// From one host to another: nothing of this is on the target's own machine.
#[test]
fn another_host_is_reached_over_both_families() {
    let lab = Lab::new();
    let origin = Origin::within(&lab.server);
    for v6 in [false, true] {
        let address = Lab::server_address(v6);
        let host = if v6 { format!("[{address}]") } else { address.to_string() };
        let peer = format!("{host}:{}", origin.port());
        origin.clear();
        let capture = Capture::of(&["curl", "-sS", &format!("http://{peer}/hello")]).within(&lab.client);
        let recording = capture.record();
        let event = recording.call();
        assert_eq!(event["peer"], peer);
        assert_eq!(event["status"], 200);
        let local: std::net::SocketAddr = text(&event["local"]).parse().unwrap();
        let own: IpAddr = if v6 { "fd77::1" } else { "10.77.0.1" }.parse().unwrap();
        // The target's own end: its address towards that host, or loopback, where the redirect leads.
        assert!(local.ip() == own || local.ip().is_loopback(), "{local}");
        assert_eq!(origin.seen().len(), 1);
    }
}
