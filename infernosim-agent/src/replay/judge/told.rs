//! A divergence in words.

use super::canonical::text;
use super::divergence::{Divergence, Reason, Side};
use super::judgement::number;
use super::recording::Recording;
use crate::incident::Direction;
use crate::replay::fields::Difference;
use crate::replay::script::{Basis, CallIndex, ExchangeIndex};
use crate::replay::seen::Asked;

/// So many divergences of a replay are told.
pub const MOST_TOLD: usize = 100;
/// So many characters of a value are told.
const LONGEST_VALUE: usize = 200;

/// A divergence, for people and for the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Of which events the index is.
    pub direction: Direction,
    /// The index, from 0.
    pub index: u32,
    /// Why.
    pub reason: Reason,
    /// The runs that have it, from 1.
    pub runs: Vec<u32>,
    /// How often the first of them has it at this place.
    pub count: u64,
    /// What was to be.
    pub expected: String,
    /// What was.
    pub actual: String,
    /// Name, recorded and live value.
    pub fields: Vec<ToldField>,
    /// Fields that differ and are not told.
    pub more: u64,
    /// What made it happen.
    pub cause: Option<ToldCause>,
}

/// A field that differs; an absent value is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldField {
    /// Its name.
    pub name: String,
    /// As JSON has it.
    pub recorded: Option<String>,
    /// As JSON has it.
    pub live: Option<String>,
}

/// The exchange that made it happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldCause {
    /// Its inbound index.
    pub index: u32,
    /// `POST /orders`.
    pub asked: String,
    /// Its id.
    pub id: String,
    /// How that is known; none where the divergence is about its answer.
    pub basis: Option<&'static str>,
}

impl Told {
    pub(super) fn of(recording: &impl Recording, divergence: &Divergence, runs: Vec<u32>) -> Self {
        let side = |side: &Side| side_text(recording, side);
        let cause = divergence.cause.filter(|it| (it.0 as usize) < recording.exchanges());
        let mut actual = side(&divergence.actual);
        if divergence.expected == divergence.actual {
            actual.push_str(&otherwise(divergence));
        }
        Self {
            direction: divergence.direction,
            index: divergence.index(),
            reason: divergence.reason,
            runs,
            count: divergence.count,
            expected: side(&divergence.expected),
            actual,
            fields: divergence.differences.iter().map(ToldField::of).collect(),
            more: divergence.more,
            cause: cause.map(|it| ToldCause::of(recording, it, divergence.basis)),
        }
    }

    /// `unexpected_outbound_call at outbound event index=1`.
    pub fn place(&self) -> String {
        format!("{} at {} event index={}", self.reason, direction(self.direction), self.index)
    }
}

/// As the contract has it.
pub const fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

impl ToldField {
    fn of(difference: &Difference) -> Self {
        let [recorded, live] = [&difference.recorded, &difference.live].map(|it| it.as_ref().map(text));
        let alike = match (&recorded, &live) {
            (Some(recorded), Some(live)) => {
                recorded.chars().zip(live.chars()).take_while(|(a, b)| a == b).count()
            }
            _ => 0,
        };
        let around = |value: Option<String>| value.map(|value| around(&value, alike));
        Self { name: difference.field.to_string(), recorded: around(recorded), live: around(live) }
    }
}

impl ToldCause {
    fn of(recording: &impl Recording, exchange: ExchangeIndex, basis: Option<Basis>) -> Self {
        let recorded = recording.exchange(exchange);
        let basis = basis.and_then(|basis| match basis {
            Basis::Header => Some("header"),
            Basis::Thread => Some("thread"),
            Basis::OnlyOneInFlight => Some("only-one-in-flight"),
            Basis::Ambiguous => Some("ambiguous"),
            Basis::None => None,
        });
        Self { index: exchange.0, asked: shortened(recorded.asked), id: recorded.id.to_owned(), basis }
    }
}

fn side_text(recording: &impl Recording, side: &Side) -> String {
    match side {
        Side::Nothing => "nothing".into(),
        Side::Call(index) => call_text(recording, *index),
        Side::Asked(asked) => asked_text(asked),
        Side::Unkept => "a call (of so many, not all are kept)".into(),
        Side::Connect(address) => format!("a connect to {address}"),
        Side::Lookup(name) => format!("a lookup of {}", shortened(name)),
        Side::FailedConnects(dependency, count) => {
            format!("{} to {dependency} that fail", number(*count, "connect"))
        }
        Side::Packets(kind, count) => format!("{} of {kind}, dropped", number(*count, "packet")),
        Side::Answer(status) => format!("an answer with status {status}"),
        Side::Closed => "a connection that ended before its answer was whole".into(),
        Side::Exit(status) => exit_text(*status),
        Side::Silence(ns) => {
            let (s, ms) = (ns / 1_000_000_000, ns / 1_000_000 % 1000);
            format!("no answer; nothing moved, or all took longer than it may, for {s}.{ms:03}s")
        }
    }
}

fn exit_text(status: Option<i32>) -> String {
    match status {
        None => "the target was gone".into(),
        Some(status @ 129..=192) => format!("signal {} ended the target", status - 128),
        Some(status) => format!("the target exited with status {status}"),
    }
}

/// `POST http://prices.test/v1/quote`-like: whom, then what.
fn call_text(recording: &impl Recording, index: CallIndex) -> String {
    let call = recording.call(index);
    line(call.dependency, call.method, call.target)
}

fn asked_text(asked: &Asked) -> String {
    line(&asked.dependency, &asked.method, &asked.target)
}

fn line(dependency: &str, method: &str, target: &str) -> String {
    let words = [dependency, method, target].into_iter().filter(|it| !it.is_empty());
    shortened(&words.collect::<Vec<_>>().join(" "))
}

/// What is other where both sides are told alike: the differences say it field by field.
fn otherwise(divergence: &Divergence) -> String {
    let has = |part: &&str| divergence.differences.iter().any(|it| it.field.starts_with(*part));
    let parts: Vec<&str> = ["query", "body", "path", "header"].into_iter().filter(has).collect();
    if parts.is_empty() { String::new() } else { format!(", with another {}", parts.join(" and another ")) }
}

/// A long value from shortly before where it is another, after so many characters.
fn around(value: &str, alike: usize) -> String {
    let from = if alike < LONGEST_VALUE / 2 { 0 } else { alike - LONGEST_VALUE / 4 };
    let is_short = value.chars().nth(LONGEST_VALUE).is_none();
    match value.char_indices().nth(from) {
        Some((at, _)) if from > 0 && !is_short => format!("…{}", shortened(&value[at..])),
        _ => shortened(value),
    }
}

/// Its first characters.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::fields::Leaf;

    #[test]
    fn of_long_values_the_part_that_is_another_is_told() {
        let field = |recorded: &str, live: &str| {
            let leaf = |value: &str| Some(Leaf::Text(value.into()));
            let name = "body.text".into();
            ToldField::of(&Difference { field: name, recorded: leaf(recorded), live: leaf(live) })
        };
        let same = "ä".repeat(500);
        let told = field(&format!("{same}old{same}"), &format!("{same}new"));
        let (recorded, live) = (told.recorded.unwrap(), told.live.unwrap());
        assert!(
            recorded.starts_with("…ä") && recorded.contains("äoldä") && recorded.ends_with("ä…"),
            "{recorded}"
        );
        assert!(live.starts_with("…ä") && live.ends_with("änew\""), "{live}");
        assert!(recorded.chars().count() <= LONGEST_VALUE + 2);
        // A short one beside a long one is told whole, and so is what is other from the beginning on.
        let told = field(&same[..300], &same);
        assert!(told.recorded.unwrap().starts_with("\"ä") && told.live.unwrap().starts_with("…ä"));
        assert!(field("a", &same).live.unwrap().starts_with("\"ä"));
    }
}
