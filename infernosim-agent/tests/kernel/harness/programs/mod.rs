//! Programs to capture that are written in Rust: this test binary, started again to play one.

mod connections;
mod load;
pub mod siege;
pub mod traffic;
mod uring;

use std::ffi::OsString;
use std::io::{BufRead, Write};

use serde_json::Value;

use super::{Capture, Origin, Service, Tally};

/// Which program to play; without it this is a test.
const PROGRAM: &str = "INFERNOSIM_TEST_PROGRAM";
/// Its arguments, as JSON.
const ARGUMENTS: &str = "INFERNOSIM_TEST_ARGUMENTS";

/// What has this binary play one.
const PLAY: [&str; 4] = ["harness::programs::plays_its_part", "--exact", "--nocapture", "--quiet"];

/// One of the programs, as it is; it says `READY main=…` itself.
pub fn start(name: &str, arguments: &Value) -> Service {
    let mut line = vec!["env".to_owned()];
    line.extend(words(name, arguments));
    Service::run(&[], &line.iter().map(String::as_str).collect::<Vec<_>>())
}

/// What env(1) is told to have this binary play one.
pub fn words(name: &str, arguments: &Value) -> Vec<String> {
    let this = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
    let environment = [format!("{PROGRAM}={name}"), format!("{ARGUMENTS}={arguments}"), this];
    environment.into_iter().chain(PLAY.map(str::to_owned)).collect()
}

/// A capture of one of the programs.
pub fn capture(name: &str, arguments: &Value) -> Capture {
    let this = std::env::current_exe().unwrap();
    let mut command: Vec<OsString> = vec![this.into()];
    command.extend(PLAY.iter().map(OsString::from));
    Capture::exactly(command).environment(PROGRAM, name).environment(ARGUMENTS, &arguments.to_string())
}

/// The entry of each program. As a test: that the programs find what they are made to find, without us.
#[test]
fn plays_its_part() {
    let Ok(name) = std::env::var(PROGRAM) else { return control() };
    let arguments: Value = serde_json::from_str(&std::env::var(ARGUMENTS).unwrap()).unwrap();
    match name.as_str() {
        "load" => {
            load::run(&arguments);
        }
        "siege" => siege::run(&arguments),
        "connections" => connections::run(&arguments),
        "origin" => Origin::serve(arguments["addr"].as_str().unwrap().parse().unwrap()),
        "traffic" => traffic::run(),
        "uring" => uring::run(&arguments),
        _ => panic!("there is no program {name}"),
    }
    std::process::exit(0);
}

fn control() {
    let tally = Tally::start(100);
    let arguments = serde_json::json!({
        "addr": tally.addr, "threads": 2, "first": 10, "requests": 20, "keep_alive": true
    });
    assert_eq!(load::run(&arguments), 20);
    let counts = tally.counts();
    assert!(counts[10..30].iter().all(|count| *count == 1), "{counts:?}");
    assert_eq!(counts.iter().sum::<u32>(), 20);
    traffic::control();
}

/// Writes a line at once.
fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    // A test that has seen enough reads no more.
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// The lines of standard input.
fn lines() -> impl Iterator<Item = String> {
    std::io::stdin().lock().lines().map_while(Result::ok)
}
