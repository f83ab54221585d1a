//! What was said, from what a HAR says of it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::document::{Entry, Header, PostData, Request, Response};
use crate::protocol::{Field, Protocol};

/// Something about entries that is worth saying; how many they were is counted.
pub(super) type Notes = BTreeMap<&'static str, u64>;

/// A message's content.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    None,
    Bytes(Cow<'a, [u8]>),
    /// It had so many bytes, and they are not in the archive.
    Missing(u64),
}

/// A header field.
type Line<'a> = (Cow<'a, str>, Cow<'a, [u8]>);

/// The request of an entry.
pub(super) struct Asked<'a> {
    pub protocol: Protocol,
    pub secured: bool,
    /// Host and port, the port always.
    pub authority: String,
    pub target: &'a str,
    pub fields: Vec<Line<'a>>,
    pub content: Content<'a>,
}

/// The answer.
pub(super) struct Told<'a> {
    pub status: u16,
    pub fields: Vec<Line<'a>>,
    pub content: Content<'a>,
}

/// As the recording takes them.
pub(super) fn fields<'a>(lines: &'a [Line<'a>]) -> Vec<Field<'a>> {
    lines.iter().map(|(name, value)| Field { name, value }).collect()
}

impl<'a> Asked<'a> {
    /// # Errors
    /// Why there is none that could be recorded.
    pub fn of(entry: &'a Entry, notes: &mut Notes) -> Result<Self, &'static str> {
        let Request { method, url, http_version, headers, post_data, body_size } = &entry.request;
        let is_token = method.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
        if method.is_empty() || !is_token || method == "CONNECT" {
            return Err("the method is not one of HTTP");
        }
        let url = url.split('#').next().unwrap_or_default();
        let (scheme, rest) = url.split_once("://").ok_or("the url is neither http nor https")?;
        let secured = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => false,
            "https" | "wss" => true,
            _ => return Err("the url is neither http nor https"),
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let host = authority.rsplit('@').next().unwrap_or_default();
        if host.is_empty() || url.contains(|c: char| c.is_control() || c == ' ') {
            return Err("the url is malformed");
        }
        let version = http_version.as_deref().unwrap_or_default().to_ascii_lowercase();
        let multiplexed =
            ["h2", "h3", "http/2", "http/2.0", "http/3", "http/3.0", "spdy"].contains(&version.as_str());
        let mut fields = lines(headers.as_deref());
        if multiplexed {
            *notes.entry("of HTTP/2 or HTTP/3, told as HTTP/1.1").or_default() += 1;
        }
        // HTTP/1.1 cannot be without (RFC 9112 section 3.2); HTTP/2 has it by another name.
        if version != "http/1.0" && !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            fields.insert(0, ("Host".into(), host.as_bytes().into()));
        }
        let port = if secured { ":443" } else { ":80" };
        let has_port =
            host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        Ok(Self {
            protocol: if version == "http/1.0" { Protocol::Http10 } else { Protocol::Http11 },
            secured,
            authority: if has_port { host.to_owned() } else { format!("{host}{port}") },
            target: if target.is_empty() { "/" } else { target },
            fields,
            content: posted(post_data.as_ref(), *body_size)?,
        })
    }
}

impl<'a> Told<'a> {
    /// `None`: it was not answered.
    ///
    /// # Errors
    /// Why what it says cannot be recorded.
    pub fn of(entry: &'a Entry, notes: &mut Notes) -> Result<Option<Self>, &'static str> {
        let Response { status, headers, content, body_size } = &entry.response;
        let status = match status.unwrap_or(0) {
            ..=0 => return Ok(None),
            status @ 100..=999 => u16::try_from(status).unwrap_or(999),
            _ => return Err("the status is not one of HTTP"),
        };
        let mut fields = lines(headers.as_deref());
        let bodiless = entry.request.method == "HEAD" || matches!(status, 100..=199 | 204 | 304);
        let mut body = Content::None;
        if let Some(content) = content {
            let text = content.text.as_deref().filter(|text| !text.is_empty());
            body = match text {
                Some(text) => Content::Bytes(bytes(text, content.encoding.as_deref())?),
                None if bodiless => Content::None,
                None => missing(content.size.max(*body_size)),
            };
        }
        if matches!(body, Content::Missing(_)) {
            *notes.entry("without the body that was answered").or_default() += 1;
        }
        if let Content::Bytes(bytes) = &body
            && uncode(&mut fields, bytes)
        {
            *notes.entry("of which the body is kept decoded, without its Content-Encoding").or_default() += 1;
        }
        Ok(Some(Self { status, fields, content: body }))
    }
}

/// Archives have content decoded: takes off the field that says otherwise, and puts the length right. False where there
/// is none, or where it is coded all the same.
fn uncode(fields: &mut Vec<Line<'_>>, bytes: &[u8]) -> bool {
    let at = fields.iter().position(|(name, value)| {
        let coding = value.trim_ascii().to_ascii_lowercase();
        let still = matches!(&coding[..], b"gzip" | b"x-gzip") && bytes.starts_with(b"\x1f\x8b");
        name.eq_ignore_ascii_case("content-encoding") && !still && coding != b"identity" && !coding.is_empty()
    });
    let Some(at) = at else { return false };
    fields.remove(at);
    for (_, value) in fields.iter_mut().filter(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        *value = bytes.len().to_string().into_bytes().into();
    }
    true
}

/// Header fields that HTTP/1.1 can have. Several values are sometimes told as one, a line each.
fn lines(headers: Option<&[Header]>) -> Vec<Line<'_>> {
    let usable =
        |name: &str| !name.is_empty() && !name.starts_with(':') && !name.contains(|c: char| c.is_control());
    let headers = headers.unwrap_or_default().iter().filter(|header| usable(&header.name));
    headers
        .flat_map(|header| {
            let value = header.value.as_deref().unwrap_or_default();
            value.split('\n').map(|value| {
                let value = value.trim_matches([' ', '\t', '\r']);
                let clean: Cow<'_, [u8]> = if value.contains(['\r', '\0']) {
                    value.replace(['\r', '\0'], " ").into_bytes().into()
                } else {
                    value.as_bytes().into()
                };
                (Cow::Borrowed(header.name.as_str()), clean)
            })
        })
        .collect()
}

fn posted(data: Option<&PostData>, size: Option<i64>) -> Result<Content<'_>, &'static str> {
    let Some(data) = data else { return Ok(missing(size)) };
    let encoding = data.encoding.as_deref().or(data.own_encoding.as_deref());
    if let Some(text) = data.text.as_deref().filter(|text| !text.is_empty()) {
        return Ok(Content::Bytes(bytes(text, encoding)?));
    }
    let is_form = data.mime_type.as_deref().unwrap_or_default().contains("form-urlencoded");
    match &data.params {
        Some(params) if is_form && !params.is_empty() => {
            let pair = |it: &Header| {
                format!("{}={}", encoded(&it.name), encoded(it.value.as_deref().unwrap_or_default()))
            };
            Ok(Content::Bytes(params.iter().map(pair).collect::<Vec<_>>().join("&").into_bytes().into()))
        }
        _ => Ok(missing(size)),
    }
}

/// As forms are (application/x-www-form-urlencoded), unless it is so already.
fn encoded(text: &str) -> String {
    if text.contains('%') {
        return text.to_owned();
    }
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b if b.is_ascii_alphanumeric() || b"*-._+".contains(&b) => out.push(char::from(b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

fn missing(size: Option<i64>) -> Content<'static> {
    match size.and_then(|size| u64::try_from(size).ok()) {
        None | Some(0) => Content::None,
        Some(size) => Content::Missing(size),
    }
}

fn bytes<'a>(text: &'a str, encoding: Option<&str>) -> Result<Cow<'a, [u8]>, &'static str> {
    if !encoding.is_some_and(|encoding| encoding.eq_ignore_ascii_case("base64")) {
        return Ok(text.as_bytes().into());
    }
    let packed: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let decoded = base64_simd::forgiving_decode_to_vec(&packed);
    decoded.map(Cow::Owned).map_err(|_| "a body is not base64, as it says it is")
}
