//! Event streams (`text/event-stream`, WHATWG HTML section 9.2): JSON in their `data:` lines.

use super::Redactor;
use super::json::Json;

const DATA: &[u8] = b"data:";

/// A reader of an event stream that comes in pieces.
#[derive(Debug, Default)]
pub struct Events {
    json: Json,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// So many bytes of the line were `data:`.
    Start(usize),
    /// Behind it, or in a line that is read as if it were.
    Data,
    /// In a line of something else that stands amid the data of an event.
    Other,
}

impl Default for Place {
    fn default() -> Self {
        Self::Start(0)
    }
}

impl Events {
    /// Reads on. What is not secret goes to `out` at once.
    pub fn feed(&mut self, redactor: &mut Redactor, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some(&byte) = bytes.first() {
            let used = match self.place {
                Place::Start(length) if length == DATA.len() => {
                    self.place = Place::Data;
                    0
                }
                Place::Start(length) if byte == DATA[length] => {
                    self.place = Place::Start(length + 1);
                    out.push(byte);
                    1
                }
                Place::Start(_) => {
                    self.place = if self.json.is_within_secret() { Place::Other } else { Place::Data };
                    0
                }
                Place::Data | Place::Other => self.line(redactor, bytes, out),
            };
            bytes = &bytes[used..];
        }
    }

    /// The stream ends here.
    pub fn finish(&mut self, redactor: &mut Redactor, out: &mut Vec<u8>) {
        self.json.finish(redactor, out);
        *self = Self::default();
    }

    fn line(&mut self, redactor: &mut Redactor, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let end = memchr::memchr2(b'\n', b'\r', bytes);
        let used = end.map_or(bytes.len(), |end| end + 1);
        if self.place == Place::Data {
            self.json.feed(redactor, &bytes[..used], out);
        } else {
            out.extend_from_slice(&bytes[..used]);
        }
        if end.is_some() {
            // Within a secret string there is no next line: it would be a part of the value.
            self.place = if self.json.holds() { Place::Data } else { Place::Start(0) };
        }
        used
    }
}

#[cfg(test)]
mod tests {
    use super::super::shape::Shape;
    use super::super::tests::check;

    #[test]
    fn data_is_json_over_as_many_lines_as_it_takes() {
        for (stream, expected) in [
            ("data: {\"token\":\"a\"}\n\n", "data: {\"token\":\"{a}\"}\n\n"),
            ("event: x\r\ndata:{\"pwd\":1}\r\n\r\n", "event: x\r\ndata:{\"pwd\":\"{1}-number\"}\r\n\r\n"),
            (
                "data: {\"secret\":\ndata:  [\"a\",\nid: 7\ndata: \"b\"]}\ndata: \"c\"\n",
                "data: {\"secret\":\ndata:  [\"{a}\",\nid: 7\ndata: \"{b}\"]}\ndata: \"c\"\n",
            ),
            ("data\ndatapwd\n{\"pwd\":\"a\"}\n", "data\ndatapwd\n{\"pwd\":\"{a}\"}\n"),
        ] {
            check(|| Shape::Events(super::Events::default()), stream.as_bytes(), expected.as_bytes());
        }
    }
}
