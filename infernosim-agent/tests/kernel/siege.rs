//! A service under load is captured by `--pid`, again and again, and each time the capture ends another way. What it
//! leaves: nothing in the kernel, a service that goes on, an incident that reads. These tests run alone.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::programs::siege::REQUESTS;
use crate::harness::programs::start;
use crate::harness::{
    Capture, Held, INFERNOSIM, Origin, Recording, Running, Service, Tally, eventually, long, text,
};

/// Numbers that the tally knows; the client asks for fewer than 10,000 a second.
const SIZE: usize = 8 << 20;
const THREADS: usize = 8;

/// A client under load, and who counts what it asks for.
struct Siege {
    tally: Tally,
    client: Service,
}

impl Siege {
    fn lay() -> Self {
        let tally = Tally::start(SIZE);
        let client = start("siege", &json!({ "addr": tally.addr, "threads": THREADS }));
        Self { tally, client }
    }

    fn capture(&self) -> Running {
        Capture::attached(&["--pid", &self.client.pid_text("main")]).start().ready()
    }

    /// Connections begun and requests answered so far.
    fn mark(&mut self) -> (usize, usize) {
        numbers(&self.client.line("mark", "MARK"))
    }

    /// Waits for so many answers more.
    fn wait_for_answers(&mut self, more: usize) {
        let (_, before) = self.mark();
        eventually("the client is answered", || self.mark().1 >= before + more);
    }

    /// What happened to connections from this one on.
    fn errors_from(&mut self, connection: usize) -> String {
        self.client.line(&format!("errors {connection}"), "ERRORS")
    }

    /// Connections that are made from now on work.
    fn assert_goes_on(&mut self) {
        let (connection, _) = self.mark();
        // Each thread has begun some by then.
        self.wait_for_answers(THREADS * REQUESTS * 3);
        assert_eq!(self.errors_from(connection), "ERRORS 0 ");
    }

    fn stop(&mut self) -> (usize, usize) {
        let counts = numbers(&self.client.line("stop", "STOPPED"));
        self.client.end();
        counts
    }

    /// Every line is a request that the client really made, recorded once, with its own answer.
    fn assert_true(&self, recording: &Recording) -> Vec<usize> {
        let asked = self.tally.counts();
        let mut recorded = Vec::new();
        for call in recording.calls() {
            let number: usize =
                text(&call["url"]).strip_prefix("http://tally.test/n/").unwrap().parse().unwrap();
            assert_eq!(asked[number], 1, "{call:#}");
            if call.get("incomplete").is_none() && call.get("error").is_none() {
                assert_eq!(
                    (&call["status"], text(&call["responseBody"])),
                    (&json!(200), &*number.to_string())
                );
            }
            recorded.push(number);
        }
        recorded.sort_unstable();
        let before = recorded.len();
        recorded.dedup();
        assert_eq!(recorded.len(), before, "recorded twice");
        recorded
    }
}

fn numbers(line: &str) -> (usize, usize) {
    let mut numbers = line.split(' ').skip(1).map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

fn lines_of(incident: &Path) -> usize {
    std::fs::read(incident.join("outbound.log"))
        .map_or(0, |log| log.iter().filter(|byte| **byte == b'\n').count())
}

/// `infernosim inspect` reads it.
fn assert_reads(incident: &Path, recorded: &[usize]) {
    let output = Command::new(INFERNOSIM).args(["inspect", "--json"]).arg(incident).output().unwrap();
    let (shown, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{:?}: {said}", output.status);
    for number in [recorded[0], recorded[recorded.len() - 1]] {
        assert!(shown.contains(&format!("/n/{number}\"")), "{number} is missing: {said}");
    }
}

#[test]
fn killed_under_load_again_and_again() {
    let mut siege = Siege::lay();
    for round in 0..if long() { 50 } else { 3 } {
        let mut capture = siege.capture();
        let held = Held::by(capture.pid());
        held.assert_there();
        eventually("something is recorded", || lines_of(&capture.incident) > 100);
        // Never at the same moment of what it does.
        std::thread::sleep(Duration::from_millis(round * 37 % 211));
        let on_disk = lines_of(&capture.incident);
        capture.signal(Signal::SIGKILL);
        assert_eq!(capture.wait_for_death(), 137);
        siege.assert_goes_on();
        held.assert_gone();
        let recording = Recording::read(&capture.incident);
        assert!(recording.events.len() >= on_disk);
        assert_eq!(recording.manifest["closed"], false);
        let recorded = siege.assert_true(&recording);
        assert_reads(&capture.incident, &recorded);
    }
    siege.stop();
}

#[test]
fn stopped_under_load_it_is_passed_by_and_goes_on_afterwards() {
    let mut siege = Siege::lay();
    let (first, _) = siege.mark();
    let capture = siege.capture();
    let held = Held::by(capture.pid());
    let (rounds, pause) = if long() { (10, 5000) } else { (1, 2000) };
    let mut direct = Vec::new();
    for _ in 0..rounds {
        let lines = lines_of(&capture.incident);
        eventually("it is captured", || lines_of(&capture.incident) > lines + 200);
        capture.signal(Signal::SIGSTOP);
        // After a second at most nothing is redirected any more. What was is held, and goes on later.
        std::thread::sleep(Duration::from_millis(1050));
        let (from, before) = siege.mark();
        std::thread::sleep(Duration::from_millis(pause - 1050));
        let (to, after) = siege.mark();
        // A thread whose connection is in our hands waits; they cannot all be unlucky for ever, but may be once.
        direct.push(after - before);
        assert_eq!(siege.errors_from(from), "ERRORS 0 ");
        assert!(to >= from);
        capture.signal(Signal::SIGCONT);
        siege.wait_for_answers(THREADS * REQUESTS);
    }
    eprintln!("answered while it was stopped: {direct:?}");
    // Nothing that it held was lost: those exchanges took longer, no more.
    assert_eq!(siege.errors_from(0), "ERRORS 0 ");
    siege.stop();
    let finished = capture.wait_for_end();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let recording = finished.recording();
    let recorded = siege.assert_true(&recording);
    assert!(recorded.iter().any(|number| *number >= first * REQUESTS));
    assert_reads(&finished.incident, &recorded);
    held.assert_gone();
}

/// While it is stopped a connection that is new goes direct, whatever became of those that are older.
#[test]
fn stopped_under_load_new_clients_do_not_wait() {
    let (origin, mut siege, mut service) = (Origin::start(), Siege::lay(), Service::start());
    let capture =
        Capture::attached(&["--pid", &siege.client.pid_text("main"), "--pid", &service.pid_text("main")])
            .start()
            .ready();
    siege.wait_for_answers(100);
    for _ in 0..if long() { 10 } else { 1 } {
        capture.signal(Signal::SIGSTOP);
        std::thread::sleep(Duration::from_millis(1050));
        for verb in ["ask", "fork", "curl"] {
            assert_eq!(service.ask("child", verb, &origin.url("/new")).text, "/new");
        }
        capture.signal(Signal::SIGCONT);
        siege.wait_for_answers(THREADS * REQUESTS);
    }
    assert_eq!(siege.errors_from(0), "ERRORS 0 ");
    siege.stop();
    service.end();
    let recording = capture.wait_for_end().recording();
    assert!(!recording.paths().contains_key("/new"));
    assert!(recording.unmediated("agent-hung") >= 3, "{:#}", recording.manifest);
}

#[test]
fn interrupted_under_load_no_exchange_fails() {
    let mut siege = Siege::lay();
    for round in 0..if long() { 20 } else { 3 } {
        let capture = siege.capture();
        let held = Held::by(capture.pid());
        let (from, _) = siege.mark();
        siege.wait_for_answers(THREADS * REQUESTS * 4);
        std::thread::sleep(Duration::from_millis(round * 37 % 211));
        let (to, _) = siege.mark();
        capture.signal(Signal::SIGINT);
        let finished = capture.wait_for_end();
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        siege.assert_goes_on();
        held.assert_gone();
        assert_eq!(siege.errors_from(0), "ERRORS 0 ", "{}", finished.stderr);
        let recording = finished.recording();
        let recorded = siege.assert_true(&recording);
        assert_reads(&finished.incident, &recorded);
        // A thread that has counted its connection may still be on its way to connect(2).
        let certain = (from * REQUESTS..to.saturating_sub(THREADS) * REQUESTS).collect::<Vec<_>>();
        assert!(certain.len() > 100, "the test proves nothing: {from}..{to}");
        let missing: Vec<_> =
            certain.iter().filter(|number| recorded.binary_search(number).is_err()).collect();
        assert!(missing.is_empty(), "not recorded: {missing:?} of {from}..{to}\n{}", finished.stderr);
        assert_eq!(recording.unmediated("redirected-by-another-capture"), 0);
    }
    let (connections, answered) = siege.stop();
    assert_eq!(answered, connections * REQUESTS);
}
