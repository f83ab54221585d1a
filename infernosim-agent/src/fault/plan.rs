//! Faults as data.

use std::path::Path;

use super::Rule;
use crate::error::{Exit, ExpectedError, Result};
use crate::seed;

/// Rules and a seed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What all chances follow from.
    pub seed: u64,
    /// In the order in which they are applied.
    pub rules: Vec<Rule>,
}

impl Plan {
    /// What a command line says: the rules of `--plan` before those of `--inject`; the seed of `--seed`, or else the plan's,
    /// or else one that is drawn.
    ///
    /// # Errors
    /// `Exit::Usage` where a rule or the file is none.
    pub fn gather(file: Option<&Path>, rules: &[String], seed: Option<u64>) -> Result<Self> {
        let (of_file, mut all) = match file {
            Some(path) => Self::read(path)?,
            None => (None, Vec::new()),
        };
        for rule in rules {
            all.push(Rule::parse(rule)?);
        }
        let seed = seed.or(of_file).map_or_else(seed::draw, Ok)?;
        Ok(Self { seed, rules: all })
    }

    /// Whether all of it can be brought about where a recording answers.
    ///
    /// # Errors
    /// `Exit::Usage`, naming the rule, where it makes requests others on their way (`stream=upstream`): the recorded answer
    /// says nothing of that.
    pub fn check_for_replay(&self) -> Result<()> {
        self.rules.iter().try_for_each(Rule::check_for_replay)
    }

    fn read(path: &Path) -> Result<(Option<u64>, Vec<Rule>)> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            ExpectedError::new(Exit::Usage, format!("the plan {name} cannot be read: {error}"))
                .help("--plan is a file of TOML, see docs/faults.md")
        })?;
        super::toml::read(&text, &name)
    }
}
