//! Tables and sentences for people.

use super::measurement::Measurement;
use super::side::Side;
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
    rows.extend(results.sides().into_iter().filter_map(|side| row(results, side)));
    let mut text = format!("{}: {}\n{}", results.load.name, results.load.about, align(&rows));
    for side in results.sides() {
        for line in
            recorded(results, side).into_iter().chain(threads(results, side)).chain(verdict(results, side))
        {
            let _ = writeln!(text, "  {}: {line}", side.name());
        }
    }
    text
}

fn row(results: &Results, side: Side) -> Option<[String; 9]> {
    let rate = |one: &Measurement| Some(one.requests_per_second());
    let median = |number: &dyn Fn(&Measurement) -> Option<f64>| Some(results.spread(side, number)?.median);
    let number = |number: Option<f64>, digits: usize| {
        number.map_or_else(|| "-".to_owned(), |number| format!("{number:.digits$}"))
    };
    let spread = |base, compares: bool| {
        let spread = if compares { results.ratio(side, base, rate) } else { None };
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
        spread(side.base(), side != side.base()),
        spread(Side::Relay, side.is_beside_relay()),
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

/// Lines recorded against requests made. At the end of the warm-up and of the measurement wrk drops what is in
/// flight, on each connection one request: recorded or not, it does not count those.
fn recorded(results: &Results, side: Side) -> Option<String> {
    let (mut requests, mut lost, mut unlike, mut gaps) = (0, 0, 0, false);
    let mut lines = vec![0; side.kinds().len()];
    for one in results.of(side) {
        let recorded = one.recorded.as_ref()?;
        let most = one.requests() + 2 * results.load.connections;
        requests += one.requests();
        lost += recorded.lost;
        gaps |= recorded.gaps;
        let counts: Vec<u64> = side.kinds().iter().map(|kind| recorded.of(*kind)).collect();
        let enough = |count: u64| recorded.gaps || count + recorded.lost >= one.requests();
        let adds_up = |count: &u64| enough(*count) && *count <= most;
        unlike += usize::from(!counts.iter().all(adds_up));
        lines.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    let captures = results.of(side).count();
    let judgement = match (unlike, lost) {
        (0, 0) if !gaps => "complete".to_owned(),
        (0, _) => "NOT COMPLETE, but all accounted for".to_owned(),
        _ => format!("{unlike} of {captures} captures DO NOT ADD UP"),
    };
    let each = side.kinds().iter().zip(&lines);
    let each: Vec<String> = each.map(|(kind, count)| format!("{} {count}", kind.name())).collect();
    let at_least = if gaps { "at least " } else { "" };
    (captures > 0).then(|| {
        format!(
            "recorded {} of {requests} requests (up to {} more are cut off by wrk), {at_least}{lost} lost: {judgement}",
            each.join(", "),
            2 * results.load.connections * captures as u64,
        )
    })
}

fn threads(results: &Results, side: Side) -> Option<String> {
    let threads = results.threads(side);
    let said: Vec<String> = threads
        .iter()
        .filter(|(_, seconds)| **seconds >= 0.0005)
        .map(|(name, seconds)| format!("{name} {seconds:.3}"))
        .collect();
    (side.captured().is_some() && !said.is_empty())
        .then(|| format!("CPU s/10k by thread: {}", said.join(", ")))
}

fn verdict(results: &Results, side: Side) -> Option<String> {
    let met = |met: bool| if met { "met" } else { "MISSED" };
    if let Some(aim) = side.aim(results.load.name) {
        let throughput = results.against_base(side)?.median;
        let met = met(throughput >= aim);
        return Some(format!(
            "throughput {throughput:.2} of {}'s (aim ≥ {aim:.2}): {met}",
            side.base().name()
        ));
    }
    let (throughput, cpu) = results.against_relay().filter(|_| side == Side::Capture)?;
    Some(format!(
        "throughput {:.2} of the bare relay's (aim ≥ {LEAST_THROUGHPUT:.2}): {}; CPU {:.2} of it (aim ≤ {MOST_CPU:.2}): {}",
        throughput.median,
        met(throughput.median >= LEAST_THROUGHPUT),
        cpu.median,
        met(cpu.median <= MOST_CPU),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::load::LOADS;
    use super::super::recorded::Kind;
    use super::super::summary::tests::{measurement, results};
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
        assert!(load(&results).contains("(up to 96 more are cut off by wrk), 0 lost: complete\n"));
        let change = |results: &mut Results, by: i64| {
            let lines = &mut results.measurements[2].recorded.as_mut().unwrap().lines;
            let calls = lines.get_mut(&Kind::Call).unwrap();
            *calls = calls.checked_add_signed(by).unwrap();
        };
        change(&mut results, -1);
        assert!(load(&results).contains("0 lost: 1 of 3 captures DO NOT"));
        // Lost is told, too, but it adds up.
        results.measurements[2].recorded.as_mut().unwrap().lost += 1;
        assert!(load(&results).contains("1 lost: NOT COMPLETE, but all accounted for"));
        results.measurements[2].recorded.as_mut().unwrap().gaps = true;
        change(&mut results, -1);
        assert!(load(&results).contains("at least 1 lost: NOT COMPLETE, but all accounted for"));
        change(&mut results, 1);
        change(&mut results, 34);
        assert!(load(&results).contains("1 of 3 captures DO NOT"));
    }

    #[test]
    fn a_server_is_beside_the_same_without_capture_and_each_kind_of_line_must_be_there() {
        let measurements = vec![
            measurement(0, Side::Direct, 1000, 0.0),
            measurement(0, Side::Inbound, 900, 0.1),
            measurement(0, Side::Service, 500, 0.0),
            measurement(0, Side::BothTap, 300, 0.1),
        ];
        let mut results = Results { load: &LOADS[3], measurements };
        let text = load(&results);
        assert!(text.contains("inbound: throughput 0.90 of direct's (aim ≥ 0.90): met"), "{text}");
        assert!(text.contains("InboundRequest 300, InboundResponse 300, OutboundCall 300 of 300"), "{text}");
        assert!(
            text.lines().any(|line| line.contains("both, tap") && line.contains("0.60 0.60 0.60")),
            "{text}"
        );
        let lines = &mut results.measurements[3].recorded.as_mut().unwrap().lines;
        lines.insert(Kind::Response, 299);
        assert!(load(&results).contains("1 of 1 captures DO NOT ADD UP"));
    }
}
