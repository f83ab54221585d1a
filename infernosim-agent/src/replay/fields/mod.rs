//! A message as named leaves: what is compared, learned, masked and hashed, one by one.
//!
//! Names: `status`, `query.q` (`query.q[1]` for its second value), `path[2]` (a segment, from 0; only in differences),
//! `body` (a body that is neither JSON nor a form, whole), `body.a.b[0]` (a leaf in JSON; `body` alone where JSON is one
//! leaf), `body.a` (of a form), `header.location` (lower case; only those that are compared).

use std::collections::BTreeMap;

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

/// A body as it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// All of it, content coding kept.
    Bytes(&'a [u8]),
    /// Too long to be held: size and SHA-256.
    Digest(u64, [u8; 32]),
}

/// What is compared of a request: query and body.
pub fn of_request(_target: &str, _headers: &[(String, Vec<u8>)], _body: Content<'_>) -> Fields {
    Fields::new()
}

/// What is compared of an answer: status, a few header fields, body.
pub fn of_answer(_status: u16, _headers: &[(String, Vec<u8>)], _body: Content<'_>) -> Fields {
    Fields::new()
}

/// The fields that are not equal, in order of their names.
pub fn compare(_recorded: &Fields, _live: &Fields) -> Vec<Difference> {
    Vec::new()
}

/// Whether both are times, near their own now (ns since the Unix epoch): such a field is volatile by its shape.
pub fn are_times(_recorded: &Leaf, _recorded_at: i128, _live: &Leaf, _live_at: i128) -> bool {
    false
}
