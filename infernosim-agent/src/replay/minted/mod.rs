//! Values that the live service makes up and that the recording carries on: ids, cookies, tokens.
//!
//! ```text
//! recorded answer ─┐
//! live answer ─────┴▶ the same field, another value ─▶ learned ─▶ in the place of the recorded value in later requests
//! ```
//!
//! Whole values and whole segments of a path only. What looks like an id goes wherever its recorded value stood; a short
//! number or word only where the name is the same, or where a path says that it is one (`/orders/17`). A value that no
//! recorded request has is not held.

mod answer;
pub mod edit;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::edit::{Parts, Slot};
use super::fields::{self, Leaf};
use super::script::{ExchangeIndex, RecordedAnswer, Request, Script};
use crate::clock;

/// So many values are held, by all who send together.
const MOST_VALUES: usize = 100_000;
/// So many uses are told.
const MOST_USES: usize = 1000;
/// A text of so many characters is an id, whatever it looks like, if it is one word.
const LONG_WORD: usize = 16;
/// A longer one is content.
const LONGEST: usize = 4096;

/// What was learned in a run.
#[derive(Debug)]
pub struct Minted {
    script: Arc<Script>,
    /// So many values are held.
    most: usize,
    /// By the recorded value: those that look like ids.
    ids: BTreeMap<Box<str>, Learned>,
    /// By name and recorded value: all others.
    named: BTreeMap<(Box<str>, Box<str>), Learned>,
    uses: Vec<Substitution>,
}

/// A value that is another in this run.
#[derive(Clone, Debug)]
struct Learned {
    live: Box<str>,
    by: ExchangeIndex,
    field: Box<str>,
    /// As the log has it.
    recorded: Box<str>,
}

/// A value that was put in the place of a recorded one; for the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Substitution {
    /// The exchange whose answer has it.
    pub minted_by: ExchangeIndex,
    /// Where in that answer: `body.id`, `header.location.path[1]`, `header.set-cookie.sid`.
    pub field: Box<str>,
    /// The exchange in whose request it was put.
    pub used_in: ExchangeIndex,
    /// Where in that request: `path[1]`, `header.cookie.sid`, `body.order`.
    pub place: Box<str>,
    /// The recorded value as the log has it, so that a secret is a token.
    pub recorded: Box<str>,
}

impl Minted {
    /// For a script, by one of so many who send.
    pub fn new(script: Arc<Script>, workers: u32) -> Self {
        let most = MOST_VALUES / workers.max(1) as usize;
        Self { script, most, ids: BTreeMap::new(), named: BTreeMap::new(), uses: Vec::new() }
    }

    /// A new run begins: nothing was learned yet.
    pub fn begin(&mut self) {
        self.ids.clear();
        self.named.clear();
        self.uses.clear();
    }

    /// Learns from a whole live answer, as it came.
    pub fn learn(
        &mut self,
        exchange: ExchangeIndex,
        recorded: &RecordedAnswer,
        headers: &[(String, Vec<u8>)],
        body: &[u8],
    ) {
        if recorded.status.is_none() {
            return;
        }
        let before = answer::values(
            recorded.headers.as_deref().unwrap_or_default(),
            recorded.body.as_deref().unwrap_or_default(),
        );
        let live = answer::values(headers, body);
        for (field, old) in &before {
            if let Some(new) = live.get(field) {
                self.compare(exchange, field, old, new);
            }
        }
    }

    fn compare(&mut self, exchange: ExchangeIndex, field: &str, old: &Leaf, new: &Leaf) {
        let (Some(recorded), Some(live)) = (old.as_str(), new.as_str()) else { return };
        let same_type = std::mem::discriminant(old) == std::mem::discriminant(new);
        if recorded.is_empty()
            || live.is_empty()
            || recorded.len() > LONGEST
            || live.len() > LONGEST
            || !same_type
        {
            return;
        }
        // A request carries the value that the secret's token stands for; the log has the token in both places.
        if !self.script.is_carried(recorded) {
            return;
        }
        let (recorded_at, now) = (self.recorded_at(exchange), i128::from(clock::wall(clock::now())));
        if fields::are_times(old, recorded_at, new, now) {
            return;
        }
        let value: Box<str> = self.script.restored(recorded).into();
        let is_id = looks_like_id(recorded);
        let key = (edit::last_name(field).into(), value.clone());
        if *value == *live {
            // It is as it was recorded again.
            self.ids.remove(&value);
            self.named.remove(&key);
            return;
        }
        if self.ids.len() + self.named.len() >= self.most {
            return;
        }
        let learned =
            Learned { live: live.into(), by: exchange, field: field.into(), recorded: recorded.into() };
        if is_id {
            self.ids.insert(value, learned);
        } else {
            self.named.insert(named(field, key), learned);
        }
    }

    fn recorded_at(&self, exchange: ExchangeIndex) -> i128 {
        self.script.recorded_at() + i128::from(self.script.exchange(exchange).start_ns)
    }

    /// Puts live values in the place of recorded ones; gives how many.
    pub fn apply(&mut self, exchange: ExchangeIndex, request: &mut Request) -> usize {
        if self.ids.is_empty() && self.named.is_empty() {
            return 0;
        }
        let Self { ids, named, uses, .. } = self;
        let mut count = 0;
        let parts =
            Parts { target: &mut request.target, headers: &mut request.headers, body: &mut request.body };
        edit::edit(parts, &mut |slot| {
            let learned = ids.get(slot.value).or_else(|| by_name(named, slot))?;
            count += 1;
            if uses.len() < MOST_USES {
                uses.push(Substitution {
                    minted_by: learned.by,
                    field: learned.field.clone(),
                    used_in: exchange,
                    place: slot.place.into(),
                    recorded: learned.recorded.clone(),
                });
            }
            Some(learned.live.to_string())
        });
        count
    }

    /// An exchange whose answer brings a value that this one's request repeats: it is waited for.
    pub fn needs(&self, exchange: ExchangeIndex) -> Option<ExchangeIndex> {
        self.script.exchange(exchange).needs
    }

    /// What was put in since the run began; of a bounded number.
    pub fn uses(&self) -> &[Substitution] {
        &self.uses
    }
}

/// A segment of a path that a Location has is named by the one before it, as it is in a request.
fn named(field: &str, (name, value): (Box<str>, Box<str>)) -> (Box<str>, Box<str>) {
    if field.starts_with("header.location.path") || field.starts_with("header.content-location.path") {
        return ("location".into(), value);
    }
    (name, value)
}

/// By the same name; of a segment of a path also by a name that says that it is an id of what is before it.
fn by_name<'a>(named: &'a BTreeMap<(Box<str>, Box<str>), Learned>, slot: Slot<'_>) -> Option<&'a Learned> {
    let get = |name: &str| named.get(&(name.into(), slot.value.into()));
    if !slot.place.starts_with("path[") {
        return get(slot.name);
    }
    // `orders`: `order`, `orderid`, `order_id`; `id`; or where a Location led.
    let one = slot.name.strip_suffix('s').unwrap_or(slot.name);
    let names =
        ["location".to_owned(), "id".to_owned(), one.to_owned(), format!("{one}id"), format!("{one}_id")];
    names.iter().find_map(|name| get(name))
}

/// The values in an answer that may go where [`Minted`] puts them: ids, cookies, where a Location leads, and numbers whose
/// names say that they are ids.
pub fn carriable(headers: &[(String, Vec<u8>)], body: &[u8]) -> impl Iterator<Item = String> {
    answer::values(headers, body).into_iter().filter_map(|(field, leaf)| {
        let text = leaf.as_str().filter(|text| !text.is_empty() && text.len() <= LONGEST)?;
        let by_place = field.starts_with("header.set-cookie.")
            || field.starts_with("header.location.path") && text.bytes().all(|byte| byte.is_ascii_digit())
            || matches!(leaf, Leaf::Number(_)) && edit::last_name(&field).ends_with("id");
        (by_place || looks_like_id(text)).then(|| text.to_owned())
    })
}

/// By its shape, or as a long word.
fn looks_like_id(text: &str) -> bool {
    let word = || text.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?&;,".contains(&byte));
    fields::is_id(text) || text.len() >= LONG_WORD && word()
}
