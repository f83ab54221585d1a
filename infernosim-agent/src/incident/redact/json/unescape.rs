use crate::incident::redact::normal::hex_digit;

/// The content of a JSON string (RFC 8259 section 7), its escapes decoded, as it comes. What is no valid escape stands
/// for itself; half a surrogate pair becomes the three bytes that UTF-8 would have for it.
#[derive(Debug, Default)]
pub struct Unescape {
    state: State,
    /// The first half of a surrogate pair, whose second half may follow.
    high: Option<u16>,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Plain,
    /// Behind a backslash.
    Escape,
    /// Behind `\u` and so many digits, which say so much.
    Unicode(u8, u16),
}

impl Unescape {
    /// Reads up to the quote that ends the string; gives how many bytes that were, without the quote. All of them: it
    /// has not ended.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut impl FnMut(&[u8])) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            match self.state {
                State::Plain => {
                    let plain = memchr::memchr2(b'"', b'\\', &bytes[at..]).unwrap_or(bytes.len() - at);
                    if plain > 0 {
                        self.end_pair(sink);
                        sink(&bytes[at..at + plain]);
                        at += plain;
                        continue;
                    }
                    if byte == b'"' {
                        return at;
                    }
                    self.state = State::Escape;
                }
                State::Escape => self.escape(byte, sink),
                State::Unicode(digits, so_far) => match hex_digit(byte) {
                    Some(digit) if digits == 3 => self.unit(so_far << 4 | u16::from(digit), sink),
                    Some(digit) => self.state = State::Unicode(digits + 1, so_far << 4 | u16::from(digit)),
                    None => {
                        self.broken(sink);
                        continue;
                    }
                },
            }
            at += 1;
        }
        bytes.len()
    }

    /// The string ends here.
    pub fn finish(&mut self, sink: &mut impl FnMut(&[u8])) {
        self.broken(sink);
        self.end_pair(sink);
    }

    fn escape(&mut self, byte: u8, sink: &mut impl FnMut(&[u8])) {
        self.state = State::Plain;
        let decoded = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.state = State::Unicode(0, 0);
                return;
            }
            _ => {
                self.end_pair(sink);
                return sink(&[b'\\', byte]);
            }
        };
        self.end_pair(sink);
        sink(&[decoded]);
    }

    /// A whole `\uXXXX`.
    fn unit(&mut self, unit: u16, sink: &mut impl FnMut(&[u8])) {
        self.state = State::Plain;
        if let (Some(high), 0xdc00..=0xdfff) = (self.high, unit) {
            self.high = None;
            let scalar = 0x1_0000 + ((u32::from(high) & 0x3ff) << 10) + (u32::from(unit) & 0x3ff);
            return encode(scalar, sink);
        }
        self.end_pair(sink);
        match unit {
            0xd800..=0xdbff => self.high = Some(unit),
            _ => encode(unit.into(), sink),
        }
    }

    /// No second half came.
    fn end_pair(&mut self, sink: &mut impl FnMut(&[u8])) {
        if let Some(high) = self.high.take() {
            encode(high.into(), sink);
        }
    }

    /// An escape that was none after all.
    fn broken(&mut self, sink: &mut impl FnMut(&[u8])) {
        match std::mem::take(&mut self.state) {
            State::Plain => {}
            State::Escape => {
                self.end_pair(sink);
                sink(b"\\");
            }
            State::Unicode(digits, so_far) => {
                self.end_pair(sink);
                sink(b"\\u");
                let text = format!("{so_far:04x}");
                sink(&text.as_bytes()[4 - usize::from(digits)..]);
            }
        }
    }
}

/// UTF-8, of halves of pairs too.
fn encode(scalar: u32, sink: &mut impl FnMut(&[u8])) {
    if let Some(character) = char::from_u32(scalar) {
        return sink(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    let [low, middle, high] = [scalar & 0x3f, scalar >> 6 & 0x3f, scalar >> 12].map(|bits| bits as u8);
    sink(&[0xe0 | high, 0x80 | middle, 0x80 | low]);
}

/// The content of a string that is there in whole.
pub fn whole(text: &[u8]) -> Vec<u8> {
    let (mut unescape, mut out) = (Unescape::default(), Vec::with_capacity(text.len()));
    unescape.feed(text, &mut |piece| out.extend_from_slice(piece));
    unescape.finish(&mut |piece| out.extend_from_slice(piece));
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_escape_stands_for_itself() {
        for (text, plain) in [
            (r"a\x\", "a\\x\\"),
            (r"\u00", "\\u00"),
            (r"\u00zz\u", "\\u00zz\\u"),
            (r"\ud83d\ude00", "\u{1f600}"),
            (r"\u0070", "p"),
        ] {
            assert_eq!(whole(text.as_bytes()), plain.as_bytes(), "{text}");
        }
        assert_eq!(whole(br"\ud83dx\ude00"), b"\xed\xa0\xbdx\xed\xb8\x80");
        assert_eq!(
            whole(br"\ud83d\ud83d\ude00\ud83d"),
            "\u{1f600}"
                .bytes()
                .fold(b"\xed\xa0\xbd".to_vec(), |mut out, byte| {
                    out.push(byte);
                    out
                })
                .into_iter()
                .chain(*b"\xed\xa0\xbd")
                .collect::<Vec<u8>>()
        );
    }

    proptest! {
        #[test]
        fn as_serde_reads_it(text in "\\PC*|[\\x00-\\x7f]*", at in any::<prop::sample::Index>()) {
            let quoted = serde_json::to_string(&text).unwrap();
            let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
            for written in [&quoted[1..quoted.len() - 1], &escaped] {
                prop_assert_eq!(whole(written.as_bytes()), text.as_bytes());
                let (mut unescape, mut out) = (Unescape::default(), Vec::new());
                let cut = at.index(written.len() + 1);
                for piece in [&written.as_bytes()[..cut], &written.as_bytes()[cut..]] {
                    unescape.feed(piece, &mut |piece| out.extend_from_slice(piece));
                }
                unescape.finish(&mut |piece| out.extend_from_slice(piece));
                prop_assert_eq!(out, text.as_bytes());
            }
        }
    }
}
