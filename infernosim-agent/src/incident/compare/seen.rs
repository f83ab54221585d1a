//! The first reading: what of each exchange is held.

use std::collections::BTreeMap;

use super::{Options, Part, fields};
use crate::error::Result;
use crate::incident::event::{Event, Kind};
use crate::incident::reader::{Incident, Record};
use crate::incident::redact::spot::mask;
use crate::incident::site::SiteKey;
use crate::incident::{Join, Joined};

/// An exchange, lookup or connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Its site's number.
    pub site: u32,
    pub sequence: Option<u64>,
    /// Digests of `Part::DIGESTED`.
    pub parts: [u64; 6],
    /// In ns; 0: not known.
    pub duration: u64,
    /// When it began, in ns since the epoch, where that is known.
    pub began: Option<i64>,
    /// Has a place in the order: lookups and connections go beside.
    pub ordered: bool,
}

/// The texts of sites, each once.
#[derive(Debug, Default)]
pub(super) struct Sites {
    numbers: BTreeMap<String, u32>,
    texts: Vec<String>,
}

impl Sites {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }

    pub fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", String::as_str)
    }
}

/// Reads an incident's exchanges in the order in which their first lines stand, and gives how many events were lost.
pub(super) fn read(incident: &Incident, sites: &mut Sites, options: &Options) -> Result<(Vec<Seen>, u64)> {
    let mut seen: Vec<Seen> = Vec::new();
    let mut lost = 0;
    walk(
        incident,
        |event| lost += event.events.unwrap_or(0),
        |slot, joined| {
            if seen.len() <= slot {
                seen.resize_with(slot + 1, Seen::default);
            }
            seen[slot] = see(&joined, incident, sites, options)?;
            Ok(())
        },
    )?;
    Ok((seen, lost))
}

/// Gives each exchange to `take`, numbered from 0 in the order in which their first lines stand, and each Lost line to
/// `lost`. The same incident gives the same numbers.
pub(super) fn walk(
    incident: &Incident,
    mut lost: impl FnMut(&Event),
    mut take: impl FnMut(usize, Joined) -> Result<()>,
) -> Result<()> {
    let mut join = Join::default();
    let mut slots = BTreeMap::new();
    let mut next = 0;
    let mut give = |joined: Joined, next: &mut usize, slots: &mut BTreeMap<String, usize>| {
        // A request had its number when it came.
        let waited =
            (joined.event.kind == Kind::InboundRequest).then(|| slots.remove(&joined.event.trace_id));
        let slot = waited.flatten().unwrap_or_else(|| {
            *next += 1;
            *next - 1
        });
        take(slot, joined)
    };
    for record in incident.events()? {
        let Record { event, text, .. } = record?;
        if event.kind == Kind::Lost {
            lost(&event);
        }
        if SiteKey::of(&event).is_none() {
            continue;
        }
        let trace = event.trace_id.clone();
        let waits = event.kind == Kind::InboundRequest && !trace.is_empty();
        for joined in join.add(event, text.len()) {
            give(joined, &mut next, &mut slots)?;
        }
        if waits {
            slots.insert(trace, next);
            next += 1;
        }
    }
    while let Some(joined) = join.oldest() {
        give(joined, &mut next, &mut slots)?;
    }
    Ok(())
}

fn see(joined: &Joined, incident: &Incident, sites: &mut Sites, options: &Options) -> Result<Seen> {
    let event = &joined.event;
    let site = SiteKey::of(event).map(|key| sites.number(&mask(key.text()))).unwrap_or_default();
    let mut parts = [0; 6];
    for (digest, part) in parts.iter_mut().zip(Part::DIGESTED) {
        *digest = fields::of(part, joined, incident, options)?.digest();
    }
    Ok(Seen {
        site,
        sequence: event.sequence,
        parts,
        duration: joined.outcome().duration.unwrap_or(0),
        began: event.time().and_then(|time| i64::try_from(time.as_nanosecond()).ok()),
        ordered: matches!(event.kind, Kind::InboundRequest | Kind::OutboundCall),
    })
}
