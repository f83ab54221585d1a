//! The answer is held back.

use super::{Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::Kinds;
use crate::fault::wrong::Wrong;
use crate::quantity::{duration, duration_text};

/// What a gateway says that waited too long (RFC 9110 section 15.6.5).
const GATEWAY_TIMEOUT: u16 = 504;

pub const ENTRY: Entry = Entry {
    word: "timeout",
    aliases: &[],
    value: Value::Optional("D"),
    kinds: Kinds::CALL,
    needs: Need::Bytes,
    repeats: false,
    about: "The answer is held for D, then it is a 504 (of what is not HTTP: the connection ends); `timeout` alone hangs.",
    example: "dep=payments timeout=2s",
    parse,
};

fn parse(value: Option<&str>) -> Result<Parsed, Wrong> {
    let Some(value) = value else { return Ok(Parsed::bare(Effect::Hang)) };
    let after = duration(value)?;
    Ok(Parsed::new(duration_text(after), Effect::Answer { after, status: GATEWAY_TIMEOUT }))
}
