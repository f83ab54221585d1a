use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::Session;
use crate::harness::{INFERNOSIM, Kind, PYTHON, Place, Server};

/// Asks as often as it is told to.
const ASKS: &str = r#"
import sys, time, urllib.request, urllib.error
print("up", flush=True)
for line in sys.stdin:
    began = time.monotonic()
    try:
        status = urllib.request.urlopen(sys.argv[1], timeout=5).status
    except urllib.error.HTTPError as error:
        status = error.code
    except OSError as error:
        status = type(error).__name__
    print(line.strip(), status, round(time.monotonic() - began, 2), flush=True)
"#;

pub fn ask(session: &mut Session, word: &str) -> String {
    use std::io::Write as _;
    writeln!(session.stdin.as_mut().unwrap(), "{word}").unwrap();
    session.stdout.line(word)
}

pub fn control(arguments: &[&str]) -> (i32, String) {
    let ended = std::process::Command::new(INFERNOSIM).arg("inject").args(arguments).output().unwrap();
    (ended.status.code().unwrap(), super::out(&ended) + &super::err(&ended))
}

#[test]
fn rules_come_and_go_while_it_runs() {
    let server = Server::start(Kind::Nginx, &Place::loopback());
    let url = format!("http://{}/n/7", server.addr);
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("control").to_str().unwrap().to_owned();
    let mut session = Session::start(&["--control", &socket], &[PYTHON, "-c", ASKS, &url]);
    session.stdout.line("up");
    assert!(ask(&mut session, "a").starts_with("a 200"));
    let on = |arguments: &[&str]| control(&[arguments, &["--control", &socket]].concat());
    assert_eq!(on(&["--add", "status=503"]), (0, "1\n".to_owned()));
    assert!(ask(&mut session, "b").starts_with("b 503"));
    assert_eq!(on(&["--list"]), (0, "  1  status=503: reached 1, fired 1, observed 1\n".to_owned()));
    let (_, json) = on(&["--list", "--json"]);
    let rules: serde_json::Value = serde_json::from_str(&json).unwrap();
    let rule =
        serde_json::json!({"number": 1, "rule": "status=503", "reached": 1, "fired": 1, "observed": 1});
    assert_eq!(rules, serde_json::json!([rule]));
    assert_eq!(on(&["--remove", "1"]), (0, String::new()));
    assert!(ask(&mut session, "c").starts_with("c 200"));
    let (code, said) = on(&["--remove", "1"]);
    assert!(code == 2 && said.contains("there is no rule 1"), "{said}");
    let (code, said) = on(&["--add", "latncy=1s"]);
    assert!(code == 2 && said.contains("latency"), "{said}");
    let (code, said) = on(&["--add", "dir=in cancel=1s"]);
    assert!(code == 2 && said.contains("requests to the target"), "{said}");
    session.end();
    assert!(!std::path::Path::new(&socket).exists());
}

#[test]
fn dead_or_hung_it_stands_in_nobodys_way() {
    let server = Server::start(Kind::Nginx, &Place::loopback());
    let url = format!("http://{}/n/7", server.addr);
    for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
        let mut session = Session::start(&["--inject", "status=503"], &[PYTHON, "-c", ASKS, &url]);
        session.stdout.line("up");
        assert!(ask(&mut session, "a").starts_with("a 503"));
        session.signal(signal);
        std::thread::sleep(Duration::from_millis(1200));
        let said = ask(&mut session, "b");
        assert!(said.starts_with("b 200"), "{signal}: {said}");
    }
}

#[test]
fn a_running_service_is_not_restarted() {
    let server = Server::start(Kind::Nginx, &Place::loopback());
    let url = format!("http://{}/n/7", server.addr);
    let mut command = std::process::Command::new(PYTHON);
    command.args(["-c", ASKS, &url]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut service = command.spawn().unwrap();
    let mut stdin = service.stdin.take().unwrap();
    let stdout = crate::harness::Output::of(service.stdout.take().unwrap());
    stdout.line("up");
    let session = Session::start(&["--inject", "status=418", "--pid", &service.id().to_string()], &[]);
    std::io::Write::write_all(&mut stdin, b"a\n").unwrap();
    assert!(stdout.line("a").starts_with("a 418"));
    let began = Instant::now();
    let (code, said) = session.end();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("fired 1, observed 1"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(9), "nothing is open, and it waited");
    std::io::Write::write_all(&mut stdin, b"b\n").unwrap();
    assert!(stdout.line("b").starts_with("b 200"));
    drop(stdin);
    service.wait().unwrap();
}
