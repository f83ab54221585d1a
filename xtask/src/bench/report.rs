//! Tables and sentences for people.

use super::measurement::{Measurement, Side};
use super::summary::{LEAST_THROUGHPUT, MOST_CPU, Results, Spread};
use std::fmt::Write;

const HEADS: [&str; 9] = [
    "",
    "requests/s",
    "to direct (min median max)",
    "to bare relay (min median max)",
    "p50 ms",
    "p99 ms",
    "CPU s/10k",
    "peak MiB",
    "failed",
];

/// The table of one load, and what is to be said about its captures.
pub fn load(results: &Results) -> String {
    let mut rows = vec![HEADS.map(str::to_owned)];
    for side in [Side::Direct, Side::Relay, Side::Haproxy, Side::Capture] {
        rows.extend(row(results, side));
    }
    let mut text = format!("{}: {}\n{}", results.load.name, results.load.about, align(&rows));
    for line in recorded(results).into_iter().chain(threads(results)).chain(verdict(results)) {
        let _ = writeln!(text, "  {line}");
    }
    text
}

fn row(results: &Results, side: Side) -> Option<[String; 9]> {
    let rate = |one: &Measurement| Some(one.requests_per_second());
    let median = |number: &dyn Fn(&Measurement) -> Option<f64>| Some(results.spread(side, number)?.median);
    let number = |number: Option<f64>, digits: usize| {
        number.map_or_else(|| "-".to_owned(), |number| format!("{number:.digits$}"))
    };
    let spread = |base| {
        let spread = if side == base { None } else { results.ratio(side, base, rate) };
        spread.map_or_else(
            || "-".to_owned(),
            |Spread { min, median, max }| format!("{min:.2} {median:.2} {max:.2}"),
        )
    };
    let peak = results.of(side).filter_map(|one| one.used.as_ref()).map(|used| used.peak_rss_kib).max();
    let failed: u64 = results.of(side).map(|one| one.warm_up.failed + one.measured.failed).sum();
    Some([
        side.name().to_owned(),
        number(Some(median(&rate)?), 0),
        spread(Side::Direct),
        spread(Side::Relay),
        number(median(&|one| Some(one.measured.p50_us as f64 / 1e3)), 2),
        number(median(&|one| Some(one.measured.p99_us as f64 / 1e3)), 2),
        number(median(&Measurement::cpu_per_10k), 3),
        number(peak.map(|kib| kib as f64 / 1024.0), 1),
        failed.to_string(),
    ])
}

/// Columns as wide as their widest cell, the first to the left, the others to the right.
fn align(rows: &[[String; 9]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..9).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let _ = write!(text, "  {:<1$}", row[0], widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            let _ = write!(text, "  {cell:>width$}");
        }
        text.push('\n');
    }
    text
}

/// Calls recorded against requests made. At the end of the warm-up and of the measurement wrk drops what is in
/// flight, on each connection one request: recorded or not, it does not count those.
fn recorded(results: &Results) -> Option<String> {
    let (mut requests, mut calls, mut lost, mut unlike) = (0, 0, 0, 0);
    for one in results.of(Side::Capture) {
        let recorded = one.recorded.as_ref()?;
        let seen = recorded.calls + recorded.lost;
        let most = one.requests() + 2 * results.load.connections;
        requests += one.requests();
        calls += recorded.calls;
        lost += recorded.lost;
        unlike += usize::from(!(one.requests()..=most).contains(&seen));
    }
    let captures = results.of(Side::Capture).count();
    let judgement = if unlike == 0 {
        "all accounted for".to_owned()
    } else {
        format!("{unlike} of {captures} captures DO NOT ADD UP")
    };
    (captures > 0).then(|| {
        format!(
            "recorded {calls} calls of {requests} requests ({:+}; up to {} more are cut off by wrk), {lost} lost: {judgement}",
            calls.cast_signed() - requests.cast_signed(),
            2 * results.load.connections * captures as u64,
        )
    })
}

fn threads(results: &Results) -> Option<String> {
    let threads = results.threads();
    let said: Vec<String> = threads
        .iter()
        .filter(|(_, seconds)| **seconds >= 0.0005)
        .map(|(name, seconds)| format!("{name} {seconds:.3}"))
        .collect();
    (!said.is_empty()).then(|| format!("capture's CPU s/10k by thread: {}", said.join(", ")))
}

fn verdict(results: &Results) -> Option<String> {
    let (throughput, cpu) = results.against_relay()?;
    let met = |met: bool| if met { "met" } else { "MISSED" };
    Some(format!(
        "verdict: throughput {:.2} of the bare relay's (aim ≥ {LEAST_THROUGHPUT:.2}): {}; CPU {:.2} of it (aim ≤ {MOST_CPU:.2}): {}",
        throughput.median,
        met(throughput.median >= LEAST_THROUGHPUT),
        cpu.median,
        met(cpu.median <= MOST_CPU),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::summary::tests::results;
    use super::*;

    #[test]
    fn the_table_has_medians_and_the_verdict_is_by_them() {
        let text = load(&results());
        let capture = text.lines().find(|line| line.trim().starts_with("capture ")).unwrap();
        let cells: Vec<&str> = capture.split_whitespace().collect();
        let expected = "capture 8000 0.40 0.40 0.40 0.80 0.80 0.80 0.09 1.50 1.250 2.0 0";
        assert_eq!(cells.join(" "), expected);
        assert!(
            text.contains("throughput 0.80 of the bare relay's (aim ≥ 0.90): MISSED; CPU 1.25 of it"),
            "{text}"
        );
        assert!(!text.contains("haproxy"), "{text}");
        assert!(text.contains("relay-0 1.250"), "{text}");
    }

    #[test]
    fn one_call_too_few_is_told() {
        let mut results = results();
        assert!(load(&results).contains("(+0; up to 96 more are cut off by wrk), 0 lost: all accounted for"));
        let recorded = results.measurements[2].recorded.as_mut().unwrap();
        recorded.calls -= 1;
        assert!(
            load(&results).contains("(-1; up to 96 more are cut off by wrk), 0 lost: 1 of 3 captures DO NOT")
        );
        // Lost is told, too, but it adds up.
        results.measurements[2].recorded.as_mut().unwrap().lost += 1;
        assert!(load(&results).contains("1 lost: all accounted for"));
        results.measurements[2].recorded.as_mut().unwrap().calls += 33;
        assert!(load(&results).contains("1 of 3 captures DO NOT"));
    }
}
