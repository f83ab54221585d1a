//! Another field in the answer's head.

use super::{Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::Kinds;
use crate::fault::selector::is_token;
use crate::fault::wrong::Wrong;

pub const ENTRY: Entry = Entry {
    word: "set-header",
    aliases: &[],
    value: Value::Needed("NAME:VALUE"),
    kinds: Kinds::CALL,
    needs: Need::Messages,
    repeats: true,
    about: "The answer has this field, in the place of all of its name.",
    example: "dep=payments set-header='Retry-After: 5'",
    parse,
};

fn parse(value: Option<&str>) -> Result<Parsed, Wrong> {
    let value = value.unwrap_or_default();
    let split = value.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
    let Some((name, value)) =
        split.filter(|(name, value)| is_token(name) && !value.contains(char::is_control))
    else {
        return Err(Wrong::new(format!("`{value}` is no field")).help("write `set-header=NAME:VALUE`"));
    };
    Ok(Parsed::new(format!("{name}:{value}"), Effect::SetHeader(name.to_owned(), value.to_owned())))
}
