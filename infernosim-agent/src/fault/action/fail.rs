//! An answer that the dependency does not give.

use super::{Entry, Need, Parsed, Value, status};
use crate::fault::effect::Effect;
use crate::fault::occasion::Kinds;
use crate::fault::wrong::Wrong;

/// RFC 9110 section 15.6.4.
const UNAVAILABLE: u16 = 503;

pub const ENTRY: Entry = Entry {
    word: "fail",
    aliases: &[],
    value: Value::Optional("200..599"),
    kinds: Kinds::CALL,
    needs: Need::Messages,
    repeats: false,
    about: "It is answered at once with this status, or 503, and without a body; the dependency is not asked.",
    example: "dep=payments fail=503 p=0.1",
    parse,
};

fn parse(value: Option<&str>) -> Result<Parsed, Wrong> {
    let status = value.map_or(Ok(UNAVAILABLE), status::number)?;
    Ok(Parsed::new(status.to_string(), Effect::Answer { after: 0, status }))
}
