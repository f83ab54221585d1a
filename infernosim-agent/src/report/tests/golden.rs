//! Results as they are written: who changes a line here changes what people and programs read.

use super::*;

#[test]
fn a_pass_in_words() {
    insta::assert_snapshot!(text(&passed()), @r#"
REPLAY: PASS
FINGERPRINT: abababababababababababababababababababababababababababababababab
RUNS: 10
TIME_SCALE: 1.000

Outcome: PASS_STRONG
Primary failure reason: NONE
Runs requested: 10
Runs executed: 10
Runs completed: 10
Deterministic runs: 10 / 10
Inbound events observed: 30
Inbound events expected: 30
Outbound events observed: 60
Outbound events expected: 60
Elapsed: 2.00s
Achieved rate (req/s): 15.00
Target rate (req/s): 20.00
Sent later than planned: p50 50.0µs, p99 900.0µs, at most 1.2ms
Limiting factor: not measured

SUSTAINABLE ENVELOPE (observed)
- Inbound rate: 15.00 req/s
- Requests at once: 4
- Answers: p99 12.3ms

Change from last run:
- None: there is no last run

VOLATILE FIELDS (set cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd)
- inbound POST /orders body.id (runs disagree)
- body.debug (--ignore)

WHAT THIS RUN DID NOT TEST
- None
"#);
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
    assert_eq!(text, include_str!("failure.txt"));
}

#[test]
fn names_are_a_promise() {
    assert_eq!(json(&failed()), include_str!("failure.json"));
}
