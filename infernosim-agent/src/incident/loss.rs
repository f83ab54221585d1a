//! What was seen and is not in the incident, and why.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::manifest::{Count, Lost};

/// Why events are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No memory: the disk, or we, are slower than the traffic (see [`super::Budget`]).
    Buffer,
    /// The disk did not take it.
    Disk,
    /// Bytes were relayed without a copy, since all memory for copies was taken.
    Gap,
    /// The log is not there any more.
    Removed,
    /// A body alone is larger than an incident may be.
    Size,
    /// The kernel half had no room to tell of it.
    Unseen,
    /// Not lost: the selectors leave it out.
    Selectors,
    /// Not lost: it came after the capture's last incident was full.
    AfterEnd,
}

/// Events and bytes by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    by_reason: BTreeMap<Reason, Count>,
}

/// What a `Lost` line says, read back.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    reason: String,
    events: u64,
    bytes: u64,
}

impl Reason {
    const ALL: [Self; 8] = [
        Self::Buffer,
        Self::Disk,
        Self::Gap,
        Self::Removed,
        Self::Size,
        Self::Unseen,
        Self::Selectors,
        Self::AfterEnd,
    ];

    /// The word for it in lines and manifests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Buffer => "buffer",
            Self::Disk => "disk",
            Self::Gap => "gap",
            Self::Removed => "removed",
            Self::Size => "size",
            Self::Unseen => "unseen",
            Self::Selectors => "selectors",
            Self::AfterEnd => "after-end",
        }
    }
}

impl Losses {
    /// Adds to them.
    pub fn add(&mut self, reason: Reason, events: u64, bytes: u64) {
        if events == 0 && bytes == 0 {
            return;
        }
        let count = self.by_reason.entry(reason).or_default();
        count.events = count.events.saturating_add(events);
        count.bytes = count.bytes.saturating_add(bytes);
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(reason, count)| self.add(reason, count.events, count.bytes));
    }

    /// Takes all of `other`, which is a part of them, out again.
    pub fn remove(&mut self, other: &Self) {
        for (reason, theirs) in other.iter() {
            if let Some(count) = self.by_reason.get_mut(&reason) {
                count.events = count.events.saturating_sub(theirs.events);
                count.bytes = count.bytes.saturating_sub(theirs.bytes);
            }
        }
        self.by_reason.retain(|_, count| *count != Count::default());
    }

    /// Those for other reasons than this.
    pub fn without(&self, reason: Reason) -> Self {
        let mut rest = self.clone();
        rest.by_reason.remove(&reason);
        rest
    }

    /// Adds what a line of type `Lost` says. False where it is no such line.
    pub fn add_line(&mut self, line: &[u8]) -> bool {
        let Ok(said) = serde_json::from_slice::<Line>(line) else { return false };
        let reason = Reason::ALL.into_iter().find(|reason| reason.as_str() == said.reason);
        reason.is_some_and(|reason| {
            self.add(reason, said.events, said.bytes);
            true
        })
    }

    /// Each reason that there is.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, Count)> {
        self.by_reason.iter().map(|(reason, count)| (*reason, *count))
    }

    /// One of them.
    pub fn first(&self) -> Option<(Reason, Count)> {
        self.iter().next()
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.by_reason.is_empty()
    }

    /// All events.
    pub fn events(&self) -> u64 {
        self.by_reason.values().map(|count| count.events).sum()
    }

    /// All bytes, where known.
    pub fn bytes(&self) -> u64 {
        self.by_reason.values().map(|count| count.bytes).sum()
    }
}

impl From<&Losses> for Lost {
    fn from(losses: &Losses) -> Self {
        let by_reason = losses.iter().map(|(reason, count)| (reason.as_str().to_owned(), count)).collect();
        Self { events: losses.events(), bytes: losses.bytes(), by_reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_there_by_reason_until_it_is_taken_out() {
        let mut losses = Losses::default();
        losses.add(Reason::Disk, 0, 0);
        assert!(losses.is_empty());
        losses.add(Reason::Disk, 2, 10);
        losses.add(Reason::Gap, 0, 5);
        assert!(losses.add_line(b"{\"type\":\"Lost\",\"reason\":\"disk\",\"events\":1,\"bytes\":7}\n"));
        assert!(!losses.add_line(b"{\"type\":\"OutboundCall\"}") && !losses.add_line(b"{"));
        assert_eq!((losses.events(), losses.bytes()), (3, 22));
        let lost = Lost::from(&losses);
        assert_eq!(lost.by_reason["disk"], Count { events: 3, bytes: 17 });
        assert_eq!(lost.by_reason["gap"], Count { events: 0, bytes: 5 });
        let all = losses.clone();
        losses.remove(&all);
        assert!(losses.is_empty());
    }

    #[test]
    fn every_reason_has_a_word_of_its_own() {
        let words: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|it| it.as_str()).collect();
        assert_eq!(words.len(), Reason::ALL.len());
    }
}
