//! Both directions in one incident: what came in, what was asked for because of it, and the answer, in this order.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use super::{connect, detach};
use crate::harness::{Capture, Origin, PYTHON, Recording, Running, Service, Side, text};

/// Asked for `/front/N` it asks its dependency for `/n/N`, asked for `/self/N` it asks itself for `/own/N`. Says who
/// the client was in `X-Client`.
const FRONT: &str = r#"
import http.server, os, sys, threading, urllib.request
dependency = sys.argv[1]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        _, kind, number = self.path.split("/")
        if kind == "own":
            body = f"own {number}".encode()
        else:
            base = dependency + "/n/" if kind == "front" else f"http://127.0.0.1:{server.server_port}/own/"
            with urllib.request.urlopen(base + number, timeout=20) as answer:
                body = answer.read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Client", "%s:%d" % self.client_address)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 100
server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"READY main={os.getpid()} port={server.server_port}", flush=True)
sys.stdin.read()
"#;

const WAYS: [&str; 2] = ["proxy", "tap"];

struct Front {
    service: Service,
    origin: Origin,
    addr: SocketAddr,
    capture: Running,
}

fn front(via: &str) -> Front {
    let origin = Origin::start();
    let service = Service::run(&[], &[PYTHON, "-c", FRONT, &origin.url("")]);
    let addr = SocketAddr::from(([127, 0, 0, 1], service.pids["port"] as u16));
    let capture = Capture::attached(&["--pid", &service.pid_text("main")]).option(&["--via", via]);
    Front { capture: capture.start().ready(), service, origin, addr }
}

/// From eight clients at a time; each answer must be the expected one.
fn ask_all(addr: SocketAddr, kind: &'static str, expected: fn(usize) -> String) {
    let clients: Vec<_> = (0..8)
        .map(|client| {
            std::thread::spawn(move || {
                let mut wire = connect(addr);
                for number in (client * 5)..(client * 5 + 5) {
                    wire.send(format!("GET /{kind}/{number} HTTP/1.1\r\nHost: front.test\r\n\r\n"));
                    assert_eq!(wire.response().unwrap().1, expected(number).as_bytes());
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
}

/// The lines about one number by what they are, with their place in the sequence.
fn lines(recording: &Recording) -> BTreeMap<(String, String), Vec<&Value>> {
    let mut lines: BTreeMap<(String, String), Vec<&Value>> = BTreeMap::new();
    for event in &recording.events {
        let path = text(&event["url"]).splitn(4, '/').nth(3).unwrap().to_owned();
        lines.entry((text(&event["type"]).to_owned(), path)).or_default().push(event);
    }
    lines
}

fn only<'a>(lines: &BTreeMap<(String, String), Vec<&'a Value>>, kind: &str, path: &str) -> (u64, &'a Value) {
    let found = lines.get(&(kind.to_owned(), path.to_owned())).map_or(&[][..], Vec::as_slice);
    assert_eq!(found.len(), 1, "{kind} {path}: {found:#?}");
    (found[0]["sequence"].as_u64().unwrap(), found[0])
}

#[test]
fn a_call_stands_between_the_request_that_caused_it_and_its_response() {
    for via in WAYS {
        let front = front(via);
        ask_all(front.addr, "front", |number| format!("{number}\n"));
        let recording = detach(front.capture).recording();
        assert_eq!(front.origin.seen().len(), 40);
        recording.exchanges().iter().for_each(|exchange| exchange.assert_whole());
        let lines = lines(&recording);
        assert_eq!(lines.len(), 3 * 40);
        for number in 0..40 {
            let (inward, outward) = (format!("front/{number}"), format!("n/{number}"));
            let (request, _) = only(&lines, "InboundRequest", &inward);
            let (call, event) = only(&lines, "OutboundCall", &outward);
            let (response, _) = only(&lines, "InboundResponse", &inward);
            assert!(request < call && call < response, "{via} {number}: {request} {call} {response}");
            assert_eq!(event["status"], 200);
            assert_eq!(event["peer"], front.origin.addr.to_string());
            assert_eq!(event["pid"], front.service.pids["main"], "{event:#}");
            assert_eq!(recording.body(event, Side::Response), format!("{number}\n").as_bytes());
        }
        let dependencies = &recording.manifest["dependencies"];
        assert_eq!(dependencies.as_array().unwrap().len(), 1, "{dependencies:#}");
        assert_eq!(dependencies[0]["calls"], 40);
    }
}

/// The same bytes are an outbound call and an inbound request: one of each.
#[test]
fn a_service_that_calls_itself() {
    for via in WAYS {
        let front = front(via);
        ask_all(front.addr, "self", |number| format!("own {number}"));
        let recording = detach(front.capture).recording();
        recording.exchanges().iter().for_each(|exchange| exchange.assert_whole());
        let lines = lines(&recording);
        assert_eq!(lines.len(), 5 * 40, "{via}");
        for number in 0..40 {
            let (outer, inner) = (format!("self/{number}"), format!("own/{number}"));
            let (request, _) = only(&lines, "InboundRequest", &outer);
            let (response, _) = only(&lines, "InboundResponse", &outer);
            let (asked, event) = only(&lines, "InboundRequest", &inner);
            let (answered, answer) = only(&lines, "InboundResponse", &inner);
            let (call, called) = only(&lines, "OutboundCall", &inner);
            assert!(request < asked && answered < response && call < response, "{via} {number}");
            // Who asked is whom the server sees, through the relay too.
            assert_eq!(event["peer"], answer["headers"]["X-Client"][0], "{via}: {answer:#}");
            assert_eq!(called["peer"], front.addr.to_string());
            assert_eq!(recording.body(called, Side::Response), format!("own {number}").as_bytes());
        }
    }
}

/// Who asked: the process and the name of its thread, for each of the ways to ask.
#[test]
fn by_tap_calls_have_their_process() {
    let origin = Origin::start();
    let mut service = Service::start();
    let target = ["--pid", &service.pid_text("main")];
    let capture = Capture::attached(&target).option(&["--via", "tap"]).start().ready();
    let mut asked = Vec::new();
    for who in ["main", "child", "grandchild"] {
        for verb in ["ask", "kept", "thread", "fork", "fork-twice", "daemon", "curl"] {
            let path = format!("/{who}/{verb}");
            let said = service.ask(who, verb, &origin.url(&path));
            assert_eq!(said.text, path);
            asked.push((said.pid, verb, path));
        }
    }
    service.ask("daemon", "ask", &origin.url("/daemon"));
    let recording = detach(capture).recording();
    recording.assert_paths(&asked.iter().map(|(_, _, path)| path.as_str()).collect::<Vec<_>>());
    for (pid, verb, path) in asked {
        let url = origin.url(&path);
        let call = recording.calls().into_iter().find(|call| text(&call["url"]) == url).unwrap().clone();
        assert_eq!(call["pid"], pid, "{call:#}");
        assert_eq!(call["comm"], if verb == "curl" { "curl" } else { "python3" });
        assert_eq!((text(&call["responseBody"]), &call["status"]), (&*path, &200.into()));
        assert_eq!(text(&call["peer"]), origin.addr.to_string());
    }
}
