//! `export`, `import` and `diff` as they are run: the built binary, and other programs that read what it writes. Needs no
//! privileges.
#![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

mod plans;
mod reports;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const INFERNOSIM: &str = env!("CARGO_BIN_EXE_infernosim");

const INBOUND: &str = concat!(
    r#"{"id":"aaaa0000000000000000000000000001","type":"InboundRequest","timestamp":"2026-01-02T03:04:05.5Z","sequence":1,"service":"127.0.0.1:80","protocol":"http/1.1","method":"POST","url":"http://shop.test/orders?a=1","headers":{"Host":["shop.test"],"Authorization":["Bearer redacted-5f0c6d1e9b7a4c3d8e2f1a0b"],"Cookie":["a=b"]},"body":"{\"n\":1}","bodySize":7,"duration":1500000,"traceId":"t1","local":"127.0.0.1:80","peer":"127.0.0.1:5000"}"#,
    "\n",
    r#"{"id":"aaaa0000000000000000000000000002","type":"InboundResponse","timestamp":"2026-01-02T03:04:05.7Z","sequence":3,"service":"127.0.0.1:80","protocol":"http/1.1","method":"POST","url":"http://shop.test/orders?a=1","status":201,"headers":{"Set-Cookie":["a=b; Path=/; Expires=Wed, 21 Oct 2015 07:28:00 GMT"]},"bodyB64":"AAH/","bodySize":3,"responseChunks":[[5000000,3]],"duration":8000000,"traceId":"t1"}"#,
    "\n",
);
const OUTBOUND: &str = concat!(
    r#"{"id":"bbbb0000000000000000000000000001","type":"OutboundCall","timestamp":"2026-01-02T03:04:05.6Z","sequence":2,"service":"api.test","protocol":"http/1.1","method":"GET","url":"http://api.test/","headers":{"Host":["api.test"]},"errno":"ECONNRESET","error":"the dependency's connection broke","incomplete":true,"duration":900000,"peer":"10.0.0.7:80"}"#,
    "\n",
    r#"{"id":"bbbb0000000000000000000000000002","type":"Dns","timestamp":"2026-01-02T03:04:05Z","sequence":4,"protocol":"dns","method":"A","name":"api.test","url":"dns://10.0.0.2/api.test?type=A"}"#,
    "\n",
);

fn incident() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("inbound.log"), INBOUND).unwrap();
    fs::write(dir.path().join("outbound.log"), OUTBOUND).unwrap();
    dir
}

fn run(arguments: &[&str]) -> Output {
    Command::new(INFERNOSIM).args(arguments).env("NO_COLOR", "1").stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs, and gives what it printed: on stdout, on stderr.
fn succeed(arguments: &[&str]) -> (String, String) {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    (text(&output.stdout), text(&output.stderr))
}

/// What must not work, and its status.
fn fail(arguments: &[&str], status: i32) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {output:?}");
    assert_eq!(text(&output.stdout), "");
    text(&output.stderr)
}

#[test]
fn a_validator_of_har_finds_nothing_wrong() {
    let dir = incident();
    let file = dir.path().join("out.har");
    let (_, said) = succeed(&["export", "har", path(dir.path()), "-o", path(&file)]);
    assert!(said.contains("1 lookup"), "{said}");
    let script = "const validate = require('har-validator/lib/promise.js');
        const har = JSON.parse(require('fs').readFileSync(process.argv[1]));
        validate.har(har).then(har => console.log(har.log.entries.length), e => { console.log(e.errors); process.exit(1) });";
    let mut node = Command::new("node");
    let output =
        node.args(["-e", script, path(&file)]).env("NODE_PATH", "/usr/share/nodejs").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(text(&output.stdout), "2\n");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn filters_select_entries() {
    let dir = incident();
    for (option, expected) in [("--inbound", 1), ("--outbound", 1), ("--failed", 1), ("--dns", 0)] {
        let (har, _) = succeed(&["export", "har", path(dir.path()), option]);
        let har: serde_json::Value = serde_json::from_str(&har).unwrap();
        assert_eq!(har["log"]["entries"].as_array().unwrap().len(), expected, "{option}");
    }
    let (har, _) = succeed(&["export", "har", path(dir.path()), "--status", "201"]);
    assert!(har.contains("orders"), "the status is the answer's");
}

#[test]
fn a_command_is_printed_and_tokens_are_named() {
    let dir = incident();
    let (by_answer, said) =
        succeed(&["export", "curl", path(dir.path()), "aaaa0000000000000000000000000002"]);
    assert!(
        said.contains("header Authorization: redacted-5f0c6d1e9b7a4c3d8e2f1a0b stands for a secret"),
        "{said}"
    );
    let (by_number, _) = succeed(&["export", "curl", path(dir.path()), "1"]);
    assert_eq!(by_answer, by_number);
    let (elsewhere, _) =
        succeed(&["export", "curl", path(dir.path()), "1", "--target-base", "http://localhost:8084"]);
    assert_eq!(
        elsewhere,
        "curl -H 'User-Agent:' \\
  -H 'Accept:' \\
  -H 'Content-Type:' \\
  -H 'Host: shop.test' \\
  -H 'Authorization: Bearer redacted-5f0c6d1e9b7a4c3d8e2f1a0b' \\
  -H 'Cookie: a=b' \\
  --data-binary '{\"n\":1}' \\
  'http://localhost:8084/orders?a=1'\n"
    );
}

#[test]
fn what_is_no_request_is_refused() {
    let dir = incident();
    assert!(fail(&["export", "curl", path(dir.path()), "4"], 4).contains("Dns is no request"));
    fail(&["export", "curl", path(dir.path()), "99"], 2);
    fail(&["export", "curl", path(dir.path()), "1", "--target-base", "localhost"], 2);
    let missing = dir.path().join("missing");
    fail(&["export", "har", path(&missing)], 4);
    fail(&["export", "har", path(dir.path()), "-o", path(&missing.join("x"))], 3);
}

#[test]
fn an_archive_becomes_an_incident_that_equals_its_origin() {
    let dir = incident();
    let file = dir.path().join("out.har");
    succeed(&["export", "har", path(dir.path()), "-o", path(&file)]);
    let made: PathBuf = dir.path().join("made");
    let (stdout, said) = succeed(&["import", "har", path(&file), "--incident", path(&made), "--no-redact"]);
    assert_eq!(stdout, "");
    assert!(said.contains("imported 2 exchanges of infernosim"), "{said}");
    let output = run(&["diff", path(dir.path()), path(&made)]);
    let shown = text(&output.stdout);
    // The lookup is in no archive.
    assert!(shown.contains("2 equal, 1 only in A"), "{shown}");
    assert_eq!(output.status.code(), Some(1));
    succeed(&["diff", path(&made), path(&made)]);
    let manifest: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(made.join("incident.json")).unwrap()).unwrap();
    assert_eq!(
        (manifest["closed"].clone(), manifest["redaction"]["policy"].clone()),
        (true.into(), "none".into())
    );
    fail(&["import", "har", path(&file), "--incident", path(&made)], 2);
    succeed(&["import", "har", path(&file), "--incident", path(&made), "--force", "-q"]);
    let log = fs::read_to_string(made.join("inbound.log")).unwrap();
    assert!(!log.contains("a=b"), "cookies are secret: {log}");
    let (stdout, said) =
        succeed(&["import", "har", path(&file), "--incident", path(&made), "--force", "--json"]);
    let summary: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let should = serde_json::json!({
        "infernosim": "import",
        "incidents": [{ "path": path(&made), "events": summary["events"] }],
        "exchanges": 2,
        "events": summary["events"],
        "changed": summary["changed"],
        "leftOut": 0,
        "why": [],
    });
    assert_eq!((summary, said.as_str()), (should, ""));
}

#[test]
fn what_is_no_archive_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let made = dir.path().join("made");
    for (har, said) in [
        ("", "line 1"),
        ("{\"log\":\n{}}", "line 2"),
        ("{\"log\":{\"entries\":[{}]}}", "none of its 1 entry could be taken"),
    ] {
        let mut child = Command::new(INFERNOSIM)
            .args(["import", "har", "-", "--incident", path(&made)])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(har.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{har}");
        assert!(text(&output.stderr).contains(said), "{output:?}");
        assert!(!made.exists());
    }
}

#[test]
fn differences_are_shown() {
    let (a, b) = (incident(), incident());
    let changed = INBOUND
        .replace("\"status\":201", "\"status\":500")
        .replace("\"bodyB64\":\"AAH/\",", "\"body\":\"no\",");
    fs::write(b.path().join("inbound.log"), changed).unwrap();
    fs::write(b.path().join("outbound.log"), OUTBOUND.lines().next().unwrap().to_owned() + "\n").unwrap();
    let output = run(&["diff", path(a.path()), path(b.path())]);
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stdout).replace(path(a.path()), "first").replace(path(b.path()), "second");
    assert_eq!(
        shown,
        "A  first: 3 events
B  second: 2 events
1 equal, 1 changed, 1 only in A

changed: inbound POST /orders?a=1  (A #1, B #1)
  status: 201 → 500
  response body: 3 bytes, SHA-256 26a66b061e8f48f39927c312f25293959729eee95978e2892d49d3512a5cc092 → no

only in A: dns A api.test  (#4)
"
    );
    let output = run(&["diff", "--json", path(a.path()), path(b.path())]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        json["counts"],
        serde_json::json!({"equal": 1, "changed": 1, "onlyInA": 1, "onlyInB": 0, "moved": 0})
    );
    assert_eq!(
        json["differences"][0]["details"][0],
        serde_json::json!({"part": "outcome", "at": "status", "a": "201", "b": "500"})
    );
    fail(&["diff", path(a.path()), path(&a.path().join("missing"))], 4);
}

#[test]
fn two_replays_are_compared() {
    let report = |outcome: &str, divergences: &str| {
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            r#"{{"reportVersion":"1.0","outcome":"{outcome}","fingerprint":"f","divergences":[{divergences}]}}"#
        );
        fs::write(dir.path().join("replay_report.json"), text).unwrap();
        dir
    };
    let missing = r#"{"direction":"outbound","index":3,"reason":"missing_outbound_call","expected":"a.test GET /","actual":"nothing"}"#;
    let (a, b) = (report("PASS_STRONG", ""), report("FAIL_DIVERGED", missing));
    let files = [a.path().join("replay_report.json"), b.path().join("replay_report.json")];
    let output = run(&["diff", path(&files[0]), path(&files[1])]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let shown = text(&output.stdout);
    assert!(shown.starts_with("outcome: PASS_STRONG → FAIL_DIVERGED\n"), "{shown}");
    assert!(shown.contains("\nnewly failing: missing_outbound_call at outbound event index=3\n"), "{shown}");
    // Incidents with a report each are compared as recordings, unless asked otherwise.
    fail(&["diff", path(a.path()), path(b.path())], 4);
    let output = run(&["diff", "--report", "--json", path(b.path()), path(a.path())]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["newlyPassing"][0]["index"], 3);
    succeed(&["diff", "--report", path(a.path()), path(a.path())]);
    fail(&["diff", "--report", path(a.path()), path(&a.path().join("missing"))], 4);
}
