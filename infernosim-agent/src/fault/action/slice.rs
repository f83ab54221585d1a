//! Small pieces.

use super::corrupt::{keyed, with_key};
use super::{Does, Draw, Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::{Kind, Kinds};
use crate::fault::wrong::Wrong;
use crate::quantity::{duration, duration_text, size, size_text};

pub const ENTRY: Entry = Entry {
    word: "slice",
    aliases: &["slicer"],
    value: Value::Needed("BYTES[~VARIATION][,DELAY]"),
    kinds: Kinds::CALL,
    needs: Need::Bytes,
    repeats: false,
    about: "Bytes come in pieces of this size, more or less by the variation, with a delay between them.",
    example: "dep=payments slice=64~16,10ms",
    parse,
};

#[derive(Debug)]
struct Slice {
    size: u64,
    variation: u64,
    delay: u64,
    key: Option<u64>,
}

impl Does for Slice {
    fn effects(&self, _: Kind, draw: &mut Draw) -> Vec<Effect> {
        let Self { size, variation, delay, key } = *self;
        let key = if variation == 0 { 0 } else { key.unwrap_or_else(|| draw.key()) };
        vec![Effect::Slice { size, variation, delay, key }]
    }
}

fn parse(value: Option<&str>) -> Result<Parsed, Wrong> {
    let (value, key) = keyed(value.unwrap_or_default())?;
    let (sizes, delay) = value.split_once(',').map_or((value, None), |(sizes, delay)| (sizes, Some(delay)));
    let (bytes, variation) =
        sizes.split_once('~').map_or((sizes, None), |(size, variation)| (size, Some(variation)));
    let slice = Slice {
        size: size(bytes)?,
        variation: variation.map_or(Ok(0), size)?,
        delay: delay.map_or(Ok(0), duration)?,
        key,
    };
    if slice.size == 0 || slice.variation >= slice.size {
        return Err(
            Wrong::new("a piece has a byte at least").help("the variation must be less than the size")
        );
    }
    let key = key.filter(|_| slice.variation > 0);
    Ok(Parsed::new(text(slice.size, slice.variation, slice.delay, key), Slice { key, ..slice }))
}

/// `64~16,10ms@5f`.
pub fn text(size: u64, variation: u64, delay: u64, key: Option<u64>) -> String {
    let mut text = size_text(size);
    if variation > 0 {
        text += &format!("~{}", size_text(variation));
    }
    if delay > 0 {
        text += &format!(",{}", duration_text(delay));
    }
    with_key(&text, key)
}
