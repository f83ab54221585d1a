//! JSON (RFC 8259), one text or many, whole or cut: the values of members with secret names.
//!
//! Nothing is validated: a string before a colon is a name, wherever it stands. So lines of JSON, events, and texts
//! that only hold some JSON are read as well, and what is broken stays as it is.

mod unescape;

use super::Redactor;
use super::normal::LONGEST_NAME;
use super::token::Held;
pub use unescape::Unescape;

/// Levels within a secret value of which is known whether they are objects; deeper, names are replaced as values are.
const DEEPEST: usize = 64 << 10;
/// Bytes that are looked at one by one.
const NEAR: usize = 32;
/// What a token in a number's place ends with.
pub const NUMBER: &[u8] = b"-number";

/// A reader of JSON that comes in pieces.
#[derive(Debug, Default)]
pub struct Json {
    state: State,
    /// Of the string that may be a name: its bytes so far.
    text: Vec<u8>,
    /// The string's last byte was a backslash.
    escaped: bool,
    unescape: Unescape,
    held: Held,
    secret: Secret,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Not within a string.
    #[default]
    Between,
    /// Within a string that is copied.
    Text,
    /// Behind such a string: a colon makes it a name.
    Behind,
    /// Behind a secret name and its colon.
    Await,
    /// Within an object or array that is the value of a secret name.
    Inside,
    /// Within a name there.
    InsideName,
    /// Within a string that is secret.
    SecretText,
    /// Within a number or a word that is secret.
    SecretWord,
}

/// How deep in a secret value we are.
#[derive(Debug, Default)]
struct Secret {
    depth: usize,
    /// Of each level whether it is an object.
    objects: Vec<bool>,
    /// The next string is a name.
    name_next: bool,
}

impl Json {
    /// Reads on. What is not secret goes to `out` at once.
    pub fn feed(&mut self, redactor: &mut Redactor, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Between | State::Text | State::Behind | State::InsideName => {
                    let rest = self.copied(redactor, bytes);
                    out.extend_from_slice(&bytes[..bytes.len() - rest.len()]);
                    rest
                }
                State::Await | State::Inside => self.value(bytes, out),
                State::SecretText => self.secret_text(redactor, bytes, out),
                State::SecretWord => self.secret_word(redactor, bytes, out),
            };
        }
    }

    /// The bytes end here: what was held back is replaced as far as it came.
    pub fn finish(&mut self, redactor: &mut Redactor, out: &mut Vec<u8>) {
        match self.state {
            State::SecretText => self.end_text(redactor, out),
            State::SecretWord => self.end_word(redactor, out),
            _ => {}
        }
        *self = Self::default();
    }

    /// Whether a secret value has begun, or is to begin, and has not ended.
    pub const fn is_within_secret(&self) -> bool {
        !matches!(self.state, State::Between | State::Text | State::Behind)
    }

    /// Whether bytes are held back: what is written past this reader would come before them.
    pub const fn holds(&self) -> bool {
        matches!(self.state, State::SecretText | State::SecretWord)
    }

    /// What is copied in one piece: up to a secret value. Gives the rest.
    fn copied<'b>(&mut self, redactor: &mut Redactor, mut bytes: &'b [u8]) -> &'b [u8] {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Between => {
                    let Some(at) = find(bytes, [b'"'; 3]) else { return &[] };
                    self.begin_text(State::Text);
                    &bytes[at + 1..]
                }
                State::Text | State::InsideName => self.text(bytes),
                State::Behind => self.behind(redactor, bytes),
                _ => break,
            };
        }
        bytes
    }

    fn begin_text(&mut self, state: State) {
        self.state = state;
        self.text.clear();
        self.escaped = false;
    }

    /// A string that is copied, and may be a name.
    fn text<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let mut at = 0;
        while at < bytes.len() {
            if std::mem::take(&mut self.escaped) {
                at += 1;
                continue;
            }
            let Some(next) = find(&bytes[at..], [b'"', b'\\', b'\n']) else {
                at = bytes.len();
                break;
            };
            at += next + 1;
            match bytes[at - 1] {
                b'\\' => self.escaped = true,
                b'"' => {
                    self.keep(&bytes[..at - 1]);
                    self.state = if self.state == State::Text { State::Behind } else { State::Inside };
                    return &bytes[at..];
                }
                // No line end stands in a string: this was none, and the next line begins anew.
                _ if self.state == State::Text => {
                    self.state = State::Between;
                    return &bytes[at..];
                }
                _ => {}
            }
        }
        self.keep(&bytes[..at]);
        &bytes[at..]
    }

    fn keep(&mut self, bytes: &[u8]) {
        // An escape takes six bytes for one.
        let room = (6 * LONGEST_NAME).saturating_sub(self.text.len());
        self.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn behind<'b>(&mut self, redactor: &mut Redactor, bytes: &'b [u8]) -> &'b [u8] {
        let Some(at) = bytes.iter().position(|&byte| !is_space(byte)) else { return &[] };
        self.state = State::Between;
        if bytes[at] != b':' {
            return &bytes[at..];
        }
        let secret = if self.text.contains(&b'\\') {
            redactor.is_secret_field(&unescape::whole(&self.text))
        } else {
            redactor.is_secret_field(&self.text)
        };
        if secret {
            self.state = State::Await;
        }
        &bytes[at + 1..]
    }

    /// Between the tokens of a secret value, or before it.
    fn value<'b>(&mut self, bytes: &'b [u8], out: &mut Vec<u8>) -> &'b [u8] {
        let byte = bytes[0];
        match byte {
            _ if is_space(byte) => {}
            b'"' if self.state == State::Inside && self.secret.name_next => {
                self.secret.name_next = false;
                self.begin_text(State::InsideName);
            }
            b'"' => {
                self.state = State::SecretText;
                self.unescape = Unescape::default();
            }
            b'{' | b'[' => {
                self.state = State::Inside;
                self.secret.open(byte == b'{');
            }
            b'}' | b']' => {
                self.secret.close();
                self.settle();
            }
            b',' => {
                self.secret.comma();
                self.settle();
            }
            b':' => {}
            _ => {
                self.state = State::SecretWord;
                return bytes;
            }
        }
        pass(bytes, 1, out)
    }

    /// Behind a scalar, a comma or the end of a level.
    fn settle(&mut self) {
        self.state = if self.secret.depth > 0 { State::Inside } else { State::Between };
    }

    fn secret_text<'b>(&mut self, redactor: &mut Redactor, bytes: &'b [u8], out: &mut Vec<u8>) -> &'b [u8] {
        let Self { unescape, held, .. } = self;
        let used = unescape.feed(bytes, &mut |piece| redactor.tokens.hold(held, piece));
        if used < bytes.len() {
            self.end_text(redactor, out);
            out.push(b'"');
            return &bytes[used + 1..];
        }
        &[]
    }

    fn end_text(&mut self, redactor: &mut Redactor, out: &mut Vec<u8>) {
        let Self { unescape, held, .. } = self;
        unescape.finish(&mut |piece| redactor.tokens.hold(held, piece));
        if !held.is_empty() {
            out.extend_from_slice(&redactor.tokens.token_of(held));
        }
        self.settle();
    }

    fn secret_word<'b>(&mut self, redactor: &mut Redactor, bytes: &'b [u8], out: &mut Vec<u8>) -> &'b [u8] {
        let ends = |&byte: &u8| is_space(byte) || b",:[]{}\"".contains(&byte);
        let end = bytes.iter().position(ends).unwrap_or(bytes.len());
        redactor.tokens.hold(&mut self.held, &bytes[..end]);
        if end < bytes.len() {
            self.end_word(redactor, out);
        }
        &bytes[end..]
    }

    fn end_word(&mut self, redactor: &mut Redactor, out: &mut Vec<u8>) {
        let whole = self.held.whole();
        if let Some(word @ (b"true" | b"false" | b"null")) = whole {
            out.extend_from_slice(word);
            self.held.clear();
        } else {
            let number = whole.is_some_and(is_number);
            out.push(b'"');
            out.extend_from_slice(&redactor.tokens.token_of(&mut self.held));
            // Who puts the value back must know that it had no quotes.
            out.extend_from_slice(if number { NUMBER } else { b"" });
            out.push(b'"');
        }
        self.settle();
    }
}

impl Secret {
    fn open(&mut self, object: bool) {
        self.depth += 1;
        if self.depth <= DEEPEST {
            self.objects.push(object);
        }
        self.name_next = object && self.depth <= DEEPEST;
    }

    fn close(&mut self) {
        if self.depth <= DEEPEST {
            self.objects.pop();
        }
        self.depth = self.depth.saturating_sub(1);
        self.name_next = false;
    }

    fn comma(&mut self) {
        self.name_next = self.depth <= DEEPEST && self.objects.last() == Some(&true);
    }
}

fn pass<'b>(bytes: &'b [u8], length: usize, out: &mut Vec<u8>) -> &'b [u8] {
    let (passed, rest) = bytes.split_at(length);
    out.extend_from_slice(passed);
    rest
}

/// Where the first of these three bytes is. Most strings and gaps are shorter than a call to anything clever is long.
fn find(bytes: &[u8], [a, b, c]: [u8; 3]) -> Option<usize> {
    let (near, far) = bytes.split_at(bytes.len().min(NEAR));
    let found = near.iter().position(|&byte| byte == a || byte == b || byte == c);
    found.or_else(|| memchr::memchr3(a, b, c, far).map(|at| at + near.len()))
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn is_number(word: &[u8]) -> bool {
    word.iter().any(u8::is_ascii_digit) && word.iter().all(|byte| b"0123456789+-.eE".contains(byte))
}

#[cfg(test)]
mod tests;
