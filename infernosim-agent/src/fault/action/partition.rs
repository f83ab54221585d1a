//! Several dependencies are out of reach at once.

use super::{Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::Kinds;

pub const ENTRY: Entry = Entry {
    word: "partition",
    aliases: &[],
    value: Value::None,
    kinds: Kinds::CONNECT.and(Kinds::CALL),
    needs: Need::Bytes,
    repeats: false,
    about: "All dependencies of the rule are out of reach at once: as `blackhole`, with a `dep=` for each.",
    example: "dep=payments dep=ledger partition after=1s",
    parse: |_| Ok(Parsed::bare(Effect::Blackhole)),
};
