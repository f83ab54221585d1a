//! Secrets of a request that stand in its answer under no name: a page that says which address was asked for.

use super::token::{PREFIX, Token};

/// A shorter value stands in an answer for other reasons.
const SHORTEST: usize = 6;
/// A longer one is not echoed.
const LONGEST: usize = 512;
/// So many values of a request are looked for.
const MOST: usize = 32;

/// Values to be looked for, and what stands for them.
#[derive(Clone, Debug, Default)]
pub struct Values {
    /// Longest first.
    values: Vec<(Vec<u8>, Token)>,
}

/// Replaces values in bytes that come in pieces.
#[derive(Debug, Default)]
pub struct Echo {
    values: Values,
    /// What may be the beginning of one.
    carry: Vec<u8>,
}

impl Values {
    /// Adds a value, and how it stands in a URL and in JSON.
    pub fn add(&mut self, value: &[u8], token: Token) {
        // A part of what every token begins with would be found in tokens.
        let in_tokens = memchr::memmem::find(PREFIX.as_bytes(), value).is_some();
        if !(SHORTEST..=LONGEST).contains(&value.len()) || in_tokens {
            return;
        }
        self.add_form(value.to_vec(), token);
        if value.iter().all(|&byte| is_plain(byte)) {
            return;
        }
        let percent = value
            .iter()
            .flat_map(|&byte| if is_plain(byte) { vec![byte] } else { format!("%{byte:02X}").into_bytes() });
        self.add_form(percent.collect(), token);
        let mut escaped = Vec::new();
        crate::incident::json::escaped(&mut escaped, value);
        self.add_form(escaped, token);
    }

    /// Adds those of others.
    pub fn extend(&mut self, others: Self) {
        if self.values.is_empty() {
            *self = others;
            return;
        }
        for (value, token) in others.values {
            self.add_form(value, token);
        }
    }

    /// Whether one of them stands in `bytes`.
    pub fn are_in(&self, bytes: &[u8]) -> bool {
        self.values.iter().any(|(value, _)| memchr::memmem::find(bytes, value).is_some())
    }

    fn add_form(&mut self, value: Vec<u8>, token: Token) {
        if self.values.len() < MOST && !self.values.iter().any(|(known, _)| *known == value) {
            let at = self.values.partition_point(|(known, _)| known.len() >= value.len());
            self.values.insert(at, (value, token));
        }
    }
}

impl Echo {
    /// For these values.
    pub const fn of(values: Values) -> Self {
        Self { values, carry: Vec::new() }
    }

    /// Whether there is nothing to look for.
    pub const fn is_idle(&self) -> bool {
        self.values.values.is_empty()
    }

    /// Reads on; gives how many values were replaced.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> u64 {
        let Some((longest, _)) = self.values.values.first() else {
            out.extend_from_slice(bytes);
            return 0;
        };
        let held = longest.len() - 1;
        self.carry.extend_from_slice(bytes);
        self.replace(self.carry.len().saturating_sub(held), out)
    }

    /// The bytes end here.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> u64 {
        self.replace(self.carry.len(), out)
    }

    /// Passes on what begins before `end`.
    fn replace(&mut self, end: usize, out: &mut Vec<u8>) -> u64 {
        let (mut at, mut count) = (0, 0);
        while at < end {
            let rest = &self.carry[at..];
            let found = self.values.values.iter().filter_map(|(value, token)| {
                memchr::memmem::find(rest, value).map(|place| (place, value.len(), token))
            });
            // The first; of those that begin there the longest.
            let first = found.min_by_key(|(place, ..)| *place).filter(|(place, ..)| at + place < end);
            let Some((place, length, token)) = first else { break };
            out.extend_from_slice(&rest[..place]);
            out.extend_from_slice(token);
            (at, count) = (at + place + length, count + 1);
        }
        let passed = at.max(end);
        out.extend_from_slice(&self.carry[at..passed]);
        self.carry.drain(..passed);
        count
    }
}

/// What stands for itself in a URL (RFC 3986 section 2.3) and in JSON.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::token::LENGTH;
    use super::*;

    fn values(of: &[&str]) -> Values {
        let mut values = Values::default();
        of.iter().enumerate().for_each(|(at, value)| values.add(value.as_bytes(), [b'0' + at as u8; LENGTH]));
        values
    }

    #[test]
    fn each_form_is_found_and_the_longest_first() {
        let mut echo = Echo::of(values(&["secret-1", "secret-12", "a b\"c+d", "tiny"]));
        let mut out = Vec::new();
        assert_eq!(
            echo.feed(b"<secret-12> secret-1 a%20b%22c%2Bd a b\\\"c+d a b\"c+d tiny secret-", &mut out),
            5
        );
        assert_eq!(echo.finish(&mut out), 0);
        let out = String::from_utf8(out).unwrap();
        let [one, two, three] = ["0", "1", "2"].map(|digit| digit.repeat(LENGTH));
        assert_eq!(out, format!("<{two}> {one} {three} {three} {three} tiny secret-"));
    }

    proptest! {
        #[test]
        fn where_it_is_cut_makes_no_difference(text in "(aaaaab|aaaaaa|a|b|c){0,20}", cut in any::<prop::sample::Index>()) {
            let read = |pieces: &[&str]| {
                let mut echo = Echo::of(values(&["aaaaab", "aaaaabaaaaaa", "baaaaa"]));
                let mut out = Vec::new();
                let mut count: u64 = pieces.iter().map(|piece| echo.feed(piece.as_bytes(), &mut out)).sum();
                count += echo.finish(&mut out);
                (count, String::from_utf8(out).unwrap())
            };
            let (head, tail) = text.split_at(cut.index(text.len() + 1));
            let whole = read(&[&text]);
            prop_assert_eq!(read(&[head, tail]), whole.clone());
            for value in ["aaaaab", "baaaaa"] {
                prop_assert!(!whole.1.contains(value));
            }
        }
    }
}
