//! The dependency's process is gone.

use super::{Does, Draw, Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::{Kind, Kinds};

pub const ENTRY: Entry = Entry {
    word: "down",
    aliases: &[],
    value: Value::None,
    kinds: Kinds::CONNECT.and(Kinds::CALL),
    needs: Need::Bytes,
    repeats: false,
    about: "As if the dependency's process were gone: connects are refused, what is open is reset. Of rules that say which \
            occurrences: those of connects.",
    example: "dep=payments down after=2s during=5s",
    parse: |_| Ok(Parsed::bare(Down)),
};

#[derive(Debug)]
struct Down;

impl Does for Down {
    fn effects(&self, kind: Kind, _: &mut Draw) -> Vec<Effect> {
        vec![if kind == Kind::Connect { Effect::Refuse } else { Effect::Reset(None) }]
    }
}
