//! A narrow line.

use super::{Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::Kinds;
use crate::fault::wrong::Wrong;
use crate::quantity::{size, size_text};

/// What a bare number is of: toxiproxy's KB/s.
const BARE: u64 = 1000;

pub const ENTRY: Entry = Entry {
    word: "bandwidth",
    aliases: &[],
    value: Value::Needed("RATE"),
    kinds: Kinds::CALL,
    needs: Need::Bytes,
    repeats: false,
    about: "So many bytes a second: `64KiB/s`, `100kB/s`; a bare number is kB/s, as toxiproxy's.",
    example: "dep=payments bandwidth=64KiB/s",
    parse,
};

fn parse(value: Option<&str>) -> Result<Parsed, Wrong> {
    let value = value.unwrap_or_default().trim();
    let rate = match value.parse::<u64>() {
        Ok(bare) => bare.saturating_mul(BARE),
        Err(_) => match value.strip_suffix("/s") {
            Some(bytes) => size(bytes)?,
            None => {
                let likely = if size(value).is_ok() { format!("{value}/s") } else { "64KiB/s".to_owned() };
                return Err(Wrong::new(format!("`{value}` is no rate")).help(format!("write `{likely}`")));
            }
        },
    };
    if rate == 0 {
        return Err(
            Wrong::new("at no bytes a second nothing ever arrives").help("that is `timeout` or `blackhole`")
        );
    }
    Ok(Parsed::new(format!("{}/s", bytes_text(rate)), Effect::Bandwidth(rate)))
}

/// Never a bare number, which would be another rate.
pub fn bytes_text(bytes: u64) -> String {
    let text = size_text(bytes);
    if text.ends_with('B') { text } else { format!("{text}B") }
}
