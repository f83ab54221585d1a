//! The bodies of an exchange: for people, or byte for byte.

use std::borrow::Cow;
use std::io::{self, Write};

use crate::cli::inspect::Stop;
use crate::cli::inspect::text::{escape_lines, size};
use crate::cli::report;
use crate::error::{Exit, ExpectedError};
use crate::incident::event::{Body, Event, Kind};
use crate::incident::reader::{Incident, Record};

/// Bytes of a binary body that are shown.
const DUMPED: usize = 256;
/// A larger body is not read to be looked at.
const LARGEST_SHOWN: u64 = 16 << 20;

/// Whose body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli::inspect) enum Side {
    Request,
    Response,
}

impl Side {
    const fn option(self) -> &'static str {
        match self {
            Self::Request => "--request-body",
            Self::Response => "--response-body",
        }
    }
}

/// The body of one side. Old logs keep an `InboundResponse`'s where others keep a request's.
pub(super) fn of(event: &Event, side: Side) -> Body<'_> {
    match (side, &event.kind) {
        (Side::Request, Kind::InboundResponse) | (Side::Response, Kind::InboundRequest) => Body::Empty,
        (Side::Request, _) => event.request_body(),
        (Side::Response, Kind::InboundResponse) if event.response_body() == Body::Empty => {
            event.request_body()
        }
        (Side::Response, _) => event.response_body(),
    }
}

fn is_cut(event: &Event, side: Side) -> bool {
    match (side, &event.kind) {
        (Side::Response, Kind::InboundResponse) => event.response_body_truncated || event.body_truncated,
        (Side::Response, _) => event.response_body_truncated,
        (Side::Request, _) => event.body_truncated,
    }
}

const fn is_redacted(event: &Event, side: Side) -> bool {
    match (side, &event.kind) {
        (Side::Response, Kind::InboundResponse) => event.response_body_redacted || event.body_redacted,
        (Side::Response, _) => event.response_body_redacted,
        (Side::Request, _) => event.body_redacted,
    }
}

/// Prints the bytes of one side's body and nothing else.
pub(in crate::cli::inspect) fn raw(
    incident: &Incident,
    records: &[Record],
    side: Side,
    out: &mut impl Write,
) -> Result<(), Stop> {
    for Record { event, .. } in records {
        match of(event, side) {
            Body::Empty => {}
            Body::Text(text) => out.write_all(text.as_bytes())?,
            Body::Base64(bytes) => out.write_all(bytes)?,
            Body::File { sha256, .. } => {
                io::copy(&mut incident.open_body(sha256)?, out)?;
            }
            Body::Dropped { size: bytes } => {
                let message = format!("this body was not kept ({})", size(bytes));
                let help = match event.protocol.as_str() {
                    "tls" => "it is encrypted; a capture keeps its size only",
                    _ => {
                        "capture without --max-body, or with a larger one; what is compressed in a way that is not read, \
                         --no-redact keeps"
                    }
                };
                return Err(ExpectedError::new(Exit::Incident, message).help(help).into());
            }
        }
        if is_cut(event, side) {
            report::say("infernosim: this body was cut at capture; its first part was kept");
        }
    }
    Ok(())
}

/// Prints one side's body for people: text as it is, the beginning of anything else as a dump.
pub(super) fn print(
    incident: &Incident,
    event: &Event,
    side: Side,
    out: &mut impl Write,
) -> Result<(), Stop> {
    let bytes: Cow<'_, [u8]> = match of(event, side) {
        Body::Empty => return Ok(()),
        Body::Text(text) => text.as_bytes().into(),
        Body::Base64(bytes) => bytes.into(),
        Body::Dropped { size: bytes } => return Ok(writeln!(out, "({}, not kept)", size(bytes))?),
        Body::File { size: bytes, .. } if bytes > LARGEST_SHOWN => {
            return Ok(writeln!(out, "({}: {} prints it)", size(bytes), side.option())?);
        }
        Body::File { sha256, .. } => incident.read_body(sha256)?.into(),
    };
    match std::str::from_utf8(&bytes) {
        // A NUL is in no text that people write.
        Ok(text) if !text.contains('\0') => {
            let text = escape_lines(text);
            out.write_all(text.as_bytes())?;
            if !text.ends_with('\n') {
                writeln!(out)?;
            }
        }
        _ => dump(&bytes, side, out)?,
    }
    if is_cut(event, side) {
        writeln!(out, "(cut at capture: {} of it were kept)", size(bytes.len() as u64))?;
    }
    if is_redacted(event, side) {
        writeln!(out, "(secrets were replaced by tokens at capture)")?;
    }
    Ok(())
}

/// As `hexdump -C` shows bytes.
fn dump(bytes: &[u8], side: Side, out: &mut impl Write) -> io::Result<()> {
    for (row, bytes) in bytes.chunks(16).take(DUMPED / 16).enumerate() {
        let hex: String = bytes.iter().enumerate().fold(String::new(), |hex, (i, byte)| {
            let gap = if i == 8 { "  " } else { " " };
            hex + gap + &format!("{byte:02x}")
        });
        let plain =
            bytes.iter().map(|b| if b.is_ascii_graphic() || *b == b' ' { char::from(*b) } else { '.' });
        writeln!(out, "{:08x} {hex:<49}  |{}|", row * 16, plain.collect::<String>())?;
    }
    if bytes.len() > DUMPED {
        writeln!(out, "({} in all: {} prints it)", size(bytes.len() as u64), side.option())?;
    }
    Ok(())
}
