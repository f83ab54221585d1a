//! What is counted while the log is written.

use std::collections::BTreeMap;

use super::super::loss::Losses;
use super::super::redact::Replaced;

/// Dependencies counted by name; later ones are counted together.
const MAX_DEPENDENCIES: usize = 4096;

/// What one dependency was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependency {
    /// The protocol of the first call that told one.
    pub protocol: &'static str,
    /// Calls and failed connections.
    pub calls: u64,
    /// Those without a whole answer.
    pub failed: u64,
}

/// What was written and what was not.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Lines by type.
    pub events: BTreeMap<&'static str, u64>,
    /// Events that could not be kept.
    pub lost: Losses,
    /// Stretches of a connection that were relayed without a copy: how many exchanges they held is not known,
    /// so that `lost` is then the least there were.
    pub gaps: u64,
    /// Events that were not to be kept.
    pub excluded: Losses,
    /// By name.
    pub dependencies: BTreeMap<String, Dependency>,
    /// Secrets; known at the end.
    pub replaced: Replaced,
}

impl Totals {
    /// Counts a call to a dependency.
    pub(super) fn called(&mut self, service: &str, protocol: &'static str, failed: bool) {
        let dependencies = &mut self.dependencies;
        let name = if dependencies.contains_key(service) || dependencies.len() < MAX_DEPENDENCIES {
            service
        } else {
            "(others)"
        };
        if !dependencies.contains_key(name) {
            dependencies.insert(name.to_owned(), Dependency { protocol, calls: 0, failed: 0 });
        }
        if let Some(dependency) = dependencies.get_mut(name) {
            dependency.calls += 1;
            // A connection on which nothing was said, or an upgraded one, does not tell what it speaks.
            if dependency.protocol == "tcp" {
                dependency.protocol = protocol;
            }
            dependency.failed += u64::from(failed);
        }
    }
}
