//! Plans as TOML.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Table, Value};

use super::rule::{unknown, words};
use super::word::{Word, split};
use super::wrong::{Wrong, near};
use super::{Plan, Rule};
use crate::error::{Exit, ExpectedError, Result};

/// A plan's file.
#[derive(Deserialize)]
struct File {
    seed: Option<Value>,
    #[serde(default)]
    rule: Vec<Table>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// The seed, where one is said, and the rules of a plan; `name` is what errors call it.
pub fn read(text: &str, name: &str) -> Result<(Option<u64>, Vec<Rule>)> {
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        ExpectedError::new(
            Exit::Usage,
            format!("the plan {name} is no TOML as plans are, line {line}: {}", error.message()),
        )
        .help("each rule begins with a line [[rule]]; docs/faults.md has an example")
    })?;
    if let Some(other) = file.others.keys().next() {
        let meant = near(other, ["seed", "rule"]).map_or_else(
            || "a plan has `seed` and [[rule]], and nothing else".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        return Err(ExpectedError::new(Exit::Usage, format!("the plan {name} has an unknown key `{other}`"))
            .help(meant));
    }
    let seed = file.seed.map(|seed| whole(&seed).ok_or_else(|| no_seed(name))).transpose()?;
    let rules = (1..).zip(&file.rule);
    let rules = rules.map(|(number, table)| rule(table).map_err(|wrong| wrong.in_plan(name, number)));
    Ok((seed, rules.collect::<Result<_>>()?))
}

fn no_seed(name: &str) -> ExpectedError {
    ExpectedError::new(
        Exit::Usage,
        format!("the seed of the plan {name} is no whole number from 0 to 2^64 - 1"),
    )
    .help("from 2^63 on it must be written as a text, \"9223372036854775808\": TOML has no such numbers")
}

fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn rule(table: &Table) -> Result<Rule, Wrong> {
    if let Some(text) = table.get("rule") {
        let text = text.as_str().filter(|_| table.len() == 1);
        let text = text.ok_or_else(|| Wrong::new("`rule` is a text, and without other keys beside it"))?;
        return Rule::read(text);
    }
    let mut read = Vec::new();
    for (key, value) in table {
        if let Some(other) = ["rules", "inject"].into_iter().find(|other| other == key) {
            return Err(Wrong::new(format!("`{other}`: there is no such key")).help("did you mean `rule`?"));
        }
        if value.is_table() && !words().any(|word| word == key) {
            return Err(unknown(key).of(key));
        }
        let values = match value {
            Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        if values.is_empty() {
            return Err(Wrong::new("the list is empty").of(key));
        }
        for value in values {
            read.push(Word { name: key.clone(), value: text(value).map_err(|wrong| wrong.of(key))? });
        }
    }
    Rule::of(&read)
}

/// As it would stand in a rule; nothing for `true`.
fn text(value: &Value) -> Result<Option<String>, Wrong> {
    match value {
        Value::String(text) => Ok(Some(text.clone())),
        Value::Integer(number) => Ok(Some(number.to_string())),
        Value::Float(number) => Ok(Some(number.to_string())),
        Value::Boolean(true) => Ok(None),
        Value::Boolean(false) => Err(Wrong::new("it is never `false`").help("leave the key away")),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {
            Err(Wrong::new("its value is a text, a number, `true`, or a list of them"))
        }
    }
}

impl Plan {
    /// Of TOML; without a seed, that is 0. `name` is what errors call it.
    ///
    /// # Errors
    /// `Exit::Usage` where it is none, naming the line, or the rule and the word.
    pub fn from_toml(text: &str, name: &str) -> Result<Self> {
        let (seed, rules) = read(text, name)?;
        Ok(Self { seed: seed.unwrap_or(0), rules })
    }

    /// As [`Plan::from_toml`] reads it.
    pub fn to_toml(&self) -> String {
        let seed = match i64::try_from(self.seed) {
            Ok(seed) => seed.to_string(),
            Err(_) => format!("\"{}\"", self.seed),
        };
        let rules = self.rules.iter().map(|rule| format!("\n[[rule]]\n{}", keys(rule)));
        format!("seed = {seed}\n{}", rules.collect::<String>())
    }
}

/// A rule as keys and values; as one text where the same word stands with others between.
fn keys(rule: &Rule) -> String {
    let text = rule.to_string();
    let Ok(words) = split(&text) else { return line("rule", &[Some(text)]) };
    let mut keys: Vec<(String, Vec<Option<String>>)> = Vec::new();
    for Word { name, value } in words {
        let place = keys.iter().position(|(other, _)| *other == name);
        match place {
            None => keys.push((name, vec![value])),
            Some(at) if at + 1 == keys.len() => keys[at].1.push(value),
            Some(_) => return line("rule", &[Some(text)]),
        }
    }
    keys.iter().map(|(name, values)| line(name, values)).collect()
}

fn line(name: &str, values: &[Option<String>]) -> String {
    let value = |value: &Option<String>| match value {
        Some(text) => Value::from(text.as_str()).to_string(),
        None => "true".to_owned(),
    };
    match values {
        [one] => format!("{name} = {}\n", value(one)),
        many => format!("{name} = [{}]\n", many.iter().map(value).collect::<Vec<_>>().join(", ")),
    }
}
