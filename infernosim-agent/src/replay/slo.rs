//! Objectives: what `--slo` demands of all runs that count, and whether they keep it. Pure.
//!
//! ```text
//! slo  := term (',' term)*
//! term := p50|p90|p95|p99|p999|max  <|<=  TIME
//!       | errors|retries            <|<=  N% | N
//!       | rate                      >|>=  N[/s]
//! ```

use std::fmt;

use super::judge::Load;
use crate::error::{Exit, ExpectedError, Result};
use crate::fault::near;
use crate::quantity::duration;

/// What can be demanded, and how it is said.
const MEASURES: [(&str, Measure); 9] = [
    ("p50", Measure::Latency(500)),
    ("p90", Measure::Latency(900)),
    ("p95", Measure::Latency(950)),
    ("p99", Measure::Latency(990)),
    ("p999", Measure::Latency(999)),
    ("max", Measure::Longest),
    ("errors", Measure::Errors),
    ("retries", Measure::Retries),
    ("rate", Measure::Rate),
];
const USUAL: &str = "for example --slo 'p99<250ms,errors<1%'; p50, p90, p95, p99, p999, max, errors, retries and rate can be demanded";

/// All objectives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slo(Vec<Objective>);

/// One of them.
#[derive(Clone, Debug, PartialEq)]
struct Objective {
    text: String,
    measure: Measure,
    /// The limit itself is within it.
    is_inclusive: bool,
    limit: Limit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    /// The time that so many of a thousand answers did not exceed.
    Latency(u64),
    Longest,
    /// Requests that were answered with 5xx, or not.
    Errors,
    /// Calls beyond those of the recording.
    Retries,
    /// Requests a second.
    Rate,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    Ns(u64),
    Count(f64),
    Percent(f64),
}

/// What became of an objective.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// As it was demanded: `p99<250ms`.
    pub objective: String,
    /// What was measured: `312.40ms`; `none` where nothing was.
    pub measured: String,
    /// Whether that is within it.
    pub is_met: bool,
}

impl Slo {
    /// Reads `p99<250ms,errors<1%`.
    ///
    /// # Errors
    /// `Exit::Usage` where it is none, with the near word where one is misspelt.
    pub fn parse(text: &str) -> Result<Self> {
        let terms = text.split(',').map(|term| Objective::parse(term.trim()));
        terms.collect::<Result<_>>().map(Self)
    }

    /// Whether nothing is demanded.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes in more of them.
    pub fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Holds them against what was measured, in their order.
    pub fn hold(&self, load: &Load) -> Vec<Held> {
        self.0.iter().map(|objective| objective.hold(load)).collect()
    }
}

impl std::str::FromStr for Slo {
    type Err = ExpectedError;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl Objective {
    fn parse(text: &str) -> Result<Self> {
        let at = text
            .find(['<', '>', '='])
            .ok_or_else(|| wrong(format!("{text:?} is no objective: it has no < or >")))?;
        let (name, rest) = (text[..at].trim(), &text[at..]);
        let (sign, limit) = rest.split_at(rest.find(|c| !"<>=".contains(c)).unwrap_or(rest.len()));
        let limit = limit.trim();
        let known = MEASURES.iter().find(|(known, _)| *known == name);
        let Some((_, measure)) = known else { return Err(unknown(name)) };
        let (is_inclusive, right) = match (measure, sign) {
            (Measure::Rate, ">") | (_, "<") => (false, *measure != Measure::Rate || sign == ">"),
            (Measure::Rate, ">=") | (_, "<=") => (true, *measure != Measure::Rate || sign == ">="),
            _ => (false, false),
        };
        if !right {
            let (is, sign) = if *measure == Measure::Rate { ("above", '>') } else { ("below", '<') };
            return Err(wrong(format!(
                "{text:?} is no objective: {name} is to stay {is} something: {name}{sign}…"
            )));
        }
        let limit = measure.limit(limit).map_err(|why| wrong(format!("{text:?} is no objective: {why}")))?;
        let text = text.chars().filter(|c| !c.is_whitespace()).collect();
        Ok(Self { text, measure: *measure, is_inclusive, limit })
    }

    fn hold(&self, load: &Load) -> Held {
        let found = self.measure.of(load, self.limit);
        let (Limit::Ns(_) | Limit::Count(_) | Limit::Percent(_)) = self.limit;
        let is_met = found.is_some_and(|found| {
            let (found, limit) = (found.number(), self.limit.number());
            let is_within = if self.measure == Measure::Rate { found > limit } else { found < limit };
            is_within || self.is_inclusive && found.total_cmp(&limit).is_eq()
        });
        let measured = found.map_or_else(|| "none".to_owned(), |found| found.to_string());
        let measured =
            if self.measure == Measure::Rate && found.is_some() { format!("{measured}/s") } else { measured };
        Held { objective: self.text.clone(), measured, is_met }
    }
}

impl Measure {
    fn limit(self, text: &str) -> Result<Limit, String> {
        let number = |text: &str| {
            let number = text.trim().parse().ok().filter(|it: &f64| it.is_finite() && *it >= 0.0);
            number.ok_or_else(|| format!("{text:?} is no number"))
        };
        match self {
            Self::Latency(_) | Self::Longest => duration(text).map(Limit::Ns),
            Self::Rate => number(text.strip_suffix("/s").unwrap_or(text)).map(Limit::Count),
            Self::Errors | Self::Retries => match text.strip_suffix('%') {
                Some(share) => number(share).map(Limit::Percent),
                None => number(text).map(Limit::Count),
            },
        }
    }

    /// What it is, in the limit's unit; none where there is nothing to measure it by.
    fn of(self, load: &Load, limit: Limit) -> Option<Limit> {
        let share = |(some, all): (u64, u64)| match limit {
            Limit::Percent(_) => (all > 0).then(|| Limit::Percent(some as f64 * 100.0 / all as f64)),
            _ => Some(Limit::Count(some as f64)),
        };
        match self {
            Self::Latency(thousandths) => load.latencies.quantile(thousandths).map(Limit::Ns),
            Self::Longest => load.latencies.most().map(Limit::Ns),
            Self::Errors => share((load.errors, load.sent)),
            Self::Retries => share(match load.retries() {
                // Of no calls none is made again.
                (0, 0) => (0, 1),
                (beyond, 0) => (beyond, beyond),
                found => found,
            }),
            Self::Rate => {
                (load.wall_ns > 0).then(|| Limit::Count(load.sent as f64 * 1e9 / load.wall_ns as f64))
            }
        }
    }
}

impl Limit {
    const fn number(self) -> f64 {
        match self {
            Self::Ns(ns) => ns as f64,
            Self::Count(number) | Self::Percent(number) => number,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ns(ns) => write!(f, "{:.2}ms", *ns as f64 / 1e6),
            Self::Percent(share) => write!(f, "{share:.2}%"),
            Self::Count(number) if number.fract() == 0.0 => write!(f, "{number:.0}"),
            Self::Count(number) => write!(f, "{number:.2}"),
        }
    }
}

fn wrong(message: String) -> ExpectedError {
    ExpectedError::new(Exit::Usage, message).help(USUAL)
}

fn unknown(name: &str) -> ExpectedError {
    let near = near(name, MEASURES.iter().map(|(known, _)| *known));
    let hint = near.map_or(String::new(), |near| format!(": did you mean `{near}`?"));
    wrong(format!("`{name}` is nothing that an objective can be about{hint}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::replay::judge::Calls;

    fn load() -> Load {
        let mut load = Load { sent: 200, errors: 3, wall_ns: 2_000_000_000, ..Load::default() };
        (1..=197_u64).for_each(|ms| load.latencies.add(ms * 1_000_000));
        load.calls.insert("payments.test".into(), Calls { made: 14, expected: 7 });
        load.calls.insert("stock.test".into(), Calls { made: 5, expected: 13 });
        load
    }

    fn held(text: &str) -> Vec<(String, bool)> {
        Slo::parse(text).unwrap().hold(&load()).into_iter().map(|it| (it.measured, it.is_met)).collect()
    }

    #[test]
    fn each_measure_is_held_against_its_limit() {
        for (text, measured, is_met) in [
            ("p50<100ms", "99.00ms", true),
            ("p50 < 99ms", "99.00ms", false),
            ("p99<250ms", "196.00ms", true),
            ("p99<0.1s", "196.00ms", false),
            ("max<197ms", "197.00ms", false),
            ("max<=197ms", "197.00ms", true),
            ("errors<2%", "1.50%", true),
            ("errors<1%", "1.50%", false),
            ("errors<=3", "3", true),
            ("errors<3", "3", false),
            ("rate>99/s", "100/s", true),
            ("rate>100", "100/s", false),
            ("rate>=100/s", "100/s", true),
            // 7 beyond the 20 of the recording: those that were not made do not make up for them.
            ("retries<35%", "35.00%", false),
            ("retries<8", "7", true),
        ] {
            let (found, met) = held(text).remove(0);
            // Quantiles are right to a thousandth.
            let found = if found.ends_with("ms") { rounded(&found) } else { found };
            assert_eq!((found.as_str(), met), (measured, is_met), "{text}");
        }
        assert_eq!(held("p99<1s, errors<1%").iter().map(|it| it.1).collect::<Vec<_>>(), [true, false]);
    }

    fn rounded(text: &str) -> String {
        let ms: f64 = text.trim_end_matches("ms").parse().unwrap();
        format!("{:.2}ms", ms.floor())
    }

    #[test]
    fn what_was_not_measured_is_not_met_but_nothing_is_no_retry() {
        let none = |text: &str| Slo::parse(text).unwrap().hold(&Load::default()).remove(0);
        for text in ["p99<1s", "errors<1%", "rate>1"] {
            assert_eq!((none(text).measured.as_str(), none(text).is_met), ("none", false), "{text}");
        }
        assert!(none("retries<1%").is_met);
    }

    #[test]
    fn mistakes_are_named_with_the_near_word() {
        for (text, said) in [
            ("p9<1s", "did you mean `p90`?"),
            ("error<1%", "did you mean `errors`?"),
            ("retires<1%", "did you mean `retries`?"),
            ("throughput>3", "nothing that an objective can be about"),
            ("p99", "no < or >"),
            ("p99>1s", "below"),
            ("rate<1", "above"),
            ("p99<250", "a time needs a unit"),
            ("errors<x%", "no number"),
            ("p99<1s,", "no < or >"),
            ("p99=<1s", "below"),
        ] {
            let error = Slo::parse(text).unwrap_err();
            assert_eq!(error.exit, Exit::Usage);
            assert!(error.message.contains(said), "{text}: {}", error.message);
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "\\PC{0,40}") {
            let _ = Slo::parse(&text);
        }

        #[test]
        fn what_is_read_is_told_as_it_was_written(name in 0_usize..6, ms in 1_u64..10_000) {
            let text = format!("{}<{ms}ms", MEASURES[name].0);
            let slo = Slo::parse(&text).unwrap();
            prop_assert_eq!(&slo.hold(&load())[0].objective, &text);
        }
    }
}
