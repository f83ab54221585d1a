//! What is to go wrong.

use super::Rule;

/// Rules and a seed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What all chances follow from.
    pub seed: u64,
    /// In the order in which they are applied.
    pub rules: Vec<Rule>,
}
