//! The binary `infernosim`: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    infernosim::cli::run(std::env::args_os())
}
