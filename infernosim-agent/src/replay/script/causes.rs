//! What the log says of causes, checked; and where a log says nothing, what can be known without a guess.

use std::collections::{BTreeMap, BTreeSet};

use super::load::{Drafts, ExchangeDraft, exchange_index};
use super::{Basis, ExchangeIndex};
use crate::replay::fields;

/// What a line tells of its cause.
#[derive(Clone, Debug, Default)]
pub struct Clue {
    /// Of the id of the request that it names.
    pub cause: Option<u64>,
    pub said: Basis,
    pub pid: Option<u32>,
    pub tid: Option<u32>,
    /// Digests of the identifiers in its head, as long as no line had said what its cause was.
    pub identifiers: Box<[u64]>,
}

/// The word of a log.
pub fn basis_of(word: Option<&str>) -> Basis {
    match word {
        Some("header") => Basis::Header,
        Some("thread") => Basis::Thread,
        Some("only-one-in-flight") => Basis::OnlyOneInFlight,
        Some("ambiguous") => Basis::Ambiguous,
        _ => Basis::None,
    }
}

/// An id or identifier as a number: a text for each line would take more than all else that is held of it.
pub fn short(identifier: &str) -> u64 {
    fields::joined(&[identifier.as_bytes()])
}

/// Finds the cause of each thing the target did.
pub struct Causes {
    /// In order.
    by_id: Vec<(u64, ExchangeIndex)>,
    /// The processes and threads that wrote the answers, by exchange.
    writers: Vec<Option<(u32, u32)>>,
    /// Processes in which threads tell nothing.
    mixed: BTreeSet<u32>,
    derived: Option<Derived>,
    /// Calls whose thread told nothing after all.
    pub unsure: u64,
}

impl Causes {
    /// Of exchanges that are in order.
    pub fn of(drafts: &Drafts) -> Self {
        let exchanges = &drafts.exchanges;
        let ids = exchanges.iter().enumerate();
        let mut by_id: Vec<(u64, ExchangeIndex)> =
            ids.map(|(at, draft)| (short(&draft.exchange.id), exchange_index(at))).collect();
        by_id.sort_unstable();
        Self {
            by_id,
            writers: exchanges.iter().map(|draft| draft.clue.pid.zip(draft.writer)).collect(),
            mixed: mixed(exchanges),
            derived: (!drafts.has_causes).then(|| Derived::of(exchanges)),
            unsure: 0,
        }
    }

    /// Whether the log says nothing of causes, so that they are found out here.
    pub const fn are_derived(&self) -> bool {
        self.derived.is_some()
    }

    /// That of a thing that began at `start_ns`.
    pub fn find(&mut self, clue: &Clue, start_ns: u64) -> (Option<ExchangeIndex>, Basis) {
        if let Some(derived) = &self.derived {
            return derived.find(clue, start_ns);
        }
        if clue.said == Basis::Thread && clue.pid.is_none_or(|pid| self.mixed.contains(&pid)) {
            self.unsure += 1;
            return (None, Basis::Ambiguous);
        }
        let place = clue.cause.and_then(|id| self.by_id.binary_search_by_key(&id, |(id, _)| *id).ok());
        let cause = place.map(|place| self.by_id[place].1);
        let writer = cause.and_then(|cause| self.writers[cause.0 as usize]);
        let other = writer.is_some_and(|(pid, tid)| clue.pid == Some(pid) && clue.tid != Some(tid));
        if clue.said == Basis::Thread && other {
            // Another thread wrote the answer than made the call.
            self.unsure += 1;
            return (None, Basis::Ambiguous);
        }
        match (clue.said, cause) {
            (Basis::Ambiguous | Basis::None, _) => (None, clue.said),
            (said, Some(cause)) => (Some(cause), said),
            // Its request is in another incident of the same capture.
            (_, None) => (None, Basis::None),
        }
    }
}

/// Processes in which a thread wrote the answers to two requests that were open at once. Who read a request is in no line:
/// it is written before that is known.
fn mixed(exchanges: &[ExchangeDraft]) -> BTreeSet<u32> {
    let mut mixed = BTreeSet::new();
    // By process and thread: when its last request was answered.
    let mut busy = BTreeMap::<(u32, u32), u64>::new();
    for draft in exchanges {
        let (Some(pid), Some(writer)) = (draft.clue.pid, draft.writer) else { continue };
        let until = draft.ended.unwrap_or(u64::MAX);
        let before = busy.insert((pid, writer), until);
        if before.is_some_and(|before| before > draft.exchange.sequence) {
            mixed.insert(pid);
        }
    }
    mixed
}

/// What headers and times tell.
struct Derived {
    /// (identifier, exchange), in order.
    identifiers: Vec<(u64, ExchangeIndex)>,
    /// (when its request was whole, when its answer was over), by exchange.
    open: Vec<(u64, u64)>,
    /// By when the request was whole.
    by_time: Vec<(u64, ExchangeIndex)>,
    /// Of all until a place in that, the latest end.
    latest: Vec<u64>,
}

/// So many exchanges that began before a call are looked through for those that are still open.
const MOST_LOOKED_AT: usize = 10_000;

impl Derived {
    fn of(exchanges: &[ExchangeDraft]) -> Self {
        let indexed = || exchanges.iter().enumerate().map(|(at, draft)| (exchange_index(at), draft));
        let mut identifiers: Vec<(u64, ExchangeIndex)> = indexed()
            .flat_map(|(index, draft)| draft.clue.identifiers.iter().map(move |it| (*it, index)))
            .collect();
        identifiers.sort_unstable();
        let open: Vec<(u64, u64)> = exchanges
            .iter()
            .map(|draft| (draft.exchange.asked_ns, draft.exchange.end_ns.unwrap_or(u64::MAX)))
            .collect();
        let mut by_time: Vec<(u64, ExchangeIndex)> =
            indexed().map(|(index, draft)| (draft.exchange.asked_ns, index)).collect();
        by_time.sort_unstable();
        let mut last = 0;
        let latest = by_time.iter().map(|(_, index)| {
            last = last.max(open[index.0 as usize].1);
            last
        });
        Self { identifiers, latest: latest.collect(), open, by_time }
    }

    fn find(&self, clue: &Clue, at: u64) -> (Option<ExchangeIndex>, Basis) {
        if let Some(cause) = self.by_header(clue, at) {
            return (Some(cause), Basis::Header);
        }
        let mut one = None;
        let before = self.by_time.partition_point(|(asked, _)| *asked <= at);
        for place in (0..before).rev().take(MOST_LOOKED_AT) {
            // None of those that began earlier is open any more.
            if self.latest[place] <= at {
                break;
            }
            let index = self.by_time[place].1;
            if self.open[index.0 as usize].1 > at && one.replace(index).is_some() {
                return (None, Basis::Ambiguous);
            }
        }
        (one, if one.is_some() { Basis::OnlyOneInFlight } else { Basis::None })
    }

    /// An identifier that is in exactly one request that was open; or, of answered ones, in exactly one at all.
    fn by_header(&self, clue: &Clue, at: u64) -> Option<ExchangeIndex> {
        clue.identifiers.iter().find_map(|identifier| {
            let start = self.identifiers.partition_point(|(it, _)| it < identifier);
            let of = self.identifiers[start..].iter().take_while(|(it, _)| it == identifier);
            let begun: Vec<ExchangeIndex> = of
                .take(MOST_LOOKED_AT)
                .map(|(_, index)| *index)
                .filter(|index| self.open[index.0 as usize].0 <= at)
                .collect();
            let mut open = begun.iter().filter(|index| self.open[index.0 as usize].1 > at);
            match (open.next(), open.next(), &begun[..]) {
                (Some(one), None, _) => Some(*one),
                (None, _, [one]) => Some(*one),
                _ => None,
            }
        })
    }
}
