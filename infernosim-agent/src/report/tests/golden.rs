//! Results as they are written: who changes a line here changes what people and programs read.

use std::path::Path;

use super::*;

/// Set to `write`, the files are made anew instead of compared: then read what git says has changed.
const WRITE: &str = "INFERNOSIM_GOLDEN";

fn as_it_was_read(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/replay").join(name);
    if std::env::var_os(WRITE).is_some_and(|word| word == "write") {
        fs::write(&path, text).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), text, "{name}: is it better now? Then {WRITE}=write");
}

#[test]
fn a_pass_in_words() {
    as_it_was_read("pass.txt", &text(&passed()));
}

#[test]
fn a_failure_in_words() {
    let text = text(&failed());
    let fingerprint = "ef".repeat(32);
    assert!(
        text.starts_with(&format!("REPLAY: FAIL\nFINGERPRINT: {fingerprint}\nRUNS: 10\nTIME_SCALE: 0.500\n"))
    );
    assert!(text.contains("\nDIVERGENCE at outbound event index=1\nreason=request_mismatch\n"));
    assert!(text.ends_with("\n  infernosim replay --incident ./inc --runs 10 -- ./app\n"));
    as_it_was_read("fail.txt", &text);
}

#[test]
fn names_are_a_promise() {
    as_it_was_read("report.json", &json(&failed()));
}

#[test]
fn a_pass_and_a_failure_in_junit() {
    as_it_was_read("pass.xml", &junit(&passed()));
    as_it_was_read("fail.xml", &junit(&failed()));
}

#[test]
fn a_pass_and_a_failure_in_markdown() {
    as_it_was_read("pass.md", &markdown(&passed()));
    as_it_was_read("fail.md", &markdown(&failed()));
}
