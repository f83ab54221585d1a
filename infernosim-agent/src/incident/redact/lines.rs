//! Text of which nothing is known: lines that look like header fields or request lines, and JSON in the others.

use super::Redactor;
use super::form::Form;
use super::header::Class;
use super::json::Json;
use super::normal::percent_decoded;
use super::token::Held;

/// A longer name is none.
const LONGEST_NAME: usize = 128;
/// Of a longer line, what is secret is replaced as one.
const LONGEST_LINE: usize = 64 << 10;

/// A reader of lines that come in pieces.
#[derive(Debug, Default)]
pub struct Lines {
    place: Place,
    /// What may be a name, so far.
    name: Vec<u8>,
    /// The rest of a line that is looked at in whole.
    line: Vec<u8>,
    /// Of a line that is too long for that.
    held: Held,
    json: Json,
    form: Form,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Before a name, or within.
    #[default]
    Name,
    /// Behind a secret name and its colon.
    Secret(Class),
    /// Behind a secret name and its equals sign.
    Form,
    /// Behind what may be a method, or another name and its equals sign.
    Request,
    /// In the rest of any other line.
    Rest,
}

impl Lines {
    /// Reads on. What is not secret goes to `out` at once.
    pub fn feed(&mut self, redactor: &mut Redactor, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let used = match self.place {
                Place::Name if self.json.is_within_secret() => {
                    self.place = Place::Rest;
                    0
                }
                Place::Name => self.name(redactor, bytes, out),
                Place::Rest => {
                    let end = memchr::memchr(b'\n', bytes);
                    let used = end.map_or(bytes.len(), |end| end + 1);
                    self.json.feed(redactor, &bytes[..used], out);
                    if end.is_some() {
                        self.place = Place::Name;
                    }
                    used
                }
                Place::Form => {
                    let end = memchr::memchr(b'\n', bytes);
                    let used = end.unwrap_or(bytes.len());
                    self.form.feed(redactor, &bytes[..used], out);
                    if end.is_some() {
                        self.form.finish(redactor, out);
                        self.place = Place::Rest;
                    }
                    used
                }
                Place::Secret(_) | Place::Request => self.whole(redactor, bytes, out),
            };
            bytes = &bytes[used..];
        }
    }

    /// The text ends here.
    pub fn finish(&mut self, redactor: &mut Redactor, out: &mut Vec<u8>) {
        self.end_line(redactor, out);
        self.form.finish(redactor, out);
        self.json.finish(redactor, out);
        *self = Self::default();
    }

    fn name(&mut self, redactor: &mut Redactor, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let byte = bytes[0];
        // As header fields are, or indented as in YAML.
        let leading = self.name.is_empty() && matches!(byte, b' ' | b'\t' | b'-');
        let named = byte.is_ascii_alphanumeric() || b"-_.%[]".contains(&byte);
        if leading || named && self.name.len() < LONGEST_NAME {
            if !leading {
                self.name.push(byte);
            }
            self.json.feed(redactor, &[byte], out);
            return 1;
        }
        let name = std::mem::take(&mut self.name);
        self.place = match byte {
            b':' => match redactor.class(&name) {
                Class::Plain | Class::Inert | Class::ContentType | Class::ContentEncoding => Place::Rest,
                class => Place::Secret(class),
            },
            b'=' if redactor.is_secret_field(&percent_decoded(&name)) => {
                // It has been copied.
                self.form.feed(redactor, &[&name[..], b"="].concat(), &mut Vec::new());
                Place::Form
            }
            b'=' if !name.is_empty() => Place::Request,
            b' ' if !name.is_empty() && name.iter().all(u8::is_ascii_uppercase) => Place::Request,
            _ => Place::Rest,
        };
        if self.place == Place::Rest {
            return 0;
        }
        self.json.feed(redactor, &[byte], out);
        1
    }

    /// A line that is held to its end.
    fn whole(&mut self, redactor: &mut Redactor, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let end = memchr::memchr(b'\n', bytes);
        let more = &bytes[..end.unwrap_or(bytes.len())];
        if self.held.is_empty() && self.line.len() + more.len() <= LONGEST_LINE {
            self.line.extend_from_slice(more);
        } else {
            redactor.tokens.hold(&mut self.held, &std::mem::take(&mut self.line));
            redactor.tokens.hold(&mut self.held, more);
        }
        if end.is_some() {
            self.end_line(redactor, out);
        }
        more.len()
    }

    fn end_line(&mut self, redactor: &mut Redactor, out: &mut Vec<u8>) {
        let line = std::mem::take(&mut self.line);
        let replaced = match self.place {
            Place::Secret(class) => redactor.value(class, &line).or_else(|| Some(line.clone())),
            _ => redactor.url(&line),
        };
        match replaced {
            Some(replaced) => out.extend_from_slice(&replaced),
            None => self.json.feed(redactor, &line, out),
        }
        if !self.held.is_empty() {
            out.extend_from_slice(&redactor.tokens.token_of(&mut self.held));
        }
        self.place = Place::Rest;
    }
}

#[cfg(test)]
mod tests {
    use super::super::shape::Shape;
    use super::super::tests::check;

    #[test]
    fn header_lines_request_lines_and_json() {
        for (text, expected) in [
            (
                "GET /?token=a HTTP/1.1\r\nHost: x\r\nCookie: a=b; c=d\r\nAuthorization: Bearer t\r\n\r\n{\"pwd\":\"p\"}",
                "GET /?token={a} HTTP/1.1\r\nHost: x\r\nCookie: a={b}; c={d}\r\nAuthorization: Bearer {t}\r\n\r\n{\"pwd\":\"{p}\"}",
            ),
            (
                "pass%77ord=a+b&x=1\na=1&token=t\nuser[pwd]=p\r\nx={\"pwd\":\"w\"}\n=\n",
                "pass%77ord={a b}&x=1\na=1&token={t}\nuser[pwd]={p\r}\nx={\"pwd\":\"{w}\"}\n=\n",
            ),
            ("password: x", "password: {x}"),
            ("db:\n  password:  x \n- token: y\n", "db:\n  password:  {x} \n- token: {y}\n"),
            (
                "{\"secret\":\n[1,\nCookie: a=b\n]}\nCookie: a=b",
                "{\"secret\":\n[\"{1}-number\",\n\"{Cookie}\": \"{a=b}\"\n]}\nCookie: a={b}",
            ),
            ("the password: x\nPASS x\nGET\n\n:\n", "the password: x\nPASS x\nGET\n\n:\n"),
        ] {
            check(|| Shape::Lines(Box::default()), text.as_bytes(), expected.as_bytes());
        }
    }
}
