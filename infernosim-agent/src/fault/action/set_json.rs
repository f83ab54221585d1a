//! Another value in a body of JSON.

use serde_json::Value as Json;

use super::{Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::Kinds;
use crate::fault::wrong::Wrong;

pub const ENTRY: Entry = Entry {
    word: "set-json",
    aliases: &[],
    value: Value::Needed("PATH:VALUE"),
    kinds: Kinds::CALL,
    needs: Need::Messages,
    repeats: true,
    about: "A value in a JSON body is another: PATH is `total` or `items.0.price`; VALUE is JSON, or else a text. What was \
            gzip, deflate or br is sent without; other bodies stay as they are.",
    example: "dep=payments set-json=items.0.price:-1",
    parse,
};

fn parse(value: Option<&str>) -> Result<Parsed, Wrong> {
    let value = value.unwrap_or_default();
    let Some((path, new)) = value.split_once(':').filter(|(path, _)| !path.trim().is_empty()) else {
        return Err(Wrong::new(format!("`{value}` is no path and value")).help("write `set-json=total:0`"));
    };
    let path = path.trim();
    let path = path.strip_prefix("$.").unwrap_or(path);
    let new = serde_json::from_str(new).unwrap_or_else(|_| Json::from(new));
    Ok(Parsed::new(format!("{path}:{new}"), Effect::SetJson(path.to_owned(), new)))
}
