//! What two incidents differ in.
//!
//! ```text
//! both ─▶ seen: each exchange as a site and digests of its parts ─▶ pairs ─▶ order
//!                   └─▶ (a second reading) those that changed, whole ─▶ details
//! ```
//!
//! What is different in each run is no difference: ids, times, ports of this host, durations, tokens of redaction.
//! What is held is small for each exchange; bodies are held of a bounded number. Imports `incident`'s reader.

mod detail;
mod fields;
mod order;
mod pairs;
mod seen;
#[cfg(test)]
mod tests;
mod volatile;

use serde::Serialize;

use super::reader::Incident;
use crate::error::Result;
pub use detail::Detail;
use seen::{Seen, Sites};

/// Durations are different if they differ by more than this, in ns, and one is more than twice the other.
const LEAST_SLOWER_NS: u64 = 10_000_000;

/// What is looked at.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Durations too.
    pub timing: bool,
    /// Header fields and places in JSON that are not looked at; `*` and `?` match.
    pub ignore: Vec<String>,
}

/// A part of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    /// Status, error, resolver's answer code.
    Outcome,
    /// The records that answer a lookup.
    Answers,
    /// Header fields of the request.
    RequestHeaders,
    /// Its body.
    RequestBody,
    /// Header fields of the answer.
    ResponseHeaders,
    /// Its body.
    ResponseBody,
    /// How long it took.
    Duration,
}

impl Part {
    /// Those that are compared by their digests.
    pub(super) const DIGESTED: [Self; 6] = [
        Self::Outcome,
        Self::Answers,
        Self::RequestHeaders,
        Self::RequestBody,
        Self::ResponseHeaders,
        Self::ResponseBody,
    ];
}

/// What is different about one site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// In both, with other content.
    Changed,
    /// In the first incident only.
    OnlyInA,
    /// In the second one only.
    OnlyInB,
    /// In both, but in another order with others.
    Moved,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// What.
    pub kind: Kind,
    /// Where: see [`super::site::SiteKey`]; tokens in it are masked.
    pub site: String,
    /// The sequence in the first incident.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence_a: Option<u64>,
    /// The sequence in the second one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence_b: Option<u64>,
    /// What changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// In what; of a bounded number of differences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Detail>,
    /// Details that were left out.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde calls")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Exchanges, lookups and connections in each.
    pub exchanges: [usize; 2],
    /// Those in both that are equal, be they moved.
    pub equal: usize,
    /// In the order of the first incident; those in the second one only come last.
    pub differences: Vec<Difference>,
    /// Events that were not recorded in each, which may be all that is missing.
    pub lost: [u64; 2],
}

impl Comparison {
    /// How many differences of this kind there are.
    pub fn count(&self, kind: Kind) -> usize {
        self.differences.iter().filter(|one| one.kind == kind).count()
    }
}

/// Compares two incidents.
///
/// # Errors
/// Those of reading them.
pub fn compare(a: &Incident, b: &Incident, options: &Options) -> Result<Comparison> {
    let mut sites = Sites::default();
    let (seen_a, lost_a) = seen::read(a, &mut sites, options)?;
    let (seen_b, lost_b) = seen::read(b, &mut sites, options)?;
    let paired = pairs::pair(&seen_a, &seen_b, &sites);
    let moved = order::moved(&paired.both, &seen_a, &seen_b);
    let one = |kind, a: Option<&Seen>, b: Option<&Seen>| Difference {
        kind,
        site: a.or(b).map_or("", |seen| sites.text(seen.site)).to_owned(),
        sequence_a: a.and_then(|seen| seen.sequence),
        sequence_b: b.and_then(|seen| seen.sequence),
        parts: Vec::new(),
        details: Vec::new(),
        more: 0,
    };
    let mut found: Vec<(usize, Difference)> = Vec::new();
    let mut changed = Vec::new();
    for &(at, bt) in &paired.both {
        let (a, b) = (&seen_a[at], &seen_b[bt]);
        let parts = changed_parts(a, b, options);
        if !parts.is_empty() {
            changed.push((at, bt, found.len()));
            found.push((at, Difference { parts, ..one(Kind::Changed, Some(a), Some(b)) }));
        }
    }
    let equal = paired.both.len() - changed.len();
    detail::add([a, b], &changed, &mut found, options)?;
    found.extend(paired.only_a.iter().map(|&at| (at, one(Kind::OnlyInA, Some(&seen_a[at]), None))));
    found.extend(moved.iter().map(|&(at, bt)| (at, one(Kind::Moved, Some(&seen_a[at]), Some(&seen_b[bt])))));
    found.sort_by_key(|(at, difference)| (*at, difference.kind));
    let mut differences: Vec<Difference> = found.into_iter().map(|(_, one)| one).collect();
    differences.extend(paired.only_b.iter().map(|&bt| one(Kind::OnlyInB, None, Some(&seen_b[bt]))));
    Ok(Comparison { exchanges: [seen_a.len(), seen_b.len()], equal, differences, lost: [lost_a, lost_b] })
}

fn changed_parts(a: &Seen, b: &Seen, options: &Options) -> Vec<Part> {
    let digests = Part::DIGESTED.into_iter().zip(a.parts.iter().zip(&b.parts));
    let mut parts: Vec<Part> = digests.filter(|(_, (a, b))| a != b).map(|(part, _)| part).collect();
    let (least, most) = (a.duration.min(b.duration), a.duration.max(b.duration));
    if options.timing && most - least > LEAST_SLOWER_NS && most / 2 > least {
        parts.push(Part::Duration);
    }
    parts
}
