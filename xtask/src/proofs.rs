//! `cargo xtask proofs`: the privileged tests once more, in release and with the long counts that
//! `INFERNOSIM_PROOFS=long` asks for (100,000 requests instead of some thousands, and so on).

use crate::examples::{self, Profile};
use crate::test::{Count, Privileged, privileged};
use crate::{command, misuse, setup};
use anyhow::{Result, bail};
use std::process::ExitCode;

/// Exit status: 0 proved, 1 not.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    if !arguments.is_empty() {
        return misuse("proofs");
    }
    setup::tests()?;
    examples::build_go(Profile::Release)?;
    let mut cargo = command::cargo();
    cargo.env("INFERNOSIM_PROOFS", "long");
    match privileged(cargo, "proofs", &["--release"])? {
        Privileged::Cannot(reason) => bail!("the proofs cannot run here: {reason}"),
        Privileged::Ran { count: Count { passed, failed }, success } => {
            // A runner that fails without a failed test has still failed.
            let failed = if success { failed } else { failed.max(1) };
            println!("{passed} passed, {failed} failed");
            Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}
