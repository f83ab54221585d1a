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

/// The page but for its style and script, and their hashes.
fn body(report: &Report) -> String {
    let page = html(report);
    let without = |text: &str, from: &str, to: &str| {
        let (before, rest) = text.split_once(from).unwrap();
        format!("{before}{from}…{to}{}", rest.split_once(to).unwrap().1)
    };
    let page = without(&page, "style-src 'sha256-", "'");
    let page = without(&page, "script-src 'sha256-", "'");
    without(&without(&page, "<style>", "</style>"), "<script>", "</script>")
}

#[test]
fn a_failure_begins_with_what_it_is_and_ends_with_how_to_see_it_again() {
    let text = text(&failed());
    let fingerprint = "ef".repeat(32);
    assert!(
        text.starts_with(&format!("REPLAY: FAIL\nFINGERPRINT: {fingerprint}\nRUNS: 10\nTIME_SCALE: 0.500\n"))
    );
    assert!(text.contains("\nDIVERGENCE at outbound event index=1\nreason=request_mismatch\n"));
    assert!(text.ends_with("\n  infernosim replay --incident ./inc --runs 10 -- ./app\n"));
}

#[test]
fn names_are_a_promise() {
    as_it_was_read("report.json", &json(&failed()));
}

#[test]
fn each_kind_of_replay_in_each_format() {
    for (name, report) in
        [("pass", passed()), ("fail", failed()), ("faults", withstood()), ("partial", interrupted())]
    {
        as_it_was_read(&format!("{name}.txt"), &text(&report));
        as_it_was_read(&format!("{name}.xml"), &junit(&report));
        as_it_was_read(&format!("{name}.md"), &markdown(&report));
        as_it_was_read(&format!("{name}.html"), &body(&report));
    }
}
