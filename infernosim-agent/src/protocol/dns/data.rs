//! Names and record data as text.

use std::fmt::Write as _;

use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::{BinDecoder, Restrict};

/// A name: lower case, without the last dot, unusual bytes escaped (RFC 1035 section 5.1).
pub(super) fn name(name: &Name) -> String {
    let mut text = String::new();
    for label in name.iter() {
        if !text.is_empty() {
            text.push('.');
        }
        label.iter().for_each(|&byte| escaped(&mut text, byte.to_ascii_lowercase(), b".\\\"();@$"));
    }
    if text.is_empty() {
        text.push('.');
    }
    text
}

/// The data that begins at `decoder` and has this length; `None` where it is malformed or of a kind without a
/// notation here.
pub(super) fn text(decoder: &mut BinDecoder<'_>, kind: RecordType, length: Restrict<u16>) -> Option<String> {
    let text = match RData::read(decoder, kind, length).ok()? {
        RData::A(address) => address.to_string(),
        RData::AAAA(address) => address.to_string(),
        RData::CNAME(it) => name(&it.0),
        RData::NS(it) => name(&it.0),
        RData::PTR(it) => name(&it.0),
        RData::MX(it) => format!("{} {}", it.preference, name(&it.exchange)),
        RData::SRV(it) => format!("{} {} {} {}", it.priority, it.weight, it.port, name(&it.target)),
        RData::SOA(it) => {
            let (server, mailbox) = (name(&it.mname), name(&it.rname));
            let numbers = (it.serial, it.refresh, it.retry, it.expire, it.minimum);
            let (serial, refresh, retry, expire, minimum) = numbers;
            format!("{server} {mailbox} {serial} {refresh} {retry} {expire} {minimum}")
        }
        RData::TXT(it) => {
            let strings: Vec<String> = it.txt_data.iter().map(|string| quoted(string)).collect();
            strings.join(" ")
        }
        RData::HTTPS(it) => it.to_string(),
        RData::SVCB(it) => it.to_string(),
        _ => return None,
    };
    Some(text)
}

/// Data of which nothing is known (RFC 3597 section 5).
pub(super) fn opaque(data: &[u8]) -> String {
    let mut text = format!("\\# {}", data.len());
    for (index, byte) in data.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}{byte:02x}", if index == 0 { " " } else { "" });
    }
    text
}

/// A character string (RFC 1035 section 3.3).
fn quoted(string: &[u8]) -> String {
    let mut text = "\"".to_owned();
    for &byte in string {
        if byte == b' ' { text.push(' ') } else { escaped(&mut text, byte, b"\"\\") }
    }
    text.push('"');
    text
}

fn escaped(text: &mut String, byte: u8, special: &[u8]) {
    if !byte.is_ascii_graphic() {
        let _ = write!(text, "\\{byte:03}");
        return;
    }
    if special.contains(&byte) {
        text.push('\\');
    }
    text.push(char::from(byte));
}
