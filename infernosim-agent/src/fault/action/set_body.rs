//! Another body.

use bytes::Bytes;

use super::{Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::Kinds;

pub const ENTRY: Entry = Entry {
    word: "set-body",
    aliases: &[],
    value: Value::Needed("TEXT"),
    kinds: Kinds::CALL,
    needs: Need::Messages,
    repeats: false,
    about: "The answer has this body, and says its length; what the other was encoded with is gone.",
    example: "dep=payments set-body='<html>' set-header=Content-Type:text/html",
    parse: |value| {
        let text = value.unwrap_or_default().to_owned();
        Ok(Parsed::new(text.clone(), Effect::SetBody(Bytes::from(text))))
    },
};
