//! HTTP/1 messages as they are on the wire: where they end, and what they say.

use crate::protocol::{Conversation, Message, Sender, http1_body, http1_framing, http1_head};
use crate::proxy::explicit::Body;

/// The head of a request.
pub struct Asked {
    pub method: String,
    pub target: String,
    pub fields: Vec<(String, Vec<u8>)>,
    pub body: Option<Body>,
    pub reply: http1_framing::Reply,
}

/// The head of a response.
pub struct Answered {
    pub status: u16,
    pub body: Option<Body>,
    /// Whether the body comes in chunks.
    pub chunked: bool,
}

impl Asked {
    /// Reads a whole head.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(head: &[u8]) -> Result<Self, &'static str> {
        let parsed = http1_head::request(head, |head| {
            let (body, reply) = http1_framing::of_request(head.method, head.fields)?;
            Ok(Self {
                method: head.method.to_owned(),
                target: head.target.to_owned(),
                fields: head.fields.iter().map(|it| (it.name.to_owned(), it.value.to_vec())).collect(),
                body: body.map(framed),
                reply,
            })
        });
        parsed.map(|(_, asked)| asked)
    }

    /// The first value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
        found.and_then(|(_, value)| std::str::from_utf8(value).ok())
    }
}

impl Answered {
    /// Reads a whole head.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(head: &[u8], reply: http1_framing::Reply) -> Result<Self, &'static str> {
        let parsed = http1_head::response(head, |head| {
            let is_interim = (100..200).contains(&head.status) && head.status != 101;
            let body =
                if is_interim { None } else { http1_framing::of_response(head.status, head.fields, reply)? };
            let chunked = matches!(body, Some(http1_body::Body::ChunkSize));
            Ok(Self { status: head.status, body: body.map(framed), chunked })
        });
        parsed.map(|(_, answered)| answered)
    }

    /// Whether another head follows.
    pub const fn is_interim(&self) -> bool {
        self.status >= 100 && self.status < 200 && self.status != 101
    }
}

const fn framed(body: http1_body::Body) -> Body {
    match body {
        http1_body::Body::Length(bytes) => Body::Length(bytes),
        http1_body::Body::UntilClose => Body::UntilClose,
        _ => Body::chunked(true),
    }
}

/// The content of a whole response, transfer coding removed.
pub fn content(response: &[u8]) -> Vec<u8> {
    let (mut conversation, mut content) = (Conversation::new(), Vec::new());
    conversation.feed(Sender::Client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &mut |_| {});
    conversation.feed(Sender::Server, response, &mut |message| {
        if let Message::ResponseBody(bytes) = message {
            content.extend_from_slice(bytes);
        }
    });
    content
}

/// What stands behind the last chunk of a whole body that comes in chunks: trailer fields, and the line that ends them
/// (RFC 9112 section 7.1).
pub fn trailers(mut body: &[u8]) -> &[u8] {
    const NONE: &[u8] = b"\r\n";
    loop {
        let Some(end) = body.iter().position(|byte| *byte == b'\n') else { return NONE };
        let (line, rest) = body.split_at(end + 1);
        let size = line.split(|byte| !byte.is_ascii_hexdigit()).next().unwrap_or_default();
        let size = std::str::from_utf8(size).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        match size {
            Some(0) => return if rest.is_empty() { NONE } else { rest },
            Some(size) => {
                // The line end behind a chunk, CRLF or LF.
                let Some(behind) = rest.get(size..) else { return NONE };
                body = behind.strip_prefix(b"\r").unwrap_or(behind);
                body = body.strip_prefix(b"\n").unwrap_or(body);
            }
            None => return NONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_tell_where_bodies_end() {
        let asked = Asked::parse(b"POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n").unwrap();
        assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/a?b"));
        assert_eq!((asked.field("host"), asked.body), (Some("x"), Some(Body::Length(3))));
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(Answered::parse(head, asked.reply).unwrap().chunked);
        let interim = Answered::parse(b"HTTP/1.1 100 Continue\r\n\r\n", asked.reply).unwrap();
        assert!(interim.is_interim() && interim.body.is_none());
        assert!(Asked::parse(b"nonsense\r\n\r\n").is_err());
    }

    #[test]
    fn chunks_are_taken_out() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let response = format!("{head}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
        assert_eq!(content(response.as_bytes()), b"abcde");
        for (body, expected) in [
            ("3\r\nabc\r\n0\r\n\r\n", "\r\n"),
            ("A;x=1\r\n0\r\n\r\n56789\r\n0\r\nX: 1\r\n\r\n", "X: 1\r\n\r\n"),
            ("0\r\n", "\r\n"),
            ("nonsense", "\r\n"),
            ("ffffffffffffffff\r\n", "\r\n"),
        ] {
            assert_eq!(trailers(body.as_bytes()), expected.as_bytes(), "{body}");
        }
        assert_eq!(content(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"), b"ab");
    }
}
