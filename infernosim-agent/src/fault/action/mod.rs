//! What a rule does: a file for each action, with its word, what its value means, and an example.

mod bandwidth;
mod blackhole;
mod cancel;
mod corrupt;
mod dns;
mod down;
mod drop_header;
mod duplicate;
mod duplicate_response;
mod fail;
mod half_close;
mod latency;
mod limit_bytes;
mod partition;
mod refuse;
mod reorder;
mod reset;
mod reset_peer;
mod retries;
mod set_body;
mod set_header;
mod set_json;
mod slice;
mod slow_close;
mod stale;
mod status;
mod timeout;
mod truncate;

pub use bandwidth::bytes_text;
pub use corrupt::with_key;
pub use slice::text as slice_text;

use std::fmt;
use std::sync::Arc;

use super::effect::Effect;
use super::occasion::{Kind, Kinds};
use super::word::quoted;
use super::wrong::Wrong;
use crate::seed::Dice;

/// All actions, in the order of docs/faults.md.
pub const ENTRIES: [&Entry; 28] = [
    &latency::ENTRY,
    &timeout::ENTRY,
    &fail::ENTRY,
    &retries::ENTRY,
    &status::ENTRY,
    &set_header::ENTRY,
    &drop_header::ENTRY,
    &set_body::ENTRY,
    &set_json::ENTRY,
    &stale::ENTRY,
    &duplicate_response::ENTRY,
    &truncate::ENTRY,
    &corrupt::ENTRY,
    &reset::ENTRY,
    &reset_peer::ENTRY,
    &half_close::ENTRY,
    &slow_close::ENTRY,
    &bandwidth::ENTRY,
    &slice::ENTRY,
    &limit_bytes::ENTRY,
    &refuse::ENTRY,
    &blackhole::ENTRY,
    &partition::ENTRY,
    &down::ENTRY,
    &dns::ENTRY,
    &cancel::ENTRY,
    &duplicate::ENTRY,
    &reorder::ENTRY,
];

/// An action as the grammar, docs/faults.md and the JSON Schema have it.
#[derive(Debug)]
pub struct Entry {
    /// How it is written.
    pub word: &'static str,
    /// How others write it.
    pub aliases: &'static [&'static str],
    /// What stands behind `=`.
    pub value: Value,
    /// What it can happen to.
    pub kinds: Kinds,
    /// Whether it is one of messages (HTTP), or else of bytes.
    pub needs: Need,
    /// Whether it may stand in one rule more than once.
    pub repeats: bool,
    /// A sentence or two.
    pub about: &'static str,
    /// A rule with it.
    pub example: &'static str,
    /// Reads what stands behind `=`.
    pub parse: fn(Option<&str>) -> Result<Parsed, Wrong>,
}

/// Whether an action has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// It has none.
    None,
    /// It has none, or this.
    Optional(&'static str),
    /// It has this.
    Needed(&'static str),
}

/// What must be understood of a connection for an action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Nothing is done to it.
    #[default]
    Nothing,
    /// It works on bytes, in either direction.
    Bytes,
    /// It works on the answers of HTTP.
    Messages,
}

/// What an action does.
pub trait Does: fmt::Debug + Send + Sync {
    /// To an occasion of a kind that its entry has. What is left to chance is drawn, always as many times.
    fn effects(&self, kind: Kind, draw: &mut Draw) -> Vec<Effect>;
}

/// Always the same.
impl Does for Effect {
    fn effects(&self, _: Kind, _: &mut Draw) -> Vec<Effect> {
        vec![self.clone()]
    }
}

/// An action's value as read.
#[derive(Debug)]
pub struct Parsed {
    /// As it is read again.
    value: Option<String>,
    does: Arc<dyn Does>,
}

impl Parsed {
    pub fn new(value: impl Into<String>, does: impl Does + 'static) -> Self {
        Self { value: Some(value.into()), does: Arc::new(does) }
    }

    pub fn bare(does: impl Does + 'static) -> Self {
        Self { value: None, does: Arc::new(does) }
    }
}

/// What is drawn for one action of one occasion.
#[derive(Debug)]
pub struct Draw {
    dice: Dice,
    occurrence: u64,
    next: u64,
}

impl Draw {
    /// For the action at this place of its rule. The draw before all others is that of `p`.
    pub const fn new(dice: Dice, occurrence: u64, place: u64) -> Self {
        Self { dice, occurrence, next: (place + 1) << 8 }
    }

    /// From 0 to below 1.
    pub fn chance(&mut self) -> f64 {
        self.next += 1;
        self.dice.chance(self.occurrence, self.next)
    }

    /// Any number but 0.
    pub fn key(&mut self) -> u64 {
        self.next += 1;
        self.dice.word(self.occurrence, self.next).max(1)
    }
}

/// An action of a rule.
#[derive(Clone, Debug)]
pub struct Action {
    /// Which.
    pub entry: &'static Entry,
    /// What it happens to, of what its entry has.
    pub kinds: Kinds,
    value: Option<String>,
    does: Arc<dyn Does>,
}

impl Action {
    /// Of an entry's word and value.
    pub fn parse(entry: &'static Entry, value: Option<&str>) -> Result<Self, Wrong> {
        match (entry.value, value) {
            (Value::None, Some(value)) => {
                let wrong = Wrong::new(format!("it takes no value, and has `{value}`"));
                return Err(wrong.help(format!("for example `{}`", entry.example)));
            }
            (Value::Needed(what), None | Some("")) if entry.word != "set-body" || value.is_none() => {
                let wrong = Wrong::new("it needs a value");
                return Err(
                    wrong.help(format!("write `{}={what}`, for example `{}`", entry.word, entry.example))
                );
            }
            _ => {}
        }
        let Parsed { value, does } = (entry.parse)(value)?;
        Ok(Self { entry, kinds: entry.kinds, value, does })
    }

    /// What it does to an occasion.
    pub fn effects(&self, kind: Kind, draw: &mut Draw) -> Vec<Effect> {
        self.does.effects(kind, draw)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={}", self.entry.word, quoted(value)),
            None => f.write_str(self.entry.word),
        }
    }
}
