//! What can happen to the incident's directory, and a recording that is slower than the traffic: the target goes
//! on, what is lost is counted and said, and the status is 4.

use std::fs;
use std::os::unix::fs::symlink;

use nix::mount::{MntFlags, umount2};

use crate::harness::{
    Capture, Ext4, Finished, Origin, Recording, Running, Side, Stopped, Tmpfs, program, text,
};

/// For each line of standard input asks for so many bodies of so many bytes, all different, on one connection;
/// answers with how many came whole.
const ASK: &str = r#"
import http.client, sys
client = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
first = 0
for line in sys.stdin:
    count, size = (int(word) for word in line.split())
    whole = 0
    for number in range(first, first + count):
        client.request("GET", f"/bytes/{size + number}")
        whole += len(client.getresponse().read()) == size + number
    first += count
    print("WHOLE", whole, flush=True)
"#;

fn start(origin: &Origin, incident: &std::path::Path, options: &[&str]) -> Running {
    Capture::python(ASK, &[&origin.port().to_string()]).into(incident).option(options).start().ready()
}

fn ask(running: &mut Running, count: u32, size: u32) {
    assert_eq!(running.ask(&format!("{count} {size}"), "WHOLE"), format!("WHOLE {count}"));
}

/// Waits until the log has so many lines.
fn logged(running: &Running, lines: usize) {
    let log = running.incident.join("outbound.log");
    crate::harness::eventually("the log is written", || {
        fs::read_to_string(&log).unwrap().lines().count() >= lines
    });
}

fn assert_said(finished: &Finished, words: &[&str]) {
    assert_eq!(finished.code, 4, "{}", finished.stderr);
    for word in words {
        assert!(finished.stderr.contains(word), "{word}: {}", finished.stderr);
    }
}

#[test]
fn a_link_in_the_incidents_place_is_not_written_through() {
    let origin = Origin::start();
    let place = tempfile::tempdir().unwrap();
    let [incident, moved, other] = ["incident", "moved", "other"].map(|name| place.path().join(name));
    fs::create_dir_all(other.join("bodies")).unwrap();
    let mut running = start(&origin, &incident, &[]);
    ask(&mut running, 2, 100_000);
    fs::rename(&incident, &moved).unwrap();
    symlink(&other, &incident).unwrap();
    ask(&mut running, 3, 100_000);
    let finished = running.finish();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(
        finished.stderr.contains(&format!("was moved: it is {}", moved.display())),
        "{}",
        finished.stderr
    );
    assert_eq!(fs::read_dir(&other).unwrap().count(), 1);
    assert_eq!(fs::read_dir(other.join("bodies")).unwrap().count(), 0);
    let recording = Recording::read(&moved);
    recording.assert_whole();
    assert_eq!(recording.calls().len(), 5);
    recording.calls().iter().for_each(|call| assert!(recording.body(call, Side::Response).len() >= 100_000));
}

#[test]
fn a_directory_that_is_removed_is_said_to_be() {
    let origin = Origin::start();
    let place = tempfile::tempdir().unwrap();
    let incident = place.path().join("incident");
    let mut running = start(&origin, &incident, &[]);
    ask(&mut running, 2, 100_000);
    fs::remove_dir_all(&incident).unwrap();
    ask(&mut running, 20, 100_000);
    let finished = running.finish();
    assert_said(&finished, &["is gone", "lost"]);
    assert!(!incident.exists());
}

#[test]
fn a_log_that_is_removed_or_moved_is_said_to_be() {
    for renamed in [false, true] {
        let origin = Origin::start();
        let place = tempfile::tempdir().unwrap();
        let incident = place.path().join("incident");
        let mut running = start(&origin, &incident, &[]);
        ask(&mut running, 2, 1000);
        logged(&running, 2);
        let log = incident.join("outbound.log");
        // As logrotate does.
        if renamed {
            fs::rename(&log, incident.join("outbound.log.1")).unwrap();
            fs::write(&log, "").unwrap();
        } else {
            fs::remove_file(&log).unwrap();
        }
        ask(&mut running, 2, 1000);
        let finished = running.finish();
        assert_said(&finished, &["outbound.log was removed or replaced", "removed 4"]);
        let manifest = Recording::read_manifest(&incident);
        assert_eq!(manifest["lost"]["byReason"]["removed"]["events"], 4, "{manifest:#}");
        let logs: Vec<&String> = manifest["logs"].as_object().unwrap().keys().collect();
        assert_eq!(logs, ["inbound.log"], "{manifest:#}");
    }
}

#[test]
fn a_file_system_that_is_gone_is_said_to_be() {
    let origin = Origin::start();
    let disk = Tmpfs::new(8192);
    let incident = disk.path().join("incident");
    let mut running = start(&origin, &incident, &[]);
    ask(&mut running, 2, 100_000);
    umount2(disk.path(), MntFlags::MNT_DETACH).unwrap();
    ask(&mut running, 20, 100_000);
    assert_said(&running.finish(), &["is gone", "unmounted"]);
}

/// As after a disk error: what was written stays, and can be read.
#[test]
fn a_disk_that_becomes_read_only_costs_events_and_not_the_log() {
    let origin = Origin::start();
    let disk = Ext4::new(32);
    let incident = disk.path().join("incident");
    let mut running = start(&origin, &incident, &[]);
    ask(&mut running, 5, 1000);
    logged(&running, 5);
    disk.fail();
    ask(&mut running, 5, 1000);
    ask(&mut running, 5, 100_000);
    let finished = running.finish();
    assert_said(&finished, &["10 lost", "disk 10", "Read-only file system"]);
    let recording = Recording::read(&incident);
    assert!(!recording.torn);
    assert_eq!(recording.calls().len(), 5);
    recording.calls().iter().for_each(|call| assert!(recording.body(call, Side::Response).len() >= 1000));
}

/// The manifest is closed on a disk that has no byte left, and what is lost is in the log once there is room.
#[test]
fn a_full_disk_is_said_in_the_log_once_there_is_room() {
    let origin = Origin::start();
    let disk = Tmpfs::new(2048);
    let incident = disk.path().join("incident");
    let mut running = start(&origin, &incident, &[]);
    ask(&mut running, 3, 1000);
    logged(&running, 3);
    let filler = disk.path().join("filler");
    let mut block = vec![b'x'; 4 << 20];
    while !block.is_empty() {
        // Until not even one byte fits.
        let mut file = fs::OpenOptions::new().append(true).create(true).open(&filler).unwrap();
        let _ = std::io::Write::write_all(&mut file, &block);
        block.truncate(block.len() / 2);
    }
    ask(&mut running, 4, 30_000);
    ask(&mut running, 2, 100_000);
    // Long enough for most of it to have been tried; nothing on the disk tells.
    std::thread::sleep(std::time::Duration::from_millis(500));
    fs::remove_file(&filler).unwrap();
    ask(&mut running, 3, 1000);
    let finished = running.finish();
    assert_said(&finished, &["lost", "disk", "No space left"]);
    let recording = Recording::read(&incident);
    recording.assert_closed();
    let lost = recording.manifest["lost"]["byReason"]["disk"]["events"].as_u64().unwrap();
    assert_eq!(recording.calls().len() as u64 + lost, 12, "{:#}", recording.manifest);
    let lines = recording.of_type("Lost");
    let said: u64 = lines.iter().map(|event| event["events"].as_u64().unwrap()).sum();
    assert_eq!((said, text(&lines[0]["reason"])), (lost, "disk"), "{lines:#?}");
}

#[test]
fn on_a_disk_without_a_byte_left_the_manifest_is_closed() {
    let origin = Origin::start();
    let disk = Ext4::new(16);
    let incident = disk.path().join("incident");
    let mut running = start(&origin, &incident, &[]);
    ask(&mut running, 3, 1000);
    logged(&running, 3);
    let filler = disk.path().join("filler");
    let file = fs::File::create(&filler).unwrap();
    let mut size = 16 << 20;
    while size > 0 {
        // Takes what there is in ever smaller pieces, ext4's blocks for root included.
        let at = file.metadata().unwrap().len() as i64;
        if nix::fcntl::fallocate(&file, nix::fcntl::FallocateFlags::empty(), at, size).is_err() {
            size /= 2;
        }
    }
    ask(&mut running, 50, 30_000);
    let finished = running.finish();
    assert_said(&finished, &["No space left"]);
    let recording = Recording::read(&incident);
    recording.assert_closed();
    let lost = recording.manifest["lost"]["events"].as_u64().unwrap();
    assert!(lost > 0 && recording.calls().len() as u64 + lost == 53, "{:#}", recording.manifest);
}

/// The disk hangs: nothing is written, and nobody but the writer waits for it.
#[test]
fn while_the_disk_hangs_the_traffic_goes_on() {
    let origin = Origin::start();
    let place = tempfile::tempdir().unwrap();
    let mut running = start(&origin, &place.path().join("incident"), &["--buffer", "8MiB"]);
    ask(&mut running, 3, 1000);
    logged(&running, 3);
    let hanging = Stopped::thread(running.pid(), "writer");
    // Many times of what may be held, all of it before the disk answers again.
    ask(&mut running, 400, 60_000);
    ask(&mut running, 10, 1_500_000);
    drop(hanging);
    ask(&mut running, 3, 1000);
    let finished = running.finish();
    assert_said(&finished, &["lost", "buffer"]);
    assert!(finished.peak_rss_kib < 100 << 10, "{} KiB", finished.peak_rss_kib);
    let recording = Recording::read(&finished.incident);
    recording.assert_closed();
    let lost = &recording.manifest["lost"];
    assert!(lost["byReason"]["buffer"]["events"].as_u64().unwrap() > 0, "{lost:#}");
    let sum = recording.calls().len() as u64 + lost["events"].as_u64().unwrap();
    // Of a gap, which a recorder that is busy may have too, only the least is known.
    let gap = lost["byReason"].get("gap").is_some();
    assert!(sum == 416 || gap && sum < 416, "{lost:#}");
    let said: u64 = recording.of_type("Lost").iter().map(|event| event["events"].as_u64().unwrap()).sum();
    assert_eq!(said, lost["events"], "{lost:#}");
    recording.calls().iter().for_each(|call| drop(recording.body(call, Side::Response)));
    assert!(recording.body_files().iter().all(|name| name.len() == 64), "{:?}", recording.body_files());
}

/// The recorder does not get to run: bytes go by without a copy.
#[test]
fn while_the_recorder_stands_still_the_traffic_goes_on() {
    let origin = Origin::start();
    let place = tempfile::tempdir().unwrap();
    let mut running = start(&origin, &place.path().join("incident"), &["--buffer", "8MiB"]);
    ask(&mut running, 3, 1000);
    logged(&running, 3);
    let still = Stopped::thread(running.pid(), "recorder");
    ask(&mut running, 400, 60_000);
    drop(still);
    ask(&mut running, 3, 1000);
    let finished = running.finish();
    assert_said(&finished, &["at least", "gap"]);
    let recording = Recording::read(&finished.incident);
    recording.assert_closed();
    let lost = &recording.manifest["lost"];
    assert!(lost["byReason"]["gap"]["events"].as_u64().unwrap() > 0, "{lost:#}");
    assert!(lost["byReason"]["gap"]["bytes"].as_u64().unwrap() > 1 << 20, "{lost:#}");
    let calls = recording.calls();
    assert!(calls.len() >= 6 && calls.len() < 406, "{}", calls.len());
    assert!(calls.iter().all(|call| call.get("incomplete").is_none()));
    calls.iter().for_each(|call| drop(recording.body(call, Side::Response)));
    assert!(recording.of_type("Lost").iter().any(|event| event["reason"] == "gap"));
}

/// Near the limit of open files there is still one for each body.
#[test]
fn bodies_are_written_near_the_limit_of_open_files() {
    let origin = Origin::start();
    let script = r#"
import socket, sys, time, urllib.request
held = []
for _ in range(150):
    held.append(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
    # One after the other: this is about files, not about a burst.
    time.sleep(0.01)
print(sum(len(urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/bytes/{n}").read()) == n
          for size in (100000, 1500000) for n in range(size, size + 20)))
for connection in held[:100]:
    connection.close()
print(sum(len(urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/bytes/{n}").read()) == n
          for size in (200000, 1600000) for n in range(size, size + 20)))
"#;
    let prlimit = program("prlimit");
    let finished = Capture::python(script, &[&origin.port().to_string()])
        .through(&[prlimit.to_str().unwrap(), "--nofile=256:256"])
        .run();
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "40\n40\n"), "{}", finished.stderr);
    let recording = finished.recording();
    assert!(recording.unmediated("agent-at-limit") > 0);
    recording.calls().iter().for_each(|call| assert!(recording.body(call, Side::Response).len() >= 100_000));
}
