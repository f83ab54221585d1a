//! The connection is reset.

use super::{Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::Kinds;
use crate::fault::wrong::Wrong;
use crate::quantity::{size, size_text};

pub const ENTRY: Entry = Entry {
    word: "reset",
    aliases: &[],
    value: Value::Optional("BYTES"),
    kinds: Kinds::CALL,
    needs: Need::Bytes,
    repeats: false,
    about: "The connection is reset (ECONNRESET): before any byte of the answer, or after so many bytes of its body.",
    example: "dep=payments reset=1KiB",
    parse,
};

fn parse(value: Option<&str>) -> Result<Parsed, Wrong> {
    let Some(value) = value else { return Ok(Parsed::bare(Effect::Reset(None))) };
    let bytes = size(value)?;
    Ok(Parsed::new(size_text(bytes), Effect::Reset(Some(bytes))))
}
