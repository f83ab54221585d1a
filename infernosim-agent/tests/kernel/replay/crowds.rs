//! Many requests at once, all alike, whose calls were answered differently: who gets which answer.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::free_port;
use crate::harness::{Capture, Finished, Netns, Output, PYTHON, Replay, program, text};

const THREADS: &str = include_str!("crowd.py");
const LOOP: &str = include_str!("crowd.js");
const COUNTER: &str = include_str!("counter.py");
/// How many ask at once.
const CROWD: usize = 32;

/// A service, captured while a crowd asked it.
struct Crowd {
    netns: Netns,
    finished: Finished,
    words: Vec<String>,
}

impl Crowd {
    fn captured(service: &[&str]) -> Self {
        let netns = Netns::new();
        let mut words = netns.prefix();
        words.extend([PYTHON.to_owned(), "-c".to_owned(), COUNTER.to_owned()]);
        let mut counter =
            Command::new(program(&words[0])).args(&words[1..]).stdout(Stdio::piped()).spawn().unwrap();
        let upstream =
            Output::of(counter.stdout.take().unwrap()).line("port ").trim()["port ".len()..].to_owned();
        let port = netns.enter(free_port);
        let mut words =
            vec!["env".into(), format!("PORT={port}"), format!("UPSTREAM=http://127.0.0.1:{upstream}")];
        words.extend(service.iter().map(|word| (*word).to_owned()));
        let all: Vec<&str> = words.iter().map(String::as_str).collect();
        let running = Capture::of(&all).within(&netns).start().ready();
        running.stdout.line("listening on ");
        netns.enter(move || {
            let crowd: Vec<_> =
                (0..CROWD).map(|number| std::thread::spawn(move || visit(port, number))).collect();
            crowd.into_iter().for_each(|visitor| visitor.join().unwrap());
        });
        kill(Pid::from_raw(running.target_pid() as i32), Signal::SIGTERM).unwrap();
        let finished = running.finish();
        let _ = counter.kill();
        let _ = counter.wait();
        Self { netns, finished, words }
    }

    /// How it is known of its calls who caused them.
    fn bases(&self) -> Vec<String> {
        let recording = crate::harness::Recording::read(&self.finished.incident);
        let calls = recording.calls();
        assert_eq!(calls.len(), CROWD);
        calls.iter().map(|call| text(&call["causeBasis"]).to_owned()).collect()
    }

    fn replay(&self, runs: &str) -> Replay {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let incident: PathBuf = self.finished.incident.clone();
        Replay::of(&incident).against(&words).within(&self.netns).option(&["--runs", runs])
    }
}

fn visit(port: u16, number: usize) {
    let trace = format!("traceparent: 00-{:032x}-{:016x}-01", number + 1, number + 1);
    let url = format!("http://127.0.0.1:{port}/same");
    let output = Command::new(program("curl")).args(["-sS", "-H", &trace, &url]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

const fn runs() -> (&'static str, u32) {
    ("100", 100)
}

#[test]
fn each_of_a_crowd_in_threads_gets_its_own_answer() {
    let crowd = Crowd::captured(&[PYTHON, "-c", THREADS]);
    assert!(crowd.bases().iter().all(|basis| basis == "thread"), "{:?}", crowd.bases());
    let (text, runs) = runs();
    let replayed = crowd.replay(text).option(&["--time-scale", "0.05"]).run();
    replayed.assert_passed(runs);
    assert!(replayed.result.contains("PASS_STRONG"), "{}", replayed.all());
    assert!(!volatile(&replayed.report), "an answer was taken for volatile: {}", replayed.all());
}

#[test]
fn each_of_a_crowd_that_passes_traceparent_gets_its_own_answer() {
    let node = program("/usr/bin/node");
    let crowd = Crowd::captured(&["PASS=1", node.to_str().unwrap(), "-e", LOOP]);
    assert!(crowd.bases().iter().all(|basis| basis == "header"), "{:?}", crowd.bases());
    let (text, runs) = runs();
    let replayed = crowd.replay(text).option(&["--time-scale", "0.05"]).run();
    replayed.assert_passed(runs);
    assert!(replayed.result.contains("PASS_STRONG"), "{}", replayed.all());
    assert!(!volatile(&replayed.report), "an answer was taken for volatile: {}", replayed.all());
}

#[test]
fn a_crowd_on_an_event_loop_without_headers_is_ambiguous() {
    let node = program("/usr/bin/node");
    for quiet in ["QUIET=1", "QUIET="] {
        let crowd = Crowd::captured(&[quiet, node.to_str().unwrap(), "-e", LOOP]);
        assert!(crowd.bases().iter().any(|basis| basis == "ambiguous"), "{:?}", crowd.bases());
        let replayed = crowd.replay("5").run();
        replayed.assert_passed(5);
        assert!(replayed.result.contains("PASS_WEAK"), "{}", replayed.all());
        assert!(replayed.result.contains("ambiguous"), "{}", replayed.all());
    }
}

/// Whether any body was masked, which would hide a wrong answer.
fn volatile(report: &serde_json::Value) -> bool {
    report["volatile"].to_string().contains("body")
}
