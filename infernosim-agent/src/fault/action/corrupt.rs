//! Other bytes.

use super::{Does, Draw, Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::{Kind, Kinds};
use crate::fault::wrong::Wrong;
use crate::quantity::{size, size_text};

pub const ENTRY: Entry = Entry {
    word: "corrupt",
    aliases: &[],
    value: Value::Optional("BYTES[@KEY]"),
    kinds: Kinds::CALL,
    needs: Need::Bytes,
    repeats: false,
    about: "So many bytes of the body, or one, are others, at places drawn by seed; with a KEY (hexadecimal, from a ledger) at the \
            same ones again.",
    example: "dep=payments corrupt=3",
    parse,
};

#[derive(Debug)]
struct Corrupt {
    bytes: u64,
    key: Option<u64>,
}

impl Does for Corrupt {
    fn effects(&self, _: Kind, draw: &mut Draw) -> Vec<Effect> {
        vec![Effect::Corrupt { bytes: self.bytes, key: self.key.unwrap_or_else(|| draw.key()) }]
    }
}

fn parse(value: Option<&str>) -> Result<Parsed, Wrong> {
    let (bytes, key) = keyed(value.unwrap_or("1"))?;
    let bytes = size(bytes)?;
    if bytes == 0 {
        return Err("no byte is another".into());
    }
    Ok(Parsed::new(with_key(&size_text(bytes), key), Corrupt { bytes, key }))
}

/// What stands before and behind the `@`.
pub fn keyed(value: &str) -> Result<(&str, Option<u64>), Wrong> {
    let Some((value, key)) = value.rsplit_once('@') else { return Ok((value, None)) };
    let read = u64::from_str_radix(key, 16).ok().filter(|read| *read != 0);
    let read =
        read.ok_or_else(|| Wrong::new(format!("`{key}` is no key")).help("leave `@KEY` away: one is drawn"))?;
    Ok((value, Some(read)))
}

/// As [`keyed`] reads it.
pub fn with_key(value: &str, key: Option<u64>) -> String {
    key.map_or_else(|| value.to_owned(), |key| format!("{value}@{key:x}"))
}
