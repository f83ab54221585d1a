//! Multipart bodies (RFC 2046 section 5.1; forms: RFC 7578) by the names of their parts: boundaries are others in each
//! message.

use super::{Fields, Leaf, MOST_FIELDS};

/// The parts by name, `body.file`, or by number where they have none, `body[0]`; `None` if there are none, or too many.
pub fn fields(boundary: &[u8], content: &[u8]) -> Option<Fields> {
    let delimiter = [b"--", boundary].concat();
    let mut fields = Fields::new();
    let mut rest = after_delimiter(content, &delimiter, true)?.1;
    for index in 0..MOST_FIELDS {
        if rest.starts_with(b"--") {
            return (!fields.is_empty()).then_some(fields);
        }
        // Behind a delimiter only white space stands in its line.
        rest = &rest[memchr::memchr(b'\n', rest)? + 1..];
        let (part, behind) = after_delimiter(rest, &delimiter, false)?;
        let (head, body) = split_head(part);
        let place = match name(head) {
            Some(name) => format!("body.{name}"),
            None => format!("body[{index}]"),
        };
        let mut unique = place.clone();
        for count in 1.. {
            if !fields.contains_key(unique.as_str()) {
                break;
            }
            unique = format!("{place}[{count}]");
        }
        fields.insert(unique.into(), Leaf::of(body));
        rest = behind;
    }
    None
}

/// What stands before the next delimiter that begins a line, and what behind it.
fn after_delimiter<'a>(bytes: &'a [u8], delimiter: &[u8], first: bool) -> Option<(&'a [u8], &'a [u8])> {
    if bytes.starts_with(delimiter) {
        return Some((&[], &bytes[delimiter.len()..]));
    }
    let mut line = b"\n".to_vec();
    line.extend_from_slice(delimiter);
    let at = memchr::memmem::find(bytes, &line)?;
    let before = &bytes[..at];
    let before = if first { before } else { before.strip_suffix(b"\r").unwrap_or(before) };
    Some((before, &bytes[at + line.len()..]))
}

fn split_head(part: &[u8]) -> (&[u8], &[u8]) {
    // A part without a head begins with the empty line.
    if let Some(body) = part.strip_prefix(b"\r\n").or(part.strip_prefix(b"\n")) {
        return (&[], body);
    }
    let crlf = memchr::memmem::find(part, b"\r\n\r\n").map(|at| (at, at + 4));
    let bare = memchr::memmem::find(part, b"\n\n").map(|at| (at, at + 2));
    match crlf.into_iter().chain(bare).min() {
        Some((end, start)) => (&part[..end], &part[start..]),
        None => (part, &[]),
    }
}

/// The `name` of its Content-Disposition.
fn name(head: &[u8]) -> Option<String> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':')?;
        if !field.trim().eq_ignore_ascii_case("content-disposition") {
            return None;
        }
        let name = value.split(';').find_map(|part| part.trim().strip_prefix("name=").map(str::to_owned))?;
        Some(name.trim_matches('"').to_owned())
    })
}
