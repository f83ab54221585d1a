//! A request is sent twice.

use super::{Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::Kinds;

pub const ENTRY: Entry = Entry {
    word: "duplicate",
    aliases: &[],
    value: Value::None,
    kinds: Kinds::REQUEST,
    needs: Need::Messages,
    repeats: false,
    about: "The client asks twice, as one that retries too early.",
    example: "dir=in op='POST /orders' duplicate",
    parse: |_| Ok(Parsed::bare(Effect::DuplicateRequest)),
};
