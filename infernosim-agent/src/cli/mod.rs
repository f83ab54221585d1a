//! The command line: one file per command. Arguments become options in two steps: clap reads text, each
//! command turns it into what its journey takes. Exit codes are `error::Exit`.

mod capture;
mod diff;
mod doctor;
mod export;
mod import;
mod inspect;
mod values;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::{Exit, ExpectedError, Result};

/// Records what a service is asked and what it asks its dependencies, without changing the service.
#[derive(Debug, Parser)]
#[command(name = "infernosim", version, max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  sudo infernosim capture -- curl http://127.0.0.1:8080/   record one program's traffic
  infernosim inspect incident-20260102T030405Z             see them
  infernosim doctor                                        what this host can do";

#[derive(Debug, Subcommand)]
enum Command {
    Capture(capture::Capture),
    Inspect(inspect::Inspect),
    Diff(diff::Diff),
    #[command(subcommand)]
    Export(export::Export),
    #[command(subcommand)]
    Import(import::Import),
    Doctor(doctor::Doctor),
}

/// Runs the command that `arguments` name; returns the status to exit with.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to stdout with 0, mistakes to stderr with 2.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    let result = match arguments.command {
        Command::Capture(capture) => capture.run(),
        Command::Inspect(inspect) => {
            inspect::run(&inspect, &mut std::io::stdout().lock()).map(|exit| exit as i32)
        }
        Command::Diff(diff) => diff.run(&mut std::io::stdout().lock()).map(|exit| exit as i32),
        Command::Import(import) => import.run().map(|exit| exit as i32),
        Command::Export(export) => export.run(&mut std::io::stdout().lock()).map(|exit| exit as i32),
        Command::Doctor(doctor) => doctor.run(&mut std::io::stdout().lock()),
    };
    match result {
        Ok(status) => ExitCode::from(status as u8),
        Err(error) => {
            report(&error);
            ExitCode::from(error.exit as u8)
        }
    }
}

fn report(error: &ExpectedError) {
    anstream::eprintln!("infernosim: {error}");
    if let Some(help) = &error.help {
        anstream::eprintln!("  {help}");
    }
}

/// What to make of an error of writing to stdout: `| head` is no failure.
fn quiet_if_pipe_broke(error: std::io::Error) -> Result<()> {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return Ok(());
    }
    Err(ExpectedError::new(Exit::Host, format!("stdout cannot be written to: {error}")))
}
