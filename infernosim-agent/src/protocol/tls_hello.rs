//! The server name and the protocols offered, out of a TLS ClientHello (RFC 8446 section 4.1.2).

/// Bytes of records, headers included, in which a ClientHello must end. Real ones take 200 to 2,000.
const MAX_HELLO: usize = 64 * 1024;
/// content type, version, length (RFC 8446 section 5.1).
const RECORD_HEADER: usize = 5;
/// type, length (RFC 8446 section 4).
const HANDSHAKE_HEADER: usize = 4;

/// Puts a ClientHello together from records that come in pieces.
#[derive(Debug, Default)]
pub(super) struct HelloReader {
    seen: usize,
    header: Vec<u8>,
    /// Bytes of the current record that are still to come.
    left: usize,
    /// The handshake message so far.
    message: Vec<u8>,
}

/// What a reader knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Partial,
    /// [`HelloReader::hello`] can be asked.
    Whole,
    Broken,
}

/// What a ClientHello tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hello<'a> {
    /// RFC 6066 section 3.
    pub(super) sni: Option<&'a str>,
    /// RFC 7301; names that are not UTF-8 (some GREASE, RFC 8701) are left out.
    pub(super) alpn: Vec<&'a str>,
}

impl HelloReader {
    /// Reads on until the message is whole or broken.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Progress {
        loop {
            match self.length() {
                Some(length) if length > MAX_HELLO => return Progress::Broken,
                Some(length) if self.message.len() >= length => return Progress::Whole,
                _ if self.seen == MAX_HELLO => return Progress::Broken,
                _ if bytes.is_empty() => return Progress::Partial,
                _ => {}
            }
            let wanted = if self.left > 0 { self.left } else { RECORD_HEADER - self.header.len() };
            let (piece, rest) = bytes.split_at(wanted.min(bytes.len()).min(MAX_HELLO - self.seen));
            self.seen += piece.len();
            bytes = rest;
            if self.left > 0 {
                self.message.extend_from_slice(piece);
                self.left -= piece.len();
                continue;
            }
            self.header.extend_from_slice(piece);
            if let [kind, major, _, high, low] = self.header[..] {
                self.left = usize::from(u16::from_be_bytes([high, low]));
                if kind != 22 || major != 3 || !(1..=1 << 14).contains(&self.left) {
                    return Progress::Broken;
                }
                self.header.clear();
            }
        }
    }

    /// What the whole message says, or `None` if it is not a well-formed ClientHello.
    pub(super) fn hello(&self) -> Option<Hello<'_>> {
        let message = self.message.get(..self.length()?)?;
        let (1, mut body) = (*message.first()?, Cursor(message.get(HANDSHAKE_HEADER..)?)) else {
            return None;
        };
        body.take(2 + 32)?; // version, random
        body.vector8()?; // session id
        body.vector16()?; // cipher suites
        body.vector8()?; // compression methods
        let mut hello = Hello::default();
        if body.0.is_empty() {
            return Some(hello); // extensions are optional before TLS 1.3
        }
        let mut extensions = Cursor(body.vector16()?);
        while !extensions.0.is_empty() {
            let kind = extensions.number16()?;
            let mut content = Cursor(extensions.vector16()?);
            match kind {
                0 => hello.sni = server_name(content.vector16()?)?,
                16 => hello.alpn = protocols(content.vector16()?)?,
                _ => {}
            }
        }
        Some(hello)
    }

    /// The length of the handshake message, its header included, once that is known.
    fn length(&self) -> Option<usize> {
        match self.message[..] {
            [_, a, b, c, ..] => Some(HANDSHAKE_HEADER + u32::from_be_bytes([0, a, b, c]) as usize),
            _ => None,
        }
    }
}

/// The host_name of a ServerNameList; the outer `None` says that the list is broken.
fn server_name(list: &[u8]) -> Option<Option<&str>> {
    let mut list = Cursor(list);
    while !list.0.is_empty() {
        let (kind, name) = (list.take(1)?, list.vector16()?);
        if kind == [0] {
            return Some(std::str::from_utf8(name).ok().filter(|name| !name.is_empty()));
        }
    }
    Some(None)
}

fn protocols(list: &[u8]) -> Option<Vec<&str>> {
    let (mut list, mut names) = (Cursor(list), Vec::new());
    while !list.0.is_empty() {
        names.extend(std::str::from_utf8(list.vector8()?).ok());
    }
    Some(names)
}

/// Bytes still to be read; every method is `None` where there are too few.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number16(&mut self) -> Option<u16> {
        self.take(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }

    /// A vector with a length of one byte.
    fn vector8(&mut self) -> Option<&'a [u8]> {
        let length = self.take(1)?[0];
        self.take(usize::from(length))
    }

    /// A vector with a length of two bytes.
    fn vector16(&mut self) -> Option<&'a [u8]> {
        let length = self.number16()?;
        self.take(usize::from(length))
    }
}
