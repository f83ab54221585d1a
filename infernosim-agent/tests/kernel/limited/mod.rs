//! Many workers, and services that are short of something on purpose: what limited them is named.

mod memory;
mod workers;

use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Capture, Netns, Output, PYTHON, Recording, Replay, Replayed, program, text};

const SERVICE: &str = include_str!("service.py");

/// A captured incident of the service, its dependency stopped: two requests of one client, a call each.
struct Limited {
    netns: Netns,
    recording: Recording,
    variables: Vec<String>,
}

impl Limited {
    fn captured() -> Self {
        Self::asked("/work")
    }

    /// The same, asked for something else.
    fn asked(path: &'static str) -> Self {
        let netns = Netns::new();
        let mut words = netns.prefix();
        words.extend([PYTHON.to_owned(), "-c".to_owned(), SERVICE.to_owned()]);
        let mut upstream =
            Command::new(program(&words[0])).args(&words[1..]).stdout(Stdio::piped()).spawn().unwrap();
        let told = Output::of(upstream.stdout.take().unwrap()).line("port ").trim().to_owned();
        let port =
            netns.enter(|| std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
        let variables =
            vec![format!("PORT={port}"), format!("UPSTREAM=http://127.0.0.1:{}", &told["port ".len()..])];
        let words = command(&variables, "");
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let running = Capture::of(&words).within(&netns).start().ready();
        running.stdout.line("listening on ");
        netns.enter(move || {
            let url = format!("http://127.0.0.1:{port}{path}");
            let curl = Command::new(program("curl")).args(["-sS", "-o", "/dev/null", &url, &url]).status();
            assert!(curl.unwrap().success());
        });
        kill(Pid::from_raw(running.target_pid() as i32), Signal::SIGTERM).unwrap();
        let recording = running.finish().recording();
        let _ = upstream.kill();
        let _ = upstream.wait();
        Self { netns, recording, variables }
    }

    /// Against the service that is short of this, by 32 workers for at least two rounds.
    fn under_load(&self, limit: &str) -> Replay {
        self.with(&command(&self.variables, limit)).option(&["--fanout", "32", "--window", "600ms"])
    }

    fn with(&self, words: &[String]) -> Replay {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let replay = Replay::of(&self.recording.dir).against(&words).within(&self.netns);
        replay.option(&["--runs", "1", "--max-idle-time", "60s"])
    }
}

fn command(variables: &[String], limit: &str) -> Vec<String> {
    let mut words = vec!["env".to_owned(), format!("LIMIT={limit}")];
    words.extend(variables.iter().cloned());
    words.extend([PYTHON.to_owned(), "-c".to_owned(), SERVICE.to_owned()]);
    words
}

/// What limited it, and that the numbers are told.
fn assert_limited_by(replayed: &Replayed, factor: &str) {
    let limiting = &replayed.report["limiting"];
    assert_eq!(text(&limiting["factor"]), factor, "{}", replayed.all());
    assert!(text(&limiting["evidence"]).bytes().any(|byte| byte.is_ascii_digit()), "{}", replayed.all());
    let line = format!("Limiting factor: {factor} (");
    assert!(
        replayed.result.contains(&line) && replayed.result.contains("\nMEASURED\n"),
        "{}",
        replayed.all()
    );
}

#[test]
fn what_computes_is_short_of_cpu() {
    let replayed = Limited::captured().under_load("cpu").run();
    assert_limited_by(&replayed, "APPLICATION_CPU");
}

#[test]
fn a_pool_of_four_is_exhausted() {
    let replayed = Limited::captured().under_load("pool").run();
    assert_limited_by(&replayed, "CONNECTION_POOL_EXHAUSTION");
    assert!(replayed.result.contains("never more than 4 calls"), "{}", replayed.all());
}

#[test]
fn a_slow_dependency_is_waited_for_and_without_load_nothing_is_short() {
    let limited = Limited::captured();
    let replayed = limited.under_load("").run();
    assert_limited_by(&replayed, "OUTBOUND_DEPENDENCY_LATENCY");
    let alone = limited.with(&command(&limited.variables, "")).run();
    assert_limited_by(&alone, "NONE");
}

#[test]
fn few_descriptors_are_short() {
    let limited = Limited::captured();
    let mut words =
        vec!["sh".to_owned(), "-c".to_owned(), "ulimit -n 24; exec \"$@\"".to_owned(), "sh".to_owned()];
    words.extend(command(&limited.variables, ""));
    let replayed = limited.with(&words).option(&["--fanout", "64"]).run();
    assert_limited_by(&replayed, "FD_LIMIT");
}

/// It waits for a second, and what took 100 ms when it was recorded takes two.
#[test]
fn a_dependency_that_is_given_up_is_named() {
    let limited = Limited::captured();
    let replayed =
        limited.with(&command(&limited.variables, "timeout")).option(&["--time-scale", "20"]).run();
    assert_limited_by(&replayed, "DEPENDENCY_TIMEOUT");
    assert_eq!(replayed.code, 1, "{}", replayed.all());
}

/// As the original's README has it, the window shortened.
#[test]
fn many_workers_fill_a_window_and_objectives_are_held_against_all_of_it() {
    let limited = Limited::captured();
    let load = |slo: &str| {
        let replay = limited.with(&command(&limited.variables, ""));
        replay.option(&["--fanout", "167", "--window", "2s", "--slo", slo]).run()
    };
    let kept = load("p50<60s,errors<1%,rate>1/s,retries<1%");
    assert_eq!(kept.code, 0, "{}", kept.all());
    let sent = kept.report["rates"]["sent"].as_u64().unwrap();
    assert!(sent >= 2 * 167 && sent % (2 * 167) == 0, "whole rounds: {sent}");
    for direction in ["inbound", "outbound"] {
        let [observed, expected] = ["observed", "expected"].map(|it| kept.report[direction][it].as_u64());
        assert_eq!((observed, expected), (Some(sent), Some(sent)), "{direction}: {}", kept.all());
    }
    assert!(kept.report["rates"]["wallNs"].as_u64().unwrap() >= 2_000_000_000, "{}", kept.all());
    let calls = &kept.report["calls"][0];
    assert_eq!(
        (calls["made"].as_u64(), calls["expected"].as_u64()),
        (Some(sent), Some(sent)),
        "{}",
        kept.all()
    );
    assert!(kept.result.contains("Objective errors<1%: met, 0.00%"), "{}", kept.all());
    let missed = load("max<100ms");
    assert_eq!(missed.code, 1, "{}", missed.all());
    assert!(missed.result.contains("Outcome: FAIL_SLO_MISSED"), "{}", missed.all());
    assert!(missed.result.contains("Primary failure reason: max<100ms was missed: "), "{}", missed.all());
    assert_eq!(missed.report["slo"][0]["met"].as_bool(), Some(false), "{}", missed.all());
}

#[test]
fn a_client_that_gives_up_and_one_that_asks_twice_are_told_in_the_ledger() {
    let limited = Limited::captured();
    let inject =
        |rule: &str| limited.with(&command(&limited.variables, "")).option(&["--inject", rule]).run();
    let observed = |replayed: &Replayed| {
        let faults = &replayed.report["faults"];
        assert_eq!(faults["rules"][0]["observed"], 1, "{}", replayed.all());
        text(&faults["happened"][0]["observed"]).to_owned()
    };
    let cancelled = inject("dir=in at=1 cancel=30ms");
    assert_eq!(cancelled.code, 0, "{}", cancelled.all());
    assert_eq!(observed(&cancelled), "gave up after 30.0ms");
    assert!(!cancelled.result.contains("Retry amplification"), "{}", cancelled.all());
    let twice = inject("dir=in at=2 duplicate");
    assert!(observed(&twice).starts_with("asked twice"), "{}", twice.all());
    assert_eq!(twice.code, 1, "{}", twice.all());
    assert!(twice.result.contains("reason=unexpected_outbound_call"), "{}", twice.all());
    let never = inject("dir=in at=9 cancel");
    assert_eq!(never.code, 4, "{}", never.all());
}

#[test]
fn a_misspelt_objective_is_a_mistake_with_the_near_word() {
    let limited = Limited::captured();
    let replayed = limited.with(&command(&limited.variables, "")).option(&["--slo", "eror<1%"]).run();
    assert_eq!(replayed.code, 2, "{}", replayed.all());
    assert!(replayed.stderr.contains("did you mean `errors`?"), "{}", replayed.all());
}
