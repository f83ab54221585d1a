//! CONNECT: a tunnel is one line, as the original recorded it, with what can be known of what went through it.

use std::net::Shutdown;

use serde_json::Value;

use crate::harness::{Folder, Origin, Program, Recording, Tcp, Wire, closed_port, curl, text};

const TLS_SERVER: &str = r#"
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = b"s" * 5000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print("PORT", server.server_address[1], flush=True)
server.serve_forever()
"#;

/// What holds of every tunnel's line.
fn assert_tunnel(event: &Value, authority: &str) {
    assert_eq!(text(&event["type"]), "OutboundCall");
    assert_eq!(text(&event["method"]), "CONNECT");
    assert_eq!(text(&event["url"]), authority);
    assert_eq!(event["status"], 200, "{event:#}");
    assert!(event.get("error").is_none(), "{event:#}");
}

fn only_call(recording: &Recording) -> &Value {
    let [call] = recording.calls()[..] else { panic!("{:#?}", recording.events) };
    call
}

#[test]
fn curl_over_tls() {
    let folder = Folder::new();
    let [key, cert] = ["key.pem", "cert.pem"].map(|name| folder.join(name).to_str().unwrap().to_owned());
    let subject = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"];
    let made = [&subject[..], &["-keyout", &key, "-out", &cert, "-addext", "subjectAltName=DNS:localhost"]];
    assert_eq!(crate::harness::Client::of("openssl", &made.concat()).run().code, 0);
    let server = Program::python(TLS_SERVER, &[&cert, &key]);
    let proxy = folder.proxy(&[]);
    let url = format!("https://localhost:{}/", server.port);
    let said = curl(&["-x", &proxy.url(""), "--cacert", &cert, &url, &url]).text();
    assert_eq!(said, "s".repeat(10_000));
    proxy.stop();
    let recording = folder.recorded("outbound.log");
    let call = only_call(&recording);
    assert_tunnel(call, &format!("localhost:{}", server.port));
    assert_eq!(text(&call["service"]), format!("localhost:{}", server.port));
    assert_eq!(text(&call["protocol"]), "tls", "{call:#}");
    assert_eq!(text(&call["sni"]), "localhost", "{call:#}");
    assert!(call["responseBodySize"].as_u64().unwrap() > 10_000, "{call:#}");
    assert!(call["bodySize"].as_u64().unwrap() > 300, "{call:#}");
    assert_eq!(text(&call["peer"]), format!("127.0.0.1:{}", server.port));
    assert!(recording.body_files().is_empty(), "what cannot be read is not kept");
}

#[test]
fn cleartext_http_within_has_lines_of_its_own() {
    let (origin, folder) = (Origin::start(), Folder::new());
    let proxy = folder.proxy(&[]);
    let said = curl(&["-p", "-x", &proxy.url(""), &origin.url("/n/1"), &origin.url("/n/2")]).text();
    assert_eq!(said, "1\n2\n");
    // Within a tunnel nothing is ours: the server sees what it would see without us.
    assert!(origin.seen().iter().all(|seen| !seen.head.to_ascii_lowercase().contains("\r\nvia:")));
    proxy.stop();
    let recording = folder.recorded("outbound.log");
    let [tunnel, first, second] = recording.calls()[..] else { panic!("{:#?}", recording.events) };
    assert_tunnel(tunnel, &origin.addr.to_string());
    for (call, path) in [(first, "/n/1"), (second, "/n/2")] {
        assert_eq!((text(&call["method"]), text(&call["url"])), ("GET", origin.url(path).as_str()));
        assert_eq!(call["connection"], tunnel["connection"]);
    }
}

/// Bytes right behind the head of the CONNECT, a half-close of either end, and everything between are the tunnel's.
#[test]
fn a_tunnel_is_blind() {
    let server = Tcp::start(|stream| {
        let mut wire = Wire::new(stream);
        let said = wire.rest();
        wire.send(format!("{} bytes", said.len()));
        said
    });
    let folder = Folder::new();
    let proxy = folder.proxy(&[]);
    let mut client = proxy.connect();
    client.send(format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\nearly\0\r\n", server.addr));
    let head = String::from_utf8(client.head().unwrap()).unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(!head.to_ascii_lowercase().contains("content-length"), "RFC 9110 section 9.3.6: {head}");
    client.send(vec![0xfe; 100_000]);
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), b"100008 bytes");
    let said = server.result();
    assert!(said.starts_with(b"early\0\r\n\xfe") && said.len() == 100_008);
    proxy.stop();
    let recording = folder.recorded("outbound.log");
    let call = only_call(&recording);
    assert_tunnel(call, &server.addr.to_string());
    assert_eq!((call["bodySize"].as_u64(), call["responseBodySize"].as_u64()), (Some(100_008), Some(12)));
}

#[test]
fn a_tunnel_on_which_nothing_is_said_is_a_line_too() {
    let server = Tcp::start(|stream| Wire::new(stream).rest());
    let folder = Folder::new();
    let proxy = folder.proxy(&[]);
    let mut client = proxy.connect();
    client.send(format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", server.addr));
    client.head().unwrap();
    drop(client);
    assert!(server.result().is_empty());
    proxy.stop();
    assert_tunnel(folder.recorded("outbound.log").call(), &server.addr.to_string());
}

#[test]
fn a_tunnel_to_nowhere_is_refused_with_an_explanation() {
    let folder = Folder::new();
    let proxy = folder.proxy(&[]);
    let nowhere = format!("127.0.0.1:{}", closed_port());
    let said = curl(&["-x", &proxy.url(""), &format!("https://{nowhere}/")]);
    assert_eq!(said.code, 56, "{}", said.stderr);
    assert!(said.stderr.contains("502"), "{}", said.stderr);
    proxy.stop();
    let recording = folder.recorded("outbound.log");
    let call = only_call(&recording);
    assert_eq!((text(&call["method"]), text(&call["url"])), ("CONNECT", nowhere.as_str()));
    assert_eq!((call["status"].as_u64(), text(&call["errno"])), (Some(502), "ECONNREFUSED"), "{call:#}");
    assert_eq!(recording.manifest["dependencies"][0]["failed"], 1, "{:#}", recording.manifest);
}
