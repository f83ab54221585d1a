//! Where a body ends. The bytes themselves pass as they came, so that nothing of them is kept.
//!
//! `protocol::http1` reads the same for the recording, leniently and with the chunks taken out. Here a client's
//! chunks are read strictly: what two readers may understand differently hides a request from one of them
//! ("request smuggling", RFC 9112 section 11.2). Property tests hold the two against each other.

/// The longest line of a chunk's size, its extensions included.
const MAX_LINE: u32 = 16 << 10;
/// The longest trailer section.
const MAX_TRAILERS: u32 = 64 << 10;

/// What of a body is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// So many bytes.
    Length(u64),
    /// All to the end of the connection.
    UntilClose,
    /// Chunks (RFC 9112 section 7.1).
    Chunked(Chunks),
}

/// Reads chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunks {
    at: At,
    /// Bytes of the line or of the trailer section so far.
    line: u32,
    /// Whether a line may end with a bare LF.
    lenient: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In the digits of a size.
    Size(u64),
    /// Behind them; whether a `;` was seen.
    Extension(u64, bool),
    /// Behind the CR of a size's line.
    SizeReturn(u64),
    Data(u64),
    /// Behind a chunk's data.
    DataEnd,
    DataReturn,
    /// At the beginning of a trailer's line.
    Trailer,
    /// In its name.
    TrailerName,
    /// Behind the colon.
    TrailerLine,
    /// Behind the CR of a trailer's line, of one that is empty.
    TrailerReturn(bool),
    End,
}

impl Body {
    /// Chunks, of an answer (`lenient`) or of a request.
    pub const fn chunked(lenient: bool) -> Self {
        Self::Chunked(Chunks { at: At::Size(0), line: 0, lenient })
    }

    /// Reads on; how many of `bytes` belong to the body: less than all of them only if it ends there.
    ///
    /// # Errors
    /// The chunks are malformed.
    pub fn read(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        match self {
            Self::UntilClose => Ok(bytes.len()),
            Self::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                Ok(taken)
            }
            Self::Chunked(chunks) => chunks.read(bytes),
        }
    }

    /// Whether all of it was read.
    pub const fn is_over(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::UntilClose => false,
            Self::Chunked(chunks) => matches!(chunks.at, At::End),
        }
    }

    /// How many bytes may be read without reading past its end; many, where that is not known.
    pub fn at_most(&self) -> usize {
        match self {
            Self::Length(left) => usize::try_from(*left).unwrap_or(usize::MAX),
            Self::UntilClose | Self::Chunked(_) => usize::MAX,
        }
    }
}

impl Chunks {
    fn read(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        let mut at = 0;
        while at < bytes.len() && self.at != At::End {
            if let At::Data(left) = self.at {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += taken;
                let left = left - taken as u64;
                self.at = if left == 0 { At::DataEnd } else { At::Data(left) };
                continue;
            }
            self.step(bytes[at])?;
            at += 1;
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<(), &'static str> {
        self.line += 1;
        self.at = match (self.at, byte) {
            (At::Size(size), _) if byte.is_ascii_hexdigit() => self.digit(size, byte)?,
            // A line that begins with no digit has no size.
            (At::Size(_), _) if self.line == 1 => return Err(BAD_SIZE),
            (At::Size(size) | At::Extension(size, _), b'\r') => At::SizeReturn(size),
            (At::Size(size) | At::Extension(size, _), b'\n') if self.lenient => self.sized(size),
            (At::SizeReturn(size), b'\n') => self.sized(size),
            (At::Size(size) | At::Extension(size, _), b';') => At::Extension(size, true),
            (At::Size(size) | At::Extension(size, false), b' ' | b'\t') => At::Extension(size, false),
            // RFC 9112 section 7.1.1; NUL and bare line ends are no part of one.
            (At::Extension(size, true), b'\t' | b' '..=b'~' | 0x80..) => At::Extension(size, true),
            (At::DataEnd, b'\r') => At::DataReturn,
            (At::DataEnd, b'\n') if self.lenient => self.next(),
            (At::DataReturn, b'\n') => self.next(),
            (At::Size(_) | At::Extension(..) | At::SizeReturn(_), _) => return Err(BAD_SIZE),
            (At::DataEnd | At::DataReturn, _) => return Err("a chunk longer than its size"),
            (At::Trailer, b'\r') => At::TrailerReturn(true),
            (At::Trailer, b'\n') if self.lenient => At::End,
            (At::TrailerName, b'\r') if self.lenient => At::TrailerReturn(false),
            (At::TrailerName, b'\n') if self.lenient => At::Trailer,
            (At::Trailer | At::TrailerName, _) if self.lenient || is_token(byte) => At::TrailerName,
            (At::TrailerName, b':') => At::TrailerLine,
            (At::TrailerLine, b'\r') => At::TrailerReturn(false),
            (At::TrailerLine, b'\n') if self.lenient => At::Trailer,
            (At::TrailerLine, b'\t' | b' '..=b'~' | 0x80..) => At::TrailerLine,
            // A folded line, a field without a name, a control character.
            (At::Trailer | At::TrailerName | At::TrailerLine, _) => return Err(BAD_TRAILER),
            (At::TrailerReturn(true), b'\n') => At::End,
            (At::TrailerReturn(false), b'\n') => At::Trailer,
            (At::TrailerReturn(_), _) => return Err(BAD_TRAILER),
            (at @ (At::Data(_) | At::End), _) => at,
        };
        match self.at {
            At::Size(_) | At::Extension(..) if self.line > MAX_LINE => {
                Err("a chunk-size line of more than 16 KiB")
            }
            At::Trailer | At::TrailerName | At::TrailerLine if self.line > MAX_TRAILERS => {
                Err("trailers of more than 64 KiB")
            }
            _ => Ok(()),
        }
    }

    fn digit(&self, size: u64, digit: u8) -> Result<At, &'static str> {
        let digit = char::from(digit).to_digit(16).ok_or(BAD_SIZE)?;
        let size = size.checked_mul(16).and_then(|size| size.checked_add(digit.into()));
        size.map(At::Size).ok_or("a chunk of more than 2^64 bytes")
    }

    fn sized(&mut self, size: u64) -> At {
        self.line = 0;
        if size == 0 { At::Trailer } else { At::Data(size) }
    }

    fn next(&mut self) -> At {
        self.line = 0;
        At::Size(0)
    }
}

/// RFC 9110 section 5.6.2.
pub const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

const BAD_SIZE: &str = "a malformed chunk size";
const BAD_TRAILER: &str = "a malformed trailer";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::{Conversation, Message, Sender};

    fn read(lenient: bool, bytes: &[u8]) -> Result<Option<usize>, &'static str> {
        let mut body = Body::chunked(lenient);
        let taken = body.read(bytes)?;
        Ok(body.is_over().then_some(taken))
    }

    #[test]
    fn chunks_end_where_they_end() {
        for (text, length) in [
            ("0\r\n\r\n", 5),
            ("3\r\nabc\r\n0\r\n\r\nGET", 13),
            ("3;a=\"b c\"\r\nabc\r\n000\r\nX: y\r\nZ:\r\n\r\n0", 33),
            ("A  \r\n0123456789\r\n0\t;x\r\n\r\n", 25),
        ] {
            assert_eq!(read(false, text.as_bytes()), Ok(Some(length)), "{text:?}");
        }
        for text in ["", "0\r\n", "5\r\nabcde\r\n", "0\r\nX: y\r\n", "ff"] {
            assert_eq!(read(false, text.as_bytes()), Ok(None), "{text:?}");
        }
    }

    #[test]
    fn what_two_readers_may_read_differently_is_refused_from_a_client() {
        for text in [
            "\r\n",
            "-1\r\n",
            "0x1\r\n",
            "1 1\r\n",
            "1\n",
            "1;a\n",
            "1\rX",
            "1\r\nab",
            "1\r\na\n",
            "1\r\na\rX",
            "+1\r\n",
            "0\r\nX: y\n",
            "0\r\n\n",
            "0\r\n a\r\n",
            "0\r\n:a\r\n",
            "0\r\na\r\n",
            "0\r\na b: c\r\n",
            "0\r\nX\0\r\n",
            "1;\0",
            "11111111111111111\r\n",
            " 1\r\n",
        ] {
            assert!(read(false, text.as_bytes()).is_err(), "{text:?}");
        }
        assert_eq!(read(true, b"1\na\n0;x\nX: y\n\n"), Ok(Some(14)));
        assert!(read(false, &[b'0'; 17 << 10]).is_err());
        assert!(read(false, format!("0\r\n{}", "x: y\r\n".repeat(11 << 10)).as_bytes()).is_err());
    }

    /// Where the recording sees the end of a request with this chunked body.
    fn recorded_end(bytes: &[u8]) -> Option<usize> {
        let mut conversation = Conversation::new();
        conversation.feed(
            Sender::Client,
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            &mut |_| {},
        );
        for (at, byte) in bytes.iter().enumerate() {
            let mut ended = false;
            conversation.feed(Sender::Client, &[*byte], &mut |message| {
                ended |= matches!(message, Message::RequestEnd(_));
            });
            if ended {
                return Some(at + 1);
            }
        }
        None
    }

    fn near_chunks() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            "[0-9a-c]{1,2}\r\n",
            "[ -~]{0,6}\r\n",
            "[\r\n;: 0a-]{0,4}",
            Just("3\r\nabc\r\n".to_owned()),
            Just("0\r\n".to_owned()),
            Just("\r\n".to_owned()),
            Just("X: y\r\n".to_owned()),
        ];
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn the_recording_sees_the_end_where_we_do(bytes in near_chunks()) {
            if let Ok(Some(end)) = read(false, &bytes) {
                prop_assert_eq!(recorded_end(&bytes), Some(end));
            }
        }

        #[test]
        fn cuts_change_nothing(bytes in near_chunks(), cuts in prop::collection::vec(1usize..9, 0..40), lenient: bool) {
            let whole = read(lenient, &bytes);
            let mut body = Body::chunked(lenient);
            let (mut at, mut cuts) = (0, cuts.into_iter());
            let pieces = loop {
                let end = (at + cuts.next().unwrap_or(usize::MAX / 2)).min(bytes.len());
                match body.read(&bytes[at..end]) {
                    Err(error) => break Err(error),
                    Ok(taken) if body.is_over() => break Ok(Some(at + taken)),
                    Ok(taken) => prop_assert_eq!(taken, end - at),
                }
                at = end;
                if at == bytes.len() {
                    break Ok(None);
                }
            };
            prop_assert_eq!(pieces, whole);
        }
    }
}
