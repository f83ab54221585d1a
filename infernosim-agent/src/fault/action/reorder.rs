//! Requests in another order.

use super::{Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::Kinds;
use crate::fault::when::count;
use crate::fault::wrong::Wrong;

/// More requests are not held back for it.
const MOST_LATER: u64 = 1000;

pub const ENTRY: Entry = Entry {
    word: "reorder",
    aliases: &[],
    value: Value::Optional("N"),
    kinds: Kinds::REQUEST,
    needs: Need::Messages,
    repeats: false,
    about: "N requests that follow, or the next one, are sent before it.",
    example: "dir=in reorder=2 every=5",
    parse,
};

fn parse(value: Option<&str>) -> Result<Parsed, Wrong> {
    let later = value.map_or(Ok(1), count)?;
    let later = u32::try_from(later).ok().filter(|later| u64::from(*later) <= MOST_LATER);
    let later = later.ok_or_else(|| Wrong::new(format!("at most {MOST_LATER} requests are held back")))?;
    Ok(Parsed::new(later.to_string(), Effect::Reorder(later)))
}
