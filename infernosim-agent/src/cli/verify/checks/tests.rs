use super::*;
use crate::report::{Counted, Rates, RunReport, Runs};

const MS: u64 = 1_000_000;

/// Of two requests, 200 ms apart, that made three calls.
fn report(executed: u32, learning: u32) -> Report {
    let rates =
        Rates { sent: 2, wall_ns: 210 * MS, paced_ns: 200 * MS, late_p99_ns: 3 * MS, ..Rates::default() };
    let run = RunReport {
        fingerprint: "ab".repeat(32),
        ended: "completed".to_owned(),
        rates,
        ..RunReport::default()
    };
    let count = |each: u64| Counted {
        observed: each * u64::from(executed),
        expected: each * u64::from(executed),
        matched: each * u64::from(executed),
        ambiguous: 0,
    };
    Report {
        outcome: "PASS_STRONG".to_owned(),
        fingerprint: "ab".repeat(32),
        runs: Runs {
            requested: executed,
            executed,
            completed: executed,
            learning,
            deterministic: executed,
            each: vec![run; executed as usize],
        },
        inbound: count(2),
        outbound: count(3),
        rates,
        ..Report::default()
    }
}

/// What a capture of so many of its runs holds.
fn seen(runs: u64) -> Content {
    let requests = (0..runs).flat_map(|run| [run * 1000 * MS, (run * 1000 + 201) * MS]).collect();
    Content { requests, calls: 3 * runs as usize, events: 7 * runs, lost: 0, is_closed: true }
}

#[track_caller]
fn assert_fails(check: &Check, with: &str) {
    assert_eq!(check.verdict, Verdict::Failed, "{check:?}");
    assert!(check.detail.contains(with), "{check:?}");
}

#[test]
fn all_is_well() {
    let (first, second) = (report(1, 2), report(2, 0));
    let checks = [
        replayed(&first),
        captured(&seen(3), &seen(1), &first),
        deterministic(&second),
        isolated([&first, &second]),
        time_controlled(&first, &seen(3), &second),
    ];
    assert!(checks.iter().all(|check| check.verdict == Verdict::Passed), "{checks:#?}");
}

#[test]
fn a_capture_counts_what_the_replay_counts() {
    let first = report(1, 2);
    let of = |change: fn(&mut Content)| {
        let mut content = seen(3);
        change(&mut content);
        captured(&content, &seen(1), &first)
    };
    assert_fails(&of(|it| it.calls += 1), "10 calls in the capture, 9 by the replay, 9 by the recording");
    assert_fails(&of(|it| it.requests.truncate(5)), "5 requests in the capture, 6 by the replay");
    assert_fails(&of(|it| it.lost = 2), "2 events are lost");
    assert_fails(&of(|it| it.is_closed = false), "did not end in order");
    let mut blind = first.clone();
    blind.outbound.observed = 0;
    assert_fails(&captured(&seen(3), &seen(1), &blind), "9 calls in the capture, 0 by the replay");
    assert_fails(&captured(&Content::default(), &seen(1), &first), "0 requests in the capture");
}

#[test]
fn two_whole_runs_have_one_fingerprint() {
    let of = |change: fn(&mut Report)| {
        let mut report = report(2, 0);
        change(&mut report);
        deterministic(&report)
    };
    for change in [
        (|it| it.runs.each[1].fingerprint = "cd".repeat(32)) as fn(&mut Report),
        |it| it.runs.completed = 1,
        |it| it.exit = 1,
        |it| it.runs.each.truncate(1),
        |it| it.fingerprint.clear(),
    ] {
        assert_eq!(of(change).verdict, Verdict::Failed);
    }
}

#[test]
fn the_leaks_of_all_runs_count() {
    let (mut first, second) = (report(1, 2), report(2, 0));
    first.leaked = [("udp".to_owned(), 2), ("raw".to_owned(), 0)].into();
    assert_fails(&isolated([&first, &second]), "2 by udp");
    assert_fails(&isolated([&second, &first]), "2 by udp");
}

#[test]
fn time_is_looked_at_on_both_clocks() {
    let first = report(1, 2);
    let of = |change: fn(&mut Rates)| {
        let mut second = report(2, 0);
        change(&mut second.runs.each[1].rates);
        time_controlled(&first, &seen(3), &second)
    };
    assert_fails(&of(|it| it.late_p99_ns = 51 * MS), "51 ms late");
    assert_fails(&of(|it| it.wall_ns = 199 * MS), "before its last request was due");
    assert_eq!(of(|it| it.paced_ns = 0).verdict, Verdict::NotChecked);
    assert_eq!(of(|it| it.sent = 1).verdict, Verdict::NotChecked);
    // A driver that sends all at once and says otherwise.
    let at_once = Content { requests: vec![0, 1, 1000 * MS, 1001 * MS, 2000 * MS, 2001 * MS], ..seen(3) };
    assert_fails(&time_controlled(&first, &at_once, &report(2, 0)), "over 1 ms that were due over 200 ms");
    // Of a run to learn from nobody knows how late its first request was.
    let late = Content { requests: vec![0, 1, 1000 * MS, 1201 * MS, 2000 * MS, 2201 * MS], ..seen(3) };
    assert_eq!(time_controlled(&first, &late, &report(2, 0)).verdict, Verdict::Passed);
    let late = Content { requests: vec![0, 201 * MS, 1000 * MS, 1201 * MS, 2000 * MS, 2120 * MS], ..seen(3) };
    assert_fails(&time_controlled(&first, &late, &report(2, 0)), "over 120 ms that were due over 200 ms");
    let mut told = first.clone();
    told.rates.late_max_ns = 30 * MS;
    assert_eq!(
        time_controlled(&told, &late, &report(2, 0)).verdict,
        Verdict::Passed,
        "80 ms, 50 of them allowed"
    );
    // It waited for a target that is slower than it was, and says so.
    let mut slow = seen(3);
    slow.requests.last_mut().map(|last| *last += 300 * MS).unwrap();
    assert_fails(&time_controlled(&first, &slow, &report(2, 0)), "over 501 ms that were due over 200 ms");
    let mut waited = first.clone();
    waited.rates.late_max_ns = 300 * MS;
    assert_eq!(time_controlled(&waited, &slow, &report(2, 0)).verdict, Verdict::Passed);
}
