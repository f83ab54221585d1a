//! The dependency stops sending.

use super::{Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::Kinds;

pub const ENTRY: Entry = Entry {
    word: "half-close",
    aliases: &["half_close"],
    value: Value::None,
    kinds: Kinds::CALL,
    needs: Need::Bytes,
    repeats: false,
    about: "The dependency ends its direction (FIN) before it answers, and goes on reading.",
    example: "dep=payments half-close",
    parse: |_| Ok(Parsed::bare(Effect::HalfClose)),
};
