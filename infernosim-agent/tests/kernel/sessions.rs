//! Several captures on one host, beside each other and inside each other.

use std::collections::BTreeSet;

use nix::sys::signal::Signal;

use crate::harness::{
    Capture, Cgroup, Exchange, Finished, INFERNOSIM, Lab, Origin, PYTHON, Running, Service, program,
};

/// A web service. Asked for `/chain/N/ID/OWN/OTHER` it asks the service on port OTHER for `/chain/N-1/ID/OTHER/OWN`,
/// until N is 0, and answers with all that it heard and its own N.
const CHAIN: &str = r#"
import http.server, os, sys, threading, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        _, _, n, name, own, other = self.path.split("/")
        body = b""
        if int(n):
            url = f"http://127.0.0.1:{other}/chain/{int(n) - 1}/{name}/{other}/{own}"
            body = urllib.request.urlopen(url, timeout=20).read()
        body += n.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"READY main={os.getpid()} port={server.server_port}", flush=True)
sys.stdin.read()
"#;

fn attached(service: &Service) -> Running {
    Capture::attached(&["--pid", &service.pid_text("main")]).start().ready()
}

/// The paths of the calls that a service of the chain makes: those whose number is of one parity.
fn chain(ids: usize, length: usize, odd: bool, own: u32, other: u32) -> BTreeSet<String> {
    let numbers = (0..length).filter(|number| (number % 2 == 1) == odd);
    numbers.flat_map(|n| (0..ids).map(move |id| format!("/chain/{n}/{id}/{other}/{own}"))).collect()
}

/// The calls that it made and the requests that it was asked, each once, and nothing else.
fn assert_recorded(finished: &Finished, expected: &BTreeSet<String>, inbound: &BTreeSet<String>) {
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let recording = finished.recording();
    recording.assert_paths(&expected.iter().map(String::as_str).collect::<Vec<_>>());
    let exchanges = recording.exchanges();
    exchanges.iter().for_each(Exchange::assert_whole);
    let asked: BTreeSet<String> = exchanges.iter().map(|exchange| exchange.path().to_owned()).collect();
    assert_eq!((&asked, exchanges.len()), (inbound, inbound.len()));
    assert_eq!(recording.events.len(), expected.len() + 2 * inbound.len(), "{:#?}", recording.events);
    assert_eq!(recording.unmediated("redirected-by-another-capture"), 0);
}

const IDS: usize = 20;
const LENGTH: usize = 5;

/// A client that asks a service of the chain, its IDS at once.
const CLIENT: &str = r#"
import concurrent.futures, sys, urllib.request
one, other, ids, length = sys.argv[1:]
def ask(name):
    url = f"http://127.0.0.1:{one}/chain/{length}/{name}/{one}/{other}"
    return urllib.request.urlopen(url, timeout=30).read().decode()
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    answers = set(pool.map(ask, range(int(ids))))
assert answers == {"".join(str(n) for n in range(int(length) + 1))}, answers
"#;

#[test]
fn four_captures_at_once_each_record_their_own() {
    let (origin, mut plain) = (Origin::start(), Service::start());
    let (mut one, mut other) =
        (Service::run(&[], &[PYTHON, "-c", CHAIN]), Service::run(&[], &[PYTHON, "-c", CHAIN]));
    let captures = [attached(&one), attached(&other), attached(&plain)];
    let (a, b) = (one.pids["port"], other.pids["port"]);
    let arguments = [a.to_string(), b.to_string(), IDS.to_string(), LENGTH.to_string()];
    let fourth = Capture::python(CLIENT, &arguments.each_ref().map(String::as_str)).start();
    let mut own = BTreeSet::new();
    for number in 0..20 {
        let path = format!("/{number}");
        assert_eq!(plain.ask("child", "fork", &origin.url(&path)).text, path);
        own.insert(path);
    }
    let client = fourth.finish();
    [&mut one, &mut other, &mut plain].into_iter().for_each(Service::end);
    let [of_one, of_other, of_plain] = captures.map(Running::wait_for_end);
    let asked: BTreeSet<String> = (0..IDS).map(|id| format!("/chain/{LENGTH}/{id}/{a}/{b}")).collect();
    assert_recorded(&client, &asked, &BTreeSet::new());
    // The client asks the first for 5, which asks the other for 4, which asks the first for 3.
    let calls = [chain(IDS, LENGTH, false, a, b), chain(IDS, LENGTH, true, b, a)];
    assert_recorded(&of_one, &calls[0], &(&asked | &calls[1]));
    assert_recorded(&of_other, &calls[1], &calls[0]);
    assert_recorded(&of_plain, &own, &BTreeSet::new());
}

/// The same where both services were launched by their captures.
#[test]
fn services_that_were_launched_and_call_each_other_are_two_incidents() {
    let [one, other] = [(); 2].map(|()| Capture::python(CHAIN, &[]).start().ready());
    let [a, b] = [&one, &other].map(|running| {
        let ready = running.stdout.line("READY");
        ready.rsplit_once("port=").unwrap().1.parse::<u32>().unwrap()
    });
    let arguments = [a.to_string(), b.to_string(), IDS.to_string(), LENGTH.to_string()];
    let client = Capture::python(CLIENT, &arguments.each_ref().map(String::as_str)).run();
    assert_eq!(client.code, 0, "{}", client.stderr);
    let asked: BTreeSet<String> = (0..IDS).map(|id| format!("/chain/{LENGTH}/{id}/{a}/{b}")).collect();
    let calls = [chain(IDS, LENGTH, false, a, b), chain(IDS, LENGTH, true, b, a)];
    assert_recorded(&one.finish(), &calls[0], &(&asked | &calls[1]));
    assert_recorded(&other.finish(), &calls[1], &calls[0]);
}

/// The second sees connections that are the first's already.
#[test]
fn of_two_captures_of_one_process_the_first_records() {
    let origin = Origin::start();
    let mut service = Service::start();
    let (first, second) = (attached(&service), attached(&service));
    for (number, verb) in ["ask", "fork", "curl", "thread"].iter().enumerate() {
        let path = format!("/{number}");
        assert_eq!(service.ask("main", verb, &origin.url(&path)).text, path);
    }
    // What fails natively is seen by both.
    assert_eq!(service.ask("main", "ask", "http://127.0.0.1:1/").text, "ConnectionRefusedError 111");
    first.signal(Signal::SIGINT);
    let first = first.wait_for_end();
    assert_eq!(service.ask("main", "ask", &origin.url("/after")).text, "/after");
    service.end();
    let second = second.wait_for_end();
    assert_eq!(origin.seen().len(), 5, "asked twice");
    let (first, said, second) = (first.recording(), &second.stderr, second.recording());
    first.assert_paths(&["/0", "/1", "/2", "/3"]);
    second.assert_paths(&["/after"]);
    assert_eq!(first.unmediated("redirected-by-another-capture"), 0);
    assert_eq!(second.unmediated("redirected-by-another-capture"), 4, "{:#}", second.manifest);
    assert!(said.contains("redirected-by-another-capture 4"), "{said}");
    for recording in [first, second] {
        assert_eq!(recording.of_type("Connection").len(), 1, "{:#?}", recording.events);
    }
}

/// To the outer capture the inner one is a program of the target as any other.
#[test]
fn a_capture_of_a_cgroup_that_contains_another_capture() {
    let (origin, cgroup) = (Origin::start(), Cgroup::new());
    let outer = Capture::attached(&["--cgroup", &cgroup.name()]).start().ready();
    let prefix = cgroup.prefix();
    let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
    let inner = Capture::of(&["curl", "-sS", &origin.url("/1"), &origin.url("/2")]).through(&prefix).run();
    assert_eq!((inner.code, inner.stdout.as_str()), (0, "/1/2"), "{}", inner.stderr);
    inner.recording().assert_paths(&["/1", "/2"]);
    let outer = outer.wait_for_end();
    assert_eq!(outer.code, 0, "{}", outer.stderr);
    assert_eq!(origin.seen().len(), 2, "asked twice");
    let recording = outer.recording();
    assert!(recording.paths().values().all(|count| *count == 1), "{:#?}", recording.events);
    assert!(recording.unmediated("redirected-by-another-capture") >= 1, "{:#}", recording.manifest);
}

#[test]
fn a_capture_inside_a_capture() {
    let origin = Origin::start();
    let place = tempfile::tempdir().unwrap();
    let (inner, url) = (place.path().join("inner"), origin.url("/call"));
    let curl = program("curl");
    let outer = Capture::of(&[
        INFERNOSIM,
        "capture",
        "--incident",
        inner.to_str().unwrap(),
        "--",
        curl.to_str().unwrap(),
        "-sS",
        &url,
    ])
    .run();
    assert_eq!((outer.code, outer.stdout.as_str()), (0, "/call"), "{}", outer.stderr);
    assert_eq!(origin.seen().len(), 1, "asked twice");
    let inner = crate::harness::Recording::read(&inner);
    inner.assert_whole();
    inner.assert_paths(&["/call"]);
    let outer = outer.recording();
    assert!(outer.paths().values().all(|count| *count == 1), "{:#?}", outer.events);
}

/// Captures of different namespaces have listeners in both; none takes the other's for its own.
#[test]
fn two_captures_of_one_namespace_from_outside() {
    let lab = Lab::new();
    let origin = Origin::within(&lab.server);
    let prefix = lab.client.prefix();
    let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
    let (mut one, mut other) = (Service::through(&prefix), Service::through(&prefix));
    let captures = [attached(&one), attached(&other)];
    for number in 0..10 {
        for (name, service) in [("one", &mut one), ("other", &mut other)] {
            let path = format!("/{name}/{number}");
            let url = format!("http://10.77.0.2:{}{path}", origin.port());
            assert_eq!(service.ask("main", "ask", &url).text, path);
        }
    }
    [&mut one, &mut other].into_iter().for_each(Service::end);
    for (name, capture) in ["one", "other"].iter().zip(captures) {
        assert_recorded(
            &capture.wait_for_end(),
            &(0..10).map(|number| format!("/{name}/{number}")).collect(),
            &BTreeSet::new(),
        );
    }
}
