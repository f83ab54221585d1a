//! `infernosim import`: an incident from what another program recorded.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};

use super::inspect::text::{count, escape};
use super::keeping::Keeping;
use super::report;
use crate::clock::Nanos;
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::har::{Document, Import as Har, Imported};
use crate::incident::manifest::{Manifest, Tool, now};
use crate::incident::redact::Redaction;
use crate::incident::{Budget, Closed, Direction, Lines, Ownership, Shelf, Sums, Writer};
use crate::seed::Ids;
use crate::target::Identity;

/// Memory for what is not yet on disk, in bytes.
const BUFFER: usize = 256 << 20;

/// Make an incident of what another program recorded
#[derive(Debug, Subcommand)]
#[command(after_help = IN_SHORT)]
pub enum Import {
    Har(FromHar),
}

/// Make an incident of an HTTP Archive, as browsers and proxies write it
///
/// Times, order, header fields and bodies are kept as far as they are in it, secrets are replaced as in a capture.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct FromHar {
    /// The archive; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Where to make the incident
    #[arg(long, value_name = "DIR")]
    incident: PathBuf,

    /// Replace an incident that DIR already holds
    #[arg(long)]
    force: bool,

    /// Take requests for what clients asked the target (inbound), or for what the target asked others (outbound); those
    /// that `infernosim export har` wrote say it themselves
    #[arg(long = "as", value_name = "WAY", default_value = "inbound")]
    way: Way,

    /// What inbound requests call the target, HOST:PORT [default: what stands in their urls]
    #[arg(long, value_name = "NAME")]
    service: Option<String>,

    #[command(flatten)]
    keeping: Keeping,

    /// Print what became of it as one JSON object, and errors as one line of JSON
    #[arg(long)]
    json: bool,

    /// Print errors only
    #[arg(short, long)]
    quiet: bool,
}

const IN_SHORT: &str = "Examples:
  infernosim import har session.har --incident ./session";

const EXAMPLES: &str = "\
Examples:
  infernosim import har session.har --incident ./session   a browser's requests, as inbound ones
  infernosim import har calls.har --incident ./calls --as outbound
  infernosim import har session.har --incident ./session --service localhost:8084

Exit status: 0, also where single entries could not be taken, which are counted; 4 if none could, or if FILE is no \
HTTP Archive.";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Way {
    Inbound,
    Outbound,
}

impl Import {
    /// Runs the command.
    ///
    /// # Errors
    /// `Exit::Incident` if the file is unusable, `Exit::Usage` if DIR is, `Exit::Host` if it cannot be written.
    pub fn run(&self, out: &mut impl Write) -> Result<Exit> {
        let Self::Har(har) = self;
        har.run(out)
    }
}

impl FromHar {
    fn run(&self, out: &mut impl Write) -> Result<Exit> {
        let text = read(&self.file)?;
        let at_file = |mut e: ExpectedError| {
            e.message = format!("{}: {}", self.file.display(), e.message);
            e
        };
        let document = Document::parse(&text).map_err(at_file)?;
        let direction = match self.way {
            Way::Inbound => Direction::Inbound,
            Way::Outbound => Direction::Outbound,
        };
        let how = Har { direction, service: self.service.clone() };
        let (done, sums) = self.write(&how, &document)?;
        if self.json {
            self.print(&done, &sums, out)?;
        } else if !self.quiet {
            self.say(&document, &done, &sums);
        }
        match (done.exchanges, &sums.errors[..]) {
            (_, [error, ..]) => Err(ExpectedError::new(Exit::Incident, error)),
            (0, _) => Err(ExpectedError::new(
                Exit::Incident,
                format!("{}: none of its {} could be taken", self.file.display(), entries(document.len())),
            )
            .help(done.reasons.first().cloned().unwrap_or_else(|| "record again, with content".to_owned()))),
            _ if !sums.lost.is_empty() => Ok(Exit::Incident),
            _ => Ok(Exit::Pass),
        }
    }

    fn write(&self, how: &Har, document: &Document<'_>) -> Result<(Imported, Sums)> {
        let identity = Identity::of_caller(None)?;
        let owner = Ownership { uid: identity.uid, gid: identity.gid };
        let redaction = Redaction::new(self.keeping.policy())?;
        let limits = self.keeping.limits();
        let mut shelf = Shelf::create(&self.incident, owner, self.force, None)?;
        let mut manifest = Manifest { tool: Tool::this(), started_at: now(), ..Manifest::default() };
        redaction.describe(&mut manifest);
        shelf.begin(manifest, None);
        let budget = Arc::new(Budget::new(BUFFER));
        let (writer, outbox) = Writer::start(shelf, Arc::clone(&budget))?;
        let mut lines = Lines::new(outbox, budget, limits, &redaction, Ids::from_system()?, Nanos(0));
        let told = how.tell(document, &mut lines);
        let totals = lines.finish();
        let (mut shelf, written) = writer.join()?;
        match told {
            Ok(done) if done.exchanges > 0 => {
                shelf.close(&totals, &written);
                Ok((done, shelf.into_sums()))
            }
            // Nothing that is worth keeping.
            Ok(done) => {
                shelf.discard();
                Ok((done, Sums::default()))
            }
            Err(e) => {
                shelf.discard();
                Err(e)
            }
        }
    }

    /// As `docs/cli.md` shows it.
    fn print(&self, done: &Imported, sums: &Sums, out: &mut impl Write) -> Result<()> {
        let incident =
            |it: &Closed| serde_json::json!({ "path": it.path.display().to_string(), "events": it.events });
        let incidents: Vec<_> = sums.incidents.iter().map(incident).collect();
        let summary = serde_json::json!({
            "infernosim": "import",
            "incidents": incidents,
            "exchanges": done.exchanges,
            "events": events(sums),
            "changed": done.notes,
            "leftOut": done.skipped,
            "why": done.reasons,
        });
        writeln!(out, "{summary}").or_else(super::quiet_if_pipe_broke)
    }

    fn say(&self, document: &Document<'_>, done: &Imported, sums: &Sums) {
        if done.exchanges > 0 {
            let by = if document.creator.is_empty() {
                String::new()
            } else {
                format!(" of {}", escape(&document.creator))
            };
            let events = events(sums);
            let exchanges = count(done.exchanges, "exchange");
            let dir = self.incident.display();
            report::say(format!(
                "infernosim: imported {exchanges}{by} ({}) in {dir}",
                count(events, "event")
            ));
        }
        for (note, n) in &done.notes {
            report::say(format!("  {}", escape(&format!("{n} {note}"))));
        }
        if done.skipped > 0 {
            report::say(format!("  {} left out:", entries_n(done.skipped)));
            done.reasons.iter().for_each(|why| report::say(format!("    {}", escape(why))));
        }
        sums.notes.iter().for_each(|note| report::say(format!("  {note}")));
        if done.exchanges > 0 {
            report::say(format!("  see it: infernosim inspect {}", self.incident.display()));
        }
    }
}

fn events(sums: &Sums) -> u64 {
    sums.incidents.iter().map(|it| it.events).sum()
}

fn entries(n: usize) -> String {
    entries_n(n as u64)
}

fn entries_n(n: u64) -> String {
    count(n, "entry")
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let cannot = |e: io::Error| {
        ExpectedError::new(Exit::Incident, format!("{} cannot be read: {e}", path.display()))
            .help("name the archive that was saved")
    };
    let mut text = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().read_to_end(&mut text).map_err(cannot)?;
    } else {
        File::open(path).and_then(|mut file| file.read_to_end(&mut text)).map_err(cannot)?;
    }
    Ok(text)
}
