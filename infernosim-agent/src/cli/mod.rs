//! The command line: one file per command. Arguments become options in two steps: clap reads text, each
//! command turns it into what its journey takes. Exit codes are `error::Exit`.

mod capture;
mod completions;
mod diff;
mod doctor;
mod export;
mod import;
mod inbound;
mod inject;
mod inspect;
mod keeping;
mod man;
mod original;
mod proxy;
mod recording;
mod rendered;
mod replay;
mod report;
mod serving;
mod targets;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

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
  sudo infernosim replay --incident ./bug -- ./app         send what was recorded to this build
  sudo infernosim inject --inject 'fail=503' -- ./app      faults on live traffic
  infernosim proxy --listen :9000 --log outbound.log       without root: programs with HTTP_PROXY
  infernosim inbound --forward localhost:8084              without root: in front of a service
  infernosim doctor                                        what this host can do";

#[derive(Debug, Subcommand)]
enum Command {
    Capture(capture::Capture),
    Replay(replay::Replay),
    Verify(verify::Verify),
    Report(rendered::Rendered),
    Inject(inject::Inject),
    Proxy(proxy::Proxy),
    Inbound(inbound::Inbound),
    Inspect(inspect::Inspect),
    Diff(diff::Diff),
    #[command(subcommand)]
    Export(export::Export),
    #[command(subcommand)]
    Import(import::Import),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
    Man(man::Manual),
}

/// The whole command line: what completions and manual pages are made of.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Whether `arguments` (the program's name first) would be understood, without running anything.
///
/// # Errors
/// What would be printed, as clap words it; help and version are errors here too.
pub fn check(arguments: impl IntoIterator<Item = OsString>) -> Result<(), clap::Error> {
    parse(arguments).map(drop)
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<(Arguments, ArgMatches), clap::Error> {
    let translated = original::translate(arguments).map_err(|error| {
        let help = error.help.map(|help| format!("; {help}")).unwrap_or_default();
        command().error(ErrorKind::InvalidValue, error.message + &help)
    })?;
    let matches = command().try_get_matches_from(translated)?;
    Ok((Arguments::from_arg_matches(&matches)?, matches))
}

/// Runs the command that `arguments` name; returns the status to exit with.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let (json, result) = match parse(arguments.iter().cloned()) {
        Ok((parsed, matches)) => (report::wants_json(&matches), perform(parsed.command, &arguments)),
        Err(error) => return report::misuse(&error, &arguments),
    };
    match result {
        Ok(status) => ExitCode::from(status as u8),
        Err(error) => {
            report::error(&error, json);
            ExitCode::from(error.exit as u8)
        }
    }
}

fn perform(command: Command, arguments: &[OsString]) -> Result<i32> {
    let out = || std::io::stdout().lock();
    match command {
        Command::Capture(capture) => capture.run(),
        Command::Replay(replay) => replay.run(arguments.get(1..).unwrap_or_default(), &mut out()),
        Command::Verify(verify) => verify.run(&mut out()),
        Command::Report(rendered) => rendered.run(&mut out()),
        Command::Inject(inject) => inject.run(&mut out()),
        Command::Proxy(proxy) => proxy.run(),
        Command::Inbound(inbound) => inbound.run(),
        Command::Inspect(inspect) => inspect::run(&inspect, &mut out()).map(|exit| exit as i32),
        Command::Diff(diff) => diff.run(&mut out()).map(|exit| exit as i32),
        Command::Export(export) => export.run(&mut out()).map(|exit| exit as i32),
        Command::Import(import) => import.run(&mut out()).map(|exit| exit as i32),
        Command::Doctor(doctor) => doctor.run(&mut out()),
        Command::Completions(completions) => completions.run(&self::command(), &mut out()),
        Command::Man(manual) => manual.run(self::command(), &mut out()),
    }
}

/// What to make of an error of writing to stdout: `| head` is no failure.
fn quiet_if_pipe_broke(error: std::io::Error) -> Result<()> {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return Ok(());
    }
    Err(ExpectedError::new(Exit::Host, format!("stdout cannot be written to: {error}")))
}
