//! What a running service has open when the session begins.

use std::io::Write as _;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::Session;
use crate::harness::{Kind, Output, PYTHON, Place, Server};

/// Asks on one connection for as long as that lasts, and then on the next.
const KEEPS: &str = r#"
import http.client, sys
host, port = sys.argv[1].split(":")
connection = http.client.HTTPConnection(host, int(port), timeout=5)
connection.connect()
print("up", flush=True)
for line in sys.stdin:
    try:
        connection.request("GET", "/n/7")
        answer = connection.getresponse()
        answer.read()
        print(line.strip(), answer.status, flush=True)
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        print(line.strip(), type(error).__name__, flush=True)
"#;

struct Keeper {
    child: Child,
    stdin: ChildStdin,
    stdout: Output,
}

impl Keeper {
    fn start(server: &Server) -> Self {
        let mut command = Command::new(PYTHON);
        command.args(["-c", KEEPS, &server.addr.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = Output::of(child.stdout.take().unwrap());
        stdout.line("up");
        Self { child, stdin, stdout }
    }

    fn ask(&mut self, word: &str) -> String {
        writeln!(self.stdin, "{word}").unwrap();
        self.stdout.line(word)
    }

    fn session(&self, options: &[&str]) -> Session {
        let pid = self.child.id().to_string();
        Session::start(&[&["--inject", "status=418", "--pid", &pid], options].concat(), &[])
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_connection_that_was_open_before_goes_on_and_that_is_said() {
    let server = Server::start(Kind::Nginx, &Place::loopback());
    let mut keeper = Keeper::start(&server);
    let session = keeper.session(&[]);
    assert!(keeper.ask("a").starts_with("a 200"));
    let (code, said) = session.end();
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("not disturbed: older-connections 1"), "{said}");
    assert!(said.contains("--recycle"), "{said}");
}

#[test]
fn recycled_it_is_made_anew_and_disturbed() {
    let server = Server::start(Kind::Nginx, &Place::loopback());
    let mut keeper = Keeper::start(&server);
    let session = keeper.session(&["--recycle", "--drain", "100ms"]);
    // The reset is what the first request meets.
    keeper.ask("a");
    assert!(keeper.ask("b").starts_with("b 418"));
    let (code, said) = session.end();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("1 older connections were reset"), "{said}");
    assert!(!said.contains("older-connections"), "{said}");
    // What was open at the end was closed, which the next request meets.
    keeper.ask("c");
    assert!(keeper.ask("d").starts_with("d 200"));
}

#[test]
fn of_two_sessions_the_second_says_that_it_disturbs_nothing() {
    let server = Server::start(Kind::Nginx, &Place::loopback());
    let mut keeper = Keeper::start(&server);
    let first = keeper.session(&["--recycle"]);
    let second = keeper.session(&[]);
    keeper.ask("a");
    assert!(keeper.ask("b").starts_with("b 418"));
    let (code, said) = second.end();
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("redirected-by-another-capture"), "{said}");
    drop(first);
}

#[test]
fn who_names_a_dependency_that_nobody_called_is_told_whom_the_target_called() {
    let server = Server::start(Kind::Nginx, &Place::loopback());
    let url = format!("http://{}/n/7", server.addr);
    let said = |rule: &str| super::err(&super::inject(&["--inject", rule], &["curl", "-s", &url]));
    let port = server.addr.port();
    // The resolver's name for it is the host's own affair.
    let called = said(&format!("dep=nobody.invalid:{port} status=503"));
    assert!(called.contains("infernosim: the target called "), "{called}");
    assert!(called.contains(&format!(":{port}")), "{called}");
    assert!(!said("dep=127.0.0.1 status=503").contains("the target called"));
}
