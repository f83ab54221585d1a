//! Fields whose values may be others in each run: they are masked, but not their presence and their type.
//!
//! Known by shape (times on both sides), by runs that disagree, by `volatile.toml`, by `--ignore`. A field is known by
//! the text of its site, ids in it masked, and its name; what is learned at one place holds at all places of its site.
//! Status, method and presence are never volatile.

mod file;
mod learn;
pub mod site;

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::pattern::matches;
use crate::replay::fields::{Difference, Leaf};

pub use file::{FILE_NAME, VolatileFile};
pub use learn::learn;

/// Why a field is volatile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It is a time on both sides; anything else in its place is a divergence.
    Time,
    /// Runs disagree about it.
    Runs,
    /// Somebody wrote it into `volatile.toml`.
    Said,
}

impl Why {
    /// As the file and the report have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Runs => "runs disagree",
            Self::Said => "said",
        }
    }
}

/// What is volatile in a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volatile {
    /// By site and name.
    fields: BTreeMap<Box<str>, BTreeMap<Box<str>, Why>>,
    /// The same with `*` or `?` in site or name.
    patterns: Vec<(Box<str>, Box<str>, Why)>,
    /// Names that are not looked at.
    ignore: Vec<String>,
}

impl Volatile {
    /// What is known before any run.
    pub fn known(file: Option<&VolatileFile>, ignore: &[String]) -> Self {
        let mut all = Self { ignore: ignore.to_vec(), ..Self::default() };
        all.ignore.sort_unstable();
        all.ignore.dedup();
        for (site, name, why) in file.into_iter().flat_map(VolatileFile::fields) {
            if [site, name].into_iter().any(|it| it.contains(['*', '?'])) {
                all.patterns.push((site.into(), name.into(), why));
            }
            // A name may have such a character and mean it.
            all.add(site, name, why);
        }
        all
    }

    /// Adds a field; a reason that says more replaces one that says less.
    pub fn add(&mut self, site: &str, name: &str, why: Why) {
        if name == "status" {
            return;
        }
        let fields = self.fields.entry(site.into()).or_default();
        let known = fields.entry(name.into()).or_insert(why);
        *known = why.max(*known);
    }

    /// Why a field of this site is volatile, if it is.
    pub fn why(&self, site: &str, name: &str) -> Option<Why> {
        if name == "status" {
            return None;
        }
        let exact = self.fields.get(site).and_then(|fields| fields.get(name)).copied();
        let mut patterns = self.patterns.iter().filter(|it| matches(&it.0, site) && matches(&it.1, name));
        exact.into_iter().chain(patterns.next().map(|it| it.2)).max()
    }

    /// Is it not to be looked at? What is below an ignored field is not either. The status only where it is named as such.
    pub fn ignores(&self, name: &str) -> bool {
        if name == "status" {
            return self.ignore.iter().any(|it| it == name);
        }
        let above = name.match_indices(['.', '[']).map(|(at, _)| &name[..at]);
        let is_named = |name: &str| self.ignore.iter().any(|it| matches(it, name));
        is_named(name) || above.into_iter().any(is_named)
    }

    /// Is this difference, which is none of times, no difference?
    pub fn masks(&self, site: &str, difference: &Difference) -> bool {
        if self.ignores(&difference.field) {
            return true;
        }
        could_be_volatile(difference) && self.why(site, &difference.field) > Some(Why::Time)
    }

    /// Site, name and why, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str, Why)> {
        self.fields
            .iter()
            .flat_map(|(site, fields)| fields.iter().map(move |(name, why)| (&**site, &**name, *why)))
    }

    /// What is not looked at.
    pub fn ignored(&self) -> &[String] {
        &self.ignore
    }

    /// SHA-256 over the set: fingerprints compare only under equal ones. A line for each field (site, name, `time` or
    /// `value`, tabs between), then one for each ignored pattern.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for (site, name, why) in self.fields() {
            let kind = if why == Why::Time { "time" } else { "value" };
            hash.update(format!("{site}\t{name}\t{kind}\n"));
        }
        for pattern in &self.ignore {
            hash.update(format!("ignore\t{pattern}\n"));
        }
        hash.finalize().into()
    }
}

/// Could this be a mood, for all that one run tells? Presence, type and status never are.
pub fn could_be_volatile(difference: &Difference) -> bool {
    let (Some(recorded), Some(live)) = (&difference.recorded, &difference.live) else { return false };
    &*difference.field != "status" && type_of(recorded) == type_of(live)
}

/// The type that a masked field keeps.
pub const fn type_of(leaf: &Leaf) -> &'static str {
    match leaf {
        Leaf::Null => "null",
        Leaf::Bool(_) => "bool",
        Leaf::Number(_) => "number",
        // Text that is long is kept as a digest.
        Leaf::Text(_) | Leaf::Digest(..) => "text",
        Leaf::Empty(_) => "empty",
    }
}
