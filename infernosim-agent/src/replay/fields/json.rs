//! JSON (RFC 8259) as leaves, numbers as they are written.

use serde::de::IgnoredAny;

use super::{Fields, Leaf, MOST_FIELDS};

/// Longer names of places are not made: they would be most of what is held.
const LONGEST_PLACE: usize = 1 << 10;

/// What one JSON text has in it; `None` if it is none, is nested too deep (128 levels), or has too many leaves.
pub fn fields(text: &[u8]) -> Option<Fields> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let text = std::str::from_utf8(text).ok()?;
    // From here on it is known to be well-formed, and no deeper than what serde_json reads.
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut walk = Walk { text: text.as_bytes(), at: 0, place: "body".to_owned(), fields: Fields::new() };
    walk.value()?;
    Some(walk.fields)
}

struct Walk<'a> {
    text: &'a [u8],
    at: usize,
    place: String,
    fields: Fields,
}

impl Walk<'_> {
    fn value(&mut self) -> Option<()> {
        match self.peek()? {
            b'{' => self.members(),
            b'[' => self.items(),
            b'"' => {
                let text = self.string()?;
                self.leaf(Leaf::of(text.as_bytes()))
            }
            _ => {
                let start = self.at;
                while self.text.get(self.at).is_some_and(|byte| !b",]} \t\r\n".contains(byte)) {
                    self.at += 1;
                }
                let leaf = match &self.text[start..self.at] {
                    b"null" => Leaf::Null,
                    b"true" => Leaf::Bool(true),
                    b"false" => Leaf::Bool(false),
                    number => Leaf::Number(std::str::from_utf8(number).ok()?.into()),
                };
                self.leaf(leaf)
            }
        }
    }

    fn members(&mut self) -> Option<()> {
        self.at += 1;
        if self.peek()? == b'}' {
            self.at += 1;
            return self.leaf(Leaf::Empty("{}".into()));
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
        self.at += 1;
        if self.peek()? == b']' {
            self.at += 1;
            return self.leaf(Leaf::Empty("[]".into()));
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

    fn leaf(&mut self, leaf: Leaf) -> Option<()> {
        if self.fields.len() >= MOST_FIELDS || self.place.len() > LONGEST_PLACE {
            return None;
        }
        // A name given twice is two fields.
        let mut place = self.place.clone();
        while self.fields.contains_key(place.as_str()) {
            place.push('\'');
        }
        self.fields.insert(place.into(), leaf);
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
