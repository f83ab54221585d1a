//! `infernosim inspect`: an incident for people, and with `--json` for programs.

pub(in crate::cli) mod entry;
pub(in crate::cli) mod filter;
pub(in crate::cli) mod find;
mod follow;
mod show;
mod summary;
mod table;
#[cfg(test)]
mod tests;
pub(in crate::cli) mod text;
mod tree;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;

use super::report;
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::reader::{Events, Incident, Record};
use entry::{Entry, Join};
use filter::Filter;
use show::Side;
use summary::Summary;
use table::Table;
use tree::Tree;

/// Show an incident: its events a line each, or one exchange whole
#[derive(clap::Args, Clone, Debug, Default)]
#[command(after_help = EXAMPLES)]
pub struct Inspect {
    /// The incident: its directory, or one log of it
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::AnyPath)]
    pub incident: PathBuf,

    /// Show one exchange whole: its sequence number (12 or #12), or at least four digits of its id
    #[arg(value_name = "ID", value_hint = clap::ValueHint::Other)]
    pub id: Option<String>,

    /// Print the selected lines as JSON lines, exactly as they are stored
    #[arg(long, conflicts_with_all = ["request_body", "response_body"])]
    pub json: bool,

    /// Go on as the incident grows, until its capture ends
    #[arg(short, long, conflicts_with = "id")]
    pub follow: bool,

    /// Show inbound exchanges, below each the calls that it made happen; with --json an object a line for each
    #[arg(long, conflicts_with_all = ["id", "follow", "offset"])]
    pub tree: bool,

    /// Show times as seconds since the capture began instead of the time of day (UTC)
    #[arg(long, conflicts_with = "id")]
    pub offset: bool,

    /// Print the body of the request and nothing else, byte for byte
    #[arg(long, requires = "id", conflicts_with = "response_body")]
    pub request_body: bool,

    /// Print the body of the response and nothing else, byte for byte
    #[arg(long, requires = "id")]
    pub response_body: bool,

    // Last, since its heading in the help goes on for what follows.
    #[command(flatten)]
    filter: Filter,
}

const EXAMPLES: &str = "\
Examples:
  infernosim inspect ./incident                        every event, a line each
  infernosim inspect ./incident --failed               what went wrong
  infernosim inspect ./incident --inbound              what clients asked, and how long it took
  infernosim inspect ./incident --service 'api.*' --status 5xx
  infernosim inspect ./incident --tree                 which request made which call
  infernosim inspect ./incident 12                     the exchange of sequence 12, whole
  infernosim inspect ./incident 3fa9 --response-body   only the bytes of its answer
  infernosim inspect ./incident --json | jq .url
  infernosim inspect -f ./incident                     watch a running capture

The table, by sequence. DIR: in = a request to the target and its answer in one row, at the request's place (in> \
and in< where they stand apart: a slow one while following, or with many events between); out = a call or \
connection to a dependency; dns = a lookup. PEER: the client of what is in, else the dependency or resolver.

Exit status: 2 if no event has that ID; 4 if the incident cannot be read.";

/// Where the output goes, as far as it changes what is written.
#[derive(Clone, Copy, Debug, Default)]
struct Screen {
    /// Columns of the terminal; `None`: not a terminal, or one that does not tell.
    width: Option<usize>,
    /// A terminal: what is printed as stored must still not control it.
    terminal: bool,
    /// Colours are welcome.
    colour: bool,
}

impl Screen {
    fn of_stdout() -> Self {
        let stdout = io::stdout();
        Self {
            width: terminal_size::terminal_size_of(&stdout).map(|(width, _)| usize::from(width.0)),
            terminal: stdout.is_terminal(),
            // Knows NO_COLOR, CLICOLOR, CLICOLOR_FORCE and TERM=dumb.
            colour: anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never,
        }
    }
}

/// Why the output ends before its end.
#[derive(Debug)]
pub(in crate::cli) enum Stop {
    /// Nobody reads it any more (`| head`): not an error.
    Unread,
    Failed(ExpectedError),
}

impl From<ExpectedError> for Stop {
    fn from(e: ExpectedError) -> Self {
        Self::Failed(e)
    }
}

/// Of writing the output; errors of reading come as `ExpectedError`.
impl From<io::Error> for Stop {
    fn from(e: io::Error) -> Self {
        if e.kind() == io::ErrorKind::BrokenPipe {
            return Self::Unread;
        }
        Self::Failed(ExpectedError::new(Exit::Host, format!("stdout cannot be written to: {e}")))
    }
}

/// Runs the command. `out` is standard output itself (locked at will), not a filter around it: bodies are printed
/// byte for byte, and what depends on a terminal is decided here. Notes go to standard error.
///
/// # Errors
/// `Exit::Incident` if the incident cannot be read, `Exit::Usage` if it holds no such ID, `Exit::Host` if the
/// output cannot be written. A reader that went away is no error.
pub fn run(args: &Inspect, out: &mut impl Write) -> Result<Exit> {
    let mut out = BufWriter::with_capacity(64 << 10, out);
    let ended = inspect(args, Screen::of_stdout(), &mut out);
    // Also after an error: what came before it is worth having.
    match ended.and(out.flush().map_err(Stop::from)) {
        Ok(()) | Err(Stop::Unread) => Ok(Exit::Pass),
        Err(Stop::Failed(e)) => Err(e),
    }
}

fn inspect(args: &Inspect, screen: Screen, out: &mut impl Write) -> Result<(), Stop> {
    let incident = Incident::open(&args.incident)?;
    let Some(id) = &args.id else {
        if args.tree {
            return grow(args, screen, incident, out);
        }
        return list(args, screen, incident, out);
    };
    let found = find::find(&incident, id)?;
    match (args.json, args.request_body, args.response_body) {
        (true, ..) => found.iter().try_for_each(|record| print_json(record, screen, out)),
        (_, true, _) => show::raw(&incident, &found, Side::Request, out),
        (.., true) => show::raw(&incident, &found, Side::Response, out),
        _ => show::show(&incident, &found, out),
    }
}

/// Prints the selected events of an incident, one after the other.
fn list(args: &Inspect, screen: Screen, incident: Incident, out: &mut impl Write) -> Result<(), Stop> {
    let mut list = List {
        json: args.json,
        screen,
        filter: &args.filter,
        table: Table::new(screen, args.offset),
        join: Join::default(),
        summary: Summary::default(),
    };
    let mut events = if args.follow { incident.follow()? } else { incident.events()? };
    let incident =
        if args.follow { follow::to_the_end(incident, &mut events, &mut list, out)? } else { incident };
    list.drain(&mut events, out)?;
    if !args.json {
        if list.table.has_begun() {
            writeln!(out)?;
        }
        list.summary.print(incident.manifest(), args.filter.is_set(), out)?;
    }
    // So that on a terminal what is said of the rows comes after them.
    out.flush()?;
    for note in events.notes() {
        report::say(format!("infernosim: {note}"));
    }
    Ok(())
}

/// Prints the selected events of an incident below those that made them happen.
fn grow(args: &Inspect, screen: Screen, incident: Incident, out: &mut impl Write) -> Result<(), Stop> {
    let (mut tree, mut join, mut summary) = (Tree::default(), Join::default(), Summary::default());
    let mut events = incident.events()?;
    let mut failed = None;
    for record in &mut events {
        match record {
            Ok(record) => join.add(&record.event),
            Err(e) => failed = Some(e),
        }
        while let Some(entry) = join.next(failed.is_some()) {
            tree.add(&entry, &args.filter, &mut summary);
        }
    }
    while let Some(entry) = join.next(true) {
        tree.add(&entry, &args.filter, &mut summary);
    }
    let any = tree.print(args.json, screen, out)?;
    // What came before it is worth having.
    if let Some(e) = failed {
        return Err(e.into());
    }
    if !args.json {
        if any {
            writeln!(out)?;
        }
        summary.print(incident.manifest(), args.filter.is_set(), out)?;
    }
    out.flush()?;
    for note in events.notes() {
        report::say(format!("infernosim: {note}"));
    }
    Ok(())
}

/// The events printed so far.
struct List<'a> {
    json: bool,
    screen: Screen,
    filter: &'a Filter,
    table: Table,
    join: Join,
    summary: Summary,
}

impl List<'_> {
    /// Prints what can be read now, whole rows and lines.
    fn drain(&mut self, events: &mut Events, out: &mut impl Write) -> Result<(), Stop> {
        for record in events {
            let record = match record {
                Ok(record) => record,
                Err(e) => {
                    self.rows(true, out)?;
                    self.table.flush(out)?;
                    return Err(e.into());
                }
            };
            if !self.json {
                self.join.add(&record.event);
                self.rows(false, out)?;
            } else if self.filter.matches(&Entry::of(&record.event)) {
                print_json(&record, self.screen, out)?;
            }
        }
        self.rows(true, out)?;
        self.table.flush(out)?;
        Ok(())
    }

    /// Adds what needs not wait for an answer, or `all` there is.
    fn rows(&mut self, all: bool, out: &mut impl Write) -> io::Result<()> {
        while let Some(entry) = self.join.next(all) {
            let selected = self.filter.matches(&entry);
            self.summary.count(&entry, selected);
            if selected {
                self.table.add(&entry, out)?;
            }
        }
        Ok(())
    }
}

fn print_json(record: &Record, screen: Screen, out: &mut impl Write) -> Result<(), Stop> {
    // Stored over several lines, it must come out as one. JSON has line ends only between its tokens.
    let line = record.text.replace(['\r', '\n'], " ");
    if screen.terminal {
        out.write_all(text::escape_json(&line).as_bytes())?;
    } else {
        out.write_all(line.as_bytes())?;
    }
    Ok(out.write_all(b"\n")?)
}
