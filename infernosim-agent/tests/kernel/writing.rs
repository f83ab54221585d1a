//! What is written, and what happens when it cannot be.

use std::io::{Read, Write};

use crate::harness::{Capture, Origin, Recording, Side, Tcp, Tmpfs, text};

/// Asks for so many bodies of so many bytes, all different, and prints how many came whole.
const DOWNLOADS: &str = r#"
import sys, urllib.request
whole = 0
for number in range(int(sys.argv[2])):
    size = int(sys.argv[3]) + number
    whole += len(urllib.request.urlopen(f"{sys.argv[1]}/bytes/{size}").read()) == size
print(whole)
"#;

#[test]
fn on_a_full_disk_the_command_goes_on_and_the_loss_is_said() {
    let origin = Origin::start();
    let disk = Tmpfs::new(1024);
    let incident = disk.path().join("incident");
    // Inline, so that the log itself meets the end of the disk.
    let finished = Capture::python(DOWNLOADS, &[&origin.url(""), "100", "50000"]).into(&incident).run();
    assert_eq!(finished.stdout, "100\n", "{}", finished.stderr);
    assert_eq!(finished.code, 4, "{}", finished.stderr);
    assert!(finished.stderr.contains("lost"), "{}", finished.stderr);
    // Reading fails on a line that is no whole JSON.
    let recording = Recording::read(&incident);
    assert!(!recording.torn);
    let lost = recording.manifest["lost"]["events"].as_u64().unwrap();
    assert!(lost > 0, "{:#}", recording.manifest);
    assert_eq!(recording.calls().len() as u64 + lost, 100);
    // The manifest and the summary count what is in the log, not what was meant for it.
    recording.assert_closed();
    let captured = format!("captured {} events", recording.events.len());
    assert!(finished.stderr.contains(&captured), "{captured}: {}", finished.stderr);
    for call in recording.calls() {
        assert!(recording.body(call, Side::Response).len() >= 50_000);
    }
}

/// The same with bodies in files: a line whose body is not there is a line that lies.
#[test]
fn on_a_full_disk_no_line_names_a_body_that_is_not_there() {
    let origin = Origin::start();
    let disk = Tmpfs::new(2048);
    let incident = disk.path().join("incident");
    let finished = Capture::python(DOWNLOADS, &[&origin.url(""), "40", "100000"]).into(&incident).run();
    assert_eq!((finished.code, finished.stdout.as_str()), (4, "40\n"), "{}", finished.stderr);
    let recording = Recording::read(&incident);
    let lost = recording.manifest["lost"]["events"].as_u64().unwrap();
    assert!(lost > 0, "{:#}", recording.manifest);
    let missing: Vec<&str> = recording
        .calls()
        .iter()
        .map(|call| text(&call["responseBodySha256"]))
        .filter(|hash| !incident.join("bodies").join(hash).exists())
        .collect();
    assert_eq!(missing.len(), 0, "{missing:?}");
    assert_eq!(recording.calls().len() as u64 + lost, 40);
    recording.assert_closed();
}

/// A failing command keeps its own status, whatever was lost.
#[test]
fn the_commands_failure_comes_before_ours() {
    let origin = Origin::start();
    let disk = Tmpfs::new(256);
    let script = format!("{DOWNLOADS}\nsys.exit(7)");
    let finished =
        Capture::python(&script, &[&origin.url(""), "20", "60000"]).into(&disk.path().join("incident")).run();
    assert_eq!((finished.code, finished.stdout.as_str()), (7, "20\n"), "{}", finished.stderr);
}

#[test]
fn a_body_is_cut_where_it_was_told_to_be_and_says_so() {
    let origin = Origin::start();
    let url = origin.url("/bytes/50000");
    let capture = Capture::of(&["sh", "-c", "curl -sS \"$0\" | wc -c", &url]).option(&["--max-body", "1KiB"]);
    let finished = capture.run();
    assert_eq!(finished.stdout.trim(), "50000");
    let recording = finished.recording();
    let event = recording.call();
    assert_eq!(event["responseBodyTruncated"], true, "{event:#}");
    assert_eq!(event["responseBodySize"], 50_000);
    let kept = base64_simd::STANDARD.decode_to_vec(text(&event["responseBodyB64"])).unwrap();
    assert_eq!(kept.len(), 1024);
}

#[test]
fn text_that_is_cut_stays_text_and_a_long_body_is_cut_in_its_file() {
    let origin = Origin::start();
    let script = "curl -sS -o /dev/null --data-binary 'aü🦀' \"$0\"; curl -sS -o /dev/null \"$1\"";
    let urls = (origin.url("/echo"), origin.url("/bytes/5000000"));
    for (limit, kept) in [("3B", "aü"), ("6B", "aü"), ("7B", "aü🦀")] {
        let recording =
            Capture::of(&["sh", "-c", script, &urls.0, &urls.0]).option(&["--max-body", limit]).record();
        let event = &recording.events[0];
        assert_eq!((&event["body"], &event["bodySize"]), (&kept.into(), &7.into()), "{limit}: {event:#}");
        assert_eq!(event["bodyTruncated"] == true, limit != "7B", "{event:#}");
    }
    let capture = Capture::of(&["sh", "-c", script, &urls.0, &urls.1]).option(&["--max-body", "2MB"]);
    let recording = capture.record();
    let event = &recording.events[1];
    assert_eq!(
        (&event["responseBodyTruncated"], &event["responseBodySize"]),
        (&true.into(), &5_000_000.into())
    );
    let kept = std::fs::read(recording.dir.join("bodies").join(text(&event["responseBodySha256"]))).unwrap();
    assert_eq!(
        (kept.len(), crate::harness::sha256(&kept).as_str()),
        (2_000_000, text(&event["responseBodySha256"]))
    );
}

#[test]
fn equal_bodies_are_stored_once() {
    let origin = Origin::start();
    let url = origin.url("/bytes/1048576");
    let recording =
        Capture::of(&["sh", "-c", "curl -sS \"$0\" \"$0\" >/dev/null; curl -sS \"$0\" >/dev/null", &url])
            .record();
    let calls = recording.calls();
    assert_eq!(calls.len(), 3);
    let hash = text(&calls[0]["responseBodySha256"]);
    assert!(calls.iter().all(|call| text(&call["responseBodySha256"]) == hash));
    assert_eq!(recording.body_files(), [hash]);
    assert_eq!(recording.body(calls[0], Side::Response).len(), 1 << 20);
}

/// A stream that comes faster than it can be written costs events, never the target.
#[test]
fn over_budget_events_are_dropped_whole_and_counted() {
    let origin = Tcp::start(|mut stream| {
        let mut buffer = vec![0; 1 << 20];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            let _ = stream.write_all(&buffer[..read.min(10)]);
        }
    });
    let script = r#"
import socket, sys, threading
def work():
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    reader = threading.Thread(target=lambda: [None for _ in iter(lambda: s.recv(1 << 20), b"")])
    reader.start()
    block = b"\0" * (1 << 20)
    for _ in range(60):
        s.sendall(block)
    s.shutdown(socket.SHUT_WR)
    reader.join()
threads = [threading.Thread(target=work) for _ in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
print("done")
"#;
    let finished = Capture::python(script, &[&origin.port().to_string()]).option(&["--buffer", "8MiB"]).run();
    assert_eq!(finished.stdout, "done\n", "{}", finished.stderr);
    let recording = Recording::read(&finished.incident);
    recording.assert_closed();
    let lost = recording.manifest["lost"]["events"].as_u64().unwrap();
    // A fast disk may keep up; then there is nothing to be said.
    assert_eq!(finished.code, if lost > 0 { 4 } else { 0 }, "{}", finished.stderr);
    let said: u64 = recording.of_type("Lost").iter().map(|event| event["events"].as_u64().unwrap()).sum();
    assert_eq!(said, lost, "{:#}", recording.manifest);
    for call in recording.calls().iter().filter(|call| call.get("incomplete").is_none()) {
        recording.body(call, Side::Request);
    }
    assert!(finished.peak_rss_kib < 100 << 10, "{} KiB", finished.peak_rss_kib);
}

/// Bodies that JSON cannot hold as they are.
#[test]
fn text_is_text_and_bytes_are_base64() {
    let origin = Origin::start();
    for (data, plain) in [("quote \" back \\ \u{1} \u{2028} ü 🦀", true), ("", true)] {
        let recording = Capture::of(&["curl", "-sS", "--data-binary", data, &origin.url("/echo")]).record();
        let event = recording.call();
        assert_eq!(event.get("bodyB64").is_none(), plain, "{event:#}");
        assert_eq!(recording.body(event, Side::Request), data.as_bytes());
    }
    let recording = Capture::of(&["curl", "-sS", "-o", "/dev/null", &origin.url("/bytes/300")]).record();
    let event = recording.call();
    assert!(event.get("responseBody").is_none() && event.get("responseBodyB64").is_some(), "{event:#}");
    assert_eq!(recording.body(event, Side::Response).len(), 300);
}

/// Flushed within 200 ms: a reader beside a running capture sees what was.
#[test]
fn a_running_captures_log_can_be_read() {
    let origin = Origin::start();
    let url = origin.url("/hello");
    let mut running =
        Capture::of(&["sh", "-c", "curl -sS \"$0\"; echo DONE; read end", &url]).start().ready();
    running.stdout.line("DONE");
    crate::harness::eventually("the request is in the log", || {
        std::fs::read_to_string(running.incident.join("outbound.log")).unwrap().contains(&url)
    });
    assert_eq!(Recording::read_manifest(&running.incident)["closed"], false);
    running.say("end");
    assert_eq!(running.finish().recording().calls().len(), 1);
}
