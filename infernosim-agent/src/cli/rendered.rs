//! `infernosim report`: the report of the last replay, in a format to be read, kept or sent.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::error::Result;
use crate::report::files::read_report;
use crate::report::output::{Format, Output, To};

/// Write the report of the last replay as text, JSON, JUnit, Markdown, or one HTML page
///
/// It is made of the incident's replay_report.json, whenever that was written: the replay need not be made again. The page has a
/// timeline and the divergences side by side, and needs no other file and no network. Recorded values in a report are those of
/// the redacted recording.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Rendered {
    /// The incident, or a replay_report.json
    #[arg(value_name = "DIR", value_hint = ValueHint::AnyPath)]
    incident: PathBuf,

    /// The format: text, json, junit, markdown or html.
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = Format::of)]
    format: Format,

    /// The file that it is written to, `-` for stdout; one that is there is replaced
    #[arg(short, long, value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    output: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  infernosim report ./checkout-bug
  infernosim report ./checkout-bug --format html -o report.html
  infernosim report ./checkout-bug/replay_report.json --format markdown >> \"$GITHUB_STEP_SUMMARY\"

Exit status: 0 it was written, whatever the replay came to; 2 usage; 3 it cannot be written; 4 there is no report.";

impl Rendered {
    pub fn run(self, out: &mut impl Write) -> Result<i32> {
        let to = if self.output.as_os_str() == "-" { To::Stdout } else { To::File(self.output) };
        let output = Output { format: self.format, to };
        output.check()?;
        let report = read_report(&self.incident)?;
        write(&output, &report, out)?;
        Ok(0)
    }
}

/// Writes a report where it is wanted; a reader of standard output that went away is no failure.
pub(super) fn write(output: &Output, report: &crate::report::Report, out: &mut impl Write) -> Result<()> {
    match output.write(report, out) {
        Err(error) if output.to == To::Stdout => super::quiet_if_pipe_broke(error),
        Err(error) => Err(output.failed(&error)),
        Ok(()) => Ok(()),
    }
}
