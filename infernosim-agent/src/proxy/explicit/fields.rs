//! The fields of a head: which belong to one hop (RFC 9110 section 7.6.1), and how they are written again.

use crate::protocol::Field;

/// What the fields of a head say about the connection it came on.
#[derive(Debug, Default)]
pub struct Hop<'a> {
    /// The connection closes behind this message.
    pub close: bool,
    /// Another protocol is asked for, or agreed on.
    pub upgrade: bool,
    /// `TE: trailers` may be passed on.
    pub trailers: bool,
    /// The fields that Connection names.
    named: Vec<&'a [u8]>,
}

/// Fields of a hop, whether Connection names them or not.
const HOP: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "upgrade"];

/// Fields that Connection may name and that stay: without them the message would be another one.
const KEPT: [&str; 3] = ["host", "content-length", "transfer-encoding"];

impl<'a> Hop<'a> {
    /// Reads them.
    pub fn read(fields: &[Field<'a>]) -> Self {
        let mut hop = Self::default();
        for option in
            fields.iter().filter(|field| is(field, "connection")).flat_map(|field| items(field.value))
        {
            match option {
                _ if option.eq_ignore_ascii_case(b"close") => hop.close = true,
                _ if option.eq_ignore_ascii_case(b"upgrade") => hop.upgrade = true,
                _ => hop.named.push(option),
            }
        }
        // What clients say to proxies that they take for older than Connection.
        let to_proxies = fields.iter().filter(|field| is(field, "proxy-connection"));
        hop.close |=
            to_proxies.flat_map(|field| items(field.value)).any(|item| item.eq_ignore_ascii_case(b"close"));
        let mut wanted = fields.iter().filter(|field| is(field, "te")).flat_map(|field| items(field.value));
        hop.trailers = wanted.any(|item| item.eq_ignore_ascii_case(b"trailers"));
        // "Upgrade: h2c" is answered with a protocol that neither we nor the recording read; without it the
        // request is served as HTTP/1.1 (RFC 9110 section 7.8).
        let offered: Vec<_> =
            fields.iter().filter(|field| is(field, "upgrade")).flat_map(|field| items(field.value)).collect();
        hop.upgrade &= !offered.is_empty() && !offered.iter().any(|offer| offer.eq_ignore_ascii_case(b"h2c"));
        hop
    }

    /// Whether the field ends with this hop.
    pub fn has(&self, field: &Field<'_>) -> bool {
        let of_hop = HOP.iter().any(|name| is(field, name));
        let named = || self.named.iter().any(|name| name.eq_ignore_ascii_case(field.name.as_bytes()));
        of_hop || (named() && !KEPT.iter().any(|name| is(field, name)))
    }

    /// Writes what this hop ends with, for the next: what it is asked for, and what Connection says of that.
    pub fn write(&self, out: &mut Vec<u8>, fields: &[Field<'_>], close: bool) {
        let mut options = Vec::new();
        if self.trailers {
            write(out, "TE", b"trailers");
            options.push("TE");
        }
        if self.upgrade {
            fields
                .iter()
                .filter(|field| is(field, "upgrade"))
                .for_each(|field| write(out, field.name, field.value));
            options.push("Upgrade");
        }
        if close {
            options.push("close");
        }
        if !options.is_empty() {
            write(out, "Connection", options.join(", ").as_bytes());
        }
    }
}

/// Whether the field has this name, given in lower case.
pub fn is(field: &Field<'_>, name: &str) -> bool {
    field.name.eq_ignore_ascii_case(name)
}

/// The items of a list (RFC 9110 section 5.6.1).
pub fn items(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
}

/// Writes one field.
pub fn write(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Says that the message came through us (RFC 9110 section 7.6.3): whoever wonders why a request looks different
/// finds out here, and so do chains of proxies that have become circles. A field of its own behind those that are
/// there is the same as an item more in their list.
pub fn write_via(out: &mut Vec<u8>, minor: u8) {
    write(out, "Via", if minor == 0 { b"1.0 infernosim" } else { b"1.1 infernosim" });
}
