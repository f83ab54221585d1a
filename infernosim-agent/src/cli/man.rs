use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::error::{Exit, ExpectedError, Result};

/// Print the manual page, or write the pages of all commands.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Manual {
    /// Write a page for each command into this directory, which is made if it is missing.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: Option<PathBuf>,
}

const EXAMPLES: &str = "Examples:
  infernosim man | man -l -
  infernosim man --out ~/.local/share/man/man1";

/// How a page's paragraphs of examples begin, in `--help`.
const EXAMPLES_BEGIN: &str = "Examples:\n";

/// Paragraphs of `--help` that begin so are sections of their own in a page.
const SECTIONS: [(&str, &str); 1] = [("Exit status: ", "EXIT STATUS")];

impl Manual {
    /// Prints or writes; returns the status to exit with.
    pub fn run(&self, command: clap::Command, out: &mut impl Write) -> Result<i32> {
        let mut command = command.disable_help_subcommand(true);
        command.build();
        match &self.out {
            None => {
                let page = page(&command);
                out.write_all(&page).and_then(|()| out.flush()).or_else(super::quiet_if_pipe_broke)?;
            }
            Some(directory) => {
                std::fs::create_dir_all(directory).map_err(|error| cannot_write(directory, &error))?;
                write_all(&command, directory)?;
            }
        }
        Ok(Exit::Pass as i32)
    }
}

/// Writes the page of a command, and of each of its own commands.
fn write_all(command: &clap::Command, directory: &Path) -> Result<()> {
    let path = directory.join(Man::new(command.clone()).get_filename());
    std::fs::write(&path, page(command)).map_err(|error| cannot_write(&path, &error))?;
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    shown.into_iter().try_for_each(|command| write_all(command, directory))
}

fn cannot_write(path: &Path, error: &io::Error) -> ExpectedError {
    ExpectedError::new(Exit::Host, format!("{} cannot be written: {error}", path.display()))
        .help("name another directory with --out")
}

/// The page of one command, in roff: what clap knows, and the paragraphs after `--help` as sections.
fn page(command: &clap::Command) -> Vec<u8> {
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    let mut render = || {
        opening(command).to_writer(&mut page)?;
        man.render_name_section(&mut page)?;
        page.extend(synopsis(&man)?);
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
        if command.has_subcommands() {
            man.render_subcommands_section(&mut page)?;
        }
        closing(command).to_writer(&mut page)
    };
    // A Vec takes all that is written to it.
    render().unwrap_or_default();
    page
}

/// A line may end behind each of many alternatives (`\:`), and its right end is ragged (`.na`, groff(7)): formatters
/// complain of a line that they cannot adjust.
fn synopsis(man: &Man) -> io::Result<Vec<u8>> {
    let mut section = Vec::new();
    man.render_synopsis_section(&mut section)?;
    let text = String::from_utf8_lossy(&section).replace(r"\fR|\f", r"\fR|\:\f");
    Ok((text.replace(".SH SYNOPSIS\n", ".SH SYNOPSIS\n.na\n") + ".ad\n").into_bytes())
}

/// The title line. No date: that of the build would make every build's pages others; an empty one must be quoted by
/// hand, as the crate leaves it out.
fn opening(command: &clap::Command) -> Roff {
    let title = name(command).to_uppercase();
    let source = concat!("infernosim ", env!("CARGO_PKG_VERSION"));
    let mut roff = Roff::new();
    roff.control("TH", [title.as_str(), "1", r#""""#, source, "InfernoSIM Manual"]);
    roff
}

fn name(command: &clap::Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

/// Examples, exit status and notes, and where else to look.
fn closing(command: &clap::Command) -> Roff {
    let mut roff = Roff::new();
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (mut notes, mut sections) = (Vec::new(), Vec::new());
    for paragraph in text.split("\n\n") {
        if let Some(examples) = paragraph.strip_prefix(EXAMPLES_BEGIN) {
            roff.control("SH", ["EXAMPLES"]).control("nf", []);
            for line in examples.lines() {
                roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
            }
            roff.control("fi", []);
        } else if let Some((begins, heading)) =
            SECTIONS.into_iter().find(|(begins, _)| paragraph.starts_with(begins))
        {
            sections.push((heading, &paragraph[begins.len()..]));
        } else if !paragraph.is_empty() {
            notes.push(paragraph);
        }
    }
    for (heading, paragraph) in sections {
        roff.control("SH", [heading]).text([roman(paragraph)]);
    }
    for (at, paragraph) in notes.into_iter().enumerate() {
        roff.control(if at == 0 { "SH" } else { "PP" }, (at == 0).then_some("NOTES"))
            .text([roman(paragraph)]);
    }
    if let Some((parent, _)) = name(command).rsplit_once('-') {
        roff.control("SH", ["SEE ALSO"]).text([roman(format!("{parent}(1)"))]);
    }
    roff
}
