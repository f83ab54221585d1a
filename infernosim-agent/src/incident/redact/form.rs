//! Forms (`application/x-www-form-urlencoded`, WHATWG URL section 5): the values of fields with secret names.

use super::Redactor;
use super::normal::{LONGEST_NAME, hex_digit, percent_decoded};
use super::token::Held;

/// A reader of a form that comes in pieces.
#[derive(Debug, Default)]
pub struct Form {
    state: State,
    /// The name so far, as it stands there.
    name: Vec<u8>,
    held: Held,
    /// What may be the beginning of a percent-encoded byte.
    escape: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Name,
    Value,
    Secret,
}

impl Form {
    /// Reads on. What is not secret goes to `out` at once.
    pub fn feed(&mut self, redactor: &mut Redactor, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let used = match self.state {
                State::Name => self.name(redactor, bytes, out),
                State::Value => self.value(bytes, out),
                State::Secret => self.secret(redactor, bytes, out),
            };
            bytes = &bytes[used..];
        }
    }

    /// The form ends here.
    pub fn finish(&mut self, redactor: &mut Redactor, out: &mut Vec<u8>) {
        if matches!(self.state, State::Secret) {
            self.end_secret(redactor, out);
        }
        *self = Self::default();
    }

    fn name(&mut self, redactor: &mut Redactor, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let end = bytes.iter().position(|&byte| byte == b'=' || begins_name(byte));
        let name = &bytes[..end.unwrap_or(bytes.len())];
        // A percent-encoded byte takes three.
        let room = (3 * LONGEST_NAME).saturating_sub(self.name.len());
        self.name.extend_from_slice(&name[..name.len().min(room)]);
        let used = end.map_or(bytes.len(), |end| end + 1);
        out.extend_from_slice(&bytes[..used]);
        match end.map(|end| bytes[end]) {
            Some(b'=') => {
                let secret = redactor.is_secret_field(&percent_decoded(&self.name));
                self.state = if secret { State::Secret } else { State::Value };
                self.name.clear();
            }
            Some(_) => self.name.clear(),
            None => {}
        }
        used
    }

    fn value(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let end = bytes.iter().position(|&byte| begins_name(byte));
        let used = end.map_or(bytes.len(), |end| end + 1);
        out.extend_from_slice(&bytes[..used]);
        if end.is_some() {
            self.state = State::Name;
        }
        used
    }

    /// Only `&` ends a secret value: whoever reads `;` as a part of it would otherwise find the rest in the recording.
    fn secret(&mut self, redactor: &mut Redactor, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let end = memchr::memchr(b'&', bytes);
        self.decode(redactor, &bytes[..end.unwrap_or(bytes.len())]);
        let Some(end) = end else { return bytes.len() };
        self.end_secret(redactor, out);
        out.push(b'&');
        self.state = State::Name;
        end + 1
    }

    fn decode(&mut self, redactor: &mut Redactor, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(&byte) = rest.first() {
            if self.escape.is_empty() {
                let plain = memchr::memchr2(b'%', b'+', rest).unwrap_or(rest.len());
                redactor.tokens.hold(&mut self.held, &rest[..plain]);
                rest = &rest[plain..];
                match rest.split_first() {
                    Some((b'+', after)) => {
                        redactor.tokens.hold(&mut self.held, b" ");
                        rest = after;
                    }
                    Some((_, after)) => {
                        self.escape.push(b'%');
                        rest = after;
                    }
                    None => {}
                }
                continue;
            }
            if hex_digit(byte).is_none() {
                self.end_escape(redactor);
                continue;
            }
            self.escape.push(byte);
            rest = &rest[1..];
            if self.escape.len() == 3 {
                self.end_escape(redactor);
            }
        }
    }

    fn end_escape(&mut self, redactor: &mut Redactor) {
        redactor.tokens.hold(&mut self.held, &percent_decoded(&self.escape));
        self.escape.clear();
    }

    fn end_secret(&mut self, redactor: &mut Redactor, out: &mut Vec<u8>) {
        self.end_escape(redactor);
        if !self.held.is_empty() {
            out.extend_from_slice(&redactor.tokens.token_of(&mut self.held));
        }
    }
}

/// `;` and line ends separate fields too, for some; behind a value that is not secret a name may follow.
const fn begins_name(byte: u8) -> bool {
    matches!(byte, b'&' | b';' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::super::shape::Shape;
    use super::super::tests::check;

    #[test]
    fn values_of_secret_fields() {
        for (form, expected) in [
            ("user=ann&password=a+b%21&x=1", "user=ann&password={a b!}&x=1"),
            ("password=", "password="),
            ("password", "password"),
            ("pass%77ord=x&&a&token=y", "pass%77ord={x}&&a&token={y}"),
            ("a=1;token=x;y&b=2", "a=1;token={x;y}&b=2"),
            ("token=%zz%4%&a=%41", "token={%zz%4%}&a=%41"),
            ("user%5Bpassword%5D=x", "user%5Bpassword%5D={x}"),
            ("a=b=c&token=x=y", "a=b=c&token={x=y}"),
            ("", ""),
        ] {
            check(|| Shape::Form(super::Form::default()), form.as_bytes(), expected.as_bytes());
        }
    }
}
