//! `infernosim diff`: what two incidents differ in, or two replays.

mod reports;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::inspect::Stop;
use super::inspect::text::{count, escape};
use super::report;
use crate::error::{Exit, Result};
use crate::incident::compare::{Comparison, Detail, Difference, Kind, Options, Part, compare};
use crate::incident::reader::Incident;

/// Compare two incidents: what is in one only, what changed, what stands in another order
///
/// Exchanges are compared by site (which way, whom, method, path and query) and occurrence. Ids, times, ports of this
/// host, durations and tokens of redaction are different in each recording and no difference.
///
/// Of two replays (replay_report.json, or with --report the directories that hold one) it says what changed.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Diff {
    /// The first incident: its directory, or one log of it
    #[arg(value_name = "A")]
    a: PathBuf,

    /// The second one
    #[arg(value_name = "B")]
    b: PathBuf,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    /// Compare the reports of the last replays of these incidents
    #[arg(long, conflicts_with_all = ["timing", "ignore"])]
    report: bool,

    /// Compare durations too: one more than twice the other, and by more than 10 ms
    #[arg(long)]
    timing: bool,

    /// Do not look at this header field, or this place in JSON bodies (.items[0].id); * and ? match
    #[arg(long, value_name = "NAME")]
    ignore: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  infernosim diff ./before ./after
  infernosim diff ./before ./after --ignore etag --ignore '.order_id'
  infernosim diff ./before ./after --timing
  infernosim diff --report ./before ./after
  infernosim diff --json ./before ./after | jq '.differences[] | select(.kind == \"changed\").site'

Exit status: 0 nothing is different, 1 something is, 4 an incident cannot be read.";

/// The machine's form.
#[derive(Serialize)]
struct Output<'a> {
    a: Side,
    b: Side,
    equal: bool,
    counts: Counts,
    differences: &'a [Difference],
}

#[derive(Serialize)]
struct Side {
    path: String,
    exchanges: usize,
    lost: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    equal: usize,
    changed: usize,
    only_in_a: usize,
    only_in_b: usize,
    moved: usize,
}

impl Diff {
    /// Runs the command. `out` is standard output.
    ///
    /// # Errors
    /// `Exit::Incident` if an incident cannot be read, `Exit::Host` if the output cannot be written.
    pub fn run(&self, out: &mut impl Write) -> Result<Exit> {
        if self.report || reports::is_report(&self.a) && reports::is_report(&self.b) {
            return self.replays(out);
        }
        let (a, b) = (Incident::open(&self.a)?, Incident::open(&self.b)?);
        let options = Options { timing: self.timing, ignore: self.ignore.clone() };
        let found = compare(&a, &b, &options)?;
        let mut out = BufWriter::with_capacity(64 << 10, out);
        finish(if self.json { self.json(&found, &mut out) } else { self.print(&found, &mut out) }, &mut out)?;
        for (path, lost) in [&self.a, &self.b].into_iter().zip(found.lost) {
            if lost > 0 {
                let lost = count(lost, "event");
                report::say(format!("infernosim: {} lost {lost}: what it lacks may be that", path.display()));
            }
        }
        Ok(if found.differences.is_empty() { Exit::Pass } else { Exit::Fail })
    }

    fn replays(&self, out: &mut impl Write) -> Result<Exit> {
        let found = reports::compare(&self.a, &self.b)?;
        let mut out = BufWriter::with_capacity(64 << 10, out);
        let printed = if self.json {
            serde_json::to_writer(&mut out, &found).map_err(io::Error::from).and_then(|()| writeln!(out))
        } else {
            reports::print(&found, &mut out)
        };
        finish(printed, &mut out)?;
        Ok(if found.equal { Exit::Pass } else { Exit::Fail })
    }

    fn json(&self, found: &Comparison, out: &mut impl Write) -> io::Result<()> {
        let side = |path: &Path, at: usize| Side {
            path: path.display().to_string(),
            exchanges: found.exchanges[at],
            lost: found.lost[at],
        };
        let output = Output {
            a: side(&self.a, 0),
            b: side(&self.b, 1),
            equal: found.differences.is_empty(),
            counts: Counts {
                equal: found.equal,
                changed: found.count(Kind::Changed),
                only_in_a: found.count(Kind::OnlyInA),
                only_in_b: found.count(Kind::OnlyInB),
                moved: found.count(Kind::Moved),
            },
            differences: &found.differences,
        };
        serde_json::to_writer(&mut *out, &output)?;
        writeln!(out)
    }

    fn print(&self, found: &Comparison, out: &mut impl Write) -> io::Result<()> {
        for (mark, path, exchanges) in
            [('A', &self.a, found.exchanges[0]), ('B', &self.b, found.exchanges[1])]
        {
            let exchanges = count(exchanges as u64, "event");
            writeln!(out, "{mark}  {}: {exchanges}", escape(&path.display().to_string()))?;
        }
        let counts = [
            (found.equal, "equal"),
            (found.count(Kind::Changed), "changed"),
            (found.count(Kind::OnlyInA), "only in A"),
            (found.count(Kind::OnlyInB), "only in B"),
            (found.count(Kind::Moved), "in another order"),
        ];
        let said = counts.iter().filter(|(n, what)| *n > 0 || *what == "equal");
        writeln!(out, "{}", said.map(|(n, what)| format!("{n} {what}")).collect::<Vec<_>>().join(", "))?;
        for difference in &found.differences {
            writeln!(out)?;
            print_one(difference, out)?;
        }
        Ok(())
    }
}

/// What was printed goes out; whoever does not read it is no error.
fn finish(printed: io::Result<()>, out: &mut impl Write) -> Result<()> {
    match printed.and_then(|()| out.flush()).map_err(Stop::from) {
        Ok(()) | Err(Stop::Unread) => Ok(()),
        Err(Stop::Failed(e)) => Err(e),
    }
}

fn print_one(one: &Difference, out: &mut impl Write) -> io::Result<()> {
    let number = |sequence: Option<u64>| sequence.map_or("#?".to_owned(), |number| format!("#{number}"));
    let (a, b) = (number(one.sequence_a), number(one.sequence_b));
    let (word, place) = match one.kind {
        Kind::Changed => ("changed", format!("A {a}, B {b}")),
        Kind::OnlyInA => ("only in A", a),
        Kind::OnlyInB => ("only in B", b),
        Kind::Moved => ("in another order", format!("A {a}, B {b}")),
    };
    writeln!(out, "{word}: {}  ({place})", escape(&one.site))?;
    for detail in &one.details {
        print_detail(detail, out)?;
    }
    for part in one.parts.iter().filter(|part| !one.details.iter().any(|detail| detail.part == **part)) {
        writeln!(out, "  {}", name(*part))?;
    }
    if one.more > 0 {
        writeln!(out, "  and {} more", one.more)?;
    }
    Ok(())
}

fn print_detail(detail: &Detail, out: &mut impl Write) -> io::Result<()> {
    let label = match detail.part {
        Part::Outcome | Part::Duration => escape(&detail.at).into_owned(),
        part if detail.at.is_empty() => name(part).to_owned(),
        part => format!("{} {}", name(part), escape(&detail.at)),
    };
    let value =
        |value: &Option<String>| value.as_deref().map_or("(none)".into(), |text| escape(text).into_owned());
    writeln!(out, "  {label}: {} → {}", value(&detail.a), value(&detail.b))
}

const fn name(part: Part) -> &'static str {
    match part {
        Part::Outcome => "outcome",
        Part::Answers => "record",
        Part::RequestHeaders => "request header",
        Part::RequestBody => "request body",
        Part::ResponseHeaders => "response header",
        Part::ResponseBody => "response body",
        Part::Duration => "duration",
    }
}
