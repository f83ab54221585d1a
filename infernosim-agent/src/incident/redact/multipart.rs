//! Multipart bodies (RFC 2046 section 5.1, forms: RFC 7578): parts with secret names, and JSON in the others.

use super::Redactor;
use super::json::Json;
use super::normal::percent_decoded;
use super::token::Held;

/// Of a longer header line of a part only so much is looked at.
const LONGEST_LINE: usize = 8 << 10;

/// A reader of a multipart body that comes in pieces.
#[derive(Debug)]
pub struct Multipart {
    /// `--` and the boundary.
    delimiter: Vec<u8>,
    place: Place,
    /// Bytes that may be the line end before a delimiter and its beginning.
    pending: Vec<u8>,
    /// A header line of a part, as far as it came.
    line: Vec<u8>,
    part: Part,
    json: Json,
    held: Held,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the start of a line of content: so many bytes of the delimiter were there.
    Start(usize),
    /// In a line of content.
    Content,
    /// Behind a carriage return in content.
    Return,
    /// Behind a delimiter: so many hyphens were there, and nothing else.
    Delimited(usize),
    /// In the rest of a delimiter's line.
    Rest,
    /// In the header lines of a part.
    Head,
    /// Behind the last delimiter.
    Epilogue,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Plain,
    Secret,
    /// Pictures and the like.
    Binary,
}

impl Multipart {
    /// With this boundary.
    pub fn new(boundary: &[u8]) -> Self {
        Self {
            delimiter: [b"--", boundary].concat(),
            place: Place::Start(0),
            pending: Vec::new(),
            line: Vec::new(),
            part: Part::default(),
            json: Json::default(),
            held: Held::default(),
        }
    }

    /// Reads on. What is not secret goes to `out` at once.
    pub fn feed(&mut self, redactor: &mut Redactor, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some(&byte) = bytes.first() {
            let used = match self.place {
                Place::Start(matched) if self.delimiter.get(matched) == Some(&byte) => {
                    self.pending.push(byte);
                    self.place = Place::Start(matched + 1);
                    if matched + 1 == self.delimiter.len() {
                        self.end_part(redactor, out);
                    }
                    1
                }
                Place::Return if byte == b'\n' => {
                    self.pending.push(byte);
                    self.place = Place::Start(0);
                    1
                }
                Place::Start(_) | Place::Return => {
                    self.no_delimiter(redactor, out);
                    0
                }
                Place::Content => self.content_line(redactor, bytes, out),
                Place::Delimited(hyphens) => {
                    self.place = match (byte, hyphens) {
                        (b'-', 0) => Place::Delimited(1),
                        (b'-', _) => Place::Epilogue,
                        _ => Place::Rest,
                    };
                    let used = usize::from(byte == b'-');
                    out.extend_from_slice(&bytes[..used]);
                    used
                }
                Place::Rest | Place::Head => self.head(redactor, bytes, out),
                Place::Epilogue => {
                    out.extend_from_slice(bytes);
                    bytes.len()
                }
            };
            bytes = &bytes[used..];
        }
    }

    /// The body ends here, in order or not.
    pub fn finish(&mut self, redactor: &mut Redactor, out: &mut Vec<u8>) {
        if matches!(self.place, Place::Start(_) | Place::Return) {
            self.no_delimiter(redactor, out);
        }
        self.end_part(redactor, out);
    }

    fn content_line(&mut self, redactor: &mut Redactor, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let end = memchr::memchr2(b'\r', b'\n', bytes);
        self.content(redactor, &bytes[..end.unwrap_or(bytes.len())], out);
        let Some(end) = end else { return bytes.len() };
        self.pending.push(bytes[end]);
        self.place = if bytes[end] == b'\n' { Place::Start(0) } else { Place::Return };
        end + 1
    }

    fn content(&mut self, redactor: &mut Redactor, bytes: &[u8], out: &mut Vec<u8>) {
        match self.part {
            Part::Plain => self.json.feed(redactor, bytes, out),
            Part::Binary => out.extend_from_slice(bytes),
            Part::Secret => redactor.tokens.hold(&mut self.held, bytes),
        }
    }

    /// What looked like the beginning of a delimiter was content.
    fn no_delimiter(&mut self, redactor: &mut Redactor, out: &mut Vec<u8>) {
        let pending = std::mem::take(&mut self.pending);
        self.content(redactor, &pending, out);
        self.place = Place::Content;
    }

    /// Behind a delimiter, or at the end of the body.
    fn end_part(&mut self, redactor: &mut Redactor, out: &mut Vec<u8>) {
        self.json.finish(redactor, out);
        if !self.held.is_empty() {
            out.extend_from_slice(&redactor.tokens.token_of(&mut self.held));
        }
        out.append(&mut self.pending);
        self.place = Place::Delimited(0);
    }

    /// The rest of the delimiter's line, then header lines up to an empty one.
    fn head(&mut self, redactor: &mut Redactor, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let end = memchr::memchr(b'\n', bytes);
        let used = end.map_or(bytes.len(), |end| end + 1);
        out.extend_from_slice(&bytes[..used]);
        let room = LONGEST_LINE.saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..used.min(room)]);
        if end.is_some() {
            let line = std::mem::take(&mut self.line);
            match (self.place, line.trim_ascii()) {
                (Place::Rest, _) => {
                    self.part = Part::Plain;
                    self.place = Place::Head;
                }
                // The first line of content; a delimiter may follow at once.
                (_, b"") => self.place = Place::Start(0),
                (_, line) => self.header(redactor, line),
            }
        }
        used
    }

    fn header(&mut self, redactor: &mut Redactor, line: &[u8]) {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { return };
        let (name, value) = (line[..colon].trim_ascii(), &line[colon + 1..]);
        if name.eq_ignore_ascii_case(b"content-disposition") {
            if parameter(value, b"name").is_some_and(|name| redactor.is_secret_field(&percent_decoded(&name)))
            {
                self.part = Part::Secret;
            }
        } else if name.eq_ignore_ascii_case(b"content-type") && self.part == Part::Plain && is_binary(value) {
            self.part = Part::Binary;
        }
    }
}

/// Whether content of this media type holds no text: pictures, sounds, fonts.
pub fn is_binary(media_type: &[u8]) -> bool {
    let media_type = media_type.trim_ascii_start().to_ascii_lowercase();
    let picture = media_type.starts_with(b"image/") && !media_type.starts_with(b"image/svg");
    picture || [&b"audio/"[..], b"video/", b"font/"].iter().any(|start| media_type.starts_with(start))
}

/// The parameter of this name of a header value (`…; name=value; name="value"`), without its quotes and escapes
/// (RFC 9110 section 5.6.6).
pub fn parameter(value: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut rest = value;
    loop {
        let start = end_of(rest, b';');
        rest = rest.get(start + 1..)?;
        let pair = &rest[..end_of(rest, b';')];
        let Some(equals) = pair.iter().position(|&byte| byte == b'=') else { continue };
        if !pair[..equals].trim_ascii().eq_ignore_ascii_case(name) {
            continue;
        }
        let text = pair[equals + 1..].trim_ascii();
        let Some(quoted) = text.strip_prefix(b"\"") else { return Some(text.to_vec()) };
        let mut out = Vec::with_capacity(quoted.len());
        let mut bytes = quoted.iter();
        while let Some(&byte) = bytes.next() {
            match byte {
                b'"' => break,
                b'\\' => out.extend(bytes.next()),
                _ => out.push(byte),
            }
        }
        return Some(out);
    }
}

/// Where `wanted` stands outside of quotes, or where the text ends.
fn end_of(text: &[u8], wanted: u8) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    let found = text.iter().position(|&byte| {
        let is_it = byte == wanted && !quoted;
        quoted ^= byte == b'"' && !escaped;
        escaped = byte == b'\\' && quoted && !escaped;
        is_it
    });
    found.unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::super::shape::Shape;
    use super::super::tests::check;
    use super::*;

    #[test]
    fn parts_with_secret_names_and_json_in_others() {
        let (d, disposition) = ("--B x", "Content-Disposition: form-data; name=");
        for (body, expected) in [
            (
                format!("pre\r\n{d}\r\n{disposition}\"pass%77ord\"\r\n\r\ns\r\n--B\r\nt\r\n{d}--\r\nend"),
                format!("pre\r\n{d}\r\n{disposition}\"pass%77ord\"\r\n\r\n{{s\r\n--B\r\nt}}\r\n{d}--\r\nend"),
            ),
            (
                format!("{d}\n{disposition}user\n\n{{\"pwd\":\"a\"}}\n{d}\n{disposition}token\n\n{d}--"),
                format!("{d}\n{disposition}user\n\n{{\"pwd\":\"{{a}}\"}}\n{d}\n{disposition}token\n\n{d}--"),
            ),
            (
                format!("{d}\r\ncontent-type: image/png\r\n{disposition}pin; filename=x\r\n\r\n\r\n\r\r\n"),
                format!(
                    "{d}\r\ncontent-type: image/png\r\n{disposition}pin; filename=x\r\n\r\n{{\r\n\r\r\n}}"
                ),
            ),
            (format!("{d}\r\nx\r\n\r\n--B"), format!("{d}\r\nx\r\n\r\n--B")),
        ] {
            check(
                || Shape::Multipart(Box::new(Multipart::new(b"B x"))),
                body.as_bytes(),
                expected.as_bytes(),
            );
        }
    }

    #[test]
    fn parameters() {
        for (value, name, expected) in [
            ("a; name=x; b=y", "b", Some("y")),
            ("a; filename=\"q; name=z\"; NAME = \"x\\\"y\"", "name", Some("x\"y")),
            ("a;name=", "name", Some("")),
            ("name=x", "name", None),
            ("a; name", "name", None),
            ("a; name=\"open", "name", Some("open")),
        ] {
            let found = parameter(value.as_bytes(), name.as_bytes());
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{value}");
        }
    }
}
