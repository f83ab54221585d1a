//! The client gives up.

use super::{Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::Kinds;
use crate::fault::wrong::Wrong;
use crate::quantity::{duration, duration_text};

pub const ENTRY: Entry = Entry {
    word: "cancel",
    aliases: &[],
    value: Value::Optional("D"),
    kinds: Kinds::REQUEST,
    needs: Need::Messages,
    repeats: false,
    about: "The client closes its connection so much after it asked, or at once; the answer is not compared.",
    example: "dir=in op='POST /orders' cancel=50ms",
    parse,
};

fn parse(value: Option<&str>) -> Result<Parsed, Wrong> {
    let ns = value.map_or(Ok(0), duration)?;
    Ok(Parsed::new(duration_text(ns), Effect::Cancel(ns)))
}
