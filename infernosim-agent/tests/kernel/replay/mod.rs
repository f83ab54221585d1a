//! `infernosim replay` as a user runs it: against services that are captured first, in a network namespace with nothing
//! but loopback, their dependencies stopped.

mod changes;
mod crowds;
mod endings;
mod leaks;
mod older;
mod others;
mod scale;
mod shops;
mod third_party;
mod verify;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Capture, Netns, Output, PYTHON, Recording, Replay, program};

const SERVICE: &str = include_str!("service.py");
const DEPENDENCIES: &str = include_str!("dependencies.py");

/// A port that nobody has, in the namespace that it is asked in.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Dependencies that run; killed when dropped.
struct Dependencies {
    child: std::process::Child,
    stdout: Output,
    ports: Vec<String>,
}

impl Dependencies {
    fn start(netns: &Netns) -> Self {
        let mut words = netns.prefix();
        words.extend([PYTHON.to_owned(), "-c".to_owned(), DEPENDENCIES.to_owned()]);
        let mut command = Command::new(program(&words[0]));
        let mut child =
            command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = Output::of(child.stdout.take().unwrap());
        let ports = stdout.line("ports ").split(' ').skip(1).map(|port| port.trim().to_owned()).collect();
        Self { child, stdout, ports }
    }

    /// How many requests they have had.
    fn asked(&mut self) -> u32 {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        self.stdout.line("asked ").trim().rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// As env(1) takes them.
    fn variables(&self) -> Vec<String> {
        let names = ["STOCK", "PRICES", "PAYMENTS"];
        names.iter().zip(&self.ports).map(|(name, port)| format!("{name}=http://127.0.0.1:{port}")).collect()
    }
}

impl Drop for Dependencies {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A captured incident of the shop in `service.py`, and what it takes to start it again.
struct Shop {
    netns: Netns,
    recording: Recording,
    variables: Vec<String>,
    dependencies: Option<Dependencies>,
}

impl Shop {
    /// Captured while a customer asked it three times, one after the other.
    fn captured() -> Self {
        Self::captured_with(|base| {
            ask(base, "/quote/apple", None);
            ask(base, "/order", Some("{\"item\":\"apple\",\"count\":2}"));
            ask(base, "/quote/pear", None);
        })
    }

    /// Captured while `customer`, in the shop's network namespace, did this to the base url that it is given.
    fn captured_with(customer: impl FnOnce(&str) + Send + 'static) -> Self {
        let netns = Netns::new();
        let dependencies = Dependencies::start(&netns);
        let port = netns.enter(free_port);
        let mut variables = dependencies.variables();
        variables.push(format!("PORT={port}"));
        let words = command(&variables, "");
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let running = Capture::of(&words).within(&netns).start().ready();
        running.stdout.line("listening on ");
        netns.enter(move || customer(&format!("http://127.0.0.1:{port}")));
        kill(Pid::from_raw(running.target_pid() as i32), Signal::SIGTERM).unwrap();
        let recording = running.finish().recording();
        Self { netns, recording, variables, dependencies: Some(dependencies) }
    }

    fn incident(&self) -> &Path {
        &self.recording.dir
    }

    /// A replay of it against the shop with this change, in a namespace with nothing but loopback.
    fn replay(&self, change: &str) -> Replay {
        self.replay_of(self.incident(), change)
    }

    fn replay_of(&self, incident: &Path, change: &str) -> Replay {
        let words = command(&self.variables, change);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Replay::of(incident).against(&words).within(&self.netns)
    }

    /// A copy of the incident, so that two replays do not write into one directory.
    fn copy(&self, name: &str) -> PathBuf {
        let copy = self.incident().with_file_name(name);
        let status = Command::new("cp").arg("-a").arg(self.incident()).arg(&copy).status().unwrap();
        assert!(status.success());
        copy
    }
}

fn command(variables: &[String], change: &str) -> Vec<String> {
    let mut words = vec!["env".to_owned(), format!("CHANGE={change}")];
    words.extend(variables.iter().cloned());
    words.extend([PYTHON.to_owned(), "-c".to_owned(), SERVICE.to_owned()]);
    words
}

/// Asks by curl, on a connection of its own; the body of the answer.
fn ask(base: &str, path: &str, body: Option<&str>) -> String {
    let mut curl = Command::new(program("curl"));
    curl.args(["-sS", "--max-time", "20", &format!("{base}{path}")]);
    if let Some(body) = body {
        curl.args(["-H", "Content-Type: application/json", "-d", body]);
    }
    let output = curl.output().unwrap();
    assert!(output.status.success(), "{curl:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
