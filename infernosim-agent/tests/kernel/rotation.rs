//! `--max-size`: numbered incidents, each whole, and nothing lost or twice between them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::harness::{Capture, Origin, Recording, Side, Tcp, eventually, text};

/// One connection; asks for so many bodies of so many bytes, all different, and prints how many came whole.
const KEEP_ALIVE: &str = r#"
import http.client, sys, time
port, count, size, pause = (float(argument) for argument in sys.argv[1:5])
client = http.client.HTTPConnection("127.0.0.1", int(port))
whole = 0
for number in range(int(count)):
    client.request("GET", f"/bytes/{int(size) + number}")
    whole += len(client.getresponse().read()) == int(size) + number
    time.sleep(pause)
print(whole, flush=True)
"#;

fn keep_alive(origin: &Origin, count: u32, size: u32, pause: &str) -> Capture {
    let arguments = [&origin.port().to_string(), &count.to_string(), &size.to_string(), pause];
    Capture::python(KEEP_ALIVE, &arguments)
}

/// The numbered incidents, in order.
fn parts(first: &Path) -> Vec<PathBuf> {
    let name = first.file_name().unwrap().to_str().unwrap();
    let numbered = (2..).map(|number| first.with_file_name(format!("{name}-{number}")));
    std::iter::once(first.to_owned()).chain(numbered).take_while(|path| path.exists()).collect()
}

/// The paths that were asked for, in order.
fn asked(recording: &Recording) -> Vec<String> {
    let path = |url: &str| url.splitn(4, '/').last().unwrap().to_owned();
    recording.calls().iter().map(|call| path(text(&call["url"]))).collect()
}

#[test]
fn each_incident_is_whole_and_nothing_is_lost_or_twice_between_them() {
    let origin = Origin::start();
    let finished = keep_alive(&origin, 200, 50_000, "0.002").option(&["--max-size", "1MiB"]).run();
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "200\n"), "{}", finished.stderr);
    let parts = parts(&finished.incident);
    assert!(parts.len() >= 4, "{parts:?}\n{}", finished.stderr);
    let mut paths = Vec::new();
    let mut ids = BTreeMap::new();
    for (at, part) in parts.iter().enumerate() {
        let recording = Recording::read(part);
        recording.assert_whole();
        let manifest = &recording.manifest;
        let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(manifest["part"], at + 1);
        assert_eq!(
            manifest["previous"].as_str().map(str::to_owned),
            at.checked_sub(1).map(|it| name(&parts[it]))
        );
        assert_eq!(manifest["next"].as_str().map(str::to_owned), parts.get(at + 1).map(name));
        assert_eq!(manifest["target"], Recording::read(&parts[0]).manifest["target"]);
        assert_eq!(recording.events[0]["sequence"], 1, "no incident is empty");
        let calls = recording.calls();
        assert_eq!(manifest["dependencies"][0]["calls"], calls.len());
        for call in &calls {
            let body = recording.body(call, Side::Response);
            assert_eq!(format!("bytes/{}", body.len()), text(&call["url"]).splitn(4, '/').last().unwrap());
            assert_eq!(call["connection"], 1, "the connection goes on");
            assert!(ids.insert(text(&call["id"]).to_owned(), at).is_none(), "an id stands twice");
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(part), mode(&part.join("outbound.log"))), (0o700, 0o600));
        paths.extend(asked(&recording));
        assert!(finished.stderr.contains(&format!("{} (", part.display())) || at > 8, "{}", finished.stderr);
    }
    let expected: Vec<String> = (0..200).map(|number| format!("bytes/{}", 50_000 + number)).collect();
    assert_eq!(paths, expected);
    assert!(finished.stderr.contains(&format!("captured 200 events in {} and", finished.incident.display())));
}

/// Bodies that are longer than what is held in memory are on the disk when the next incident begins.
#[test]
fn a_download_across_the_seam_is_whole() {
    const FIRST: usize = 3 << 20;
    const WHOLE: usize = FIRST + (1 << 19);
    // The first part of an answer, and the rest once the client has said more.
    let slow = Tcp::start(|mut stream| {
        let (mut heard, body) = ([0; 4096], vec![b'x'; WHOLE]);
        let _ = stream.read(&mut heard);
        let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {WHOLE}\r\n\r\n").as_bytes());
        let _ = stream.write_all(&body[..FIRST]);
        let _ = stream.read(&mut heard);
        let _ = stream.write_all(&body[FIRST..]);
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
    });
    let origin = Origin::start();
    let script = format!(
        r#"
import socket, sys
download = socket.create_connection(("127.0.0.1", int(sys.argv[5])))
download.sendall(b"GET /download HTTP/1.1\r\nHost: slow\r\n\r\n")
got = 0
while got < {FIRST}:
    got += len(download.recv(1 << 20))
{KEEP_ALIVE}
download.sendall(b"GET /rest HTTP/1.1\r\nHost: slow\r\n\r\n")
while download.recv(1 << 20):
    pass
"#
    );
    let (port, slow_port) = (origin.port().to_string(), slow.port().to_string());
    let finished = Capture::python(&script, &[&port, "300", "60000", "0.002", &slow_port])
        .option(&["--max-size", "4MiB"])
        .run();
    assert_eq!((finished.code, finished.stdout.trim()), (0, "300"), "{}", finished.stderr);
    let parts = parts(&finished.incident);
    let mut found = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let recording = Recording::read(part);
        recording.assert_whole();
        for call in recording.calls() {
            let body = recording.body(call, Side::Response);
            if text(&call["url"]).ends_with("/download") {
                assert!(body == vec![b'x'; WHOLE]);
                found.push(at);
            }
        }
        assert!(recording.body_files().iter().all(|name| name.len() == 64), "{:?}", recording.body_files());
    }
    // It began in the first.
    assert!(found.len() == 1 && found[0] > 0, "{found:?} {parts:?}");
}

#[test]
fn a_body_that_fits_no_incident_is_lost_and_said() {
    let origin = Origin::start();
    let url = origin.url("/bytes/3000000");
    let finished =
        Capture::of(&["sh", "-c", "curl -sS \"$0\" | wc -c", &url]).option(&["--max-size", "2MiB"]).run();
    assert_eq!((finished.code, finished.stdout.trim()), (4, "3000000"), "{}", finished.stderr);
    let recording = Recording::read(&finished.incident);
    recording.assert_closed();
    assert_eq!(recording.manifest["lost"]["byReason"]["size"]["events"], 1, "{:#}", recording.manifest);
    assert_eq!(text(&recording.of_type("Lost")[0]["reason"]), "size");
    assert!(recording.body_files().is_empty() && finished.stderr.contains("size 1"), "{}", finished.stderr);
}

/// The end is that of the capture: the command goes on, and nothing that it does is lost.
#[test]
fn the_last_incident_ends_the_capture_and_not_the_command() {
    let origin = Origin::start();
    let capture = keep_alive(&origin, 400, 50_000, "0.005");
    let finished = capture.option(&["--max-size", "1MiB", "--max-incidents", "2", "--drain", "100ms"]).run();
    // Connections that are in our hands at the end are closed after --drain, so the client may see one end.
    let parts = parts(&finished.incident);
    assert_eq!(parts.len(), 2, "{}", finished.stderr);
    let recordings: Vec<Recording> = parts.iter().map(|part| Recording::read(part)).collect();
    let recorded: usize = recordings.iter().map(|it| it.calls().len()).sum();
    recordings.iter().for_each(Recording::assert_whole);
    assert!(recorded > 20 && recorded < 400, "{recorded}");
    let expected: Vec<String> = (0..recorded).map(|number| format!("bytes/{}", 50_000 + number)).collect();
    assert_eq!(recordings.iter().flat_map(asked).collect::<Vec<_>>(), expected);
    assert!(!finished.stderr.contains("incomplete"), "{}", finished.stderr);

    // With connections of its own the command notices nothing.
    let script = r#"
import sys, urllib.request
print(sum(len(urllib.request.urlopen(f"{sys.argv[1]}/bytes/{50000 + n}").read()) == 50000 + n for n in range(200)))
"#;
    let capture = Capture::python(script, &[&origin.url("")]);
    let finished = capture.option(&["--max-size", "1MiB", "--max-incidents", "1"]).run();
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "200\n"), "{}", finished.stderr);
    let recording = finished.recording();
    assert!(recording.calls().len() < 200 && !finished.incident.with_file_name("incident-2").exists());
}

#[test]
fn names_that_are_taken_are_refused_replaced_by_force_or_passed_over() {
    let origin = Origin::start();
    let place = tempfile::tempdir().unwrap();
    let first = place.path().join("run");
    let capture = || keep_alive(&origin, 60, 50_000, "0.005").into(&first).option(&["--max-size", "1MiB"]);
    let second = place.path().join("run-2");
    fs::create_dir(&second).unwrap();
    fs::write(second.join("outbound.log"), "old\n").unwrap();
    let before = origin.seen().len();
    let finished = capture().run();
    assert_eq!((finished.code, first.exists()), (2, false), "{}", finished.stderr);
    assert!(finished.stderr.contains("run-2 already holds an incident"), "{}", finished.stderr);
    assert_eq!(origin.seen().len(), before, "CMD ran");
    let finished = capture().option(&["--force"]).run();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    Recording::read(&second).assert_whole();

    // One that appears while the capture runs stays as it is.
    let other = tempfile::tempdir().unwrap();
    let first = other.path().join("run");
    let mut running = Capture::python(
        &format!("input()\n{KEEP_ALIVE}"),
        &[&origin.port().to_string(), "60", "50000", "0.005"],
    )
    .into(&first)
    .option(&["--max-size", "1MiB"])
    .start()
    .ready();
    let taken = other.path().join("run-2");
    fs::create_dir(&taken).unwrap();
    running.say("go");
    let finished = running.finish();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert_eq!(fs::read_dir(&taken).unwrap().count(), 0);
    assert!(finished.stderr.contains("run-2 was made by somebody else"), "{}", finished.stderr);
    let third = Recording::read(&other.path().join("run-3"));
    third.assert_whole();
    assert_eq!((text(&third.manifest["previous"]), &third.manifest["part"]), ("run", &2.into()));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (options, said) in [
        (&["--max-size", "1KiB"] as &[&str], "1MiB"),
        (&["--max-incidents", "2"], "--max-size"),
        (&["--max-size", "1MiB", "--max-incidents", "0"], "0"),
    ] {
        let finished = Capture::of(&["true"]).option(options).run();
        assert_eq!(finished.code, 2, "{}", finished.stderr);
        assert!(finished.stderr.contains(said), "{}", finished.stderr);
    }
}

/// What is closed stays closed, and what was on disk can be read.
#[test]
fn a_sigkill_between_incidents_leaves_all_of_them_readable() {
    let origin = Origin::start();
    let mut running =
        keep_alive(&origin, 100_000, 50_000, "0").option(&["--max-size", "1MiB"]).start().ready();
    eventually("several incidents", || parts(&running.incident).len() > 4);
    running.signal(Signal::SIGKILL);
    running.wait_for_death();
    let parts = parts(&running.incident);
    let mut paths = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        // The last one may have been in the making.
        if at + 1 == parts.len() && !part.join("incident.json").exists() {
            continue;
        }
        let recording = Recording::read(part);
        if recording.manifest["closed"] == true {
            recording.assert_whole();
        }
        // The writer may have been between the last two, not before.
        assert!(recording.manifest["closed"] == true || at + 2 >= parts.len(), "{}", part.display());
        paths.extend(asked(&recording));
    }
    let expected: Vec<String> = (0..paths.len()).map(|number| format!("bytes/{}", 50_000 + number)).collect();
    assert_eq!(paths, expected);
}
