//! Nobody listens.

use super::{Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::Kinds;

pub const ENTRY: Entry = Entry {
    word: "refuse",
    aliases: &[],
    value: Value::None,
    kinds: Kinds::CONNECT,
    needs: Need::Bytes,
    repeats: false,
    about: "A connect fails with ECONNREFUSED.",
    example: "dep=payments refuse",
    parse: |_| Ok(Parsed::bare(Effect::Refuse)),
};
