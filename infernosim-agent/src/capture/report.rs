use std::collections::BTreeMap;

use infernosim_common::Counter;

use crate::clock;
use crate::incident::manifest::{Dependency, Host, LogFile, Lost, Manifest, Target, Tool};
use crate::incident::reader::Secrets;
use crate::incident::{Store, Totals, Written};
use crate::redirect::Redirect;

/// Everything that a capture has to say about itself at its end.
pub struct Outcome {
    /// Of the recorder.
    pub totals: Totals,
    /// Of the writer.
    pub written: Written,
    /// What the target did that we did not see, by kind.
    pub unmediated: BTreeMap<String, u64>,
    /// Connections that the end of the capture cut.
    pub cut: u64,
    /// Refused connects that there was no room to note.
    pub unseen_refusals: u64,
}

impl Outcome {
    /// Events that were seen and are not in the incident.
    pub const fn lost(&self) -> u64 {
        self.totals.lost_events + self.written.lost_events + self.unseen_refusals
    }

    /// Lines in the log, by type.
    fn events(&self) -> BTreeMap<String, u64> {
        let lost = |kind: &str| self.written.lost_by_type.get(kind).copied().unwrap_or(0);
        let written = self
            .totals
            .events
            .iter()
            .map(|(kind, count)| ((*kind).to_owned(), count.saturating_sub(lost(kind))));
        written.filter(|(_, count)| *count > 0).collect()
    }

    /// The loss in words.
    pub fn loss(&self) -> String {
        let at_least = if self.totals.gaps > 0 { "at least " } else { "" };
        let bytes = self.totals.lost_bytes + self.written.lost_bytes;
        match (self.lost(), bytes) {
            (0, _) => "0 lost".to_owned(),
            (events, 0) => format!("{at_least}{events} lost"),
            (events, bytes) => format!("{at_least}{events} lost ({bytes} bytes)"),
        }
    }

    /// Whether all that was seen is in the incident.
    pub const fn is_complete(&self) -> bool {
        self.lost() == 0 && self.written.error.is_none()
    }

    /// What a person reads at the end.
    pub fn summary(&self, store: &Store) -> String {
        let shown = store.path().display();
        let events: u64 = self.events().values().sum();
        let mut text = format!("infernosim: captured {events} events in {shown}, {}", self.loss());
        if let Some(error) = &self.written.error {
            text.push_str(&format!("\n  the incident could not be written whole: {error}"));
        }
        if self.cut > 0 {
            text.push_str(&format!(
                "\n  {} connections were still open at the end and were closed",
                self.cut
            ));
        }
        let dependencies: Vec<String> = self
            .totals
            .dependencies
            .iter()
            .take(10)
            .map(|(name, it)| match it.failed {
                0 => format!("{name} ({}, {})", it.protocol, it.calls),
                failed => format!("{name} ({}, {}, {failed} failed)", it.protocol, it.calls),
            })
            .collect();
        if !dependencies.is_empty() {
            let more = self.totals.dependencies.len().saturating_sub(dependencies.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            text.push_str(&format!("\n  dependencies: {}{more}", dependencies.join(", ")));
        }
        let unmediated: Vec<String> =
            self.unmediated.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        if !unmediated.is_empty() {
            text.push_str(&format!("\n  unmediated: {}", unmediated.join(", ")));
        }
        text.push_str(&format!("\n  next: infernosim inspect {shown}"));
        text
    }

    /// Completes the manifest.
    pub fn close(&self, manifest: &mut Manifest, store: &Store) {
        manifest.ended_at = Some(now());
        manifest.closed = true;
        manifest.counts = self.events();
        manifest.lost = Lost { events: self.lost(), bytes: self.totals.lost_bytes + self.written.lost_bytes };
        let dependency = |(service, it): (&String, &crate::incident::Dependency)| Dependency {
            service: service.clone(),
            protocol: it.protocol.to_owned(),
            calls: it.calls,
            failed: it.failed,
        };
        manifest.dependencies = self.totals.dependencies.iter().map(dependency).collect();
        manifest.unmediated = self.unmediated.clone();
        manifest.redaction.count(self.totals.replaced, self.written.lost_secrets);
        Secrets::replace_in(&mut manifest.target.command, store.path());
        let Written { sha256, bytes, lines, .. } = self.written.clone();
        manifest.logs.insert("outbound.log".to_owned(), LogFile { sha256, bytes, lines });
    }
}

/// What the kernel half left alone, by kind.
pub fn unmediated(redirect: &Redirect) -> BTreeMap<String, u64> {
    Counter::UNMEDIATED
        .into_iter()
        .map(|(counter, name)| (name.to_owned(), redirect.count(counter)))
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// The manifest of a capture that begins.
pub fn manifest(target: Target) -> Manifest {
    let host = nix::sys::utsname::uname().ok();
    let text = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
    let host = host.map_or_else(Host::default, |host| Host {
        kernel: text(host.release()),
        arch: text(host.machine()),
        hostname: text(host.nodename()),
    });
    Manifest { tool: Tool::this(), target, host, started_at: now(), ..Manifest::default() }
}

fn now() -> String {
    let ns = i128::from(clock::wall(clock::now()));
    jiff::Timestamp::from_nanosecond(ns).map_or_else(|_| String::new(), |time| time.to_string())
}
