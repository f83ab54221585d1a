//! One curl command that sends a recorded request again, byte for byte.
//!
//! What curl adds by itself is switched off, what it computes itself (`Content-Length`) is left to it. What a log
//! says never becomes an option, a file name or a second command: it stands in quotes behind an option that takes a
//! value. Pure: text in, text out. Imports `incident::event`.

mod quote;
#[cfg(test)]
mod tests;
mod url;

use crate::incident::event::Event;
use quote::{is_plain, producer, word};
use url::Address;
pub use url::Base;

/// A longer argument may not fit (MAX_ARG_STRLEN is 128 KiB, execve(2)).
const LONGEST_ARGUMENT: usize = 64 << 10;

/// From this size on, in bytes, some versions of curl ask first whether they may send a body.
const ASKS_FIRST: usize = 1 << 10;

/// The request's body.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// The content of this file, at least one byte.
    File(&'a [u8]),
}

/// The command, and what of the request is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// For a POSIX shell; without a line end at its end.
    pub text: String,
    /// Sentences.
    pub notes: Vec<String>,
}

/// The command that repeats the request of this line, an `OutboundCall` or `InboundRequest`.
///
/// # Errors
/// Why it cannot be: it is not HTTP, or names nobody who could be called.
pub fn command(event: &Event, data: Data<'_>, base: Option<&Base>) -> Result<Command, &'static str> {
    if event.method == "CONNECT" {
        return Err("it opened a tunnel");
    }
    let is_token = |text: &str| !text.is_empty() && text.bytes().all(is_tchar);
    let version = event.protocol.as_str();
    if !(version.is_empty() || version.starts_with("http/")) || !is_token(&event.method) {
        return Err("it is not HTTP");
    }
    let address = Address::of(event, base)?;
    let mut made = Command::default();
    let has_data = match data {
        Data::Bytes(bytes) => !bytes.is_empty() || is_chunked(event),
        Data::File(_) => true,
    };
    let mut options = Vec::new();
    match (event.method.as_str(), has_data) {
        ("GET", false) | ("POST", true) => {}
        // With -X HEAD curl would wait for a body.
        ("HEAD", false) => options.push("--head".to_owned()),
        (method, _) => options.push(format!("-X {}", word(method.as_bytes()))),
    }
    match (version, address.scheme.as_str()) {
        ("http/1.0", _) => options.push("--http1.0".to_owned()),
        ("http/1.1", "https") => options.push("--http1.1".to_owned()),
        _ => {}
    }
    headers(event, &address, data, has_data, &mut options, &mut made.notes);
    let piped = if has_data { body(data, &mut options) } else { None };
    target(&address, &mut options);
    if !event.request_trailers.is_empty() {
        made.notes.push("trailer fields were left out: curl sends none".to_owned());
    }
    made.text =
        piped.map(|producer| producer + " | ").unwrap_or_default() + "curl " + &options.join(" \\\n  ");
    Ok(made)
}

fn headers(
    event: &Event,
    address: &Address,
    data: Data<'_>,
    has_data: bool,
    options: &mut Vec<String>,
    notes: &mut Vec<String>,
) {
    let has = |name: &str| event.headers.get(name).is_some();
    let mut header = |text: &str| options.push(format!("-H {}", word(text.as_bytes())));
    let mut host_is_curls = false;
    if event.headers.iter().next().is_some_and(|(name, _)| name == "Host") && hosts(event) == 1 {
        // Where curl sends it by itself; a Host in its place is sent there too.
        host_is_curls = event.headers.get("Host") == address.host();
    } else {
        // Without curl's own one, fields of this name stay where they are and as they are spelt.
        header("Host:");
    }
    let large = match data {
        Data::Bytes(bytes) => bytes.len() >= ASKS_FIRST,
        Data::File(_) => true,
    };
    let added =
        [("User-Agent", true), ("Accept", true), ("Content-Type", has_data), ("Expect", has_data && large)];
    added.iter().filter(|(name, adds)| *adds && !has(name)).for_each(|(name, _)| header(&format!("{name}:")));
    let proxied = event.target.as_deref().is_some_and(|target| target.contains("://"))
        && event.kind == crate::incident::event::Kind::OutboundCall;
    for (name, value) in event.headers.iter() {
        let is = |one: &str| name.eq_ignore_ascii_case(one);
        if is("Content-Length") && has_data || is("Host") && host_is_curls {
            continue;
        }
        // Meant for the proxy; the dependency shall not learn it.
        if proxied && (is("Proxy-Connection") || is("Proxy-Authorization")) {
            continue;
        }
        if is("Transfer-Encoding") && event.protocol == "http/1.0" {
            notes.push("Transfer-Encoding was left out: HTTP/1.0 has none".to_owned());
        } else if name.is_empty() || !name.bytes().all(is_tchar) || value.contains(['\r', '\n', '\0']) {
            notes.push(format!("the header {name:?} was left out: no request can have it"));
        } else if value.trim_matches([' ', '\t']).is_empty() {
            header(&format!("{name};"));
        } else {
            header(&format!("{name}: {value}"));
        }
    }
}

fn hosts(event: &Event) -> usize {
    event.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("host")).count()
}

fn is_chunked(event: &Event) -> bool {
    let coding = event.headers.get("Transfer-Encoding").unwrap_or_default();
    coding.to_ascii_lowercase().contains("chunked") && event.protocol != "http/1.0"
}

/// The option that gives the body, and the command that is to write it to curl's standard input.
fn body(data: Data<'_>, options: &mut Vec<String>) -> Option<String> {
    let bytes = match data {
        Data::File(path) => {
            options.push(format!("--data-binary {}", word(&[b"@", path].concat())));
            return None;
        }
        Data::Bytes(bytes) => bytes,
    };
    if !is_plain(bytes) || bytes.len() > LONGEST_ARGUMENT {
        options.push("--data-binary @-".to_owned());
        return Some(producer(bytes));
    }
    // --data-binary takes what begins with @ for a file's name.
    let option = if bytes.starts_with(b"@") { "--data-raw" } else { "--data-binary" };
    options.push(format!("{option} {}", word(bytes)));
    None
}

fn target(address: &Address, options: &mut Vec<String>) {
    let Address { scheme, authority, target } = address;
    let mut path = target.as_str();
    if !address.is_usual() {
        options.push(format!("--request-target {}", word(target.as_bytes())));
        path = "/";
    }
    if path.contains("/.") {
        options.push("--path-as-is".to_owned());
    }
    let url = format!("{scheme}://{authority}{path}");
    if url.contains(['[', ']', '{', '}']) {
        options.push("--globoff".to_owned());
    }
    options.push(word(url.as_bytes()));
}

/// RFC 9110 section 5.6.2.
const fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}
