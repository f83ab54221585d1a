//! `--inject`, `--plan` and `--seed`, which several commands have.

use std::path::Path;

use crate::error::{Exit, ExpectedError, Result};
use crate::fault::{Plan, Rule};
use crate::seed;

/// The plan that the options make: the file's rules, then those of the command line.
///
/// # Errors
/// `Exit::Usage` where a rule or the file is malformed or cannot be read.
pub fn plan(rules: &[String], file: Option<&Path>, seed: Option<u64>) -> Result<Plan> {
    let mut plan = match file {
        Some(file) => read(file)?,
        None => Plan { seed: drawn()?, ..Plan::default() },
    };
    plan.seed = seed.unwrap_or(plan.seed);
    for rule in rules {
        plan.rules.push(Rule::parse(rule)?);
    }
    Ok(plan)
}

fn read(file: &Path) -> Result<Plan> {
    let why = format!("{}: plans are not read yet", file.display());
    Err(ExpectedError::new(Exit::Usage, why).help("write its rules as --inject"))
}

/// Short enough to be typed again.
fn drawn() -> Result<u64> {
    let key = seed::key()?;
    Ok(u64::from(u32::from_le_bytes([key[0], key[1], key[2], key[3]])))
}
