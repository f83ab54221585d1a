//! What a message says about its content: media type and coding.

use super::multipart::{is_binary, parameter};

/// What kind of content it is, as declared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Not told, or told by a word that says little: it is told by its looks.
    #[default]
    Unknown,
    /// JSON, one text or many.
    Json,
    /// A form.
    Form,
    /// Multipart with this boundary; empty if it is not told.
    Multipart(Vec<u8>),
    /// An event stream.
    Events,
    /// Bytes of a connection of which nothing is known.
    Lines,
    /// Pictures and the like.
    Binary,
}

/// How it is compressed (RFC 9110 section 8.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// It is not.
    #[default]
    Identity,
    /// `gzip` (RFC 1952).
    Gzip,
    /// `deflate`: zlib (RFC 1950), or what some send for it, bare deflate (RFC 1951).
    Deflate,
    /// `br` (RFC 7932).
    Brotli,
    /// In a way that is not read here: zstd, compress, or more than one.
    Unread,
}

/// What a message says about its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// The kind.
    pub kind: Kind,
    /// The coding.
    pub coding: Coding,
}

impl Media {
    /// What these header fields say.
    pub fn of(headers: &[(String, Vec<u8>)]) -> Self {
        let mut media = Self::default();
        for (name, value) in headers {
            if name.eq_ignore_ascii_case("content-type") {
                media.content_type(value);
            } else if name.eq_ignore_ascii_case("content-encoding") {
                media.content_encoding(value);
            }
        }
        media
    }

    /// Bytes of a connection that speaks no HTTP.
    pub const fn opaque() -> Self {
        Self { kind: Kind::Lines, coding: Coding::Identity }
    }

    /// Whether there is nothing in it that could be read.
    pub fn is_binary(&self) -> bool {
        self.kind == Kind::Binary
    }

    /// Takes in a `Content-Type`.
    pub fn content_type(&mut self, value: &[u8]) {
        self.kind = kind(value);
    }

    /// Takes in a `Content-Encoding`; of several fields each adds one.
    pub fn content_encoding(&mut self, value: &[u8]) {
        for coding in value.split(|&byte| byte == b',') {
            let coding = match coding.trim_ascii().to_ascii_lowercase().as_slice() {
                b"gzip" | b"x-gzip" => Coding::Gzip,
                b"deflate" => Coding::Deflate,
                b"br" => Coding::Brotli,
                b"zstd" | b"compress" | b"x-compress" | b"dcb" | b"dcz" | b"exi" | b"pack200-gzip"
                | b"bzip2" | b"xz" | b"lzma" => Coding::Unread,
                // `identity`, `aws-chunked`, `utf-8`: nothing that hides a text.
                _ => continue,
            };
            self.coding = if self.coding == Coding::Identity { coding } else { Coding::Unread };
        }
    }
}

fn kind(value: &[u8]) -> Kind {
    if value.eq_ignore_ascii_case(b"application/json") {
        return Kind::Json;
    }
    let essence = value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let essence = essence.to_ascii_lowercase();
    match essence.as_slice() {
        b"application/json"
        | b"text/json"
        | b"application/x-ndjson"
        | b"application/ndjson"
        | b"application/jsonl"
        | b"application/jsonlines"
        | b"application/graphql" => Kind::Json,
        b"application/x-www-form-urlencoded" => Kind::Form,
        b"text/event-stream" => Kind::Events,
        _ if essence.ends_with(b"+json") => Kind::Json,
        _ if essence.starts_with(b"multipart/") => {
            Kind::Multipart(parameter(value, b"boundary").unwrap_or_default())
        }
        _ if is_binary(&essence) => Kind::Binary,
        _ => Kind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types() {
        for (value, expected) in [
            ("application/json", Kind::Json),
            ("Application/JSON ; charset=utf-8", Kind::Json),
            ("application/problem+json", Kind::Json),
            ("application/x-www-form-urlencoded;charset=x", Kind::Form),
            ("multipart/form-data; boundary=\"a b\"", Kind::Multipart(b"a b".to_vec())),
            ("multipart/mixed", Kind::Multipart(Vec::new())),
            ("text/event-stream", Kind::Events),
            ("image/png", Kind::Binary),
            ("image/svg+xml", Kind::Unknown),
            ("text/html", Kind::Unknown),
            ("", Kind::Unknown),
        ] {
            assert_eq!(kind(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn codings() {
        for (values, expected) in [
            (&["gzip"][..], Coding::Gzip),
            (&["X-GZIP"], Coding::Gzip),
            (&["identity, br"], Coding::Brotli),
            (&["deflate"], Coding::Deflate),
            (&["gzip", "gzip"], Coding::Unread),
            (&["gzip, br"], Coding::Unread),
            (&["zstd"], Coding::Unread),
            (&["utf-8", ""], Coding::Identity),
        ] {
            let mut media = Media::default();
            values.iter().for_each(|value| media.content_encoding(value.as_bytes()));
            assert_eq!(media.coding, expected, "{values:?}");
        }
    }
}
