//! The command line as a whole: help, misuse, completions, manual pages, documents. The binary is run as a user
//! runs it, without privileges, and every command that clap knows of is asked, so that a new one cannot be forgotten.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "all of this is test code")]

mod completions;
mod documents;
mod help;
mod json;
mod man;
mod misuse;
mod output;
mod shell;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// The binary, as it behaves where there is no terminal and nothing in the environment.
fn infernosim() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_infernosim"));
    for variable in ["COLUMNS", "LINES", "CLICOLOR", "CLICOLOR_FORCE", "NO_COLOR"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run<T: AsRef<OsStr>>(arguments: impl IntoIterator<Item = T>) -> Output {
    infernosim().args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The whole command line, built.
fn tree() -> clap::Command {
    let mut command = infernosim::cli::command().disable_help_subcommand(true);
    command.build();
    command
}

/// Every command that is shown, by its words after the program's name; the program itself has none.
fn commands() -> Vec<(Vec<String>, clap::Command)> {
    let mut found = vec![(Vec::new(), tree())];
    let mut at = 0;
    while at < found.len() {
        let (words, command) = found[at].clone();
        for inner in command.get_subcommands().filter(|command| !command.is_hide_set()) {
            let words = words.iter().cloned().chain([inner.get_name().to_owned()]).collect();
            found.push((words, inner.clone()));
        }
        at += 1;
    }
    assert!(found.len() > 5, "{} commands", found.len());
    found
}

/// The checkout.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
