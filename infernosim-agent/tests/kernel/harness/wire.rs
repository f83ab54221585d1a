use std::io::{Read, Write};
use std::net::TcpStream;

/// The bytes of a connection, read as HTTP/1.
pub struct Wire {
    pub stream: TcpStream,
    held: Vec<u8>,
}

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, held: Vec::new() }
    }

    /// A head with the empty line at its end; `None` once the client has ended.
    pub fn head(&mut self) -> Option<Vec<u8>> {
        self.until(b"\r\n\r\n")
    }

    /// So many bytes.
    pub fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.held.len() < length {
            self.more()?;
        }
        Some(self.held.drain(..length).collect())
    }

    /// A chunked body (RFC 9112 section 7.1) without its framing; trailers are passed over.
    pub fn chunked(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.until(b"\r\n")?;
            let digits: String =
                line.iter().map(|byte| *byte as char).take_while(char::is_ascii_hexdigit).collect();
            let length = usize::from_str_radix(&digits, 16).ok()?;
            if length == 0 {
                break;
            }
            body.extend(self.exactly(length)?);
            self.exactly(2)?;
        }
        while self.until(b"\r\n")? != b"\r\n" {}
        Some(body)
    }

    /// What comes next, at least one byte; `None` at the end.
    pub fn some(&mut self) -> Option<Vec<u8>> {
        if self.held.is_empty() {
            self.more()?;
        }
        Some(std::mem::take(&mut self.held))
    }

    /// A response, its length by the header or by the connection's end: head and body. One that has no body by its
    /// nature (RFC 9112 section 6.3) is the caller's matter.
    pub fn response(&mut self) -> Option<(String, Vec<u8>)> {
        let head = self.head()?.into_iter().map(char::from).collect::<String>();
        let low = head.to_ascii_lowercase();
        let length = low.split("\r\ncontent-length:").nth(1).and_then(|rest| rest.split('\r').next());
        let body = match length.and_then(|text| text.trim().parse().ok()) {
            Some(length) => self.exactly(length)?,
            None if low.contains("transfer-encoding: chunked") => self.chunked()?,
            None => self.rest(),
        };
        Some((head, body))
    }

    /// What comes until the end.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.more().is_some() {}
        std::mem::take(&mut self.held)
    }

    /// Sends; a client that has gone is not our failure.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        let mut searched: usize = 0;
        loop {
            let from = searched.saturating_sub(end.len());
            if let Some(at) = self.held[from..].windows(end.len()).position(|window| window == end) {
                return Some(self.held.drain(..from + at + end.len()).collect());
            }
            searched = self.held.len();
            self.more()?;
        }
    }

    fn more(&mut self) -> Option<()> {
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) | Err(_) => None,
            Ok(read) => {
                self.held.extend_from_slice(&buffer[..read]);
                Some(())
            }
        }
    }
}
