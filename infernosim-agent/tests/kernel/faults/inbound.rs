//! What befalls requests on their way to the target: what a real service sees of it.

use super::Stage;
use crate::harness::Replayed;

/// A replay of six requests, `/0` to `/5`, with this rule; what the service told.
fn six(rule: &str, task: &str) -> (Vec<String>, Replayed) {
    let stage = Stage::new(6, &[]);
    // Nothing is volatile: no run is needed to learn that.
    std::fs::write(stage.incident.join("volatile.toml"), "").unwrap();
    let replayed = stage.replay(task).option(&["--runs", "1", "--inject", rule]).run();
    let told = stage.observed();
    println!("{rule}: {}", told.join(" | "));
    let rule = &replayed.report["faults"]["rules"][0];
    assert_eq!((&rule["fired"], &rule["observed"]), (&1.into(), &1.into()), "{}", replayed.all());
    assert_eq!(replayed.code, 0, "{}", replayed.all());
    (told, replayed)
}

const PATHS: &str = "def task(path): tell(path)";

#[test]
fn a_client_gives_up() {
    // A service that takes three seconds, unless its client leaves.
    let task = r#"
def task(path):
    began = time.monotonic()
    slow = path == "/2"
    gone = slow and select.select([here.connection], [], [], 3)[0]
    is_gone = gone and here.connection.recv(1, socket.MSG_PEEK) == b""
    tell(path, "gone after" if is_gone else "answered after", took(began))
"#;
    let (told, replayed) = six("dir=in op='GET /2' cancel=100ms", task);
    assert_eq!(told.len(), 6, "{}", replayed.all());
    for line in told {
        let (what, ms) = line.rsplit_once(' ').unwrap();
        let is_it = what.starts_with("/2");
        assert_eq!(what.ends_with("gone after"), is_it, "{line}");
        assert!(!is_it || ms.parse::<u64>().unwrap() >= 80, "{line}");
    }
    // It is no failure of the service's.
    assert_eq!(replayed.report["inbound"]["observed"], 5, "{}", replayed.all());
}

#[test]
fn a_client_asks_twice() {
    let (mut told, replayed) = six("dir=in op='GET /2' duplicate", PATHS);
    told.sort();
    assert_eq!(told, ["/0", "/1", "/2", "/2", "/3", "/4", "/5"], "{}", replayed.all());
}

#[test]
fn a_request_comes_behind_those_that_follow_it() {
    let (told, replayed) = six("dir=in op='GET /2' reorder=2", PATHS);
    // /4 is sent before /2, but not answered: which of them a thread of the service sees first is chance.
    let order: Vec<&String> = told.iter().filter(|path| !["/4", "/5"].contains(&path.as_str())).collect();
    assert_eq!((told.len(), order), (6, ["/0", "/1", "/3", "/2"].map(String::from).iter().collect()));
    assert_eq!(replayed.report["faults"]["happened"][0]["observed"], "sent behind 2 that came after it");
}

#[test]
fn a_request_comes_late() {
    let task = "def task(path): tell(path, round(time.monotonic() * 1000))";
    let (told, replayed) = six("dir=in op='GET /2' latency=+300ms", task);
    let at = |path: &str| -> u64 {
        let line = told.iter().find_map(|line| line.strip_prefix(path)).unwrap();
        line.trim().parse().unwrap()
    };
    // Planned a few ms apart.
    assert!(at("/2") - at("/1") >= 300, "{told:?}\n{}", replayed.all());
    assert!(at("/1") - at("/0") < 300, "{told:?}\n{}", replayed.all());
}

/// The formats that others read, of a replay that diverged.
#[test]
fn reports_are_written_beside_the_result() {
    let stage = Stage::new(2, &[]);
    std::fs::write(stage.incident.join("volatile.toml"), "").unwrap();
    let place = stage.incident.parent().unwrap().to_owned();
    let file = |format: &str| format!("{format}={}", place.join(format).display());
    let files = ["junit", "html", "markdown"].map(file);
    let mut replay = stage.replay("def task(path): 1 / 0");
    for file in &files {
        replay = replay.option(&["--report", file]);
    }
    let replayed = replay.option(&["--runs", "1", "--inject", "dir=in latency=+1ms"]).run();
    replayed.assert_diverged("inbound event index=0", "response_mismatch");
    let read = |format: &str| std::fs::read_to_string(place.join(format)).unwrap();
    let parse = "import sys, xml.etree.ElementTree as tree; print(next(tree.parse(sys.argv[1]).iter('testsuite')).get('failures'))";
    let parsed = std::process::Command::new(crate::harness::PYTHON)
        .args(["-c", parse, place.join("junit").to_str().unwrap()])
        .output()
        .unwrap();
    let failures = String::from_utf8_lossy(&parsed.stdout).trim().to_owned();
    assert!(failures.parse::<u32>().is_ok_and(|it| it > 0), "{failures}: {}", read("junit"));
    for (format, text) in [("html", "response_mismatch"), ("markdown", "response_mismatch")] {
        assert!(read(format).contains(text), "{}", read(format));
    }
    assert!(read("html").contains("dir=in latency=+1ms"), "the rule is not on the page");
}
