//! Incidents of the original tool, which was a pair of proxies: they have no manifest, no sequence and no bodies.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::harness::{INFERNOSIM, Netns, Replay, Replayed, program, text};

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples").join(path)
}

/// A copy that may be written to.
fn copied() -> (TempDir, PathBuf) {
    let place = TempDir::with_prefix("infernosim-test-").unwrap();
    let incident = place.path().join("incident");
    std::fs::create_dir(&incident).unwrap();
    for log in ["inbound.log", "outbound.log"] {
        std::fs::copy(example("incident-v1").join(log), incident.join(log)).unwrap();
    }
    (place, incident)
}

/// The service of the time at its recorded port, told of no proxy: it asks worldtimeapi.org itself.
const DIRECT: &str = r#"
const http = require("http");
http.createServer((request, response) => {
  const call = http.get("http://worldtimeapi.org/api/timezone/Etc/UTC", { agent: false }, (answer) =>
    answer.resume().on("end", () => response.end("status " + answer.statusCode + "\n")));
  call.on("error", (error) => response.writeHead(502).end(error.code + "\n"));
}).listen(8084, "127.0.0.1");
"#;

fn replays(incident: &Path) -> Replayed {
    let netns = Netns::new();
    let node = program("/usr/bin/node");
    let words = [node.to_str().unwrap(), "-e", DIRECT];
    let replayed = Replay::of(incident).against(&words).within(&netns).option(&["--runs", "3"]).run();
    replayed.assert_passed(3);
    let (_, untested) = replayed.result.split_once("WHAT THIS RUN DID NOT TEST").unwrap();
    assert!(untested.to_lowercase().contains("bod"), "bodies were not recorded: {}", replayed.all());
    for format in ["text", "json", "junit", "markdown", "html"] {
        let words = ["report".as_ref(), incident.as_os_str(), "--format".as_ref(), format.as_ref()];
        let output = Command::new(INFERNOSIM).args(words).output().unwrap();
        assert!(output.status.success() && output.stdout.len() > 300, "{format}: {output:?}");
    }
    replayed
}

#[test]
fn an_incident_of_the_first_version_replays() {
    let (_place, incident) = copied();
    replays(&incident);
}

#[test]
fn events_log_and_a_torn_tail_replay() {
    let (_place, incident) = copied();
    std::fs::rename(incident.join("outbound.log"), incident.join("events.log")).unwrap();
    let inbound = incident.join("inbound.log");
    let mut torn = std::fs::read_to_string(&inbound).unwrap();
    torn.push_str("{\"id\":\"0\",\"type\":\"InboundReq");
    std::fs::write(&inbound, torn).unwrap();
    let replayed = replays(&incident);
    let said = "the last line is torn and was left out";
    assert!(replayed.stderr.contains(said), "{}", replayed.all());
    assert!(text(&replayed.report["problems"][0]).contains(said), "{}", replayed.report);
}

#[test]
fn concatenated_json_replays() {
    let (_place, incident) = copied();
    for log in ["inbound.log", "outbound.log"] {
        let path = incident.join(log);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace('\n', "")).unwrap();
    }
    replays(&incident);
}
