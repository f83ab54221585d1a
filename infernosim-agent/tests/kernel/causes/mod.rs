//! Which request made the target call: found where it can be, and never another one, whatever the target does with its
//! threads.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use serde_json::Value;

use crate::harness::{Capture, Origin, Recording, Running, text};

const SERVICE: &str = include_str!("service.py");
const NODE: &str = r#"
const http = require("http");
const [base, parties] = [process.argv[1], +process.argv[2]];
const agent = new http.Agent({ keepAlive: true });
const ask = (path) => new Promise((done) => {
    http.get(`http://${base}${path}`, { agent }, (answer) => answer.resume().on("end", done));
});
const gathering = () => {
    let here = 0, open;
    const all = new Promise((done) => { open = done; });
    return () => { if (++here >= parties) open(); return all; };
};
const [asked, called] = [gathering(), gathering()];
const server = http.createServer(async (request, response) => {
    await asked();
    await ask(request.url);
    await ask(request.url + "?second");
    await called();
    response.end("ok");
});
server.listen(0, "127.0.0.1", () => console.log("PORT", server.address().port));
process.stdin.resume().on("end", () => process.exit(0));
"#;
/// Requests that are open together.
const MANY: u32 = 32;

/// A capture of a service that asks `origin`, and where it listens.
fn start(way: &str, parties: u32, origin: &Origin) -> (Running, u16) {
    let (base, parties) = (origin.addr.to_string(), parties.to_string());
    let capture = match way {
        "node" => Capture::of(&["node", "-e", NODE, &base, &parties]),
        way => Capture::python(SERVICE, &[way, &base, &parties]),
    };
    let mut running = capture.start().ready();
    let line = running.ask("", "PORT ");
    let port = line.rsplit(' ').next().unwrap().parse().unwrap();
    (running, port)
}

/// Asks for `/n/NUMBER`, with one more header field.
fn ask(port: u16, path: &str, field: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: shop\r\n{field}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer:?}");
}

fn ask_together(port: u16, field: impl Fn(u32) -> String) {
    let clients: Vec<_> = (0..MANY)
        .map(|number| {
            let field = field(number);
            thread::spawn(move || ask(port, &format!("/n/{number}"), &field))
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
}

/// How often each basis stands in the lines about calls. Every cause that is there is the right one, as the paths say:
/// that of a call is its request's, and perhaps a query.
fn bases(recording: &Recording) -> BTreeMap<String, u32> {
    let requests: BTreeMap<&str, &Value> =
        recording.of_type("InboundRequest").into_iter().map(|it| (text(&it["id"]), it)).collect();
    let path = |event: &Value| -> String {
        let url = text(&event["url"]).split_once("//").unwrap().1;
        let path = url.split_once('/').unwrap().1;
        path.split('?').next().unwrap().to_owned()
    };
    let mut bases = BTreeMap::new();
    for call in recording.calls() {
        let basis = call["causeBasis"].as_str().unwrap_or("none");
        *bases.entry(basis.to_owned()).or_insert(0) += 1;
        if let Some(cause) = call["cause"].as_str() {
            assert_eq!(path(requests[cause]), path(call), "{call:#}");
        } else {
            assert!(matches!(basis, "ambiguous" | "none"), "{call:#}");
        }
    }
    bases
}

fn only(basis: &str, count: u32) -> BTreeMap<String, u32> {
    BTreeMap::from([(basis.to_owned(), count)])
}

/// What the bases are when all requests are open together.
fn together(way: &str, field: impl Fn(u32) -> String) -> BTreeMap<String, u32> {
    let origin = Origin::start();
    let (running, port) = start(way, MANY, &origin);
    ask_together(port, field);
    let finished = running.finish();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    bases(&finished.recording())
}

/// And when they come one after the other.
fn one_by_one(way: &str) -> BTreeMap<String, u32> {
    let origin = Origin::start();
    let (running, port) = start(way, 1, &origin);
    (0..5).for_each(|number| ask(port, &format!("/n/{number}"), ""));
    let finished = running.finish();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    bases(&finished.recording())
}

fn no_field(_: u32) -> String {
    String::new()
}

fn parent(number: u32) -> String {
    format!("traceparent: 00-4bf92f3577b34da6a3ce929d{number:08x}-00f067aa0ba902b7-01\r\n")
}

#[test]
fn a_thread_for_each_request_tells() {
    assert_eq!(together("threads", no_field), only("thread", 2 * MANY));
}

#[test]
fn what_is_passed_on_tells() {
    assert_eq!(together("loop", parent), only("header", 2 * MANY));
}

#[test]
fn an_event_loop_tells_nothing_but_when_it_has_one_request() {
    for way in ["loop", "node"] {
        assert_eq!(together(way, no_field), only("ambiguous", 2 * MANY), "{way}");
        let alone = one_by_one(way);
        assert_eq!(alone.get("ambiguous").or(alone.get("none")), None, "{way}: {alone:?}");
        assert_eq!(alone.values().sum::<u32>(), 10, "{way}: {alone:?}");
    }
}

#[test]
fn a_thread_that_hands_requests_over_tells_nothing() {
    assert_eq!(together("handed-over", no_field), only("ambiguous", 2 * MANY));
    assert_eq!(one_by_one("handed-over"), only("only-one-in-flight", 10));
}

#[test]
fn processes_that_take_turns_are_told_apart() {
    assert_eq!(together("prefork", no_field), only("thread", 2 * MANY));
}

/// Lines about connections and answers, too.
#[test]
fn a_refused_connection_has_a_cause_and_an_answer_its_thread() {
    let origin = Origin::start();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (running, port) = start("threads", 2, &origin);
    let clients = [format!("/closed/{closed}"), "/n/1".to_owned()]
        .map(|path| thread::spawn(move || ask(port, &path, "")));
    clients.into_iter().for_each(|client| client.join().unwrap());
    let finished = running.finish();
    let recording = finished.recording();
    let refused = recording.of_type("Connection")[0];
    assert_eq!(refused["errno"], "ECONNREFUSED");
    assert_eq!(refused["causeBasis"], "thread");
    let exchanges = recording.exchanges();
    let of = |path: &str| exchanges.iter().find(|it| it.path() == path).unwrap();
    let cause = of(&format!("/closed/{closed}"));
    assert_eq!(refused["cause"], cause.request["id"]);
    assert_eq!(cause.response["tid"], refused["tid"]);
    let call = recording.calls()[0];
    assert_eq!(of("/n/1").response["tid"], call["tid"]);
    assert_ne!(call["tid"], refused["tid"]);
}
