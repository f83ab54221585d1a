//! HTTP/1 as it is on the wire.

use serde_json::{Value, json};

use crate::harness::{Capture, GZIP, Origin, Recording, Side, Tcp, sha256, text};

/// Sends its second argument's bytes (hex) in one write to the port of its first, and prints what comes until the
/// end or until nothing came for a while.
const RAW: &str = r#"
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(bytes.fromhex(sys.argv[2]))
s.settimeout(3)
got = b""
try:
    while piece := s.recv(65536):
        got += piece
except TimeoutError:
    pass
sys.stdout.write(got.hex())
"#;

/// A client that writes these bytes at once; its recording, and the bytes it got.
fn raw(port: u16, request: &str) -> (Recording, Vec<u8>) {
    let hex: String = request.bytes().map(|byte| format!("{byte:02x}")).collect();
    let finished = Capture::python(RAW, &[&port.to_string(), &hex]).run();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let got = (0..finished.stdout.len()).step_by(2);
    let got = got.map(|at| u8::from_str_radix(&finished.stdout[at..at + 2], 16).unwrap()).collect();
    (finished.recording(), got)
}

#[test]
fn chunked_both_ways_with_trailers() {
    let origin = Origin::start();
    let request = "POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
                   3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nX-Trailer: t\r\nx-trailer: u\r\n\r\n";
    let (recording, _) = raw(origin.port(), request);
    let event = recording.call();
    assert_eq!(event["body"], "abc0123456789");
    assert_eq!(event["requestTrailers"], json!({"X-Trailer": ["t"], "x-trailer": ["u"]}));
    assert_eq!(event["responseBody"], "first second");
    assert_eq!(event["responseTrailers"], json!({"X-Sum": ["12"]}));
    assert!(event.get("incomplete").is_none(), "{event:#}");
    assert_eq!(origin.seen()[0].body, b"abc0123456789");
}

#[test]
fn a_compressed_answer_stays_as_it_was_on_the_wire() {
    let origin = Origin::start();
    let finished = Capture::of(&["curl", "-sS", "--compressed", &origin.url("/gzip")]).run();
    assert_eq!(finished.stdout, "squeezed ".repeat(20));
    let recording = finished.recording();
    let event = recording.call();
    assert_eq!(recording.body(event, Side::Response), GZIP);
    assert!(event.get("responseBodyB64").is_some(), "{event:#}");
}

#[test]
fn a_stream_of_events_keeps_its_times() {
    let origin = Origin::start();
    let recording = Capture::of(&["curl", "-sSN", &origin.url("/sse")]).record();
    let event = recording.call();
    assert_eq!(event["responseBody"], "data: 0\n\ndata: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\n");
    let chunks = event["responseChunks"].as_array().unwrap();
    assert!(chunks.len() >= 5, "{event:#}");
    let sizes: u64 = chunks.iter().map(|chunk| chunk[1].as_u64().unwrap()).sum();
    assert_eq!(sizes, 45);
    let times: Vec<u64> = chunks.iter().map(|chunk| chunk[0].as_u64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    // The origin slept four times 120 ms; one piece may come late and the next one in time.
    assert!(times[times.len() - 1] - times[0] >= 400_000_000, "{times:?}");
    let duration = event["duration"].as_u64().unwrap();
    assert!(duration >= 480_000_000 && duration >= times[times.len() - 1], "{duration} {times:?}");
}

#[test]
fn keep_alive_requests_share_a_connection_and_have_a_line_each() {
    let origin = Origin::start();
    let urls: Vec<String> = (0..20).map(|number| origin.url(&format!("/item/{number}"))).collect();
    let mut command = vec!["curl", "-sS"];
    command.extend(urls.iter().map(String::as_str));
    let recording = Capture::of(&command).record();
    let calls = recording.calls();
    let recorded: Vec<&str> = calls.iter().map(|call| text(&call["url"])).collect();
    assert_eq!(recorded, urls);
    assert!(calls.iter().all(|call| call["connection"] == calls[0]["connection"]));
    let starts: Vec<u64> = calls.iter().map(|call| call["offsetNs"].as_u64().unwrap()).collect();
    assert!(starts.windows(2).all(|pair| pair[0] < pair[1]), "{starts:?}");
}

#[test]
fn fifty_pipelined_requests_are_fifty_lines() {
    let origin = Origin::start();
    let mut request: String = (0..49)
        .map(|number| match number % 3 {
            0 => format!("GET /p/{number} HTTP/1.1\r\nHost: a\r\n\r\n"),
            1 => format!("POST /p/{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{number:02}"),
            _ => format!("HEAD /hello?{number} HTTP/1.1\r\nHost: a\r\n\r\n"),
        })
        .collect();
    request.push_str("GET /p/49 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let (recording, _) = raw(origin.port(), &request);
    let calls = recording.calls();
    assert_eq!(calls.len(), 50);
    assert_eq!(origin.seen().len(), 50);
    for (number, call) in calls.iter().enumerate() {
        assert!(call.get("incomplete").is_none(), "{call:#}");
        assert_eq!(call["status"], 200);
        if number % 3 == 2 {
            assert_eq!(text(&call["url"]), format!("http://a/hello?{number}"));
            assert_eq!(recording.body(call, Side::Response), b"");
        } else {
            assert_eq!(text(&call["responseBody"]), format!("/p/{number}"));
        }
        if number % 3 == 1 && number < 49 {
            assert_eq!(text(&call["body"]), format!("{number:02}"));
        }
    }
}

#[test]
fn answers_without_a_body() {
    let origin = Origin::start();
    let request = "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\nGET /204 HTTP/1.1\r\nHost: a\r\n\r\n\
                   GET /304 HTTP/1.1\r\nHost: a\r\n\r\nGET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let (recording, _) = raw(origin.port(), request);
    let calls = recording.calls();
    let statuses: Vec<u64> = calls.iter().map(|call| call["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 204, 304, 200]);
    for call in &calls[..3] {
        assert_eq!(recording.body(call, Side::Response), b"", "{call:#}");
        assert!(call.get("incomplete").is_none(), "{call:#}");
    }
    assert_eq!(calls[2]["responseHeaders"]["Content-Length"], json!(["1000"]));
    assert_eq!(calls[3]["responseBody"], "/last");
}

#[test]
fn a_client_that_expects_a_continue_gets_it() {
    let origin = Origin::start();
    let data = "d".repeat(3000);
    let finished =
        Capture::of(&["curl", "-sS", "-H", "Expect: 100-continue", "-d", &data, &origin.url("/echo")]).run();
    assert_eq!(finished.stdout, format!("3000 {}\n", sha256(data.as_bytes())));
    let recording = finished.recording();
    let event = recording.call();
    assert_eq!(event["interim"][0]["status"], 100, "{event:#}");
    assert_eq!(event["status"], 200);
    assert_eq!(text(&event["body"]), data);
}

#[test]
fn early_hints_are_kept_apart_from_the_answer() {
    let origin = Origin::start();
    let (recording, _) = raw(origin.port(), "GET /hints HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let event = recording.call();
    assert_eq!(event["interim"], json!([{"status": 103, "headers": {"Link": ["</a.css>"]}}]));
    assert_eq!(event["status"], 200);
    assert_eq!(event["responseBody"], "after the hint");
}

#[test]
fn after_an_upgrade_bytes_are_bytes() {
    let origin = Origin::start();
    let script = r#"
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(b"GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
head = b""
while b"\r\n\r\n" not in head:
    head += s.recv(4096)
for word in (b"GET / HTTP/1.1\r\n\r\n", b"two\xff"):
    s.sendall(word)
    assert s.recv(4096) == word
"#;
    let recording = Capture::python(script, &[&origin.port().to_string()]).record();
    let calls = recording.calls();
    assert_eq!(calls[0]["status"], 101);
    assert!(calls[0].get("incomplete").is_none() && calls[0].get("error").is_none(), "{:#}", calls[0]);
    assert!(calls[1..].iter().all(|call| call["protocol"] == "tcp"), "{calls:#?}");
    let bytes = |side| -> Vec<u8> { calls[1..].iter().flat_map(|call| recording.body(call, side)).collect() };
    assert_eq!(bytes(Side::Request), b"GET / HTTP/1.1\r\n\r\ntwo\xff");
    assert_eq!(bytes(Side::Request), bytes(Side::Response));
}

#[test]
fn what_goes_in_the_clear_through_a_connect_proxy_is_read() {
    let origin = Origin::start();
    let proxy = Tcp::start(|mut client| {
        let mut wire = Vec::new();
        while !wire.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            std::io::Read::read_exact(&mut client, &mut byte).unwrap();
            wire.push(byte[0]);
        }
        let target = String::from_utf8(wire).unwrap().split(' ').nth(1).unwrap().to_owned();
        let mut server = std::net::TcpStream::connect(target).unwrap();
        std::io::Write::write_all(&mut client, b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
        let (mut upstream, mut downstream) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut upstream, &mut downstream);
        });
        let _ = std::io::copy(&mut client, &mut server);
    });
    let proxied = format!("http://{}", proxy.addr);
    let finished = Capture::of(&["curl", "-sS", "-p", "-x", &proxied, &origin.url("/hello")])
        .option(&["--no-redact"])
        .run();
    assert_eq!(finished.stdout, "hello, world\n", "{}", finished.stderr);
    let recording = finished.recording();
    let calls = recording.calls();
    assert_eq!((text(&calls[0]["method"]), &calls[0]["status"]), ("CONNECT", &json!(200)));
    assert_eq!(text(&calls[0]["url"]), origin.addr.to_string());
    assert_eq!(calls[0]["peer"], proxy.addr.to_string());
    assert_eq!((text(&calls[1]["protocol"]), text(&calls[1]["url"])), ("http/1.1", &*origin.url("/hello")));
    assert_eq!(recording.body(calls[1], Side::Response), b"hello, world\n");
}

#[test]
fn a_body_that_ends_with_the_connection_is_whole() {
    let origin = Origin::start();
    let finished = Capture::of(&["curl", "-sS", "--http1.0", &origin.url("/close")]).run();
    assert_eq!(finished.stdout, "until the end");
    let recording = finished.recording();
    let event = recording.call();
    assert_eq!(event["protocol"], "http/1.0");
    assert_eq!(event["responseBody"], "until the end");
    assert!(event.get("incomplete").is_none(), "{event:#}");
}

#[test]
fn a_server_error_is_an_answer_and_a_failed_exit_stays_the_commands() {
    let origin = Origin::start();
    let finished = Capture::of(&["curl", "-sSf", &origin.url("/503")]).run();
    assert_eq!(finished.code, 22);
    let recording = finished.recording();
    assert_eq!(recording.call()["status"], 503);
}

#[test]
fn a_large_binary_answer_goes_to_a_file() {
    let origin = Origin::start();
    let finished =
        Capture::of(&["sh", "-c", "curl -sS \"$0\" | sha256sum", &origin.url("/bytes/300000")]).run();
    let recording = finished.recording();
    let event: &Value = recording.call();
    let body = recording.body(event, Side::Response);
    assert_eq!(body.len(), 300_000);
    assert_eq!(finished.stdout, format!("{}  -\n", sha256(&body)));
    assert_eq!(recording.body_files(), [sha256(&body)]);
}
