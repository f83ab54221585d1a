//! A field less in the answer's head.

use super::{Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::Kinds;
use crate::fault::selector::is_token;
use crate::fault::wrong::Wrong;

pub const ENTRY: Entry = Entry {
    word: "drop-header",
    aliases: &[],
    value: Value::Needed("NAME"),
    kinds: Kinds::CALL,
    needs: Need::Messages,
    repeats: true,
    about: "The answer has no field of this name.",
    example: "dep=payments drop-header=Content-Type",
    parse,
};

fn parse(value: Option<&str>) -> Result<Parsed, Wrong> {
    let name = value.unwrap_or_default().trim();
    if !is_token(name) {
        return Err(Wrong::new(format!("`{name}` is no name of a field")));
    }
    Ok(Parsed::new(name, Effect::DropHeader(name.to_owned())))
}
