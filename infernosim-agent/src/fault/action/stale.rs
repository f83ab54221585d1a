//! An answer of earlier.

use super::{Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::Kinds;
use crate::fault::when::count;
use crate::fault::wrong::Wrong;

/// More are not kept for it.
const MOST_AGO: u64 = 1000;

pub const ENTRY: Entry = Entry {
    word: "stale",
    aliases: &[],
    value: Value::Optional("N"),
    kinds: Kinds::CALL,
    needs: Need::Messages,
    repeats: false,
    about: "The answer is that of N occurrences earlier, or of the one before; its own where there was none.",
    example: "dep=payments op='GET /balance' stale",
    parse,
};

fn parse(value: Option<&str>) -> Result<Parsed, Wrong> {
    let ago = value.map_or(Ok(1), count)?;
    let ago = u32::try_from(ago).ok().filter(|ago| u64::from(*ago) <= MOST_AGO);
    let ago = ago.ok_or_else(|| Wrong::new(format!("at most {MOST_AGO} answers are kept")))?;
    Ok(Parsed::new(ago.to_string(), Effect::Stale(ago)))
}
