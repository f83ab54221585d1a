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
    insta::assert_snapshot!(text, @r#"
REPLAY: FAIL
FINGERPRINT: efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef
RUNS: 10
TIME_SCALE: 0.500

Outcome: FAIL_NON_DETERMINISTIC
Primary failure reason: the runs are unlike each other, first request_mismatch at outbound event index=1
Runs requested: 10
Runs executed: 10
Runs completed: 10
Deterministic runs: 7 / 10
Runs to learn what is volatile: 2
Inbound events observed: 30
Inbound events expected: 30
Outbound events observed: 60
Outbound events expected: 60
Seed: 7
Elapsed: 2.00s
Achieved rate (req/s): 15.00
Target rate (req/s): 20.00
Sent later than planned: p50 50.0µs, p99 900.0µs, at most 1.2ms
Limiting factor: APPLICATION_CPU (CPU 98 % of 2 cores)

SUSTAINABLE ENVELOPE (observed)
- None: the replay did not pass

Change from last run:
- Outcome: PASS_STRONG → FAIL_NON_DETERMINISTIC
- Fingerprint: other
- Newly failing: request_mismatch at outbound event index=1
- Achieved rate: +0.0 %

VOLATILE FIELDS (set cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd)
- inbound POST /orders body.id (runs disagree)
- body.debug (--ignore)

SUBSTITUTED VALUES
- body.id of exchange 0's answer is path[1] of exchange 2's request

WHAT THIS RUN DID NOT TEST
- 3 calls of auth.test over TLS: no stub speaks it yet
- UNIX sockets

DIVERGENCE at outbound event index=1
reason=request_mismatch
expected: pay.test:8443 POST /charge
actual:   pay.test:8443 POST /charge, with another body
- body.total: 50
+ body.total: 60
+ body.\u{1b}[31m: "\u{202e}"
cause: POST /orders (inbound event index=0, id 0af7651916cd43dd8448eb211c80319c, known by thread)
in runs 1-3 of 10

and 11 more divergences: see replay_report.json

The target's last lines on standard error:
  Traceback\u{1b}[2J
    KeyError: 'total'

To see it again:
  infernosim replay --incident ./inc --runs 10 -- ./app
"#);
}

#[test]
fn names_are_a_promise() {
    insta::assert_snapshot!(json(&failed()), @r#"
{
  "reportVersion": "1.0",
  "tool": {
    "name": "",
    "version": ""
  },
  "at": "2026-01-02T03:04:05Z",
  "incident": "./inc",
  "result": "FAIL",
  "outcome": "FAIL_NON_DETERMINISTIC",
  "reason": "the runs are unlike each other, first request_mismatch at outbound event index=1",
  "exit": 1,
  "fingerprint": "efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef",
  "volatileSet": "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
  "volatile": [
    {
      "site": "inbound POST /orders",
      "name": "body.id",
      "why": "runs disagree"
    }
  ],
  "ignored": [
    "body.debug"
  ],
  "timeScale": 0.5,
  "density": 0.0,
  "fanout": 0,
  "windowNs": 0,
  "seed": 7,
  "runs": {
    "requested": 10,
    "executed": 10,
    "completed": 10,
    "learning": 2,
    "deterministic": 7,
    "each": []
  },
  "inbound": {
    "observed": 30,
    "expected": 30,
    "matched": 0,
    "ambiguous": 0
  },
  "outbound": {
    "observed": 60,
    "expected": 60,
    "matched": 60,
    "ambiguous": 0
  },
  "rates": {
    "sent": 30,
    "wallNs": 2000000000,
    "pacedNs": 1500000000,
    "latencyP50Ns": 0,
    "latencyP99Ns": 12300000,
    "lateP50Ns": 50000,
    "lateP99Ns": 900000,
    "lateMaxNs": 1200000,
    "mostOpen": 4
  },
  "limiting": {
    "factor": "APPLICATION_CPU",
    "evidence": "CPU 98 % of 2 cores"
  },
  "divergences": [
    {
      "direction": "outbound",
      "index": 1,
      "reason": "request_mismatch",
      "runs": [
        1,
        2,
        3
      ],
      "count": 1,
      "expected": "pay.test:8443 POST /charge",
      "actual": "pay.test:8443 POST /charge, with another body",
      "fields": [
        {
          "name": "body.total",
          "recorded": "50",
          "live": "60"
        },
        {
          "name": "body.\u001b[31m",
          "live": "\"\u202e\""
        }
      ],
      "cause": {
        "index": 0,
        "asked": "POST /orders",
        "id": "0af7651916cd43dd8448eb211c80319c",
        "basis": "thread"
      }
    }
  ],
  "divergencesFound": 12,
  "stderr": [
    "Traceback\u001b[2J",
    "  KeyError: 'total'"
  ],
  "substituted": [
    {
      "mintedBy": 0,
      "field": "body.id",
      "usedIn": 2,
      "place": "path[1]"
    }
  ],
  "untested": [
    {
      "what": "calls of auth.test over TLS",
      "count": 3,
      "why": "no stub speaks it yet"
    },
    {
      "what": "UNIX sockets",
      "count": 0,
      "why": ""
    }
  ],
  "change": {
    "previousAt": "2026-01-02T03:04:05Z",
    "previousOutcome": "PASS_STRONG",
    "fingerprint": "other",
    "newlyFailing": [
      "request_mismatch at outbound event index=1"
    ],
    "newlyPassing": [],
    "ratePercent": 0.0
  },
  "repeat": "infernosim replay --incident ./inc --runs 10 -- ./app"
}
"#);
}
