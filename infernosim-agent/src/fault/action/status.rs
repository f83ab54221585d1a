//! Another status.

use super::{Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::Kinds;
use crate::fault::wrong::Wrong;

pub const ENTRY: Entry = Entry {
    word: "status",
    aliases: &[],
    value: Value::Needed("200..599"),
    kinds: Kinds::CALL,
    needs: Need::Messages,
    repeats: false,
    about: "The answer has this status; fields and body stay.",
    example: "dep=payments status=503",
    parse: |value| {
        number(value.unwrap_or_default()).map(|it| Parsed::new(it.to_string(), Effect::Status(it)))
    },
};

/// The status of an answer; those of 1xx are of none.
pub fn number(text: &str) -> Result<u16, Wrong> {
    let wrong =
        || Wrong::new(format!("`{text}` is no status of an answer")).help("it is a number from 200 to 599");
    text.parse().ok().filter(|number| (200..=599).contains(number)).ok_or_else(wrong)
}
