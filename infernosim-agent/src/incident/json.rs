//! JSON text, written straight into the buffer that goes to the file.

use std::borrow::Cow;
use std::net::SocketAddr;

const HEX: &[u8; 16] = b"0123456789abcdef";
/// Clean text is copied in blocks of this size; the test for it compiles to vector instructions.
const BLOCK: usize = 32;

/// A string with its quotes (RFC 8259 section 7).
pub fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escaped(out, text.as_bytes());
    out.push(b'"');
}

/// A string of bytes that are meant to be text: as UTF-8 where they are, else as ISO-8859-1, in which every
/// byte is a character (header values, RFC 9110 section 5.5).
pub fn lenient_string(out: &mut Vec<u8>, bytes: &[u8]) {
    string(out, &lenient(bytes));
}

/// The text that [`lenient_string`] writes.
pub fn lenient(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|&byte| char::from(byte)).collect()),
    }
}

/// A decimal number.
pub fn number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// `,"name":`
pub fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Lower-case hex digits.
pub fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

/// The inside of a string.
pub fn escaped(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let clean = clean_prefix(rest);
        out.extend_from_slice(&rest[..clean]);
        let Some(&byte) = rest.get(clean) else { break };
        escape(out, byte);
        rest = &rest[clean + 1..];
    }
}

fn clean_prefix(text: &[u8]) -> usize {
    let mut at = 0;
    for block in text.chunks_exact(BLOCK) {
        if block.iter().fold(false, |any, &byte| any | must_escape(byte)) {
            break;
        }
        at += BLOCK;
    }
    at + text[at..].iter().position(|&byte| must_escape(byte)).unwrap_or(text.len() - at)
}

const fn must_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\' || byte == 0x7f
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            out.extend_from_slice(b"\\u00");
            hex(out, &[byte]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// An address with its port, as a string. They stand in every line: IPv4 ones are spelt here, which is several times
/// faster than by the library.
pub fn address(out: &mut Vec<u8>, address: SocketAddr) {
    let SocketAddr::V4(v4) = address else { return string(out, &address.to_string()) };
    out.push(b'"');
    for (index, octet) in v4.ip().octets().into_iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        number(out, octet.into());
    }
    out.push(b':');
    number(out, v4.port().into());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_spelt_as_by_the_library() {
        for text in ["0.0.0.0:0", "127.0.0.1:80", "255.10.100.9:65535", "[::1]:8080", "[fd00::7]:1"] {
            let mut out = Vec::new();
            address(&mut out, text.parse().unwrap());
            assert_eq!(out, format!("\"{text}\"").into_bytes());
        }
    }

    proptest! {
        #[test]
        fn any_text_reads_back(text in "\\PC*|[\\x00-\\x7f]*|[a-z\"\\\\\n]{0,200}") {
            let mut out = Vec::new();
            string(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
            prop_assert!(out.iter().all(|&byte| byte >= 0x20), "a line stays a line");
        }

        #[test]
        fn any_number_reads_back(value: u64) {
            let mut out = Vec::new();
            number(&mut out, value);
            prop_assert_eq!(serde_json::from_slice::<u64>(&out).unwrap(), value);
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_latin1() {
        assert_eq!(lenient("é".as_bytes()), "é");
        assert_eq!(lenient(b"caf\xe9"), "café");
    }
}
