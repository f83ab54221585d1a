//! The connection ends late.

use super::{Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::Kinds;
use crate::fault::wrong::Wrong;
use crate::quantity::{duration, duration_text};

pub const ENTRY: Entry = Entry {
    word: "slow-close",
    aliases: &["slow_close"],
    value: Value::Needed("D"),
    kinds: Kinds::CALL,
    needs: Need::Bytes,
    repeats: false,
    about: "The connection ends so much later than it would.",
    example: "dep=payments slow-close=2s",
    parse,
};

fn parse(value: Option<&str>) -> Result<Parsed, Wrong> {
    let ns = duration(value.unwrap_or_default())?;
    Ok(Parsed::new(duration_text(ns), Effect::SlowClose(ns)))
}
