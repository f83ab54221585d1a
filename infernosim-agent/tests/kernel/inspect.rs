//! What people and programs get to see of an incident, and of this host.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::{Capture, INFERNOSIM, Origin, Side, require_root, text};

fn infernosim(words: &[&str]) -> Output {
    Command::new(INFERNOSIM).args(words).env("NO_COLOR", "1").output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_table_one_exchange_and_json() {
    let origin = Origin::start();
    let urls = [origin.url("/hello"), origin.url("/204"), origin.url("/503")];
    let finished = Capture::of(&["curl", "-sS", &urls[0], &urls[1], &urls[2]]).run();
    let recording = finished.recording();
    let dir = finished.incident.to_str().unwrap();

    let table = stdout(&infernosim(&["inspect", dir]));
    for (url, status) in [("/hello", "200"), ("/204", "204"), ("/503", "503")] {
        let row = table.lines().find(|line| line.contains(url)).unwrap_or_else(|| panic!("{url} in {table}"));
        assert!(row.contains(status) && row.contains("GET"), "{row}");
    }
    let json: Vec<Value> = stdout(&infernosim(&["inspect", dir, "--json"]))
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(json.len(), 3);
    assert_eq!(json[2]["status"], 503);

    let whole = stdout(&infernosim(&["inspect", dir, text(&recording.events[0]["id"])]));
    for part in ["hello, world", "X-zebra", "Set-Cookie", "User-Agent", &urls[0]] {
        assert!(whole.contains(part), "{part} in {whole}");
    }
    assert!(!whole.contains("/503"), "{whole}");
}

#[test]
fn filters_and_single_bodies() {
    let origin = Origin::start();
    let (hello, late) = (origin.url("/hello"), origin.url("/503"));
    let other = format!("http://localhost:{}/bytes/100000", origin.port());
    let script = "curl -sS \"$0\" \"$1\" \"$2\" -o /dev/null >/dev/null";
    let finished = Capture::of(&["sh", "-c", script, &hello, &late, &other]).run();
    let recording = finished.recording();
    let dir = finished.incident.to_str().unwrap();
    let select = |words: &[&str]| -> Vec<String> {
        let all = [&["inspect", dir, "--json"], words].concat();
        let lines = stdout(&infernosim(&all));
        lines
            .lines()
            .map(|line| text(&serde_json::from_str::<Value>(line).unwrap()["url"]).to_owned())
            .collect()
    };
    assert_eq!(select(&["--failed"]), std::slice::from_ref(&late));
    assert_eq!(select(&["--status", "5xx"]), std::slice::from_ref(&late));
    assert_eq!(select(&["--service", "localhost"]), [other]);
    assert_eq!(select(&["--path", "/5*"]), [late]);
    assert_eq!(select(&["--method", "POST"]).len(), 0);
    let large = recording.calls()[2];
    let sequence = large["sequence"].to_string();
    let output = infernosim(&["inspect", dir, &sequence, "--response-body"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, recording.body(large, Side::Response));
}

#[test]
fn a_running_capture_is_followed_to_its_end() {
    let origin = Origin::start();
    let script = "echo READY; while read path; do curl -sS -o /dev/null \"$0$path\"; done";
    let mut running = Capture::of(&["sh", "-c", script, &origin.url("")]).start().ready();
    running.stdout.line("READY");
    let mut follower = Command::new(INFERNOSIM)
        .args(["inspect", "-f", "--json"])
        .arg(&running.incident)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let seen = crate::harness::Output::of(follower.stdout.take().unwrap());
    for path in ["/one", "/two", "/three"] {
        running.say(path);
        assert!(seen.line("{").contains(path));
    }
    let finished = running.finish();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    crate::harness::eventually("the follower ends with the capture", || {
        follower.try_wait().unwrap().is_some()
    });
    assert_eq!(follower.wait().unwrap().code(), Some(0));
}

#[test]
fn an_incident_that_is_none_is_4() {
    let place = tempfile::tempdir().unwrap();
    for dir in [place.path().join("nowhere"), place.path().to_owned()] {
        let output = infernosim(&["inspect", dir.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    let origin = Origin::start();
    let urls: Vec<String> = (0..200).map(|number| origin.url(&format!("/{number}"))).collect();
    let mut command = vec!["curl", "-sS"];
    command.extend(urls.iter().map(String::as_str));
    let finished = Capture::of(&command).run();
    let script = "\"$0\" inspect \"$1\" | head -1; exit ${PIPESTATUS[0]}";
    let output = Command::new("bash")
        .args(["-c", script, INFERNOSIM, finished.incident.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    assert!([Some(0), Some(141)].contains(&output.status.code()), "{output:?}");
}

#[test]
fn the_doctor_finds_nothing_wrong_where_captures_work() {
    require_root();
    assert_eq!(Capture::of(&["true"]).run().code, 0);
    let report = stdout(&infernosim(&["doctor"]));
    assert!(!report.is_empty());
    let json: Value = serde_json::from_str(&stdout(&infernosim(&["doctor", "--json"]))).unwrap();
    assert!(
        json.as_array().is_some_and(|all| all.len() > 2 && all.iter().all(|one| one["works"] == true)),
        "{json:#}"
    );
}
