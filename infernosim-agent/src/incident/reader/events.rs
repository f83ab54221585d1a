//! The events of an incident's logs in one order.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;

use super::log::Log;
use super::{Note, Record};
use crate::error::Result;

/// Events of both logs, merged by sequence: lowest head first. Each log's own order is kept, so a log that is out
/// of order stays so. Where neither head has a sequence (old logs), their timestamps decide; in a tie the inbound
/// event is first, since it may be the cause of the other.
///
/// Ends after the first error. While following, `None` means "nothing now": ask again later.
#[derive(Debug)]
pub struct Events {
    sources: Vec<Source>,
    following: bool,
    failed: bool,
    /// The sequence of the event before.
    last: u64,
    /// An event was held back at the last look, since one before it may be in the other log by now.
    held_back: bool,
}

/// A log, or the paths at which it may yet appear.
#[derive(Debug)]
struct Source {
    number: usize,
    /// It was asked for by its own name, not as a part of an incident.
    is_named: bool,
    paths: Vec<PathBuf>,
    log: Option<Log>,
    ready: VecDeque<Record>,
}

impl Source {
    fn open(&mut self, following: bool) -> Result<()> {
        for path in &self.paths {
            if self.log.is_none() {
                self.log = Log::open(path, following, self.is_named)?;
            }
        }
        Ok(())
    }

    /// Reads until at least one event is ready or there is nothing to read now.
    fn fill(&mut self, following: bool) -> Result<()> {
        if self.log.is_none() && following {
            self.open(following)?;
        }
        if let Some(log) = &mut self.log {
            while self.ready.is_empty() && log.fill(&mut self.ready)? {}
        }
        Ok(())
    }
}

impl Events {
    pub(super) fn open(paths: Vec<Vec<PathBuf>>, is_named: bool, following: bool) -> Result<Self> {
        let mut sources = Vec::new();
        for (number, paths) in paths.into_iter().enumerate() {
            let mut source = Source { number, is_named, paths, log: None, ready: VecDeque::new() };
            source.open(following)?;
            sources.push(source);
        }
        Ok(Self { sources, following, failed: false, last: 0, held_back: false })
    }

    /// The capture has ended: from here on the end of a log is its end, and a line without an end is torn.
    pub fn stop_following(&mut self) {
        self.following = false;
        for log in self.sources.iter_mut().filter_map(|source| source.log.as_mut()) {
            log.stop_following();
        }
    }

    /// What there was to say of the logs; complete once the iterator has ended.
    pub fn notes(&self) -> Vec<Note> {
        self.sources.iter().filter_map(|source| source.log.as_ref()?.note()).cloned().collect()
    }

    /// The logs, to read events again by their places: the very files that were read, wherever their names lead by now.
    pub fn into_logs(self) -> Vec<Option<File>> {
        self.sources.into_iter().map(|source| source.log.map(Log::into_file)).collect()
    }

    fn next_record(&mut self) -> Result<Option<Record>> {
        for source in &mut self.sources {
            source.fill(self.following)?;
        }
        let any_is_empty = self.sources.iter().any(|source| source.ready.is_empty());
        let heads = self.sources.iter_mut().filter(|source| !source.ready.is_empty());
        // `min_by` takes the first of equals, and inbound stands first.
        let Some(first) = heads.min_by(|a, b| compare(&a.ready, &b.ready)) else {
            self.held_back = false;
            return Ok(None);
        };
        let order = first.ready.front().map_or(0, |record| record.order);
        // The logs are not written at once: what is missing before this event may be on its way. Once only, and then
        // nothing more until all that is there was read: it may as well be lost, and where two processes number by
        // the clock there is always something missing.
        if self.following && any_is_empty && order > self.last + 1 && !self.held_back {
            self.held_back = true;
            return Ok(None);
        }
        self.last = order;
        let number = u8::try_from(first.number).unwrap_or(u8::MAX);
        Ok(first.ready.pop_front().map(|mut record| {
            record.place.log = number;
            record
        }))
    }
}

fn compare(a: &VecDeque<Record>, b: &VecDeque<Record>) -> Ordering {
    let (Some(a), Some(b)) = (a.front(), b.front()) else { return Ordering::Equal };
    if a.event.sequence.is_none()
        && b.event.sequence.is_none()
        && let (Some(a), Some(b)) = (a.event.time(), b.event.time())
    {
        return a.cmp(&b);
    }
    a.order.cmp(&b.order)
}

impl Iterator for Events {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Result<Record>> {
        if self.failed {
            return None;
        }
        let next = self.next_record().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}
