//! Connects that fail on purpose, as the kernel makes them fail.

use serde_json::Value;

use super::running::control;
use super::surroundings::Service;
use super::{Session, err, inject, out};
use crate::harness::{Kind, PYTHON, Place, Server};

/// Connects six times, one after the other, with a pause between them, and asks for something.
const CONNECTS: &str = r#"
import errno, socket, sys, time
for _ in range(6):
    time.sleep(float(sys.argv[3]))
    try:
        with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=0.5) as stream:
            stream.sendall(b"GET /n/7 HTTP/1.0\r\n\r\n")
            print("served" if stream.recv(1) else "closed")
    except TimeoutError:
        print("silent")
    except OSError as error:
        print(errno.errorcode[error.errno])
"#;

fn six(server: &Server, rules: &[&str]) -> (Vec<String>, String) {
    six_paused(server, rules, "0")
}

fn six_paused(server: &Server, rules: &[&str], pause: &str) -> (Vec<String>, String) {
    let options: Vec<&str> = rules.iter().flat_map(|rule| ["--inject", rule]).collect();
    let (host, port) = (server.addr.ip().to_string(), server.addr.port().to_string());
    let ended = inject(&options, &[PYTHON, "-c", CONNECTS, &host, &port, pause]);
    assert!(ended.status.success(), "{}", err(&ended));
    (out(&ended).split_whitespace().map(str::to_owned).collect(), err(&ended))
}

#[test]
fn the_connect_of_that_number_fails_as_at_a_closed_port() {
    let server = Server::start(Kind::Nginx, &Place::loopback());
    let dep = format!("dep={}", server.addr);
    let (no, ok, silent) = ("ECONNREFUSED", "served", "silent");
    for (when, expected) in [
        ("refuse", [no; 6]),
        ("refuse first=2", [no, no, ok, ok, ok, ok]),
        ("refuse at=2,4-5", [ok, no, ok, no, no, ok]),
        ("refuse every=3", [ok, ok, no, ok, ok, no]),
        ("down at=1", [no, ok, ok, ok, ok, ok]),
        ("blackhole at=3", [ok, ok, silent, ok, ok, ok]),
        ("partition first=1", [silent, ok, ok, ok, ok, ok]),
    ] {
        let (told, said) = six(&server, &[&format!("{dep} {when}")]);
        assert_eq!(told, expected, "{when}: {said}");
        let failed = expected.iter().filter(|word| **word != ok).count();
        assert!(said.contains(&format!("reached 6, fired {failed}, observed {failed}")), "{when}: {said}");
    }
    let (told, said) = six(&server, &[&format!("{dep} refuse at=2"), &format!("{dep} blackhole at=4")]);
    assert_eq!(told, [ok, no, ok, silent, ok, ok], "{said}");
}

#[test]
fn a_port_that_nobody_named_is_as_one_that_is_known() {
    let server = Server::start(Kind::Nginx, &Place::loopback());
    let (no, ok, silent) = ("ECONNREFUSED", "served", "silent");
    for (when, expected) in [
        ("dep=127.0.0.1 refuse", [no; 6]),
        ("dep=127.0.0.1 refuse at=2,5", [ok, no, ok, ok, no, ok]),
        // The first ones are told of ahead, whatever the port.
        ("dep=127.0.0.1 refuse first=2", [no, no, ok, ok, ok, ok]),
        ("dep=127.0.0.1 down at=1,3", [no, ok, no, ok, ok, ok]),
        ("dep=127.0.0.1 partition first=1", [silent, ok, ok, ok, ok, ok]),
        ("blackhole first=1", [silent, ok, ok, ok, ok, ok]),
    ] {
        // Each is heard of before the next one.
        let (told, said) = six_paused(&server, &[when], "0.05");
        assert_eq!(told, expected, "{when}: {said}");
        let failed = expected.iter().filter(|word| **word != ok).count();
        assert!(said.contains(&format!("reached 6, fired {failed}, observed {failed}")), "{when}: {said}");
    }
    // Chance is another one at each port: the first connect there was accepted before we knew of it.
    let (told, said) = six(&server, &["dep=127.0.0.1 refuse p=0.999999"]);
    assert_eq!(told, ["ECONNRESET", no, no, no, no, no], "{said}");
}

#[test]
fn each_port_that_nobody_named_has_its_own_first_ones() {
    let servers = [(); 3].map(|()| Server::start(Kind::Nginx, &Place::loopback()));
    let ports: Vec<String> = servers.iter().map(|server| server.addr.port().to_string()).collect();
    let arguments: Vec<&str> =
        [PYTHON, "-c", EACH_TWICE].into_iter().chain(ports.iter().map(String::as_str)).collect();
    let ended = inject(&["--inject", "dep=127.0.0.1 refuse first=1"], &arguments);
    assert_eq!(
        out(&ended).split_whitespace().collect::<Vec<_>>(),
        ["refused", "ok"].repeat(3),
        "{}",
        err(&ended)
    );
    assert!(err(&ended).contains("reached 6, fired 3, observed 3"), "{}", err(&ended));
}

/// Connects to each port, and again until that was accepted, with pauses in which who looks on can see it.
const EACH_TWICE: &str = r#"
import socket, sys, time
for port in sys.argv[1:]:
    for _ in range(2):
        try:
            socket.create_connection(("127.0.0.1", int(port)), timeout=5).close()
            print("ok")
        except ConnectionRefusedError:
            print("refused")
        time.sleep(1)
"#;

/// Connects for three seconds; what came of it, each time that it was something else than before.
const WHILE: &str = r#"
import errno, socket, sys, time
began, last = time.monotonic(), None
while time.monotonic() < began + 3:
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=0.5).close()
        now = "connected"
    except TimeoutError:
        now = "silent"
    except OSError as error:
        now = errno.errorcode[error.errno]
    if now != last:
        print(now)
    last = now
    time.sleep(0.02)
"#;

#[test]
fn for_a_time() {
    let server = Server::start(Kind::Nginx, &Place::loopback());
    let (host, port) = (server.addr.ip().to_string(), server.addr.port().to_string());
    for (action, seen) in [("down", "ECONNREFUSED"), ("refuse", "ECONNREFUSED"), ("partition", "silent")] {
        let rule = format!("dep={} {action} after=1s during=1s", server.addr);
        let ended = inject(&["--inject", &rule], &[PYTHON, "-c", WHILE, &host, &port]);
        let told: Vec<String> = out(&ended).split_whitespace().map(str::to_owned).collect();
        assert_eq!(told, ["connected", seen, "connected"], "{action}: {}", err(&ended));
    }
}

#[test]
fn a_rule_that_comes_later_counts_from_then() {
    let server = Server::start(Kind::Nginx, &Place::loopback());
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("control").to_str().unwrap().to_owned();
    let mut service = Service::start(&[], &server);
    let session = Session::start(&["--control", &socket, "--pid", &service.pid()], &[]);
    assert_eq!([service.ask("a"), service.ask("b")], ["a 200", "b 200"]);
    let rule = format!("dep={} refuse at=2", server.addr);
    assert_eq!(control(&["--add", &rule, "--control", &socket]), (0, "1\n".to_owned()));
    let said = [service.ask("c"), service.ask("d"), service.ask("e")];
    assert_eq!(said, ["c 200", "d ConnectionRefusedError", "e 200"]);
    let (_, told) = session.end();
    assert!(told.contains("reached 3, fired 1, observed 1"), "{told}");
}

/// Sixty-four at once, of which each connects ten times; how many were refused.
const CROWD: &str = r#"
import errno, socket, sys, threading
refused = []
def connect():
    for _ in range(10):
        try:
            socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20).close()
        except ConnectionRefusedError:
            refused.append(1)
        except OSError as error:
            print(error)
threads = [threading.Thread(target=connect) for _ in range(64)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("refused", len(refused))
"#;

#[test]
fn chance_is_exact_at_any_concurrency() {
    let server = Server::start(Kind::Nginx, &Place::loopback());
    let rule = format!("dep={} refuse p=0.3", server.addr);
    let (host, port) = (server.addr.ip().to_string(), server.addr.port().to_string());
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("ledger.jsonl");
    let mut first = Vec::new();
    for run in 0..3 {
        let options = ["--inject", &rule, "--ledger", file.to_str().unwrap()];
        let ended = inject(&options, &[PYTHON, "-c", CROWD, &host, &port]);
        let text = std::fs::read_to_string(&file).unwrap();
        let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let rule = lines.next().unwrap();
        let occurrences: Vec<u64> = lines.map(|line| line["occurrence"].as_u64().unwrap()).collect();
        assert_eq!(out(&ended).trim(), format!("refused {}", occurrences.len()), "{}", err(&ended));
        assert!((150..240).contains(&occurrences.len()), "{occurrences:?}");
        assert_eq!((&rule["reached"], &rule["observed"]), (&640.into(), &rule["fired"]), "{}", err(&ended));
        if run == 0 {
            first = occurrences;
        } else {
            assert_eq!(occurrences, first);
        }
    }
}
