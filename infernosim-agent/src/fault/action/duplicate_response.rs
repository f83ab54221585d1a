//! Twice the answer.

use super::{Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::Kinds;

pub const ENTRY: Entry = Entry {
    word: "duplicate-response",
    aliases: &[],
    value: Value::None,
    kinds: Kinds::CALL,
    needs: Need::Messages,
    repeats: false,
    about: "The whole answer is sent twice; the second is left on the connection for whoever reads on.",
    example: "dep=payments duplicate-response first=1",
    parse: |_| Ok(Parsed::bare(Effect::DuplicateResponse)),
};
