//! The JSON Schema of plans, docs/fault-plan.schema.json: from the entries, so that it cannot be behind them.

use serde_json::{Map, Value as Json, json};

use super::action::{ENTRIES, Value};
use super::selector::SELECTORS;
use super::when::WHENS;

/// The JSON Schema (draft 2020-12) of a plan's TOML, for editors.
pub fn schema() -> Json {
    let mut keys = Map::new();
    for term in SELECTORS.iter().chain(&WHENS) {
        let mut types = vec![json!({"type": "string"})];
        if term.numbers {
            types.push(json!({"type": "number", "minimum": 0}));
        }
        keys.insert(term.word.to_owned(), key(types, term.repeats, term.about, term.value));
    }
    for entry in ENTRIES {
        let (value, types) = match entry.value {
            Value::None => ("true", vec![json!({"const": true})]),
            Value::Optional(value) => (value, vec![json!({"const": true}), text(), number()]),
            Value::Needed(value) => (value, vec![text(), number()]),
        };
        let key = key(types, entry.repeats, entry.about, value);
        for alias in entry.aliases {
            keys.insert((*alias).to_owned(), key.clone());
        }
        keys.insert(entry.word.to_owned(), key);
    }
    let actions = ENTRIES.iter().flat_map(|entry| std::iter::once(&entry.word).chain(entry.aliases));
    let some_action: Vec<Json> = actions.map(|word| json!({"required": [word]})).collect();
    let whole = json!({
        "type": "object",
        "properties": {"rule": {"type": "string", "description": "A rule as --inject has it."}},
        "required": ["rule"],
        "additionalProperties": false,
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "InfernoSIM fault plan",
        "type": "object",
        "properties": {
            "seed": {"type": ["integer", "string"], "minimum": 0, "pattern": "^[0-9]+$", "description": "What all chances follow from."},
            "rule": {"type": "array", "items": {"anyOf": [
                whole,
                {"type": "object", "properties": keys, "additionalProperties": false, "anyOf": some_action},
            ]}},
        },
        "additionalProperties": false,
    })
}

fn text() -> Json {
    json!({"type": "string"})
}

fn number() -> Json {
    json!({"type": "integer", "minimum": 0})
}

fn key(mut types: Vec<Json>, repeats: bool, about: &str, value: &str) -> Json {
    if repeats {
        types.push(json!({"type": "array", "minItems": 1, "items": {"anyOf": types.clone()}}));
    }
    json!({"anyOf": types, "description": format!("{value}: {about}")})
}
