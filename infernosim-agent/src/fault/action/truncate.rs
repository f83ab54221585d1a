//! The body is cut.

use super::{Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::Kinds;
use crate::fault::wrong::Wrong;
use crate::quantity::{size, size_text};

pub const ENTRY: Entry = Entry {
    word: "truncate",
    aliases: &[],
    value: Value::Needed("BYTES"),
    kinds: Kinds::CALL,
    needs: Need::Messages,
    repeats: false,
    about: "The body ends, with a FIN, after so many bytes, however many were announced.",
    example: "dep=payments truncate=100",
    parse,
};

fn parse(value: Option<&str>) -> Result<Parsed, Wrong> {
    let bytes = size(value.unwrap_or_default())?;
    Ok(Parsed::new(size_text(bytes), Effect::Truncate(bytes)))
}
