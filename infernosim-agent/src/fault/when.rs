//! When a rule hits.

use std::fmt;

use super::Term;
use super::wrong::Wrong;
use crate::quantity::{duration, duration_text};

/// The conditions, as the grammar and the JSON Schema have them.
pub const WHENS: [Term; 6] = [
    Term {
        word: "p",
        value: "0..1",
        numbers: true,
        repeats: false,
        about: "Each with this chance.",
        example: "p=0.1",
    },
    Term {
        word: "at",
        value: "N[-M][,…]",
        numbers: true,
        repeats: true,
        about: "These occurrences, from 1; `3-5` is 3, 4 and 5.",
        example: "at=1,3-5",
    },
    Term {
        word: "every",
        value: "N",
        numbers: true,
        repeats: false,
        about: "Each Nth occurrence.",
        example: "every=3",
    },
    Term {
        word: "first",
        value: "N",
        numbers: true,
        repeats: false,
        about: "The first N occurrences.",
        example: "first=2",
    },
    Term {
        word: "after",
        value: "DURATION",
        numbers: false,
        repeats: false,
        about: "Only so long after the run began (`inject`: after its ready line).",
        example: "after=10s",
    },
    Term {
        word: "during",
        value: "DURATION",
        numbers: false,
        repeats: false,
        about: "Only for so long: from the beginning, or from `after`.",
        example: "during=5s",
    },
];

/// Conditions; all of them must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct When {
    pub p: Option<f64>,
    /// Ranges, ends included, in order and apart.
    pub at: Vec<(u64, u64)>,
    pub every: Option<u64>,
    pub first: Option<u64>,
    /// In ns.
    pub after: Option<u64>,
    /// In ns.
    pub during: Option<u64>,
    /// As `first`, of the action `retries`.
    pub retries: Option<u64>,
}

impl When {
    /// Takes in `every=3`; false where `name` is no condition.
    pub fn take(&mut self, name: &str, value: &str) -> Result<bool, Wrong> {
        match name {
            "p" => set(&mut self.p, chance(value)?)?,
            "at" => {
                for range in value.split(',') {
                    self.at.push(occurrences(range.trim())?);
                }
                self.at = joined(std::mem::take(&mut self.at));
            }
            "every" => set(&mut self.every, count(value)?)?,
            "first" => set(&mut self.first, count(value)?)?,
            "after" => set(&mut self.after, duration(value)?)?,
            "during" => set(&mut self.during, span(value)?)?,
            "retries" => set(&mut self.retries, count(value)?)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether its conditions go together.
    pub fn check(&self) -> Result<(), Wrong> {
        let said = [
            ("at", !self.at.is_empty()),
            ("retries", self.retries.is_some()),
            ("p", self.p.is_some()),
            ("every", self.every.is_some()),
            ("first", self.first.is_some()),
        ];
        let said: Vec<&str> = said.iter().filter(|(_, is)| *is).map(|(word, _)| *word).collect();
        if let [exact @ ("at" | "retries"), other, ..] = said[..] {
            let wrong =
                Wrong::new(format!("`{exact}` says which occurrences are hit, so that `{other}` cannot"));
            return Err(wrong.help("leave one of the two away, or write two rules"));
        }
        Ok(())
    }

    /// Whether it depends on which occurrence it is.
    pub fn counts(&self) -> bool {
        let Self { p, at, every, first, retries, after: _, during: _ } = self;
        p.is_some() || !at.is_empty() || every.is_some() || first.is_some() || retries.is_some()
    }

    /// Whether it is hit whichever occurrence it is, as far as the clock lets it.
    pub fn is_always(&self) -> bool {
        !Self { p: self.p.filter(|p| *p < 1.0), every: self.every.filter(|every| *every > 1), ..self.clone() }
            .counts()
    }

    /// Whether it may be hit at one site, and not at another.
    pub fn is_by_chance(&self) -> bool {
        self.p.is_some_and(|p| p > 0.0 && p < 1.0)
    }

    /// Whether an occurrence, from 1, at a time in ns since the run began, is hit; `chance` draws from 0 to below 1.
    pub fn hits(&self, occurrence: u64, at_ns: u64, chance: impl FnOnce() -> f64) -> bool {
        let next = self.at.partition_point(|(_, to)| *to < occurrence);
        let at = self.at.is_empty() || self.at.get(next).is_some_and(|(from, _)| *from <= occurrence);
        at && self.every.is_none_or(|every| occurrence.is_multiple_of(every))
            && self.first.is_none_or(|first| occurrence <= first)
            && self.retries.is_none_or(|first| occurrence <= first)
            && self.window().contains(&at_ns)
            && self.p.is_none_or(|p| chance() < p)
    }

    /// When it may hit, in ns since the run began.
    pub fn window(&self) -> std::ops::Range<u64> {
        let begin = self.after.unwrap_or(0);
        begin..self.during.map_or(u64::MAX, |during| begin.saturating_add(during))
    }
}

/// Nothing is said twice.
pub fn set<T>(place: &mut Option<T>, value: T) -> Result<(), Wrong> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err("it is there twice".into()),
    }
}

/// A whole number from 1.
pub fn count(text: &str) -> Result<u64, Wrong> {
    let wrong = || Wrong::new(format!("`{text}` is no whole number from 1"));
    text.parse().ok().filter(|number| *number > 0).ok_or_else(wrong)
}

/// A time that is longer than nothing, in ns.
fn span(text: &str) -> Result<u64, Wrong> {
    match duration(text)? {
        0 => {
            Err(Wrong::new("it would never hit")
                .help("leave the rule away, or write for example `during=5s`"))
        }
        ns => Ok(ns),
    }
}

fn occurrences(text: &str) -> Result<(u64, u64), Wrong> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (count(from)?, count(to)?);
    if from > to { Err(format!("{from} is more than {to}").into()) } else { Ok((from, to)) }
}

/// In order, those that meet as one.
fn joined(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
    for (from, to) in ranges {
        match joined.last_mut() {
            Some((_, last)) if from <= last.saturating_add(1) => *last = to.max(*last),
            _ => joined.push((from, to)),
        }
    }
    joined
}

fn chance(text: &str) -> Result<f64, Wrong> {
    let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    match (number, percent) {
        (Some(number), _) if (0.0..=1.0).contains(&number) => Ok(number.abs()),
        (Some(of_100), _) | (None, Some(of_100)) if (0.0..=100.0).contains(&of_100) => {
            let wrong = Wrong::new(format!("a chance is a number from 0 to 1, and `{text}` is none"));
            Err(wrong.help(format!("{of_100} % is `p={}`", of_100 / 100.0)))
        }
        _ => Err(Wrong::new(format!("a chance is a number from 0 to 1, and `{text}` is none"))),
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p, at, every, first, after, during, retries: _ } = self;
        let at: Vec<String> = at
            .iter()
            .map(|(from, to)| if from == to { from.to_string() } else { format!("{from}-{to}") })
            .collect();
        let words = [
            p.map(|p| format!("p={p}")),
            (!at.is_empty()).then(|| format!("at={}", at.join(","))),
            every.map(|n| format!("every={n}")),
            first.map(|n| format!("first={n}")),
            after.map(|ns| format!("after={}", duration_text(ns))),
            during.map(|ns| format!("during={}", duration_text(ns))),
        ];
        f.write_str(&words.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn when(words: &[(&str, &str)]) -> Result<When, Wrong> {
        let mut when = When::default();
        for (name, value) in words {
            assert!(when.take(name, value)?, "{name}");
        }
        when.check().map(|()| when)
    }

    fn hit(words: &[(&str, &str)]) -> Vec<u64> {
        let when = when(words).unwrap();
        (1..=9).filter(|occurrence| when.hits(*occurrence, occurrence * 1_000_000_000, || 0.5)).collect()
    }

    #[test]
    fn occurrences_that_are_hit() {
        assert_eq!(hit(&[]).len(), 9);
        assert_eq!(hit(&[("at", "2,5-6")]), [2, 5, 6]);
        assert_eq!(hit(&[("at", "8,2-4,3,9-100,5")]), [2, 3, 4, 5, 8, 9]);
        assert_eq!(hit(&[("every", "3")]), [3, 6, 9]);
        assert_eq!(hit(&[("every", "2"), ("first", "5")]), [2, 4]);
        assert_eq!(hit(&[("retries", "2")]), [1, 2]);
        assert_eq!(hit(&[("after", "7s")]), [7, 8, 9]);
        assert_eq!(hit(&[("during", "3s")]), [1, 2]);
        assert_eq!(hit(&[("after", "3s"), ("during", "2s")]), [3, 4]);
        assert_eq!((hit(&[("p", "0.5")]).len(), hit(&[("p", "0.51")]).len()), (0, 9));
        assert_eq!((hit(&[("p", "0")]).len(), hit(&[("p", "1")]).len()), (0, 9));
    }

    #[test]
    fn what_is_none() {
        for (word, value) in [
            ("p", "1.1"),
            ("p", "-0.1"),
            ("p", "NaN"),
            ("p", "often"),
            ("at", "0"),
            ("at", "3-2"),
            ("at", "1,"),
            ("every", "0"),
            ("first", "1.5"),
            ("after", "10"),
        ] {
            assert!(when(&[(word, value)]).is_err(), "{word}={value}");
        }
        assert!(when(&[("p", "0.5"), ("p", "0.5")]).is_err());
        assert!(when(&[("p", "0.5"), ("at", "1")]).is_err());
        assert!(when(&[("retries", "2"), ("every", "1")]).is_err());
        let percent = when(&[("p", "10%")]).unwrap_err();
        assert_eq!(percent, when(&[("p", "10%")]).unwrap_err().help("10 % is `p=0.1`"));
        assert_eq!(
            when(&[("p", "25")]).unwrap_err(),
            when(&[("p", "25")]).unwrap_err().help("25 % is `p=0.25`")
        );
    }
}
