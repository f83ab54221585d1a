//! A message as named leaves: what is compared, learned, masked and hashed, one by one.
//!
//! Names: `status`, `query.q` (`query.q[1]` for its second value), `path[2]` (a segment, from 0; only in differences),
//! `body` (a body that is neither JSON nor a form, whole), `body.a.b[0]` (a leaf in JSON; `body` alone where JSON is one
//! leaf), `body.a` (of a form), `header.location` (lower case; only those that are compared). A name in JSON that is
//! unusual stands in quotes, `body."a.b"`.
//!
//! Of answers these header fields are compared: `location` (ports of this host left out), `content-type` (without the
//! boundary of a multipart body), and which cookies are set (`header.set-cookie.sid`), not to what. All else in a head
//! is the server's, not the service's, or another in each run.

mod content;
mod digest;
mod json;
mod multipart;
mod shape;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest as _, Sha256};

pub use content::{Content, add_body};
pub use digest::{Digest, joined, masked, plain, short};
pub use json::{Placed, leaves};
pub use shape::{are_times, is_id_like, is_time};

pub use crate::pattern::{is_id, split_target};

/// Longer text is held as its digest, in bytes.
const LONGEST_TEXT: usize = 4 << 10;
/// Of text so many characters are shown.
const LONGEST_SHOWN: usize = 120;
/// What has more fields is one digest.
const MOST_FIELDS: usize = 20_000;

/// A value without inner ones. Equality is that of the value; what stands in for long content is its digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leaf {
    /// JSON `null`.
    Null,
    /// JSON `true` or `false`.
    Bool(bool),
    /// A JSON number as it is written.
    Number(Box<str>),
    /// Text: a JSON string, a form or query value, a header's value, a body of at most 4 KiB.
    Text(Box<str>),
    /// Bytes, or longer text: size and SHA-256.
    Digest(u64, [u8; 32]),
    /// An empty JSON object or array, by its brackets: `{}` or `[]`.
    Empty(Box<str>),
}

impl Leaf {
    /// Of bytes that are text, short or long, or are not.
    pub fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) if text.len() <= LONGEST_TEXT => Self::Text(text.into()),
            _ => Self::Digest(bytes.len() as u64, Sha256::digest(bytes).into()),
        }
    }

    /// As it is written, where it is text or a number.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Number(text) | Self::Text(text) => Some(text),
            Self::Null | Self::Bool(_) | Self::Digest(..) | Self::Empty(_) => None,
        }
    }
}

/// As JSON writes it, long text cut.
impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Number(text) | Self::Empty(text) => f.write_str(text),
            Self::Text(text) => match text.char_indices().nth(LONGEST_SHOWN) {
                Some((end, _)) => write!(f, "{}…", serde_json::Value::from(&text[..end])),
                None => serde_json::Value::from(&**text).fmt(f),
            },
            Self::Digest(size, sha256) => {
                write!(f, "{size} bytes, SHA-256 ")?;
                sha256.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("…")
            }
        }
    }
}

/// Names and leaves, in order of the names.
pub type Fields = BTreeMap<Box<str>, Leaf>;

/// A field that is not in the live message as it was recorded. At least one side has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its name.
    pub field: Box<str>,
    /// What the recording has.
    pub recorded: Option<Leaf>,
    /// What the live message has.
    pub live: Option<Leaf>,
}

/// What is compared of a request: query and body. The target as on the wire.
pub fn of_request(target: &str, headers: &[(String, Vec<u8>)], body: Content<'_>) -> Fields {
    let mut fields = Fields::new();
    add_query(&mut fields, target);
    add_body(&mut fields, headers, body);
    fields
}

/// What is compared of an answer: status, a few header fields, body.
pub fn of_answer(status: u16, headers: &[(String, Vec<u8>)], body: Content<'_>) -> Fields {
    let mut fields = Fields::new();
    fields.insert("status".into(), Leaf::Number(status.to_string().into()));
    for (name, value) in headers {
        let text = String::from_utf8_lossy(value);
        if name.eq_ignore_ascii_case("location") {
            let location = crate::incident::site::without_local_ports(&text);
            fields.insert("header.location".into(), Leaf::of(location.as_bytes()));
        } else if name.eq_ignore_ascii_case("content-type") {
            fields.insert("header.content-type".into(), Leaf::of(media_type(&text).as_bytes()));
        } else if name.eq_ignore_ascii_case("set-cookie") && fields.len() < MOST_FIELDS {
            let cookie = text.split([';', '=']).next().unwrap_or_default().trim();
            fields.insert(format!("header.set-cookie.{cookie}").into(), Leaf::Text("set".into()));
        }
    }
    add_body(&mut fields, headers, body);
    fields
}

/// Lower case, without white space, and without a boundary, which is another in each message.
fn media_type(value: &str) -> String {
    let parts = value.split(';').map(|part| part.trim().to_ascii_lowercase());
    let kept: Vec<String> = parts.filter(|part| !part.is_empty() && !part.starts_with("boundary=")).collect();
    kept.join(";")
}

/// Adds the parameters of a target's query.
pub fn add_query(fields: &mut Fields, target: &str) {
    let (_, query) = split_target(target);
    if !query.is_empty() {
        add_pairs(fields, "query", query.as_bytes());
    }
}

/// Pairs of a query or a form (WHATWG URL section 5), percent-decoded.
fn add_pairs(fields: &mut Fields, prefix: &str, pairs: &[u8]) {
    if memchr::memchr_iter(b'&', pairs).count() > MOST_FIELDS {
        fields.insert(prefix.into(), Leaf::of(pairs));
        return;
    }
    let mut counts = BTreeMap::<String, usize>::new();
    for pair in pairs.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let name = decoded(&pair[..end]);
        let value = decoded(pair.get(end + 1..).unwrap_or_default());
        let mut key = format!("{prefix}.{}", String::from_utf8_lossy(&name));
        // As one of many, however often one name is there.
        let count = counts.entry(key.clone()).or_default();
        if *count > 0 {
            key = format!("{key}[{count}]");
        }
        *count += 1;
        fields.insert(key.into(), Leaf::of(&value));
    }
}

fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    crate::incident::redact::percent_decoded(text)
}

/// The fields that are not equal, in order of their names.
pub fn compare(recorded: &Fields, live: &Fields) -> Vec<Difference> {
    let mut differences = Vec::new();
    let (mut a, mut b) = (recorded.iter().peekable(), live.iter().peekable());
    let difference = |field: &str, recorded: Option<&Leaf>, live: Option<&Leaf>| Difference {
        field: field.into(),
        recorded: recorded.cloned(),
        live: live.cloned(),
    };
    loop {
        match (a.peek(), b.peek()) {
            (Some((name, leaf)), Some((other, live))) if name == other => {
                if leaf != live {
                    differences.push(difference(name, Some(leaf), Some(live)));
                }
                a.next();
                b.next();
            }
            (Some((name, leaf)), other) if other.is_none_or(|(other, _)| name < other) => {
                differences.push(difference(name, Some(leaf), None));
                a.next();
            }
            (_, Some((name, live))) => {
                differences.push(difference(name, None, Some(live)));
                b.next();
            }
            (_, None) => return differences,
        }
    }
}

/// Puts the same word in the place of each token: under another key they tell no more than that there was a secret.
pub fn mask_tokens(fields: &mut Fields) {
    for leaf in fields.values_mut() {
        if let Leaf::Text(text) = leaf
            && let Cow::Owned(masked) = crate::incident::redact::spot::mask(text)
        {
            *text = masked.into();
        }
    }
}

/// The segments in which two paths of one template differ.
pub fn compare_paths(recorded: &str, live: &str) -> Vec<Difference> {
    let (a, b): (Vec<&str>, Vec<&str>) = (segments(recorded).collect(), segments(live).collect());
    let leaf = |segment: Option<&&str>| segment.map(|segment| Leaf::of(&decoded(segment.as_bytes())));
    let places = 0..a.len().max(b.len());
    places
        .filter(|&at| a.get(at) != b.get(at))
        .map(|at| Difference {
            field: format!("path[{at}]").into(),
            recorded: leaf(a.get(at)),
            live: leaf(b.get(at)),
        })
        .collect()
}

/// The segments of a path, from 0.
pub fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').unwrap_or(path).split('/')
}

/// The path with `*` in the place of segments that look like ids.
pub fn template(path: &str) -> String {
    let masked: Vec<&str> =
        segments(path).map(|segment| if is_id(segment) { "*" } else { segment }).collect();
    format!("/{}", masked.join("/"))
}
