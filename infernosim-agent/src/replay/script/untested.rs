//! What a replay cannot test, counted as it is met.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Untested;
use crate::incident::manifest::Manifest;

/// So many kinds are told apart.
const MOST_KINDS: usize = 1000;

/// (what, why) → how many.
#[derive(Debug, Default)]
pub struct Counts {
    counts: BTreeMap<(Cow<'static, str>, &'static str), u64>,
}

impl Counts {
    /// So many more.
    pub fn add(&mut self, what: impl Into<Cow<'static, str>>, count: u64, why: &'static str) {
        let key = (what.into(), why);
        if self.counts.len() < MOST_KINDS || self.counts.contains_key(&key) {
            *self.counts.entry(key).or_default() += count;
        }
    }

    /// All of it, and what the manifest tells.
    pub fn finish(self, manifest: Option<&Manifest>) -> Vec<Untested> {
        let counted = self.counts.into_iter().map(|((what, why), count)| Untested {
            what: what.into_owned(),
            count,
            why: why.to_owned(),
        });
        let mut untested: Vec<Untested> = counted.collect();
        for (kind, count) in manifest.iter().flat_map(|manifest| &manifest.unmediated) {
            untested.push(Untested {
                what: format!("unmediated traffic: {kind}"),
                count: *count,
                why: "the capture neither saw nor relayed it".to_owned(),
            });
        }
        if let Some(lost) = manifest.map(|manifest| manifest.lost.events).filter(|events| *events > 0) {
            untested.retain(|one| one.what != "events that were not recorded");
            untested.push(Untested {
                what: "events that were not recorded".to_owned(),
                count: lost,
                why: "see `lost` in incident.json".to_owned(),
            });
        }
        untested
    }
}
