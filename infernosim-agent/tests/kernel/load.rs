//! Many requests: none lost, none twice, in bounded memory. These tests run alone.

use serde_json::json;

use crate::harness::programs::capture;
use crate::harness::{Capture, Origin, Side, Tally, sha256, text};

/// The most memory infernosim may hold, in KiB.
const MEMORY_KIB: u64 = 100 << 10;

/// Requests as the program `load` makes them; counted by the origin, by the client, and in the log.
fn loaded(threads: usize, requests: usize, keep_alive: bool) {
    let tally = Tally::start(requests);
    let arguments = json!({
        "addr": tally.addr, "threads": threads, "first": 0, "requests": requests, "keep_alive": keep_alive
    });
    let finished = capture("load", &arguments).run();
    assert_eq!(finished.code, 0, "{}\n{}", finished.stdout, finished.stderr);
    assert!(finished.stdout.contains(&format!("DONE {requests}\n")), "{}", finished.stdout);
    assert!(tally.counts().iter().all(|count| *count == 1), "the origin was asked otherwise");

    let recording = finished.recording();
    let mut recorded = vec![0_u32; requests];
    for event in &recording.events {
        assert_eq!(event["type"], "OutboundCall", "{event:#}");
        let number = text(&event["url"]).strip_prefix("http://tally.test/n/").unwrap();
        assert_eq!((&event["status"], text(&event["responseBody"])), (&json!(200), number), "{event:#}");
        assert!(event.get("incomplete").is_none(), "{event:#}");
        recorded[number.parse::<usize>().unwrap()] += 1;
    }
    let wrong = recorded.iter().filter(|count| **count != 1).count();
    assert_eq!(wrong, 0, "of {requests} requests {wrong} were not recorded exactly once");
    let mut connections: Vec<u64> =
        recording.events.iter().map(|event| event["connection"].as_u64().unwrap()).collect();
    connections.sort_unstable();
    connections.dedup();
    assert_eq!(connections.len(), if keep_alive { threads } else { requests });
    eprintln!("peak memory {} KiB", finished.peak_rss_kib);
    assert!(
        finished.peak_rss_kib > 1000 && finished.peak_rss_kib < MEMORY_KIB,
        "{} KiB",
        finished.peak_rss_kib
    );
}

#[test]
fn keep_alive_requests_are_all_recorded_once() {
    loaded(16, 100_000, true);
}

#[test]
fn new_connections_are_all_recorded_once() {
    loaded(16, 20_000, false);
}

#[test]
fn thousands_of_open_connections_are_served() {
    let count = 8_000;
    let tally = Tally::start(2 * count);
    let mut running = capture("connections", &json!({ "addr": tally.addr })).start().ready();
    let hard = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap().1;
    // The test process holds the other ends.
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    assert!(
        hard as usize > 2 * count + 600,
        "this machine allows {hard} open files, too few for {count} connections"
    );
    let expected = format!("RESULT {count} answered ");
    assert_eq!(running.ask(&format!("open {count}"), "RESULT"), expected);
    assert_eq!(running.ask("ask", "RESULT"), expected);
    let finished = running.finish();
    let recording = finished.recording();
    assert_eq!(recording.calls().len(), 2 * count);
    assert_eq!(recording.unmediated("agent-at-limit"), 0);
    eprintln!("peak memory {} KiB", finished.peak_rss_kib);
    assert!(finished.peak_rss_kib < MEMORY_KIB, "{} KiB", finished.peak_rss_kib);
}

/// A body need not fit into memory to be recorded whole, where the recorder keeps up: here it comes in pieces, with
/// time between them.
#[test]
fn a_body_larger_than_the_buffer_is_recorded_whole() {
    const MIB: usize = 80;
    let origin = Origin::start();
    let url = origin.url(&format!("/paced/{MIB}"));
    let finished = Capture::of(&["sh", "-c", "curl -sS \"$0\" | sha256sum", &url]).run();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let recording = finished.recording();
    let body = recording.body(recording.call(), Side::Response);
    assert_eq!(body.len(), MIB << 20);
    assert_eq!(finished.stdout, format!("{}  -\n", sha256(&body)));
    assert_eq!(recording.body_files(), [sha256(&body)]);
    assert!(finished.peak_rss_kib < MEMORY_KIB, "{} KiB", finished.peak_rss_kib);
}
