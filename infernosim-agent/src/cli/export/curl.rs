//! `infernosim export curl`: a recorded request as a command that sends it again.

use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use clap::Args;

use crate::cli::inspect::{Stop, find, text::escape};
use crate::cli::report;
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::curl::{Base, Data, command};
use crate::incident::event::{Body, Event, Kind};
use crate::incident::reader::{Incident, Record};
use crate::incident::redact::spot::tokens;

/// Print the curl command that sends a recorded request again
///
/// A request to the target goes to the target's listener, one of the target to its dependency: same method, url,
/// header fields in the same order and spelling, same body. For a POSIX shell.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Curl {
    /// The incident: its directory, or one log of it
    #[arg(value_name = "DIR")]
    incident: PathBuf,

    /// The exchange: its sequence number (12 or #12), or at least four digits of its id
    #[arg(value_name = "ID")]
    id: String,

    /// Send it there instead, whatever Host it names
    #[arg(long, value_name = "URL")]
    target_base: Option<Base>,
}

const EXAMPLES: &str = "\
Examples:
  infernosim export curl ./incident 12
  infernosim export curl ./incident 3fa9 | sh
  infernosim export curl ./incident 12 --target-base http://localhost:8084

Secrets that were replaced when they were recorded stay replaced: put your own in the place of the tokens that are \
named on standard error. A long body is read from DIR, so run the command where DIR means the same.";

impl Curl {
    pub fn run(&self, out: &mut impl Write) -> Result<(), Stop> {
        let incident = Incident::open(&self.incident)?;
        let found = find::find(&incident, &self.id)?;
        let event = request(&self.id, &found)?;
        let path;
        let data = match event.request_body() {
            Body::Empty => Data::Bytes(&[]),
            Body::Text(text) => Data::Bytes(text.as_bytes()),
            Body::Base64(bytes) => Data::Bytes(bytes),
            Body::File { sha256, .. } => {
                // It may be missing, or another.
                incident.open_body(sha256)?;
                path = incident.dir().join("bodies").join(sha256.to_ascii_lowercase());
                Data::File(path.as_os_str().as_bytes())
            }
            Body::Dropped { .. } => {
                return Err(unusable("the body of this request was not kept")
                    .help("capture without --max-body, or with a larger one")
                    .into());
            }
        };
        let made = command(event, data, self.target_base.as_ref()).map_err(|why| {
            unusable(&format!("{} cannot be repeated by curl: {why}", self.id))
                .help("`infernosim inspect DIR ID` shows what it was; --target-base says whom to call")
        })?;
        writeln!(out, "{}", made.text)?;
        out.flush()?;
        for note in made.notes.into_iter().chain(remarks(event)) {
            report::say(format!("infernosim: {}", escape(&note)));
        }
        Ok(())
    }
}

/// The line of an exchange that has the request.
fn request<'a>(id: &str, found: &'a [Record]) -> Result<&'a Event> {
    let mut events = found.iter().map(|record| &record.event);
    events.find(|event| matches!(event.kind, Kind::OutboundCall | Kind::InboundRequest)).ok_or_else(|| {
        let kind = found.first().map_or("", |record| record.event.kind.as_str());
        let why = match kind {
            "InboundResponse" => "the request it answers is not in this incident".to_owned(),
            other => format!("{} is no request", escape(other)),
        };
        unusable(&format!("{id} cannot be repeated by curl: {why}"))
            .help("`infernosim inspect DIR` lists the requests")
    })
}

/// In what the command differs from the request that was sent.
fn remarks(event: &Event) -> Vec<String> {
    let mut remarks = Vec::new();
    let mut tell = |place: &str, bytes: &[u8]| {
        for (_, token) in tokens(bytes) {
            remarks.push(format!("{place}: {token} stands for a secret that was not exported"));
        }
    };
    tell("url", event.target.as_deref().unwrap_or(&event.url).as_bytes());
    for (name, value) in event.headers.iter() {
        tell(&format!("header {name}"), value.as_bytes());
    }
    match event.request_body() {
        Body::Text(text) => tell("body", text.as_bytes()),
        Body::Base64(bytes) => tell("body", bytes),
        _ if event.body_redacted => {
            remarks.push("body: secrets in it are replaced by tokens".to_owned());
        }
        _ => {}
    }
    if event.body_truncated {
        remarks.push("body: it was cut at capture, only its first part is sent".to_owned());
    }
    if event.incomplete {
        remarks.push("the request was cut when it was recorded, or its answer was".to_owned());
    }
    remarks.dedup();
    remarks
}

fn unusable(message: &str) -> ExpectedError {
    ExpectedError::new(Exit::Incident, escape(message))
}
