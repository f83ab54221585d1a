//! The line after the table.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::entry::Entry;
use super::text::{count, escape, size};
use crate::incident::event::Kind;
use crate::incident::manifest::{Explicit, Manifest, Proxy};

/// Counts over all events of an incident, selected or not.
#[derive(Debug, Default)]
pub(super) struct Summary {
    events: u64,
    shown: u64,
    inbound: u64,
    outbound: u64,
    failed: u64,
    incomplete: u64,
    lost_events: u64,
    lost_bytes: u64,
    dependencies: BTreeSet<String>,
    names: BTreeSet<String>,
}

impl Summary {
    pub fn count(&mut self, entry: &Entry<'_>, shown: bool) {
        let event = &entry.event;
        self.shown += if shown && event.kind != Kind::Lost { entry.count() } else { 0 };
        if event.kind == Kind::Lost {
            self.lost_events = self.lost_events.saturating_add(event.events.unwrap_or(0));
            self.lost_bytes = self.lost_bytes.saturating_add(event.bytes.unwrap_or(0));
            return;
        }
        self.events += entry.count();
        self.failed += u64::from(entry.failed());
        self.incomplete += u64::from(entry.events().any(|event| event.incomplete));
        self.inbound += u64::from(event.kind == Kind::InboundRequest);
        self.outbound += u64::from(event.kind == Kind::OutboundCall);
        let dependency = event.dependency();
        if event.kind == Kind::Dns {
            // The resolver is no dependency: what is asked of it is names.
            let name = event.name.as_deref().unwrap_or_default();
            if !name.is_empty() && !self.names.contains(name) {
                self.names.insert(name.to_owned());
            }
        } else if event.is_outbound() && !dependency.is_empty() && !self.dependencies.contains(dependency) {
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
        let kinds = [
            (self.inbound, "inbound request"),
            (self.outbound, "outbound call"),
            (self.names.len() as u64, "name"),
        ];
        let kinds: Vec<String> =
            kinds.iter().filter(|(n, _)| *n > 0).map(|(n, noun)| count(*n, noun)).collect();
        if !kinds.is_empty() {
            writeln!(out, "{}", kinds.join(", "))?;
        }
        let Some(manifest) = manifest else { return Ok(()) };
        if let Some(explicit) = &manifest.target.explicit {
            writeln!(out, "explicit: {}", proxies(explicit))?;
        }
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
            let who = if manifest.target.explicit.is_some() { "a proxy" } else { "its capture" };
            writeln!(out, "not closed: {who} is still running, or was killed")?;
        }
        Ok(())
    }
}

/// Who wrote it: `inbound 127.0.0.1:18080 → localhost:8084, outbound 127.0.0.1:9000`.
fn proxies(explicit: &Explicit) -> String {
    let proxy = |name: &str, proxy: &Option<Proxy>| {
        let proxy = proxy.as_ref()?;
        let forward = proxy.forward.as_ref().map_or_else(String::new, |to| format!(" → {}", escape(to)));
        Some(format!("{name} {}{forward}", escape(&proxy.listen.join(", "))))
    };
    let both = [proxy("inbound", &explicit.inbound), proxy("outbound", &explicit.outbound)];
    both.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
