//! JSON (RFC 8259) as leaves, numbers as they are written.

use std::ops::Range;

use serde::de::IgnoredAny;

use super::{Fields, Leaf, MOST_FIELDS};

/// Longer names of places are not made: they would be most of what is held.
const LONGEST_PLACE: usize = 1 << 10;
/// What is nested deeper is not looked into.
const DEEPEST: usize = 128;

/// A leaf and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// `body.a.b[0]`.
    pub place: Box<str>,
    /// Its bytes in the text, quotes included.
    pub at: Range<usize>,
    /// What it is.
    pub leaf: Leaf,
}

/// What one JSON text has in it; `None` if it is none, is nested too deep, or has too many leaves.
pub fn fields(text: &[u8]) -> Option<Fields> {
    let mut fields = Fields::new();
    for Placed { mut place, leaf, .. } in leaves(text)? {
        // A name given twice is two fields.
        while fields.contains_key(&place) {
            place = format!("{place}'").into();
        }
        fields.insert(place, leaf);
    }
    Some(fields)
}

/// The leaves of one JSON text, in its order; `None` as with [`fields`].
pub fn leaves(text: &[u8]) -> Option<Vec<Placed>> {
    let mark = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    // From here on it is known to be well-formed.
    serde_json::from_str::<IgnoredAny>(std::str::from_utf8(&text[mark..]).ok()?).ok()?;
    let mut walk = Walk { text, at: mark, depth: 0, place: "body".to_owned(), leaves: Vec::new() };
    walk.value()?;
    Some(walk.leaves)
}

struct Walk<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
    place: String,
    leaves: Vec<Placed>,
}

impl Walk<'_> {
    fn value(&mut self) -> Option<()> {
        let first = self.peek()?;
        let start = self.at;
        match first {
            b'{' | b'[' => {
                self.depth += 1;
                let done = (self.depth <= DEEPEST)
                    .then(|| if first == b'{' { self.members() } else { self.items() })
                    .flatten();
                self.depth -= 1;
                done
            }
            b'"' => {
                let text = self.string()?;
                self.leaf(start, Leaf::of(text.as_bytes()))
            }
            _ => {
                while self.text.get(self.at).is_some_and(|byte| !b",]} \t\r\n".contains(byte)) {
                    self.at += 1;
                }
                let leaf = match &self.text[start..self.at] {
                    b"null" => Leaf::Null,
                    b"true" => Leaf::Bool(true),
                    b"false" => Leaf::Bool(false),
                    number => Leaf::Number(std::str::from_utf8(number).ok()?.into()),
                };
                self.leaf(start, leaf)
            }
        }
    }

    fn members(&mut self) -> Option<()> {
        let start = self.at;
        self.at += 1;
        if self.peek()? == b'}' {
            self.at += 1;
            return self.leaf(start, Leaf::Empty("{}".into()));
        }
        let length = self.place.len();
        loop {
            self.peek()?;
            let name = self.string()?;
            push_name(&mut self.place, &name);
            self.peek()?;
            // The colon.
            self.at += 1;
            self.value()?;
            self.place.truncate(length);
            if self.next()? == b'}' {
                return Some(());
            }
        }
    }

    fn items(&mut self) -> Option<()> {
        let start = self.at;
        self.at += 1;
        if self.peek()? == b']' {
            self.at += 1;
            return self.leaf(start, Leaf::Empty("[]".into()));
        }
        let length = self.place.len();
        for index in 0.. {
            self.place.push_str(&format!("[{index}]"));
            self.value()?;
            self.place.truncate(length);
            if self.next()? == b']' {
                break;
            }
        }
        Some(())
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at)?.is_ascii_whitespace() {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    /// The same, and past it.
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn string(&mut self) -> Option<String> {
        let start = self.at;
        self.at += 1;
        loop {
            self.at += memchr::memchr2(b'"', b'\\', self.text.get(self.at..)?)?;
            if self.text[self.at] == b'"' {
                self.at += 1;
                return serde_json::from_slice(&self.text[start..self.at]).ok();
            }
            self.at += 2;
        }
    }

    fn leaf(&mut self, start: usize, leaf: Leaf) -> Option<()> {
        if self.leaves.len() >= MOST_FIELDS || self.place.len() > LONGEST_PLACE {
            return None;
        }
        self.leaves.push(Placed { place: self.place.as_str().into(), at: start..self.at, leaf });
        Some(())
    }
}

/// `.name`, in quotes if it is unusual.
fn push_name(place: &mut String, name: &str) {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    place.push('.');
    if plain && name.starts_with(|c: char| !c.is_ascii_digit()) {
        place.push_str(name);
    } else {
        place.push_str(&serde_json::Value::from(name).to_string());
    }
}
