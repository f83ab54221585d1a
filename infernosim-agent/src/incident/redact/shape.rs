//! What content is made of, and which reader reads it.

use super::Redactor;
use super::events::Events;
use super::form::Form;
use super::json::Json;
use super::lines::Lines;
use super::media::Kind;
use super::multipart::Multipart;

/// So many bytes of content tell what it is, where its media type does not.
const TELLING: usize = 4096;

/// A reader of content that comes in pieces. Only what is secret is held back.
#[derive(Debug)]
pub enum Shape {
    /// JSON.
    Json(Json),
    /// A form.
    Form(Form),
    /// A multipart body.
    Multipart(Box<Multipart>),
    /// An event stream.
    Events(Events),
    /// Any other text.
    Lines(Box<Lines>),
    /// Nothing that could be read.
    Binary,
}

impl Shape {
    /// Of content that was declared as `kind` and begins with `beginning`.
    pub fn of(kind: &Kind, beginning: &[u8]) -> Self {
        let beginning = &beginning[..beginning.len().min(TELLING)];
        match kind {
            Kind::Json => Self::Json(Json::default()),
            Kind::Events => Self::Events(Events::default()),
            Kind::Lines => Self::Lines(Box::default()),
            Kind::Binary => Self::Binary,
            Kind::Multipart(boundary) if !boundary.is_empty() => {
                Self::Multipart(Box::new(Multipart::new(boundary)))
            }
            // What curl's -d sends is declared as a form, whatever it is.
            Kind::Form if !looks_like_json(beginning) => Self::Form(Form::default()),
            Kind::Form | Kind::Multipart(_) | Kind::Unknown => Self::by_looks(beginning),
        }
    }

    fn by_looks(beginning: &[u8]) -> Self {
        if looks_like_json(beginning) {
            return Self::Json(Json::default());
        }
        if beginning.contains(&0) {
            return Self::Binary;
        }
        let line = beginning.split(|&byte| byte == b'\n').next().unwrap_or_default();
        if let Some(boundary) = line.trim_ascii_end().strip_prefix(b"--")
            && (1..=70).contains(&boundary.len())
            && line.len() < beginning.len()
        {
            return Self::Multipart(Box::new(Multipart::new(boundary)));
        }
        if [&b"data:"[..], b"event:", b"id:", b"retry:"].iter().any(|start| beginning.starts_with(start)) {
            return Self::Events(Events::default());
        }
        let name = beginning.iter().position(|&byte| byte == b'=').map(|end| &beginning[..end]);
        let is_named = |&byte: &u8| byte.is_ascii_alphanumeric() || b"-_.[]%*+&".contains(&byte);
        if name.is_some_and(|name| !name.is_empty() && name.iter().all(is_named)) {
            return Self::Form(Form::default());
        }
        Self::Lines(Box::default())
    }

    /// Reads on. What is not secret goes to `out` at once.
    pub fn feed(&mut self, redactor: &mut Redactor, bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Json(it) => it.feed(redactor, bytes, out),
            Self::Form(it) => it.feed(redactor, bytes, out),
            Self::Multipart(it) => it.feed(redactor, bytes, out),
            Self::Events(it) => it.feed(redactor, bytes, out),
            Self::Lines(it) => it.feed(redactor, bytes, out),
            Self::Binary => out.extend_from_slice(bytes),
        }
    }

    /// The content ends here, whole or not.
    pub fn finish(&mut self, redactor: &mut Redactor, out: &mut Vec<u8>) {
        match self {
            Self::Json(it) => it.finish(redactor, out),
            Self::Form(it) => it.finish(redactor, out),
            Self::Multipart(it) => it.finish(redactor, out),
            Self::Events(it) => it.finish(redactor, out),
            Self::Lines(it) => it.finish(redactor, out),
            Self::Binary => {}
        }
    }
}

fn looks_like_json(beginning: &[u8]) -> bool {
    let beginning = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning).trim_ascii_start();
    matches!(beginning.first(), Some(b'{' | b'['))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_type_tells_or_else_the_looks() {
        let name = |kind: &Kind, beginning: &[u8]| match Shape::of(kind, beginning) {
            Shape::Json(_) => "json",
            Shape::Form(_) => "form",
            Shape::Multipart(_) => "multipart",
            Shape::Events(_) => "events",
            Shape::Lines(_) => "lines",
            Shape::Binary => "binary",
        };
        for (kind, beginning, expected) in [
            (Kind::Unknown, &b" \n{\"a\""[..], "json"),
            (Kind::Unknown, b"\xef\xbb\xbf[", "json"),
            (Kind::Unknown, b"a=b", "form"),
            (Kind::Unknown, b"a%5Bb%5D=", "form"),
            (Kind::Unknown, b"=", "lines"),
            (Kind::Unknown, b"x y=b", "lines"),
            (Kind::Unknown, b"--xyz\r\nContent", "multipart"),
            (Kind::Unknown, b"--xyz", "lines"),
            (Kind::Unknown, b"data: 1", "events"),
            (Kind::Unknown, b"\x7fELF\0", "binary"),
            (Kind::Unknown, b"", "lines"),
            (Kind::Form, b"{\"a\":1}", "json"),
            (Kind::Form, b"a\0=b", "form"),
            (Kind::Json, b"a=b", "json"),
            (Kind::Multipart(Vec::new()), b"--x\r\n", "multipart"),
            (Kind::Binary, b"{", "binary"),
        ] {
            assert_eq!(name(&kind, beginning), expected, "{kind:?} {beginning:?}");
        }
    }
}
