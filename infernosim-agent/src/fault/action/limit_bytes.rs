//! The connection ends after so many bytes.

use super::{Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::Kinds;
use crate::fault::wrong::Wrong;
use crate::quantity::{size, size_text};

pub const ENTRY: Entry = Entry {
    word: "limit-bytes",
    aliases: &["limit_data", "limit-data"],
    value: Value::Needed("BYTES"),
    kinds: Kinds::CALL,
    needs: Need::Bytes,
    repeats: false,
    about: "The connection ends (FIN) after so many bytes in all, head and body.",
    example: "dep=payments limit-bytes=1KiB",
    parse,
};

fn parse(value: Option<&str>) -> Result<Parsed, Wrong> {
    let bytes = size(value.unwrap_or_default())?;
    Ok(Parsed::new(size_text(bytes), Effect::LimitBytes(bytes)))
}
