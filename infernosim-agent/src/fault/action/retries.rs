//! Fails until it was tried often enough.

use super::{Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::Kinds;
use crate::fault::wrong::Wrong;

pub const ENTRY: Entry = Entry {
    word: "retries",
    aliases: &[],
    value: Value::Needed("N"),
    kinds: Kinds::CALL,
    needs: Need::Messages,
    repeats: false,
    about: "The first N occurrences fail, as another action of the rule says, or with a 503: what a client that tries N + 1 \
            times gets over.",
    example: "dep=payments op='POST /charge' retries=2",
    parse,
};

/// Without another action; the N is one of the rule's conditions.
fn parse(value: Option<&str>) -> Result<Parsed, Wrong> {
    Ok(Parsed::new(value.unwrap_or_default(), Effect::Answer { after: 0, status: 503 }))
}
