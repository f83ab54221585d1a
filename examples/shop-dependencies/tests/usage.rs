//! The binary as it is called.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Ended when dropped, as a failed test does.
struct Services(Child);

impl Drop for Services {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_shop-dependencies"))
}

#[test]
fn all_three_say_where_they_listen() {
    let mut command = program();
    command.args(["all", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped());
    let mut services = Services(command.spawn().unwrap());
    let output = BufReader::new(services.0.stdout.take().unwrap());
    let lines: Vec<String> = output.lines().take(3).map(Result::unwrap).collect();
    for (line, name) in lines.iter().zip(["inventory", "payments", "courier"]) {
        assert!(line.starts_with(&format!("{name}: listening on http://127.0.0.1:")), "{line}");
        assert!(!line.ends_with(":0"), "{line}");
    }
}

#[test]
fn what_cannot_be_is_an_error() {
    for (words, code) in [
        (&[][..], 2),
        (&["grocer"], 2),
        (&["customer"], 2),
        (&["courier", "--listen", "here"], 1),
        (&["customer", "--shop", "http://127.0.0.1:1"], 1),
    ] {
        let output = program().args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}");
        assert!(!output.stderr.is_empty(), "{words:?}");
    }
}
