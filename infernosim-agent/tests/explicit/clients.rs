//! Clients as they are: each asks its server once directly and once through us. The server sees the same request, the
//! client the same answer, but for `Via`; and both are recorded as they were sent.

use serde_json::Value;

use crate::harness::{Client, Folder, Origin, PYTHON, Running, Said, Side, sha256, text};

const PYTHON_URLLIB: &str = r#"
import sys, urllib.request
request = urllib.request.Request(sys.argv[1], data=b"python \xff " * 10000 if sys.argv[2] == "POST" else None)
with urllib.request.urlopen(request) as answer:
    print(answer.status, [field for field in answer.headers.items() if field[0] not in ("Via", "Connection")])
    sys.stdout.buffer.write(answer.read())
"#;

const PYTHON_HTTP_CLIENT: &str = r#"
import http.client, os, sys, urllib.parse
url = urllib.parse.urlsplit(sys.argv[1])
proxy = urllib.parse.urlsplit(os.environ.get("http_proxy", ""))
peer = proxy.netloc or url.netloc
connection = http.client.HTTPConnection(peer)
target = sys.argv[1] if proxy.netloc else url.path
body = b"client \xff " * 10000 if sys.argv[2] == "POST" else None
connection.request(sys.argv[2], target, body, {"Host": url.netloc, "X-Odd-cASE": "1"})
answer = connection.getresponse()
print(answer.status, [field for field in answer.getheaders() if field[0] not in ("Via", "Connection")])
sys.stdout.buffer.write(answer.read())
"#;

const NODE_HTTP: &str = r#"
const http = require("http");
const [url, method] = process.argv.slice(1);
const proxy = process.env.http_proxy && new URL(process.env.http_proxy);
const to = new URL(url), peer = proxy || to;
const request = http.request({
    host: peer.hostname, port: peer.port, method, path: proxy ? url : to.pathname,
    headers: { Host: to.host, "X-Odd-cASE": "1" }, agent: new http.Agent({ keepAlive: true }),
}, (answer) => {
    const fields = [];
    for (let at = 0; at < answer.rawHeaders.length; at += 2) {
        if (!["Via", "Connection"].includes(answer.rawHeaders[at])) fields.push(answer.rawHeaders.slice(at, at + 2));
    }
    console.log(answer.statusCode, JSON.stringify(fields));
    answer.on("data", (piece) => process.stdout.write(piece));
    answer.on("end", () => process.exit(0));
});
request.end(method === "POST" ? Buffer.alloc(70000, "node ") : undefined);
"#;

/// Its default transport leaves loopback alone, so that it is told a proxy.
const GO: &str = include_str!("client.go");

/// A way to ask with a method.
type Ask<'a> = &'a dyn Fn(&str, &str) -> Client;

fn ask(client: Ask<'_>, url: &str, method: &str, proxy: Option<&Running>) -> Said {
    let client = client(url, method);
    let said = match proxy {
        Some(proxy) => client.proxied(proxy).run(),
        None => client.run(),
    };
    assert_eq!(said.code, 0, "{}", said.stderr);
    said
}

/// A head without these fields; the rest as it was, in order.
fn without(names: &[&str], head: &str) -> String {
    let is_one = |line: &&str| {
        let line = line.to_ascii_lowercase();
        names.iter().any(|name| line.starts_with(name))
    };
    head.split("\r\n").filter(|line| !is_one(line)).collect::<Vec<_>>().join("\r\n")
}

fn through(client: Ask<'_>) {
    let (origin, folder) = (Origin::start(), Folder::new());
    let proxy = folder.proxy(&["--no-redact"]);
    for (method, path) in [("GET", "/hello"), ("POST", "/echo")] {
        origin.clear();
        let directly = ask(client, &origin.url(path), method, None);
        let through = ask(client, &origin.url(path), method, Some(&proxy));
        assert_eq!(through.text(), directly.text(), "{method}");
        let seen = origin.seen();
        // That a connection is to be kept is said by HTTP/1.1 itself, and is each hop's own affair.
        let directly = without(&["connection: keep-alive"], &seen[0].head);
        assert_eq!(without(&["via:"], &seen[1].head), directly, "{method}");
        assert!(seen[1].head.contains("\r\nVia: 1.1 infernosim\r\n"), "{}", seen[1].head);
        assert_eq!(seen[1].body, seen[0].body);
    }
    proxy.stop();
    let (recording, seen) = (folder.recorded("outbound.log"), origin.seen());
    let [hello, echo] = recording.calls()[..] else { panic!("{:#?}", recording.events) };
    for (event, method, path) in [(hello, "GET", "/hello"), (echo, "POST", "/echo")] {
        assert_call(event, method, &origin.url(path));
        assert_eq!(event["service"], origin.addr.to_string());
        assert_eq!(event["peer"], origin.addr.to_string());
    }
    assert_eq!(hello["responseBody"], "hello, world\n");
    assert_eq!(hello["responseHeaders"]["X-zebra"][0], "1");
    assert!(hello["responseHeaders"].get("Via").is_none(), "as it was received: {hello:#}");
    assert!(seen[0].body.len() >= 70_000);
    assert_eq!(recording.body(echo, Side::Request), seen[0].body);
    assert_eq!(text(&echo["responseBody"]), format!("{} {}\n", seen[0].body.len(), sha256(&seen[0].body)));
}

fn assert_call(event: &Value, method: &str, url: &str) {
    assert_eq!(event["type"], "OutboundCall");
    assert_eq!((text(&event["method"]), text(&event["url"])), (method, url));
    assert_eq!(event["status"], 200);
    assert_eq!(text(&event["protocol"]), "http/1.1");
    assert!(event["duration"].as_u64().unwrap() > 0, "{event:#}");
    assert!(event.get("error").is_none() && event.get("errno").is_none(), "{event:#}");
    let local: std::net::SocketAddr = text(&event["local"]).parse().unwrap();
    assert!(local.ip().is_loopback(), "{event:#}");
}

#[test]
fn curl() {
    through(&|url, method| {
        let body: &[&str] = if method == "POST" { &["--data-binary", "@-"] } else { &[] };
        let client = Client::of("curl", &[&["-sS", "-w", "%{http_code}"], body, &[url]].concat());
        client.stdin(&[b'c'; 80_000])
    });
}

#[test]
fn wget() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![b'w'; 70_001]).unwrap();
    let post = format!("--post-file={}", file.path().display());
    through(&|url, method| {
        let body: &[&str] = if method == "POST" { &[&post] } else { &[] };
        Client::of("wget", &[&["-q", "-O", "-", "--no-hsts"], body, &[url]].concat())
    });
}

#[test]
fn python_urllib() {
    through(&|url, method| Client::of(PYTHON, &["-c", PYTHON_URLLIB, url, method]));
}

#[test]
fn python_http_client() {
    through(&|url, method| Client::of(PYTHON, &["-c", PYTHON_HTTP_CLIENT, url, method]));
}

#[test]
fn node() {
    through(&|url, method| Client::of("node", &["-e", NODE_HTTP, url, method]));
}

#[test]
fn go() {
    let folder = Folder::new();
    let (source, binary) = (folder.join("main.go"), folder.join("client"));
    std::fs::write(&source, GO).unwrap();
    let [source, binary] = [&source, &binary].map(|path| path.to_str().unwrap());
    Client::of("go", &["build", "-o", binary, source]).run().text();
    through(&|url, method| Client::of(binary, &[url, method]));
}
