//! Numbers out of measurements: spreads over the rounds, the verdict, the JSON.

use super::load::Load;
use super::measurement::Measurement;
use super::side::Side;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// With everything recorded: at least so much of the bare relay's throughput …
pub const LEAST_THROUGHPUT: f64 = 0.90;
/// … with at most so much of its CPU.
pub const MOST_CPU: f64 = 1.25;

/// How a number went over the rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The one in the middle, the mean of two for an even number.
    pub median: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    /// None for no numbers.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut numbers: Vec<f64> = numbers.into_iter().collect();
        numbers.sort_by(f64::total_cmp);
        let (min, max) = (*numbers.first()?, *numbers.last()?);
        let median = (numbers[(numbers.len() - 1) / 2] + numbers[numbers.len() / 2]) / 2.0;
        Some(Self { min, median, max })
    }

    fn json(spread: Option<Self>) -> Value {
        spread.map_or(
            Value::Null,
            |Self { min, median, max }| json!({"min": min, "median": median, "max": max}),
        )
    }
}

/// All measurements of one load.
#[derive(Debug)]
pub struct Results {
    /// The load.
    pub load: &'static Load,
    /// In the order they were made.
    pub measurements: Vec<Measurement>,
}

impl Results {
    /// The measurements of one side.
    pub fn of(&self, side: Side) -> impl Iterator<Item = &Measurement> {
        self.measurements.iter().filter(move |one| one.side == side)
    }

    /// A number of one side over the rounds.
    pub fn spread(&self, side: Side, number: impl Fn(&Measurement) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.of(side).filter_map(number))
    }

    /// A number of one side as a share of another side's in the same round: what slows the machine down for a
    /// while slows both.
    pub fn ratio(
        &self,
        side: Side,
        base: Side,
        number: impl Fn(&Measurement) -> Option<f64>,
    ) -> Option<Spread> {
        Spread::of(self.of(side).filter_map(|one| {
            let base = self.of(base).find(|base| base.round == one.round).and_then(&number)?;
            (base > 0.0).then_some(number(one)? / base)
        }))
    }

    /// Capture beside the bare relay: throughput, CPU.
    pub fn against_relay(&self) -> Option<(Spread, Spread)> {
        let throughput = self.ratio(Side::Capture, Side::Relay, |one| Some(one.requests_per_second()))?;
        Some((throughput, self.ratio(Side::Capture, Side::Relay, Measurement::cpu_per_10k)?))
    }

    /// Throughput beside the same without anything in between.
    pub fn against_base(&self, side: Side) -> Option<Spread> {
        self.ratio(side, side.base(), |one| Some(one.requests_per_second()))
    }

    /// The sides that were measured, in the order of the table.
    pub fn sides(&self) -> Vec<Side> {
        Side::ALL.into_iter().filter(|side| self.of(*side).next().is_some()).collect()
    }

    /// Thread → CPU seconds for each 10,000 requests, the median over the captures of a side.
    pub fn threads(&self, side: Side) -> BTreeMap<String, f64> {
        let mut all: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for one in self.of(side) {
            for (name, seconds) in one.used.iter().flat_map(|used| &used.threads) {
                all.entry(name.clone()).or_default().push(seconds * 1e4 / one.requests().max(1) as f64);
            }
        }
        all.into_iter().filter_map(|(name, numbers)| Some((name, Spread::of(numbers)?.median))).collect()
    }

    /// Everything, for programs.
    pub fn json(&self) -> Value {
        let sides = self.sides().into_iter().map(|side| (side.name(), self.side_json(side)));
        let sides: BTreeMap<&str, Value> = sides.collect();
        let verdict = self.against_relay().map(|(throughput, cpu)| {
            json!({
                "throughputToRelay": Spread::json(Some(throughput)), "cpuToRelay": Spread::json(Some(cpu)),
                "throughputMet": throughput.median >= LEAST_THROUGHPUT, "cpuMet": cpu.median <= MOST_CPU,
            })
        });
        json!({
            "load": self.load.name, "about": self.load.about, "connections": self.load.connections,
            "bodyBytes": self.load.size, "newConnections": self.load.new_connections,
            "sides": sides, "verdict": verdict,
        })
    }

    fn side_json(&self, side: Side) -> Value {
        let rate = |one: &Measurement| Some(one.requests_per_second());
        let rounds: Vec<Value> = self.of(side).map(measurement_json).collect();
        json!({
            "requestsPerSecond": Spread::json(self.spread(side, rate)),
            "base": side.base().name(), "toBase": Spread::json(self.against_base(side)),
            "aim": side.aim(self.load.name),
            "toRelay": Spread::json(self.ratio(side, Side::Relay, rate)),
            "cpuSecondsPer10k": Spread::json(self.spread(side, Measurement::cpu_per_10k)),
            "threadsCpuSecondsPer10k": self.threads(side),
            "rounds": rounds,
        })
    }
}

fn measurement_json(one: &Measurement) -> Value {
    json!({
        "round": one.round, "warmUpRequests": one.warm_up.requests, "requests": one.measured.requests,
        "durationUs": one.measured.duration_us, "failed": one.warm_up.failed + one.measured.failed,
        "requestsPerSecond": one.requests_per_second(),
        "p50Us": one.measured.p50_us, "p99Us": one.measured.p99_us,
        "agent": one.used.as_ref().map(|used| json!({
            "userSeconds": used.user_seconds, "systemSeconds": used.system_seconds,
            "cpuSecondsPer10k": one.cpu_per_10k(), "peakRssKib": used.peak_rss_kib, "threads": used.threads,
        })),
        "recorded": one.recorded.as_ref().map(|recorded| json!({
            "lines": recorded.lines.iter().map(|(kind, count)| (kind.name(), *count)).collect::<BTreeMap<_, _>>(),
            "lost": recorded.lost, "gaps": recorded.gaps, "logBytes": recorded.bytes, "otherLines": recorded.others,
        })),
    })
}

#[cfg(test)]
pub mod tests {
    use super::super::load::{LOADS, Said};
    use super::super::process::Used;
    use super::super::recorded::Recorded;
    use super::*;

    /// A measurement of one second with this many requests and this many seconds of CPU.
    pub fn measurement(round: usize, side: Side, requests: u64, cpu: f64) -> Measurement {
        let said = |requests| Said { requests, duration_us: 1_000_000, failed: 0, p50_us: 90, p99_us: 1500 };
        let threads = [("relay-0".to_owned(), cpu)].into();
        let used = Used { user_seconds: cpu, system_seconds: 0.0, peak_rss_kib: 2048, threads };
        Measurement {
            round,
            side,
            warm_up: said(0),
            measured: said(requests),
            used: (side.base() != side).then_some(used),
            recorded: side.captured().map(|_| Recorded {
                lines: side.kinds().iter().map(|kind| (*kind, requests)).collect(),
                ..Recorded::default()
            }),
        }
    }

    /// Rounds of unlike speed, in which capture always has 0.8 of the relay's throughput and its CPU per second.
    pub fn results() -> Results {
        let round = |round, speed: u64| {
            [
                measurement(round, Side::Direct, 40 * speed, 0.0),
                measurement(round, Side::Relay, 20 * speed, 1.0),
                measurement(round, Side::Capture, 16 * speed, 1.0),
            ]
        };
        let measurements = [round(0, 1000), round(1, 100), round(2, 500)].concat();
        Results { load: &LOADS[1], measurements }
    }

    #[test]
    fn a_ratio_is_taken_within_a_round() {
        let results = results();
        let (throughput, cpu) = results.against_relay().unwrap();
        assert_eq!(throughput, Spread { min: 0.8, median: 0.8, max: 0.8 });
        assert!((cpu.min - 1.25).abs() < 1e-9 && (cpu.max - 1.25).abs() < 1e-9, "{cpu:?}");
        assert_eq!(results.against_base(Side::Capture), Some(Spread { min: 0.4, median: 0.4, max: 0.4 }));
        assert_eq!(results.against_base(Side::Haproxy), None);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(Spread::of([4.0, 1.0, 2.0]), Some(Spread { min: 1.0, median: 2.0, max: 4.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]), Some(Spread { min: 1.0, median: 2.5, max: 4.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn the_json_has_each_round_and_the_verdict() {
        let json = results().json();
        assert_eq!(json["sides"]["capture"]["rounds"][1]["requests"], 1600);
        assert_eq!(json["sides"]["capture"]["rounds"][1]["recorded"]["lines"]["OutboundCall"], 1600);
        assert_eq!(json["verdict"]["throughputMet"], false);
        assert_eq!(json["sides"]["direct"]["rounds"][0]["agent"], Value::Null);
    }
}
