//! Everything that is not HTTP/1, and programs that are not ours.

use std::io::{Read, Write};
use std::process::Command;

use serde_json::json;

use crate::harness::{Capture, Daemon, Side, Tcp, program, sha256, text};

/// A key and a certificate of its own for `tls.test`.
pub fn certificate(place: &std::path::Path) -> (String, String) {
    let path = |name: &str| place.join(name).to_str().unwrap().to_owned();
    let (key, cert) = (path("key.pem"), path("cert.pem"));
    let words = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-subj",
        "/CN=tls.test",
        "-keyout",
        &key,
        "-out",
        &cert,
    ];
    let output = Command::new(program("openssl")).args(words).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    (key, cert)
}

#[test]
fn tls_passes_and_is_recorded_by_name() {
    let place = tempfile::tempdir().unwrap();
    let (key, cert) = certificate(place.path());
    let server = Daemon::start("openssl", |port| {
        let words = [
            "s_server",
            "-www",
            "-quiet",
            "-key",
            &key,
            "-cert",
            &cert,
            "-accept",
            &format!("127.0.0.1:{port}"),
        ];
        words.map(str::to_owned).to_vec()
    });
    let port = server.addr.port();
    let (resolve, url) = (format!("tls.test:{port}:127.0.0.1"), format!("https://tls.test:{port}/"));
    let words = [
        "curl",
        "-sS",
        "--cacert",
        &cert,
        "--resolve",
        &resolve,
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        &url,
    ];
    let finished = Capture::of(&words).run();
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "200"), "{}", finished.stderr);
    let recording = finished.recording();
    let event = recording.call();
    assert_eq!(event["protocol"], "tls");
    assert_eq!(event["sni"], "tls.test");
    assert_eq!(event["alpn"], json!(["h2", "http/1.1"]));
    assert_eq!(event["service"], format!("tls.test:{port}"));
    assert_eq!(event["peer"], server.addr.to_string());
    assert!(
        event["bodySize"].as_u64().unwrap() > 200 && event["responseBodySize"].as_u64().unwrap() > 500,
        "{event:#}"
    );
    // Nothing that was said is readable, so nothing of it may look as if it were.
    assert!(event.get("status").is_none() && event.get("method").is_none(), "{event:#}");

    let connect = format!("127.0.0.1:{port}");
    let words =
        ["openssl", "s_client", "-quiet", "-connect", &connect, "-servername", "other.test", "-no_ign_eof"];
    let recording = Capture::of(&words).stdin(b"GET / HTTP/1.0\r\n\r\n").run().recording();
    assert_eq!(recording.call()["sni"], "other.test");
    assert_eq!(recording.call()["alpn"], json!([]));
}

#[test]
fn nginx_is_served_from_as_without_us() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().to_str().unwrap().to_owned();
    let body: Vec<u8> = (0..1_000_000_u32).flat_map(|n| n.to_string().into_bytes()).take(1 << 20).collect();
    std::fs::write(place.path().join("big.txt"), &body).unwrap();
    let server = Daemon::start("nginx", |port| {
        let config = format!(
            "daemon off; master_process off; pid {root}/pid; error_log {root}/error; user root;
             events {{ worker_connections 100; }}
             http {{
                 access_log off; gzip on; gzip_types *; client_body_temp_path {root}/a; proxy_temp_path {root}/b;
                 fastcgi_temp_path {root}/c; uwsgi_temp_path {root}/d; scgi_temp_path {root}/e;
                 server {{ listen 127.0.0.1:{port}; root {root}; }}
             }}"
        );
        let path = format!("{root}/nginx.conf");
        std::fs::write(&path, config).unwrap();
        ["-c", &path, "-e", &format!("{root}/error"), "-p", &root].map(str::to_owned).to_vec()
    });
    let url = format!("http://{}/big.txt", server.addr);
    let script = "curl -sS \"$0\" \"$0\" | sha256sum; curl -sS --compressed \"$0\" | sha256sum; \
                  curl -sS -r 100-199 \"$0\"; curl -sS -o /dev/null -w '%{http_code}' \"$0.none\"";
    let capture = Capture::of(&["sh", "-c", script, &url]);
    let native = capture.native();
    let finished = capture.run();
    assert_eq!((finished.code, &finished.stdout), (native.code, &native.stdout), "{}", finished.stderr);
    let recording = finished.recording();
    let calls = recording.calls();
    let statuses: Vec<u64> = calls.iter().map(|call| call["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 200, 200, 206, 404]);
    assert_eq!(sha256(&recording.body(calls[1], Side::Response)), sha256(&body));
    assert_eq!(calls[2]["responseHeaders"]["Content-Encoding"], json!(["gzip"]));
    assert!(recording.body(calls[2], Side::Response).starts_with(&[0x1f, 0x8b]));
    assert_eq!(text(&calls[3]["responseBody"]).as_bytes(), &body[100..200]);
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[test]
fn http2_is_known_by_its_preface() {
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    let origin = Tcp::start(move |mut stream| {
        let mut bytes = vec![0; PREFACE.len() + settings.len()];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(settings).unwrap();
        let _ = stream.read(&mut bytes);
    });
    let script = r#"
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
for piece in (b"PRI * HT", b"TP/2.0\r\n\r\nSM\r\n\r\n", b"\0\0\0\4\0\0\0\0\0"):
    s.sendall(piece)
print(s.recv(9) == b"\0\0\0\4\0\0\0\0\0")
"#;
    let finished = Capture::python(script, &[&origin.port().to_string()]).run();
    assert_eq!(finished.stdout, "True\n", "{}", finished.stderr);
    let recording = finished.recording();
    let event = recording.call();
    assert_eq!(event["protocol"], "h2");
    assert_eq!(recording.body(event, Side::Request), [PREFACE, settings].concat());
    assert_eq!(recording.body(event, Side::Response), settings);
}

#[test]
fn a_binary_protocol_is_recorded_in_turns() {
    let origin = Tcp::start(|mut stream| {
        let mut word = [0; 4];
        while stream.read_exact(&mut word).is_ok() {
            word.reverse();
            stream.write_all(&word).unwrap();
        }
    });
    let script = r#"
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
for word in (b"\x00abc", b"\xff123", b"xyz\n"):
    s.sendall(word)
    assert s.recv(10) == word[::-1]
"#;
    let recording = Capture::python(script, &[&origin.port().to_string()]).record();
    let calls = recording.calls();
    let turns: Vec<_> = calls
        .iter()
        .map(|call| (recording.body(call, Side::Request), recording.body(call, Side::Response)))
        .collect();
    let expected = [b"\x00abc", b"\xff123", b"xyz\n"].map(|word| {
        let reversed: Vec<u8> = word.iter().rev().copied().collect();
        (word.to_vec(), reversed)
    });
    assert_eq!(turns, expected);
    for call in &calls {
        assert_eq!(
            (text(&call["protocol"]), text(&call["url"])),
            ("tcp", &*format!("tcp://{}", origin.addr))
        );
        assert_eq!(call["connection"], calls[0]["connection"]);
        assert!(call.get("incomplete").is_none(), "{call:#}");
    }
}

#[test]
fn a_server_that_speaks_first_is_heard() {
    let origin = Tcp::start(|mut stream| {
        stream.write_all(b"220 mail.test ready\r\n").unwrap();
        let mut word = [0; 6];
        stream.read_exact(&mut word).unwrap();
        stream.write_all(b"221 bye\r\n").unwrap();
    });
    let script = r#"
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print(s.recv(100))
s.sendall(b"QUIT\r\n")
print(s.recv(100), s.recv(100))
"#;
    let finished = Capture::python(script, &[&origin.port().to_string()]).run();
    assert_eq!(
        finished.stdout, "b'220 mail.test ready\\r\\n'\nb'221 bye\\r\\n' b''\n",
        "{}",
        finished.stderr
    );
    let recording = finished.recording();
    let calls = recording.calls();
    let answers: Vec<u8> = calls.iter().flat_map(|call| recording.body(call, Side::Response)).collect();
    assert_eq!(answers, b"220 mail.test ready\r\n221 bye\r\n");
    assert_eq!(text(&calls[calls.len() - 1]["body"]), "QUIT\r\n");
}

#[test]
fn a_real_database_is_talked_to() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().to_str().unwrap().to_owned();
    let server = Daemon::start("redis-server", |port| {
        ["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir", &dir]
            .map(str::to_owned)
            .to_vec()
    });
    let script = r#"
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
for command, answer in ((b"SET k v\r\n", b"+OK\r\n"), (b"GET k\r\n", b"$1\r\nv\r\n")):
    s.sendall(command)
    assert s.recv(100) == answer
"#;
    let recording = Capture::python(script, &[&server.addr.port().to_string()]).record();
    let calls = recording.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!((text(&calls[1]["body"]), text(&calls[1]["responseBody"])), ("GET k\r\n", "$1\r\nv\r\n"));
}
