//! Faults as data.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::Rule;
use crate::error::{Exit, ExpectedError, Result};
use crate::seed;

/// A plan that is longer is none, in bytes.
const LONGEST: u64 = 64 << 20;

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
        let mut text = String::new();
        // It may be a pipe, but not one without an end.
        let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text));
        let fail = |what: String| {
            ExpectedError::new(Exit::Usage, format!("the plan {name} cannot be read: {what}"))
                .help("--plan is a file of TOML, see docs/faults.md")
        };
        if read.map_err(|error| fail(error.to_string()))? as u64 > LONGEST {
            return Err(fail("it is too long".to_owned()));
        }
        super::toml::read(&text, &name)
    }
}
