mod formats;
mod golden;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::diff::ReportDiff;
use super::files::{REPORT, RESULT, read_last, read_report, read_volatile, save};
use super::*;
use crate::error::Exit;

fn divergence() -> Divergence {
    Divergence {
        direction: "outbound".into(),
        index: 1,
        reason: "request_mismatch".into(),
        runs: vec![1, 2, 3],
        count: 1,
        expected: "pay.test:8443 POST /charge".into(),
        actual: "pay.test:8443 POST /charge, with another body".into(),
        fields: vec![
            Field { name: "body.total".into(), recorded: Some("50".into()), live: Some("60".into()) },
            Field { name: "body.\u{1b}[31m".into(), recorded: None, live: Some("\"\u{202e}\"".into()) },
        ],
        more_fields: 3,
        cause: Some(Cause {
            index: 0,
            asked: "POST /orders".into(),
            id: "0af7651916cd43dd8448eb211c80319c".into(),
            basis: Some("thread".into()),
        }),
    }
}

fn passed() -> Report {
    Report {
        report_version: document::VERSION,
        at: "2026-01-02T03:04:05Z".into(),
        incident: "./inc".into(),
        result: "PASS".into(),
        outcome: "PASS_STRONG".into(),
        reason: "NONE".into(),
        fingerprint: "ab".repeat(32),
        volatile_set: "cd".repeat(32),
        time_scale: 1.0,
        runs: Runs { requested: 10, executed: 10, completed: 10, deterministic: 10, ..Runs::default() },
        inbound: Counted { observed: 30, expected: 30, ..Counted::default() },
        outbound: Counted { observed: 60, expected: 60, matched: 60, ambiguous: 0 },
        rates: Rates {
            sent: 30,
            wall_ns: 2_000_000_000,
            paced_ns: 1_500_000_000,
            latency_p99_ns: 12_300_000,
            late_p50_ns: 50_000,
            late_p99_ns: 900_000,
            late_max_ns: 1_200_000,
            most_open: 4,
            ..Rates::default()
        },
        envelope: Some(Envelope { per_second: 15.0, most_open: 4, latency_p99_ns: 12_300_000 }),
        volatile: vec![VolatileField {
            site: "inbound POST /orders".into(),
            name: "body.id".into(),
            why: "runs disagree".into(),
        }],
        ignored: vec!["body.debug".into()],
        ..Report::default()
    }
}

fn faulted() -> Faulted {
    let rule =
        |rule: &str, reached, fired, observed| FaultyRule { rule: rule.into(), reached, fired, observed };
    let happened = |occurrence, observed: Option<&str>| Happened {
        rule: 0,
        site: "outbound payments.test POST /charge".into(),
        occurrence,
        action: "latency=+200ms".into(),
        observed: observed.map(str::to_owned),
        at_ns: 12_000_000,
    };
    Faulted {
        seed: 7,
        rules: vec![
            rule("dep=payments.test latency=+200ms", 40, 20, 19),
            rule("dep=stock.test refuse", 0, 0, 0),
        ],
        runs: 10,
        each: (1..=10)
            .map(|run| FaultyRun { run, rules: vec![[4, 2, 2 - u64::from(run == 4)], [0; 3]] })
            .collect(),
        unlike: Some(Unlike {
            run: 4,
            beside: 1,
            what: "rule 1: reached 4, fired 2, observed 1; in run 1: reached 4, fired 2, observed 2".into(),
        }),
        run: 1,
        happened: vec![happened(1, Some("answered after 213.4ms")), happened(2, None)],
        more: 18,
    }
}

fn failed() -> Report {
    let mut report = Report {
        result: "FAIL".into(),
        outcome: "FAIL_NON_DETERMINISTIC".into(),
        reason: "the runs are unlike each other, first request_mismatch at outbound event index=1".into(),
        exit: 1,
        fingerprint: "ef".repeat(32),
        time_scale: 0.5,
        seed: Some(7),
        faults: Some(faulted()),
        runs: Runs {
            requested: 10,
            executed: 10,
            completed: 10,
            deterministic: 7,
            learning: 2,
            each: Vec::new(),
        },
        divergences: vec![divergence()],
        divergences_found: 12,
        leaked: [("udp".to_owned(), 3)].into(),
        limiting: Some(Limiting {
            factor: "APPLICATION_CPU".into(),
            evidence: "it used 98 % of the CPUs".into(),
            measured: vec![("CPUs used".into(), "1.96".into()), ("Descriptors".into(), "12 of 1024".into())],
        }),
        slo: vec![
            Objective { objective: "p99<250ms".into(), measured: "12.30ms".into(), met: true },
            Objective { objective: "rate>20/s".into(), measured: "15/s".into(), met: false },
        ],
        calls: vec![
            Calls { dependency: "pay.test:8443".into(), made: 60, expected: 30, amplification: Some(2.0) },
            Calls { dependency: "stock.test".into(), made: 30, expected: 30, amplification: Some(1.0) },
        ],
        envelope: None,
        stderr: vec!["Traceback\u{1b}[2J".into(), "  KeyError: 'total'".into()],
        substituted: vec![Substituted {
            minted_by: 0,
            field: "body.id".into(),
            used_in: 2,
            place: "path[1]".into(),
        }],
        untested: vec![
            Untested {
                what: "calls of auth.test over TLS".into(),
                count: 3,
                why: "no stub speaks it yet".into(),
            },
            Untested { what: "UNIX sockets".into(), count: 0, why: String::new() },
        ],
        problems: vec!["inbound.log: the last line is torn and was left out".into()],
        repeat: Some("infernosim replay --incident ./inc --runs 10 -- ./app".into()),
        ..passed()
    };
    report.timeline = Some(timeline());
    report.change = Some(change::between(&passed(), &report));
    report
}

/// Faults happened, in all runs the same, and the target got over them.
fn withstood() -> Report {
    let mut faults = faulted();
    faults.rules.truncate(1);
    faults.unlike = None;
    faults.happened.truncate(1);
    Report { seed: Some(7), faults: Some(faults), timeline: Some(timeline()), ..passed() }
}

/// Ended by the user in its fourth run.
fn interrupted() -> Report {
    Report {
        result: "INCONCLUSIVE".into(),
        outcome: "INCONCLUSIVE".into(),
        reason: "it was ended before its end: 3 of 10 runs were whole".into(),
        exit: 4,
        runs: Runs { requested: 10, executed: 4, completed: 3, deterministic: 3, ..Runs::default() },
        inbound: Counted { observed: 10, expected: 12, ..Counted::default() },
        outbound: Counted { observed: 20, expected: 20, matched: 20, ambiguous: 0 },
        envelope: None,
        repeat: Some("infernosim replay --incident ./inc -- ./app".into()),
        ..passed()
    }
}

fn timeline() -> Timeline {
    const MS: u64 = 1_000_000;
    let exchange = |index, asked: &str, sent, ended: Option<u64>| TimedExchange {
        index,
        asked: asked.into(),
        sent_ns: sent * MS,
        ended_ns: ended.map(|it| it * MS),
        status: ended.map(|_| 201),
    };
    let call = |index, asked: &str, at, answered: Option<u64>, cause| TimedCall {
        index,
        dependency: "pay.test:8443".into(),
        asked: asked.into(),
        at_ns: at * MS,
        answered_ns: answered.map(|it| it * MS),
        cause,
    };
    Timeline {
        run: 1,
        inbound: vec![exchange(0, "POST /orders", 0, Some(260)), exchange(1, "GET /orders/7", 300, None)],
        calls: vec![
            call(Some(0), "GET /rates", 2, Some(12), None),
            call(Some(1), "POST /charge", 20, Some(240), Some(0)),
            call(None, "GET /</script><script>document.title='ran'</script>", 310, None, Some(1)),
        ],
        more: 4,
    }
}

#[test]
fn what_is_written_is_read_back() {
    for report in [passed(), failed()] {
        let read: Report = serde_json::from_str(&json(&report)).unwrap();
        assert_eq!(read, report);
    }
}

#[test]
fn files_are_replaced_and_private() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = dir.path().join("elsewhere");
    fs::write(&elsewhere, "mine").unwrap();
    // Neither what a link leads to is written, nor what stood in the way is kept.
    symlink(&elsewhere, dir.path().join(RESULT)).unwrap();
    fs::write(dir.path().join("replay_report.json.new"), "torn").unwrap();
    save(dir.path(), &passed()).unwrap();
    save(dir.path(), &failed()).unwrap();
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "mine");
    assert_eq!(fs::read_to_string(dir.path().join(RESULT)).unwrap(), text(&failed()));
    assert_eq!(read_last(dir.path()), Some(failed()));
    assert_eq!(read_report(&dir.path().join(REPORT)).unwrap(), failed());
    for name in [RESULT, REPORT] {
        let found = fs::symlink_metadata(dir.path().join(name)).unwrap();
        assert!(found.is_file() && found.permissions().mode() & 0o777 == 0o600, "{name}");
    }
    let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["elsewhere", REPORT, RESULT]);
}

#[test]
fn what_is_no_report_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(REPORT);
    assert!(read_report(dir.path()).unwrap_err().help.unwrap().contains("replay_report.json"));
    for (text, said) in [
        ("{}", "it is no report of a replay"),
        ("{", "malformed: "),
        (r#"{"reportVersion":"2.0","runs":7}"#, "format 2.0 is newer"),
        (r#"{"reportVersion":"1.7","runs":7}"#, "malformed: invalid type"),
    ] {
        fs::write(&path, text).unwrap();
        let error = read_report(dir.path()).unwrap_err();
        assert!(error.message.contains(said), "{text}: {error}");
        assert_eq!(error.exit, Exit::Incident);
        assert_eq!(read_last(dir.path()), None);
    }
    fs::write(&path, r#"{"reportVersion":"1.7","novelty":[1],"outcome":"PASS_WEAK"}"#).unwrap();
    assert_eq!(read_report(dir.path()).unwrap().outcome, "PASS_WEAK");
    fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert!(read_report(dir.path()).unwrap_err().message.ends_with("it is no file"));
}

#[test]
fn volatile_toml_is_named_where_it_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(read_volatile(dir.path()).unwrap(), None);
    fs::write(dir.path().join("volatile.toml"), "[[field]]\nsite = 1\n").unwrap();
    let error = read_volatile(dir.path()).unwrap_err();
    assert!(error.message.contains("volatile.toml: line 2: invalid type"), "{error}");
}

#[test]
fn two_replays() {
    assert!(ReportDiff::of(&passed(), &passed()).equal);
    assert!(ReportDiff::of(&failed(), &failed()).equal);
    let found = ReportDiff::of(&passed(), &failed());
    assert!(!found.equal);
    assert_eq!((found.fingerprint.as_str(), found.newly_failing.len()), ("other", 1));
    assert_eq!(found.changed[0].what, "runs that are alike");
    let back = ReportDiff::of(&failed(), &passed());
    assert_eq!((back.newly_passing.len(), back.newly_failing.len()), (1, 0));

    let mut otherwise = failed();
    otherwise.divergences[0].fields[0].live = Some("61".into());
    otherwise.divergences[0].runs = vec![9];
    let found = ReportDiff::of(&failed(), &otherwise);
    assert_eq!(found.failing_otherwise, otherwise.divergences);
    assert!(found.newly_failing.is_empty() && !found.equal);

    let mut set = passed();
    (set.volatile, set.volatile_set) = (Vec::new(), "00".repeat(32));
    let found = ReportDiff::of(&passed(), &set);
    assert_eq!(found.fingerprint, "not comparable");
    assert_eq!(found.no_longer_volatile, ["inbound POST /orders body.id (runs disagree)"]);

    // How many runs there were, and how fast, is no difference.
    let mut less = passed();
    (less.runs.requested, less.runs.executed, less.runs.deterministic) = (5, 5, 5);
    (less.inbound.observed, less.inbound.expected) = (15, 15);
    (less.outbound.observed, less.outbound.expected) = (30, 30);
    less.rates.wall_ns *= 2;
    let found = ReportDiff::of(&passed(), &less);
    assert!(found.equal, "{found:?}");
    assert_eq!(found.rate_percent, Some(-50.0));
}
