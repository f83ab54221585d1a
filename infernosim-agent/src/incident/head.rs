//! The fields of a line that a message's head gives.

use nix::errno::Errno;

use super::exchange::Exchange;
use super::line::Peer;
use super::redact::{Class, Media, Redactor};
use super::{Direction, json};
use crate::protocol::Field;

/// Up to this many fields a name is looked for among those before it; beyond, by a sorted list.
const FEW: usize = 32;

/// `service`, `protocol`, `method`, `url`, `headers`; and what the head says of the body.
pub fn request(
    exchange: &mut Exchange,
    (direction, peer, scheme): (Direction, &Peer, &str),
    (method, target): (&str, &str),
    fields: &[Field<'_>],
    mut redactor: Option<&mut Redactor>,
) {
    let replaced = redactor.as_mut().and_then(|redactor| redactor.url(target.as_bytes()));
    let replaced = replaced.map(|target| String::from_utf8_lossy(&target).into_owned());
    let target = replaced.as_deref().unwrap_or(target);
    let host = fields.iter().find(|field| field.name.eq_ignore_ascii_case("host"));
    let host = host.and_then(|field| std::str::from_utf8(field.value).ok()).filter(|host| !host.is_empty());
    // What is in the request names the dependency; a request that names none is named by its connection.
    let named = host.map_or_else(|| peer.asked(direction), str::to_owned);
    let absolute = !target.starts_with('/') && target.contains("://");
    let authority = if absolute { authority_of(target).unwrap_or(&named) } else { &named };
    // CONNECT asks for a host, not for something that the host has; nearly always for its TLS.
    let connect = method == "CONNECT";
    let (authority, default_port) =
        if connect { (target, ":443") } else { (authority, default_port(scheme)) };
    match direction {
        Direction::Inbound => exchange.service.push_str(&peer.asked(direction)),
        Direction::Outbound => {
            exchange.service.push_str(authority.strip_suffix(default_port).unwrap_or(authority));
        }
    }
    exchange.connect = connect.then(|| target.to_owned());
    let out = &mut exchange.request_head;
    json::key(out, "service");
    json::string(out, &exchange.service);
    if !connect {
        json::key(out, "protocol");
        json::string(out, exchange.protocol.map_or("http/1.1", crate::protocol::Protocol::as_str));
    }
    json::key(out, "method");
    json::string(out, method);
    json::key(out, "url");
    out.push(b'"');
    if !absolute && !connect {
        out.extend_from_slice(scheme.as_bytes());
        out.extend_from_slice(b"://");
        json::escaped(out, named.as_bytes());
        if !target.starts_with('/') {
            out.push(b'/');
        }
    }
    json::escaped(out, target.as_bytes());
    out.push(b'"');
    exchange.named = out.len();
    if !target.starts_with('/') {
        json::key(out, "target");
        json::string(out, target);
    }
    let media = headers(out, "headers", fields, redactor);
    exchange.request.declare(media);
}

/// The port that a url need not name.
fn default_port(scheme: &str) -> &'static str {
    if scheme == "https" { ":443" } else { ":80" }
}

/// `status`, and the header fields under `name`. Gives what the head says of the body.
pub fn response(
    out: &mut Vec<u8>,
    status: u16,
    (name, fields): (&str, &[Field<'_>]),
    redactor: Option<&mut Redactor>,
) -> Media {
    json::key(out, "status");
    json::number(out, status.into());
    headers(out, name, fields, redactor)
}

/// One more of `interim`, a comma before it.
pub fn interim(out: &mut Vec<u8>, status: u16, fields: &[Field<'_>], redactor: Option<&mut Redactor>) {
    out.extend_from_slice(b",{\"status\":");
    json::number(out, status.into());
    headers(out, "headers", fields, redactor);
    out.push(b'}');
}

/// Trailer fields, if there are any.
pub fn trailers(out: &mut Vec<u8>, name: &str, fields: &[Field<'_>], redactor: Option<&mut Redactor>) {
    if !fields.is_empty() {
        headers(out, name, fields, redactor);
    }
}

/// `errno`, by name.
pub fn errno(out: &mut Vec<u8>, errno: Option<Errno>) {
    if let Some(errno) = errno {
        json::key(out, "errno");
        json::string(out, &format!("{errno:?}"));
    }
}

/// An object of name → list of values: names in the order of their first appearance, values in wire order.
/// With a redactor, gives what they say of the content.
fn headers(
    out: &mut Vec<u8>,
    name: &str,
    fields: &[Field<'_>],
    mut redactor: Option<&mut Redactor>,
) -> Media {
    let mut media = Media::default();
    json::key(out, name);
    out.push(b'{');
    let repeats = Repeats::of(fields);
    let mut first = true;
    for (index, field) in fields.iter().enumerate() {
        if repeats.is_repeat(fields, index) {
            continue;
        }
        if !first {
            out.push(b',');
        }
        first = false;
        json::string(out, field.name);
        out.extend_from_slice(b":[");
        let class = redactor.as_mut().map_or(Class::Plain, |redactor| redactor.class(field.name.as_bytes()));
        value(out, class, field.value, redactor.as_deref_mut(), &mut media);
        for later in repeats.later(fields, index) {
            out.push(b',');
            value(out, class, later.value, redactor.as_deref_mut(), &mut media);
        }
        out.push(b']');
    }
    out.push(b'}');
    media
}

/// A value of a field, its secrets replaced.
fn value(out: &mut Vec<u8>, class: Class, value: &[u8], redactor: Option<&mut Redactor>, media: &mut Media) {
    match class {
        Class::ContentType => media.content_type(value),
        Class::ContentEncoding => media.content_encoding(value),
        _ => {}
    }
    match redactor.and_then(|redactor| redactor.value(class, value)) {
        Some(replaced) => json::lenient_string(out, &replaced),
        None => json::lenient_string(out, value),
    }
}

/// Which fields have the name of an earlier one. With few fields they are simply compared.
struct Repeats {
    /// Indices sorted by name, then by place; empty with few fields.
    sorted: Vec<usize>,
}

impl Repeats {
    fn of(fields: &[Field<'_>]) -> Self {
        let mut sorted = Vec::new();
        if fields.len() > FEW {
            sorted = (0..fields.len()).collect();
            sorted.sort_by_key(|&index| (fields[index].name, index));
        }
        Self { sorted }
    }

    fn is_repeat(&self, fields: &[Field<'_>], index: usize) -> bool {
        let name = fields[index].name;
        if self.sorted.is_empty() {
            return fields[..index].iter().any(|earlier| earlier.name == name);
        }
        let at = self.sorted.partition_point(|&other| (fields[other].name, other) < (name, index));
        at > 0 && fields[self.sorted[at - 1]].name == name
    }

    fn later<'a>(&self, fields: &'a [Field<'a>], index: usize) -> impl Iterator<Item = &'a Field<'a>> {
        let name = fields[index].name;
        let after: Vec<usize> = if self.sorted.is_empty() {
            (index + 1..fields.len()).filter(|&other| fields[other].name == name).collect()
        } else {
            let at = self.sorted.partition_point(|&other| (fields[other].name, other) <= (name, index));
            self.sorted[at..].iter().copied().take_while(|&other| fields[other].name == name).collect()
        };
        after.into_iter().map(|other| &fields[other])
    }
}

/// The path and query of a request target; that of CONNECT has none.
pub fn path_of(target: &str) -> Option<&str> {
    if target.starts_with('/') || target == "*" {
        return Some(target);
    }
    let (_, rest) = target.split_once("://")?;
    Some(rest.find(['/', '?']).map_or("/", |at| &rest[at..]))
}

/// The authority of an absolute URI, without userinfo: it names a dependency.
fn authority_of(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit('@').next()?;
    (!authority.is_empty()).then_some(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_share_a_list_however_many_fields_there_are() {
        for padding in [0, 100] {
            let filler: Vec<String> = (0..padding).map(|n| format!("f{n}")).collect();
            let mut fields =
                vec![Field { name: "Set-Cookie", value: b"a" }, Field { name: "X", value: b"1" }];
            fields.extend(filler.iter().map(|name| Field { name, value: b"" }));
            fields.push(Field { name: "Set-Cookie", value: b"b" });
            fields.push(Field { name: "set-cookie", value: b"c" });
            fields.push(Field { name: "Set-Cookie", value: b"d" });
            let mut out = b"{\"x\":0".to_vec();
            headers(&mut out, "headers", &fields, None);
            out.push(b'}');
            let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
            let headers = value["headers"].as_object().unwrap();
            assert_eq!(headers["Set-Cookie"], serde_json::json!(["a", "b", "d"]));
            assert_eq!(headers["set-cookie"], serde_json::json!(["c"]));
            assert_eq!(headers.keys().take(2).collect::<Vec<_>>(), ["Set-Cookie", "X"]);
            assert_eq!(headers.len(), 3 + padding);
        }
    }
}
