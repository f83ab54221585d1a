//! `infernosim export har`: the exchanges of an incident as an HTTP Archive.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::inspect::Stop;
use crate::cli::inspect::entry::Entry;
use crate::cli::inspect::filter::Filter;
use crate::cli::inspect::text::count;
use crate::cli::report;
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::event::{Event, Kind};
use crate::incident::har::{Archive, is_http};
use crate::incident::reader::Incident;
use crate::incident::{Join, Joined};

/// Write an incident as an HTTP Archive (HAR 1.2), for browsers and other tools
///
/// Each HTTP exchange becomes an entry: a request to the target with its answer, or a call to a dependency. Bodies are
/// in it, decoded.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Har {
    /// The incident: its directory, or one log of it
    #[arg(value_name = "DIR")]
    incident: PathBuf,

    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    filter: Filter,
}

const EXAMPLES: &str = "\
Examples:
  infernosim export har ./incident -o incident.har     for the network panel of a browser
  infernosim export har ./incident --inbound -o clients.har
  infernosim export har ./incident --service 'api.*' --failed | jq '.log.entries[].request.url'

Secrets that were replaced when they were recorded stay replaced. What is no HTTP is counted on standard error.";

impl Har {
    pub fn run(&self, out: &mut impl Write) -> Result<(), Stop> {
        let incident = Incident::open(&self.incident)?;
        let mut archive = Archive::new()?;
        let mut join = Join::default();
        let mut left_out = BTreeMap::new();
        let mut events = incident.events()?;
        for record in &mut events {
            let record = record?;
            if !is_http(&record.event) {
                if let Some(noun) = self.noun(&record.event) {
                    *left_out.entry(noun).or_insert(0) += 1;
                }
                continue;
            }
            for joined in join.add(record.event, record.text.len()) {
                self.add(joined, &mut archive, &incident)?;
            }
        }
        while let Some(joined) = join.oldest() {
            self.add(joined, &mut archive, &incident)?;
        }
        match &self.output {
            Some(path) if path != Path::new("-") => write_file(archive, path)?,
            _ => archive.write(out)?,
        }
        out.flush()?;
        for note in events.notes() {
            report::say(format!("infernosim: {note}"));
        }
        if !left_out.is_empty() {
            let counts = left_out.into_iter().map(|(noun, n)| count(n, noun)).collect::<Vec<_>>().join(", ");
            report::say(format!("infernosim: not in it, being no HTTP that could be read: {counts}"));
        }
        Ok(())
    }

    fn add(&self, joined: Joined, archive: &mut Archive, incident: &Incident) -> Result<()> {
        let Joined { event, answer } = joined;
        let entry = Entry { event: std::borrow::Cow::Borrowed(&event), answer };
        if !self.filter.matches(&entry) {
            return Ok(());
        }
        let answer = entry.answer;
        archive.add(&Joined { event, answer }, incident)
    }

    /// What it is, where it is something that was to be exported.
    fn noun(&self, event: &Event) -> Option<&'static str> {
        let wanted = self.filter.matches(&Entry::of(event));
        wanted.then_some(match event.kind {
            Kind::Dns => "lookup",
            Kind::Connection => "connection",
            Kind::OutboundCall if event.method == "CONNECT" => "tunnel",
            Kind::OutboundCall => "outbound call",
            Kind::InboundRequest => "inbound request",
            _ => return None,
        })
    }
}

/// Writes a file that only its owner can read, over one that is there.
fn write_file(archive: Archive, path: &Path) -> Result<()> {
    let cannot = |e: std::io::Error| {
        ExpectedError::new(Exit::Host, format!("{} cannot be written: {e}", path.display()))
            .help("name a file that you may write, with -o")
    };
    let mut options = OpenOptions::new();
    let file: File =
        options.write(true).create(true).truncate(true).mode(0o600).open(path).map_err(cannot)?;
    let mut file = BufWriter::with_capacity(64 << 10, file);
    archive.write(&mut file).and_then(|()| file.flush()).map_err(cannot)
}
