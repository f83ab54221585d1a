//! What a command that failed says, for people or with `--json` for programs.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::process::ExitCode;

use clap::ArgMatches;
use clap::error::ErrorKind;
use serde::Serialize;

use crate::error::{Exit, ExpectedError};

/// What is printed of an error with `--json`, as one line.
#[derive(Serialize)]
struct Report<'a> {
    error: &'a str,
    help: Option<&'a str>,
    exit: u8,
}

/// Whether the command that was chosen was given `--json`.
pub fn wants_json(matches: &ArgMatches) -> bool {
    let mut innermost = matches;
    while let Some((_, matches)) = innermost.subcommand() {
        innermost = matches;
    }
    matches!(innermost.try_get_one::<bool>("json"), Ok(Some(true)))
}

/// Says something on stderr; where nobody reads that, the command goes on all the same.
pub fn say(text: impl std::fmt::Display) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Prints an error on stderr. Where nobody reads that, the exit status has to do.
pub fn error(error: &ExpectedError, json: bool) {
    if json {
        let help = error.help.as_deref();
        return print_json(&Report { error: &error.message, help, exit: error.exit as u8 });
    }
    let mut stderr = anstream::stderr().lock();
    let _ = writeln!(stderr, "infernosim: {error}")
        .and_then(|()| error.help.iter().try_for_each(|help| writeln!(stderr, "  {help}")));
}

fn print_json(report: &Report) {
    // Plain text in a plain struct always serialises.
    let line = serde_json::to_string(report).unwrap_or_default();
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Prints what clap has to say of a command line, and gives the status to exit with: help and version go to
/// stdout with 0, mistakes to stderr with 2.
pub fn misuse(mistake: &clap::Error, arguments: &[OsString]) -> ExitCode {
    if !mistake.use_stderr() {
        return match mistake.print().or_else(super::quiet_if_pipe_broke) {
            Ok(()) => ExitCode::SUCCESS,
            Err(unwritable) => {
                error(&unwritable, false);
                ExitCode::from(unwritable.exit as u8)
            }
        };
    }
    // What follows `--` is CMD's.
    let mut ours = arguments.iter().map(OsString::as_os_str).take_while(|word| *word != OsStr::new("--"));
    // Without any command there is nothing to report: that is the help, on stderr.
    let says_help = mistake.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if !says_help && ours.any(|word| word == OsStr::new("--json")) {
        let (error, help) = in_our_words(mistake);
        print_json(&Report { error: &error, help: help.as_deref(), exit: Exit::Usage as u8 });
    } else {
        let _ = mistake.print();
    }
    ExitCode::from(Exit::Usage as u8)
}

/// clap's text without its frame (`error: …`, tips, then how the command is used): what is wrong, and what to do.
fn in_our_words(mistake: &clap::Error) -> (String, Option<String>) {
    let text = mistake.render().to_string();
    let mut paragraphs = text.split("\n\n").map(one_line);
    let message = paragraphs.next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(&message).to_owned();
    let help: Vec<String> = paragraphs.filter(|paragraph| !paragraph.starts_with("For more")).collect();
    (message, (!help.is_empty()).then(|| help.join("; ")))
}

fn one_line(paragraph: &str) -> String {
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn json_is_asked_for_by_the_command_that_has_it() {
        let wants =
            |line: &str| wants_json(&super::super::command().try_get_matches_from(words(line)).unwrap());
        assert!(wants("infernosim inspect x --json"));
        assert!(wants("infernosim doctor --json"));
        assert!(!wants("infernosim inspect x"));
        assert!(!wants("infernosim capture -- x --json"));
        assert!(!wants("infernosim man"));
    }

    #[test]
    fn misuse_is_said_in_one_line() {
        let mistake = super::super::check(words("infernosim inspect --jsno x")).unwrap_err();
        let (error, help) = in_our_words(&mistake);
        assert_eq!(error, "unexpected argument '--jsno' found");
        let help = help.unwrap();
        assert!(help.starts_with("tip: a similar argument exists: '--json'; Usage: "), "{help}");
        assert!(!help.contains('\n') && !help.contains("For more"), "{help}");
    }
}
