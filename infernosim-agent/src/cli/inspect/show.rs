//! One exchange whole.

mod body;

use std::io::{self, Write};

use super::Stop;
use super::table::offset;
use super::text::{duration, escape, size};
use crate::incident::event::{Answer, Event, Headers, Kind, Outcome};
use crate::incident::reader::{Incident, Record};

pub(super) use body::{Side, raw};

/// Prints an exchange: the facts, then what each side said. `>` begins a line that the client sent as the head
/// of its message, `<` one of the server; bodies have no mark.
pub(super) fn show(incident: &Incident, records: &[Record], out: &mut impl Write) -> Result<(), Stop> {
    for (i, Record { event, .. }) in records.iter().enumerate() {
        if i > 0 {
            writeln!(out)?;
        }
        facts(event, out)?;
        if event.kind != Kind::InboundResponse {
            request(incident, event, out)?;
        }
        match event.kind {
            Kind::InboundRequest => {}
            Kind::Dns => answers(event, out)?,
            _ => response(incident, event, out)?,
        }
    }
    Ok(())
}

fn facts(event: &Event, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{} {}", escape(event.kind.as_str()), escape(&event.id))?;
    let join =
        |parts: &[String]| parts.iter().filter(|p| !p.is_empty()).cloned().collect::<Vec<_>>().join(", ");
    let optional =
        |label: &str, value: Option<String>| value.map(|v| format!("{label}{v}")).unwrap_or_default();
    let ends = match (escape(&event.local), escape(&event.peer)) {
        (local, peer) if local.is_empty() || peer.is_empty() => format!("{local}{peer}"),
        (local, peer) if is_inbound(event) => format!("{peer} → {local}"),
        (local, peer) => format!("{local} → {peer}"),
    };
    let lost = optional("", event.events.map(|n| super::text::count(n, "event")));
    let rows = [
        ("sequence", optional("", event.sequence.map(|n| n.to_string()))),
        (
            "time",
            join(&[
                escape(&event.timestamp).into(),
                optional("", event.offset_ns.map(|ns| offset(ns) + " s")),
            ]),
        ),
        (label(event), escape(event.dependency()).into()),
        ("name", optional("", text(&event.name))),
        ("url", escape(&event.url).into()),
        ("protocol", join(&[escape(&event.protocol).into(), escape(&event.transport).into()])),
        ("connection", join(&[optional("", event.connection.map(|n| n.to_string())), ends])),
        ("tls", join(&[optional("server name ", text(&event.sni)), offers(&event.alpn)])),
        (
            "process",
            join(&[
                escape(&event.comm).into(),
                optional("pid ", event.pid.map(|n| n.to_string())),
                optional("tid ", event.tid.map(|n| n.to_string())),
            ]),
        ),
        ("duration", optional("", event.duration.map(duration))),
        ("outcome", outcome(event)),
        ("cause", join(&[optional("", text(&event.cause)), optional("by ", text(&event.cause_basis))])),
        ("lost", join(&[lost, optional("", event.bytes.map(size)), optional("", text(&event.reason))])),
    ];
    for (label, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(out, "  {label:<12}{value}")?;
    }
    Ok(())
}

fn is_inbound(event: &Event) -> bool {
    matches!(event.kind, Kind::InboundRequest | Kind::InboundResponse)
}

fn label(event: &Event) -> &'static str {
    match event.kind {
        Kind::Dns => "resolver",
        _ if event.is_outbound() => "dependency",
        _ => "service",
    }
}

/// The records of a lookup, as a zone file has them.
fn answers(event: &Event, out: &mut impl Write) -> io::Result<()> {
    if !event.answers.is_empty() {
        writeln!(out)?;
    }
    event.answers.iter().try_for_each(|Answer { name, kind, ttl, data }| {
        writeln!(out, "< {} {ttl} {} {}", escape(name), escape(kind), escape(data))
    })
}

fn text(value: &Option<String>) -> Option<String> {
    value.as_deref().map(|value| escape(value).into_owned())
}

fn offers(alpn: &[String]) -> String {
    if alpn.is_empty() { String::new() } else { format!("offers {}", escape(&alpn.join(" "))) }
}

fn outcome(event: &Event) -> String {
    let word = match (&event.kind, event.outcome()) {
        (Kind::OutboundCall | Kind::InboundResponse, Outcome::Answered) => "answered",
        (Kind::OutboundCall | Kind::InboundResponse, Outcome::Unanswered) => "unanswered",
        (Kind::OutboundCall | Kind::InboundResponse, Outcome::Closed) => "closed",
        _ => "",
    };
    let flag = |flag: bool, word: &str| flag.then(|| word.to_owned());
    let parts = [
        Some(word.to_owned()),
        text(&event.rcode),
        flag(event.truncated, "truncated"),
        flag(event.incomplete, "incomplete"),
        text(&event.errno),
        text(&event.error),
    ];
    parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// HTTP has heads; of other protocols there is only what was sent.
fn has_heads(event: &Event) -> bool {
    !event.headers.is_empty() || event.status.is_some() || event.url.starts_with("http")
}

fn request(incident: &Incident, event: &Event, out: &mut impl Write) -> Result<(), Stop> {
    if !matches!(event.kind, Kind::OutboundCall | Kind::InboundRequest) {
        return Ok(());
    }
    writeln!(out)?;
    if has_heads(event) {
        let path = match event.path_and_query() {
            path if path.starts_with('/') => path.to_owned(),
            // Origin form always begins with a slash (RFC 9112 section 3.2.1).
            path => format!("/{path}"),
        };
        let target = event.target.as_deref().unwrap_or(&path);
        writeln!(out, "> {} {}{}", escape(&event.method), escape(target), version(event, " "))?;
        fields('>', &event.headers, out)?;
        writeln!(out, ">")?;
    }
    body::print(incident, event, Side::Request, out)?;
    Ok(fields('>', &event.request_trailers, out)?)
}

fn response(incident: &Incident, event: &Event, out: &mut impl Write) -> Result<(), Stop> {
    for interim in &event.interim {
        writeln!(out, "\n< {} {}", version(event, ""), interim.status)?;
        fields('<', &interim.headers, out)?;
        writeln!(out, "<")?;
    }
    let has_body = body::of(event, Side::Response) != crate::incident::event::Body::Empty;
    if event.status.is_none() && !has_body {
        return Ok(());
    }
    writeln!(out)?;
    if let Some(status) = event.status {
        let version = version(event, "");
        writeln!(out, "< {}{status}", if version.is_empty() { version } else { version + " " })?;
        let old = event.kind == Kind::InboundResponse && event.response_headers.is_empty();
        fields('<', if old { &event.headers } else { &event.response_headers }, out)?;
        writeln!(out, "<")?;
    }
    body::print(incident, event, Side::Response, out)?;
    fields('<', &event.response_trailers, out)?;
    if !event.response_chunks.is_empty() {
        writeln!(out, "\nchunks of the response, from the start of the exchange")?;
    }
    for (at, bytes) in &event.response_chunks {
        writeln!(out, "  {:>10}  {}", format!("+{}", duration(*at)), size(*bytes))?;
    }
    Ok(())
}

/// `HTTP/1.1`, or nothing for old lines, which do not tell.
fn version(event: &Event, before: &str) -> String {
    match event.protocol.as_str() {
        protocol if protocol.starts_with("http/") => format!("{before}{}", escape(&protocol.to_uppercase())),
        _ => String::new(),
    }
}

fn fields(mark: char, headers: &Headers, out: &mut impl Write) -> io::Result<()> {
    headers.iter().try_for_each(|(name, value)| writeln!(out, "{mark} {}: {}", escape(name), escape(value)))
}
