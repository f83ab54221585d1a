//! Packets go nowhere.

use super::{Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::Kinds;

pub const ENTRY: Entry = Entry {
    word: "blackhole",
    aliases: &[],
    value: Value::None,
    kinds: Kinds::CONNECT.and(Kinds::CALL),
    needs: Need::Bytes,
    repeats: false,
    about: "Packets go nowhere: a connect hangs, and what is open is silent. Of rules that say which occurrences: those of connects.",
    example: "dep=payments blackhole during=5s",
    parse: |_| Ok(Parsed::bare(Effect::Blackhole)),
};
