//! What a connection speaks, by the client's first bytes.
//!
//! Decides at the earliest byte that leaves one answer, because the bytes are held back until then: a protocol
//! whose client waits for an answer to half a line would otherwise be shown late.

use super::Protocol;

/// The longest request line accepted, without its line end: twice what common servers take (RFC 9112 section 3
/// recommends at least 8,000).
pub(super) const MAX_REQUEST_LINE: usize = 64 * 1024;
/// The longest method accepted; the longest registered one has 17 letters. Without a limit any long run of
/// letters could still become a request line.
pub(super) const MAX_METHOD: usize = 64;
const VERSION: &[u8; 8] = b"HTTP/1.x";
/// RFC 9113 section 3.4.
const H2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a TLS record that tell a ClientHello: type, version, length, handshake type.
const HELLO_PREFIX: usize = 6;

/// Recognises a request line (RFC 9112 section 3) byte by byte, so that a line that comes in many pieces is
/// read once. Accepts whatever httparse accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RequestLine {
    part: Part,
    /// Bytes of the line so far.
    length: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    /// Empty lines before the request line (RFC 9112 section 2.2).
    #[default]
    Blank,
    Method,
    /// Whether a byte of the target was seen.
    Target(bool),
    /// How much of the version was seen, and its last digit.
    Version(usize, u8),
    /// A CR after the version, whose last digit this is.
    Return(u8),
    Whole(u8),
    Not,
}

impl RequestLine {
    /// Reads on; bytes after the line's end do not matter.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if matches!(self.part, Part::Whole(_) | Part::Not) {
                return;
            }
            self.step(byte);
        }
    }

    /// The protocol, if the line is whole.
    pub(super) fn protocol(self) -> Option<Protocol> {
        match self.part {
            Part::Whole(b'0') => Some(Protocol::Http10),
            Part::Whole(_) => Some(Protocol::Http11),
            _ => None,
        }
    }

    /// Whether the bytes so far cannot become a request line.
    pub(super) fn failed(self) -> bool {
        self.part == Part::Not
    }

    /// Whether the bytes so far are a method, a space and more: no chance likeness.
    pub(super) fn likely(self) -> bool {
        !matches!(self.part, Part::Blank | Part::Method | Part::Not)
    }

    fn step(&mut self, byte: u8) {
        self.part = match (self.part, byte) {
            (Part::Blank, b'\r' | b'\n') => Part::Blank,
            (Part::Blank, _) if is_token(byte) => {
                self.length = 0;
                Part::Method
            }
            (Part::Method, b' ') => Part::Target(false),
            (Part::Method, _) if is_token(byte) && self.length < MAX_METHOD => Part::Method,
            (Part::Target(true), b' ') => Part::Version(0, 0),
            (Part::Target(_), 0x21..=0x7e | 0x80..) => Part::Target(true),
            (Part::Version(7, _), b'0' | b'1') => Part::Version(8, byte),
            (Part::Version(at @ 0..7, _), _) if byte == VERSION[at] => Part::Version(at + 1, 0),
            (Part::Version(8, digit), b'\r') => Part::Return(digit),
            (Part::Version(8, digit) | Part::Return(digit), b'\n') => Part::Whole(digit),
            _ => Part::Not,
        };
        match self.part {
            Part::Return(_) | Part::Whole(_) => {}
            _ if self.length == MAX_REQUEST_LINE => self.part = Part::Not,
            _ => self.length += 1,
        }
    }
}

/// A character of a method or field name (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Recognises the protocol of a connection's first client bytes.
#[derive(Debug)]
pub struct Detector {
    seen: usize,
    preface: bool,
    hello: bool,
    line: RequestLine,
}

impl Default for Detector {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether bytes begin with the line of a request: what a client of HTTP/1 sends, and no server. A line that is cut
/// short does not count.
pub fn begins_request(bytes: &[u8]) -> bool {
    let mut line = RequestLine::default();
    line.push(bytes);
    line.protocol().is_some()
}

impl Detector {
    /// Nothing was seen yet.
    pub fn new() -> Self {
        Self { seen: 0, preface: true, hello: true, line: RequestLine::default() }
    }

    /// Reads on until the protocol is known.
    pub fn push(&mut self, bytes: &[u8]) -> Option<Protocol> {
        for byte in bytes {
            self.preface = self.preface && *byte == H2_PREFACE[self.seen];
            self.hello = self.hello && is_client_hello(self.seen, *byte);
            self.line.push(std::slice::from_ref(byte));
            self.seen += 1;
            if self.preface && self.seen == H2_PREFACE.len() {
                return Some(Protocol::H2);
            }
            if self.hello && self.seen == HELLO_PREFIX {
                return Some(Protocol::Tls);
            }
            if let Some(http) = self.line.protocol() {
                return Some(http);
            }
            if !self.preface && !self.hello && self.line.failed() {
                return Some(Protocol::Tcp);
            }
        }
        None
    }
}

/// Whether `byte` at `position` fits a TLS record with a ClientHello: handshake (22), version 3.x, a length up
/// to 2^14, client_hello (1) (RFC 8446 sections 5.1 and 4).
fn is_client_hello(position: usize, byte: u8) -> bool {
    match position {
        0 => byte == 22,
        1 => byte == 3,
        2 => byte <= 4,
        3 => byte <= 0x40,
        4 => true,
        _ => byte == 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The verdict and how many bytes it took.
    fn detect(bytes: &[u8]) -> Option<(Protocol, usize)> {
        let mut detector = Detector::new();
        (0..bytes.len()).find_map(|i| detector.push(&bytes[i..=i]).map(|protocol| (protocol, i + 1)))
    }

    #[test]
    fn http_needs_a_whole_request_line() {
        let whole = |line: &str, protocol| {
            assert_eq!(detect(line.as_bytes()), Some((protocol, line.len())), "{line:?}")
        };
        whole("GET / HTTP/1.1\r\n", Protocol::Http11);
        whole("GET / HTTP/1.0\n", Protocol::Http10);
        whole("\r\n\nM-SEARCH * HTTP/1.1\r\n", Protocol::Http11);
        whole("CONNECT [::1]:443 HTTP/1.1\r\n", Protocol::Http11);
        whole("GET /\u{e9} HTTP/1.1\r\n", Protocol::Http11);
        whole("PRI / HTTP/1.1\r\n", Protocol::Http11);
        assert_eq!(detect(b"GET / HTTP/1.1\r"), None);
    }

    #[test]
    fn everything_else_is_decided_at_its_first_wrong_byte() {
        let tcp = |bytes: &[u8], at| {
            assert_eq!(detect(bytes), Some((Protocol::Tcp, at)), "{}", bytes.escape_ascii())
        };
        tcp(b"HELO x\r\n", 7);
        tcp(b"*1\r\n$4\r\nPING\r\n", 3);
        tcp(b"PING\r\n", 5);
        tcp(b"\0\0\0\x08\x04\xd2\x16\x2f", 1);
        tcp(b"GET /\r\n", 6);
        tcp(b"GET  / HTTP/1.1\r\n", 5);
        tcp(b"GET / HTTP/1.2\r\n", 14);
        tcp(b"GET / HTTP/2.0\r\n", 12);
        tcp(b"GET / HTTP/1.1 \r\n", 15);
        tcp(b"GET / HTTP/1.1\rX", 16);
        tcp(b"PRI * HTTP/2.0\r\n\r\nSM\r\nX", 23);
        tcp(b" GET / HTTP/1.1\r\n", 1);
        tcp(b"\x16\x03\x01\x00\x05\x02", 6);
        tcp(b"\x16\x03\x05", 3);
    }

    #[test]
    fn preface_and_client_hello() {
        assert_eq!(detect(H2_PREFACE), Some((Protocol::H2, 24)));
        assert_eq!(detect(b"\x16\x03\x01\x02\x00\x01rest"), Some((Protocol::Tls, 6)));
    }

    #[test]
    fn limits() {
        let line = |method: usize, target: usize| {
            format!("{} {} HTTP/1.1\r\n", "M".repeat(method), "t".repeat(target)).into_bytes()
        };
        assert!(matches!(detect(&line(MAX_METHOD, 1)), Some((Protocol::Http11, _))));
        let after_empty_lines = [b"\r\n".repeat(40), line(MAX_METHOD, 1)].concat();
        assert!(matches!(detect(&after_empty_lines), Some((Protocol::Http11, _))));
        assert!(matches!(detect(&b"\n".repeat(MAX_REQUEST_LINE + 1)), Some((Protocol::Tcp, _))));
        assert_eq!(detect(&line(MAX_METHOD + 1, 1)), Some((Protocol::Tcp, MAX_METHOD + 1)));
        let longest = MAX_REQUEST_LINE - "M  HTTP/1.1".len();
        assert!(matches!(detect(&line(1, longest)), Some((Protocol::Http11, _))));
        assert!(matches!(detect(&line(1, longest + 1)), Some((Protocol::Tcp, _))));
    }

    proptest! {
        #[test]
        fn accepts_every_line_that_httparse_accepts(line in "[A-Z!-/a]{1,4}[ /]{1,2}[!-~é]{0,4} {0,2}HTTP/1.[0-2](\r\n|\n|\r)") {
            let whole = format!("{line}\r\n");
            let mut headers = [httparse::EMPTY_HEADER; 1];
            let accepted = httparse::Request::new(&mut headers).parse(whole.as_bytes()).is_ok_and(|s| s.is_complete());
            let mut ours = RequestLine::default();
            ours.push(line.as_bytes());
            prop_assert!(!accepted || ours.protocol().is_some());
        }
    }
}
