//! The line after the table.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::text::{count, escape, size};
use crate::incident::event::{Event, Kind};
use crate::incident::manifest::Manifest;

/// Counts over all events of an incident, selected or not.
#[derive(Debug, Default)]
pub(super) struct Summary {
    events: u64,
    shown: u64,
    failed: u64,
    incomplete: u64,
    lost_events: u64,
    lost_bytes: u64,
    dependencies: BTreeSet<String>,
}

impl Summary {
    pub fn count(&mut self, event: &Event, shown: bool) {
        self.shown += u64::from(shown && event.kind != Kind::Lost);
        if event.kind == Kind::Lost {
            self.lost_events = self.lost_events.saturating_add(event.events.unwrap_or(0));
            self.lost_bytes = self.lost_bytes.saturating_add(event.bytes.unwrap_or(0));
            return;
        }
        self.events += 1;
        self.failed += u64::from(event.failed());
        self.incomplete += u64::from(event.incomplete);
        let dependency = event.dependency();
        if event.is_outbound() && !dependency.is_empty() && !self.dependencies.contains(dependency) {
            self.dependencies.insert(dependency.to_owned());
        }
    }

    pub fn print(&self, manifest: Option<&Manifest>, filtered: bool, out: &mut impl Write) -> io::Result<()> {
        if filtered {
            write!(out, "{} of ", self.shown)?;
        }
        let dependencies = count(self.dependencies.len() as u64, "dependency");
        let events = count(self.events, "event");
        let (failed, incomplete) = (self.failed, self.incomplete);
        write!(out, "{events}, {dependencies}, {failed} failed, {incomplete} incomplete, ")?;
        // The manifest is written last and may know of losses that no line could be written for.
        let said = manifest.map(|manifest| &manifest.lost);
        match (
            self.lost_events.max(said.map_or(0, |l| l.events)),
            self.lost_bytes.max(said.map_or(0, |l| l.bytes)),
        ) {
            (0, 0) => writeln!(out, "none lost")?,
            (events, bytes) => writeln!(out, "{events} lost ({})", size(bytes))?,
        }
        let Some(manifest) = manifest else { return Ok(()) };
        if manifest.excluded.events > 0 {
            writeln!(out, "not to be recorded: {}", count(manifest.excluded.events, "event"))?;
        }
        for (word, name) in [("before", &manifest.previous), ("after", &manifest.next)] {
            if let Some(name) = name {
                writeln!(out, "the incident {word} this one: {}", escape(name))?;
            }
        }
        if !manifest.unmediated.is_empty() {
            let kinds = manifest.unmediated.iter().map(|(reason, n)| format!("{} {n}", escape(reason)));
            writeln!(out, "unmediated: {}", kinds.collect::<Vec<_>>().join(", "))?;
        }
        if !manifest.closed {
            writeln!(out, "not closed: its capture is still running, or was killed")?;
        }
        Ok(())
    }
}
