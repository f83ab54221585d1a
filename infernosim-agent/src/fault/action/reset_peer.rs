//! toxiproxy's reset.

use super::{Does, Draw, Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::{Kind, Kinds};
use crate::fault::wrong::Wrong;
use crate::quantity::{duration, duration_text};

pub const ENTRY: Entry = Entry {
    word: "reset-peer",
    aliases: &["reset_peer"],
    value: Value::Optional("D"),
    kinds: Kinds::CALL,
    needs: Need::Bytes,
    repeats: false,
    about: "The connection is reset, at once or so much later; nothing of the answer is sent.",
    example: "dep=payments reset-peer=500ms",
    parse,
};

/// Waits, then resets.
#[derive(Debug)]
struct Late(u64);

impl Does for Late {
    fn effects(&self, _: Kind, _: &mut Draw) -> Vec<Effect> {
        vec![Effect::Delay(self.0), Effect::Reset(None)]
    }
}

fn parse(value: Option<&str>) -> Result<Parsed, Wrong> {
    let Some(value) = value else { return Ok(Parsed::bare(Effect::Reset(None))) };
    let ns = duration(value)?;
    Ok(Parsed::new(duration_text(ns), Late(ns)))
}
