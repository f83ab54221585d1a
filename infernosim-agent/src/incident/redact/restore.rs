//! The way back: values in the place of tokens, for a replay.

use super::coding;
use super::json::NUMBER;
use super::media::{Coding, Media};
use super::shape::Shape;
use super::spot::tokens;
use super::token::PREFIX;
use crate::incident::json;
use crate::incident::reader::Secrets;

/// So much may come of compressed content, in bytes.
const MOST_DECODED: usize = 256 << 20;

/// How a value stands where it is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    /// As it is; as JSON writes it where it stands between quotes.
    Plain,
    /// Percent-encoded (RFC 3986 section 2.1).
    Percent,
    /// As in a string of JSON (RFC 8259 section 7).
    Json,
}

/// Puts values in the place of tokens, and notes those that it does not know.
#[derive(Debug)]
pub struct Restorer<'a> {
    secrets: &'a Secrets,
    /// Tokens without a value, each once, in order.
    pub unknown: Vec<String>,
}

impl<'a> Restorer<'a> {
    /// By these.
    pub const fn new(secrets: &'a Secrets) -> Self {
        Self { secrets, unknown: Vec::new() }
    }

    /// A header field's value.
    pub fn value(&mut self, text: &str) -> Vec<u8> {
        if !text.contains(PREFIX) {
            return text.as_bytes().to_vec();
        }
        // Of a URL only what is unusual there is written otherwise; credentials stand as they are.
        self.restore(text.as_bytes(), if text.contains("://") { Escape::Percent } else { Escape::Plain })
    }

    /// A request target.
    pub fn target(&mut self, text: &str) -> String {
        if !text.contains(PREFIX) {
            return text.to_owned();
        }
        String::from_utf8_lossy(&self.restore(text.as_bytes(), Escape::Percent)).into_owned()
    }

    /// A body; `None` if there is no token in it.
    pub fn body(&mut self, media: &Media, bytes: &[u8]) -> Option<Vec<u8>> {
        if media.coding == Coding::Identity {
            return self.content(media, bytes);
        }
        let (mut decoder, mut encoder) = coding::of(media.coding, bytes)?;
        let mut plain = Vec::new();
        let mut sink = |piece: &[u8]| {
            plain.extend_from_slice(piece);
            plain.len() <= MOST_DECODED
        };
        if decoder.feed(bytes, &mut sink).is_err() {
            // It is not compressed at all, whatever it says.
            return self.content(media, bytes);
        }
        decoder.finish(&mut sink);
        let restored = self.content(media, &plain)?;
        let mut out = Vec::new();
        encoder.feed(&restored, &mut out);
        encoder.finish(&mut out);
        Some(out)
    }

    fn content(&mut self, media: &Media, bytes: &[u8]) -> Option<Vec<u8>> {
        tokens(bytes).next()?;
        let escape = match Shape::of(&media.kind, bytes) {
            Shape::Json(_) | Shape::Events(_) => Escape::Json,
            Shape::Form(_) => Escape::Percent,
            Shape::Multipart(_) | Shape::Lines(_) | Shape::Binary => Escape::Plain,
        };
        Some(self.restore(bytes, escape))
    }

    fn restore(&mut self, bytes: &[u8], escape: Escape) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        let mut done = 0;
        for (at, token) in tokens(bytes) {
            // Of a token within what another stood for there is none: values hold no tokens.
            if at < done {
                continue;
            }
            let Some(value) = self.secrets.get(token) else {
                if !self.unknown.iter().any(|known| known == token) {
                    self.unknown.push(token.to_owned());
                }
                continue;
            };
            let (before, after) = (&bytes[done..at], &bytes[at + token.len()..]);
            let quoted = before.ends_with(b"\"");
            done = at + token.len();
            // A number became a string.
            if quoted && after.strip_prefix(NUMBER).is_some_and(|after| after.starts_with(b"\"")) {
                out.extend_from_slice(&before[..before.len() - 1]);
                out.extend_from_slice(value);
                done += NUMBER.len() + 1;
                continue;
            }
            out.extend_from_slice(before);
            let escape = if quoted && after.starts_with(b"\"") { Escape::Json } else { escape };
            match escape {
                Escape::Plain => out.extend_from_slice(value),
                Escape::Json => json::escaped(&mut out, value),
                Escape::Percent => percent(&mut out, value),
            }
        }
        out.extend_from_slice(&bytes[done..]);
        out
    }
}

fn percent(out: &mut Vec<u8>, value: &[u8]) {
    for &byte in value {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Policy, Redaction, Values, Whole};
    use super::*;

    fn media(content_type: &str, coding: &str) -> Media {
        let mut media = Media::default();
        media.content_type(content_type.as_bytes());
        media.content_encoding(coding.as_bytes());
        media
    }

    /// Redacted, and restored by what the redactor wrote.
    fn there_and_back(media: &Media, body: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut redactor = Redaction::with_key(Some(Policy::default()), [7; 32]).redactor().unwrap();
        let Whole::Replaced(stored) = redactor.whole(media, &Values::default(), body) else {
            panic!("nothing secret in {}", String::from_utf8_lossy(body));
        };
        let secrets = Secrets::parse(&redactor.news());
        let restored = Restorer::new(&secrets).body(media, &stored).unwrap();
        (stored, restored)
    }

    #[test]
    fn what_was_redacted_comes_back_as_it_was() {
        for (kind, body) in [
            ("application/json", "{\"a\":1,\"password\":\"q\\\"\\n\\u00e9\",\"pin\":1234,\"pwd\":-1.5}"),
            ("application/x-www-form-urlencoded", "a=b&password=a%20b%2Bc%26&d=e"),
            ("text/plain", "password: hunter2\nx"),
            (
                "multipart/form-data; boundary=X",
                "--X\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\na \"b\"\r\n--X--\r\n",
            ),
            ("text/event-stream", "data: {\"token\":\"a\\\\b\"}\n\n"),
        ] {
            let (stored, restored) = there_and_back(&media(kind, ""), body.as_bytes());
            assert_ne!(stored, body.as_bytes());
            let plain = |text: &[u8]| String::from_utf8_lossy(text).replace("\\u00e9", "é");
            assert_eq!(plain(&restored), plain(body.as_bytes()), "{kind}");
        }
    }

    #[test]
    fn compressed_content_is_coded_again() {
        use std::io::{Read as _, Write as _};
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"{\"password\":\"hunter2\"}").unwrap();
        let (_, restored) = there_and_back(&media("application/json", "gzip"), &encoder.finish().unwrap());
        let mut text = String::new();
        flate2::read::GzDecoder::new(&restored[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "{\"password\":\"hunter2\"}");
    }

    #[test]
    fn what_is_not_known_stays_and_is_named_once() {
        let secrets = Secrets::default();
        let mut restorer = Restorer::new(&secrets);
        let token = "redacted-5f0c6d1e9b7a4c3d8e2f1a0b";
        let text = format!("a={token}; b={token}");
        assert_eq!(restorer.value(&text), text.as_bytes());
        assert_eq!(restorer.target(&format!("/?token={token}")), format!("/?token={token}"));
        assert_eq!(restorer.unknown, [token]);
    }

    proptest! {
        #[test]
        fn any_json_string_comes_back(value in "\\PC{1,30}") {
            let body = serde_json::json!({"x": 1, "password": value}).to_string();
            let (_, restored) = there_and_back(&media("application/json", ""), body.as_bytes());
            let restored: serde_json::Value = serde_json::from_slice(&restored).unwrap();
            prop_assert_eq!(restored["password"].as_str().unwrap(), value);
        }
    }
}
