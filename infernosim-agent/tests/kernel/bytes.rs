//! Bytes arrive as they were sent, through the real redirect, whatever they are and however they come.

use std::net::TcpListener;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use serde_json::Value;

use crate::harness::programs::capture;
use crate::harness::programs::traffic::{Ending, Report, Role, Scenario, assert_as_expected, play};
use crate::harness::{Recording, Running, Side, Tcp, long, sha256, text};

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        Just(Ending::ClientFirst),
        Just(Ending::ServerFirst),
        Just(Ending::Together),
        Just(Ending::ClientResets),
        Just(Ending::ServerResets),
    ]
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        1 => Just(0_usize),
        4 => 1..300_usize,
        4 => 300..200_000_usize,
        // More than all the buffers of a way together.
        1 => 4_000_000..9_000_000_usize,
    ]
}

prop_compose! {
    fn scenario()(
        seed in any::<u64>(),
        up in size(),
        down in size(),
        hostile in any::<bool>(),
        chunk in prop_oneof![1..40_usize, 1000..70_000_usize, Just(1 << 20)],
        pause in prop_oneof![Just(0_u64), 2..50_u64],
        ending in ending(),
    ) -> Scenario {
        // Some bytes at a time of megabytes would take minutes; a reset wants a byte to wait for.
        let chunk = if up.max(down) > 200_000 { chunk.max(20_000) } else { chunk };
        let pause = if up.max(down) / chunk > 500 { 0 } else { pause };
        let least = usize::from(matches!(ending, Ending::ClientResets | Ending::ServerResets));
        Scenario { seed, up: up.max(least), down: down.max(least), hostile, chunk, pause, ending }
    }
}

/// The addresses of a connection's client and server.
type Ends = (String, String);

/// One connection through the capture; its two ends, and what client and server saw.
fn transfer(running: &mut Running, scenario: &Scenario) -> (Ends, Report, Report) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = scenario.clone();
    let server = Tcp::on(listener, move |stream| play(stream, &theirs, Role::Server));
    let line = serde_json::to_string(&(server.addr, scenario)).unwrap();
    let report = running.ask(&line, "REPORT ");
    let report: Report = serde_json::from_str(report.strip_prefix("REPORT ").unwrap()).unwrap();
    // A port of the client's may be used again, but not for the same server.
    ((report.local.clone(), server.addr.to_string()), report, server.result())
}

fn start() -> Running {
    let running = capture("traffic", &Value::Null).start().ready();
    running.stdout.line("READY");
    running
}

#[test]
fn streams_arrive_identical_and_end_as_they_ended() {
    let mut session = start();
    let cases = if long() { 600 } else { 80 };
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 60,
        max_shrink_time: 30_000,
        ..Config::default()
    };
    let connections = std::cell::RefCell::new(Vec::new());
    let running = std::cell::RefCell::new(&mut session);
    let outcome = TestRunner::new(config).run(&scenario(), |scenario| {
        let (ends, client, server) = transfer(&mut running.borrow_mut(), &scenario);
        connections.borrow_mut().push((ends, scenario.clone()));
        assert_as_expected(&scenario, &client, &server);
        Ok(())
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, scenario)) => panic!("{reason}\n{scenario:#?}"),
        Err(error) => panic!("{error}"),
    }
    let finished = session.finish();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    // Of hostile streams nobody can say what they ought to be taken for; of the others every byte is there.
    let recording = finished.recording();
    for (ends, scenario) in connections.into_inner() {
        if !scenario.hostile && scenario.up + scenario.down > 0 {
            assert_recorded(&recording, &ends, &scenario);
        }
    }
}

/// The log of an opaque connection holds both streams, in order and whole.
#[test]
fn what_is_recorded_is_what_was_sent() {
    let mut running = start();
    let mut scenarios = Vec::new();
    let endings = [
        Ending::ClientFirst,
        Ending::ServerFirst,
        Ending::Together,
        Ending::ClientResets,
        Ending::ServerResets,
    ];
    for (number, ending) in endings.into_iter().cycle().take(20).enumerate() {
        let sizes = [1, 60, 70_000, 3_000_000];
        let scenario = Scenario {
            seed: 1000 + number as u64,
            up: sizes[number % 4],
            down: sizes[(number / 2) % 4],
            hostile: false,
            chunk: 9000,
            pause: 20,
            ending,
        };
        let (ends, client, server) = transfer(&mut running, &scenario);
        assert_as_expected(&scenario, &client, &server);
        scenarios.push((ends, scenario));
    }
    let recording = running.finish().recording();
    for (ends, scenario) in scenarios {
        assert_recorded(&recording, &ends, &scenario);
    }
}

fn assert_recorded(recording: &Recording, (local, peer): &Ends, scenario: &Scenario) {
    let turns: Vec<&Value> = recording
        .calls()
        .into_iter()
        .filter(|event| text(&event["local"]) == local && text(&event["peer"]) == peer)
        .collect();
    assert!(!turns.is_empty(), "{scenario:?}");
    assert!(turns.iter().all(|turn| turn["protocol"] == "tcp"));
    for (role, side) in [(Role::Client, Side::Request), (Role::Server, Side::Response)] {
        let recorded: Vec<u8> = turns.iter().flat_map(|turn| recording.body(turn, side)).collect();
        let sent = scenario.stream(role);
        assert_eq!((recorded.len(), sha256(&recorded)), (sent.len(), sha256(&sent)), "{role:?} {scenario:?}");
    }
    let last = turns[turns.len() - 1];
    let reset = matches!(scenario.ending, Ending::ClientResets | Ending::ServerResets);
    let errno = last.get("errno").map(text);
    assert_eq!(errno, reset.then_some("ECONNRESET"), "{scenario:?} {last:#}");
}
