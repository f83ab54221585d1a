//! What came of a head so far, and what came behind it.

use memchr::memchr;

use crate::clock::Nanos;

/// Bytes of one side that were read and not yet passed on: at most a head and what came with it.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    /// How far it was searched for the end of a head.
    searched: usize,
    /// When the oldest of them came.
    pub since: Nanos,
}

impl Buffer {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All there is.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds what came at `at`.
    pub fn push(&mut self, at: Nanos, bytes: &[u8]) {
        if self.bytes.is_empty() {
            self.since = at;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The length of the head at the beginning, its empty line included, if it is whole. Each byte is looked at
    /// once, however small the pieces in which they come.
    pub fn head(&mut self) -> Option<usize> {
        if self.searched == 0 {
            // Empty lines before a message (RFC 9112 section 2.2): some old clients send one behind a body.
            let blank = self.bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.take(blank);
        }
        while let Some(found) = memchr(b'\n', &self.bytes[self.searched..]) {
            let end = self.searched + found + 1;
            self.searched = end;
            let line = &self.bytes[..end - 1];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() || line.ends_with(b"\n") {
                return Some(end);
            }
        }
        self.searched = self.bytes.len();
        None
    }

    /// Takes so many from the beginning away.
    pub fn take(&mut self, length: usize) {
        self.searched = 0;
        if length == self.bytes.len() {
            // An idle connection holds no memory.
            self.bytes = Vec::new();
        } else {
            self.bytes.drain(..length);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &[u8]) -> Buffer {
        let mut buffer = Buffer::default();
        buffer.push(Nanos(1), text);
        buffer
    }

    #[test]
    fn a_head_ends_with_an_empty_line() {
        assert_eq!(of(b"GET / HTTP/1.1\r\nA: b\r\n\r\nbody").head(), Some(24));
        assert_eq!(of(b"GET / HTTP/1.1\nA: b\n\n").head(), Some(21));
        assert_eq!(of(b"GET / HTTP/1.1\r\nA: b\r\n").head(), None);
        assert_eq!(of(b"").head(), None);
        let mut blank = of(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n");
        assert_eq!((blank.head(), blank.bytes()), (Some(18), &b"GET / HTTP/1.1\r\n\r\n"[..]));
        blank.take(18);
        assert!(blank.is_empty());
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(text in "[aG\r\n]{0,30}", cuts in prop::collection::vec(1usize..5, 30)) {
            let mut whole = of(text.as_bytes());
            let expected = whole.head();
            let mut buffer = Buffer::default();
            let (mut at, mut found) = (0, None);
            for cut in cuts {
                let end = (at + cut).min(text.len());
                buffer.push(Nanos(at as u64), &text.as_bytes()[at..end]);
                at = end;
                found = buffer.head();
                if found.is_some() {
                    break;
                }
            }
            prop_assert_eq!(found, expected);
            if let Some(length) = found {
                prop_assert_eq!(&buffer.bytes()[..length], &whole.bytes()[..length]);
            }
        }
    }
}
