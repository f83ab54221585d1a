use std::collections::BTreeMap;
use std::io;

use super::{Closed, LeftAlone, Shelf, note};
use crate::incident::Direction;
use crate::incident::line::Totals;
use crate::incident::loss::{Losses, Reason};
use crate::incident::manifest::{Dependency, LogFile, Lost, Manifest, now};
use crate::incident::reader::Secrets;
use crate::incident::writer::{Written, WrittenLog};

impl Shelf {
    /// Completes the manifest of the incident that is being written: all that is meant for it has been written.
    pub fn close(&mut self, totals: &Totals, written: &Written) {
        if let Some(side) = self.joined.as_ref().map(|joined| joined.side) {
            return self.close_shared(side, totals, written);
        }
        let left = self.left_alone();
        let mut lost = totals.lost.clone();
        lost.merge(&written.lost);
        lost.add(Reason::Unseen, left.unseen, 0);
        let mut counts = counts(totals, written);
        let open = &mut self.open;
        let directory_is_there = open.store.whereabouts().is_some();
        let there = |log: &WrittenLog| log.is_there && directory_is_there;
        for (direction, log) in written.logs.iter().filter(|(_, log)| !there(log)) {
            let is_in_it = |kind: &str| Direction::of_type(kind) == direction;
            let events = counts.iter().filter(|(kind, _)| *kind != "Lost" && is_in_it(kind));
            lost.add(Reason::Removed, events.map(|(_, count)| count).sum(), log.bytes);
            counts.retain(|kind, _| !is_in_it(kind));
        }
        let manifest = &mut open.manifest;
        manifest.ended_at = Some(now());
        manifest.closed = true;
        manifest.lost = Lost::from(&lost);
        let mut excluded = totals.excluded.clone();
        excluded.add(Reason::Selectors, left.excluded, 0);
        manifest.excluded = Lost::from(&excluded);
        manifest.dependencies = dependencies(totals);
        manifest.unmediated = left.unmediated;
        manifest.redaction.count(totals.replaced, written.lost_secrets);
        Secrets::replace_in(&mut manifest.target.command, open.store.path());
        manifest.next = self.next.as_ref().and_then(|(next, _)| super::name_of(next.store.path()));
        for (direction, log) in written.logs.iter().filter(|(_, log)| there(log)) {
            let WrittenLog { sha256, bytes, lines, .. } = log.clone();
            manifest.logs.insert(direction.log().to_owned(), LogFile { sha256, bytes, lines });
        }
        self.sums
            .incidents
            .push(Closed { path: open.store.path().to_owned(), events: counts.values().sum() });
        manifest.counts = counts;
        self.find_faults(written, |shelf| shelf.open.store.save(&shelf.open.manifest));
        self.add(totals, &lost, &excluded);
    }

    /// Adds to the manifest what this process recorded, in an incident that others may be writing.
    fn close_shared(&mut self, side: Direction, totals: &Totals, written: &Written) {
        let log = written.logs.of(side);
        let is_there = log.is_there && self.open.store.whereabouts().is_some();
        let mut lost = totals.lost.clone();
        lost.merge(&written.lost);
        let mut counts = counts(totals, written);
        let events = counts.values().sum();
        if !is_there {
            let events = counts.iter().filter(|(kind, _)| *kind != "Lost").map(|(_, count)| count).sum();
            lost.add(Reason::Removed, events, log.bytes);
            counts.clear();
        }
        let mut session = Manifest {
            counts,
            lost: Lost::from(&lost),
            excluded: Lost::from(&totals.excluded),
            dependencies: dependencies(totals),
            ..Manifest::default()
        };
        session.redaction.count(totals.replaced, written.lost_secrets);
        self.sums.incidents.push(Closed { path: self.open.store.path().to_owned(), events });
        let WrittenLog { sha256, bytes, lines, .. } = log.clone();
        let log = is_there.then_some(LogFile { sha256, bytes, lines });
        self.find_faults(written, |shelf| {
            shelf.change(|manifest, store, joined| {
                joined.close(manifest, &session, log, store);
            })
        });
        self.add(totals, &lost, &totals.excluded);
    }

    /// Saves the manifest, and says what is wrong with the incident.
    fn find_faults(&mut self, written: &Written, save: impl FnOnce(&mut Self) -> io::Result<()>) {
        let saved = self.open.store.whereabouts().map(|_| save(self));
        let store = &self.open.store;
        let shown = store.path().display();
        let mut faults = Vec::new();
        faults.extend(
            written.error.as_ref().map(|error| format!("{shown} could not be written whole: {error}")),
        );
        match store.whereabouts() {
            None => faults.push(format!(
                "{shown} is gone, removed or with its file system unmounted: there is no recording of it"
            )),
            Some(path) => {
                if let Some(Err(error)) = saved {
                    faults.push(format!("{shown}/incident.json could not be written: {error}"));
                }
                let ours = |direction| self.joined.as_ref().is_none_or(|joined| joined.side == direction);
                let gone = written.logs.iter().filter(|(direction, log)| ours(*direction) && !log.is_there);
                for (direction, _) in gone {
                    let log = self.log_name(direction).display();
                    faults.push(format!(
                        "{shown}/{log} was removed or replaced while it was written: what was recorded in it is not there"
                    ));
                }
                if !store.holds_bodies() {
                    faults.push(format!(
                        "{shown}/bodies was removed or replaced: the bodies in it are not there"
                    ));
                }
                if path != store.path() {
                    let text = format!("{shown} was moved: it is {} now", path.display());
                    note(&mut self.sums.notes, text);
                }
            }
        }
        faults.into_iter().for_each(|fault| note(&mut self.sums.errors, fault));
    }

    fn add(&mut self, totals: &Totals, lost: &Losses, excluded: &Losses) {
        let sums = &mut self.sums;
        sums.lost.merge(lost);
        sums.excluded.merge(excluded);
        sums.gaps += totals.gaps;
        for (kind, count) in &self.open.manifest.unmediated {
            *sums.unmediated.entry(kind.clone()).or_default() += count;
        }
        for (name, one) in &totals.dependencies {
            let sum = sums.dependencies.entry(name.clone()).or_default();
            if sum.calls == 0 || sum.protocol == "tcp" {
                sum.protocol = one.protocol;
            }
            sum.calls += one.calls;
            sum.failed += one.failed;
        }
    }

    /// What the kernel half counted since it was asked last.
    fn left_alone(&mut self) -> LeftAlone {
        let Some(ask) = &mut self.ask_kernel else { return LeftAlone::default() };
        let now = ask();
        let told = std::mem::replace(&mut self.told, now.clone());
        let since = |(kind, count): (String, u64)| {
            let more = count.saturating_sub(told.unmediated.get(&kind).copied().unwrap_or(0));
            (more > 0).then_some((kind, more))
        };
        LeftAlone {
            unmediated: now.unmediated.into_iter().filter_map(since).collect(),
            unseen: now.unseen.saturating_sub(told.unseen),
            excluded: now.excluded.saturating_sub(told.excluded),
        }
    }
}

/// Lines in the log, by type.
fn counts(totals: &Totals, written: &Written) -> BTreeMap<String, u64> {
    let lost = |kind: &str| written.lost_by_type.get(kind).copied().unwrap_or(0);
    let counts =
        totals.events.iter().map(|(kind, count)| ((*kind).to_owned(), count.saturating_sub(lost(kind))));
    counts.filter(|(_, count)| *count > 0).collect()
}

fn dependencies(totals: &Totals) -> Vec<Dependency> {
    let dependency = |(service, it): (&String, &crate::incident::Dependency)| Dependency {
        service: service.clone(),
        protocol: it.protocol.to_owned(),
        calls: it.calls,
        failed: it.failed,
    };
    totals.dependencies.iter().map(dependency).collect()
}
