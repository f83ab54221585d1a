//! The recorded calls by what a live one has to be equal to.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::order::Order;
use crate::replay::script::{Basis, CallIndex, CallKind, ExchangeIndex, Keys, Script};

/// How alike a counterpart is, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// In all.
    Exact,
    /// In all but ids and times by their shape.
    Masked,
    /// In dependency, method and path.
    Path,
    /// In dependency, method and the path but for ids in it.
    Template,
}

impl Level {
    pub const ALL: [Self; 4] = [Self::Exact, Self::Masked, Self::Path, Self::Template];

    pub const fn key(self, keys: &Keys) -> u64 {
        match self {
            Self::Exact => keys.exact,
            Self::Masked => keys.masked,
            Self::Path => keys.path,
            Self::Template => 0,
        }
    }
}

/// What of a call is looked at again and again.
#[derive(Clone, Copy, Debug)]
struct Compact {
    site: u32,
    cause: Option<ExchangeIndex>,
    keys: Keys,
    answer: u64,
    /// Calls of which it was not known which of several exchanges had made them happen, while these overlapped, have the
    /// same number.
    together: Option<u32>,
}

/// Whose calls are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Those that this exchange made happen.
    Cause(ExchangeIndex),
    /// Those of which that is not known.
    Nobody,
    /// Those of which it is known, in order.
    Somebody,
}

/// All calls that a stub of HTTP answers.
#[derive(Debug)]
pub struct Sites {
    /// Dependency → method → path, ids in it masked → site.
    numbers: BTreeMap<Arc<str>, Numbers>,
    calls: Vec<Compact>,
    orders: Vec<Order>,
    /// (what tells it at once, its keys), in order.
    raw: Vec<(u64, Keys)>,
    /// Those that no other live call may have.
    used: Vec<bool>,
    /// How many more may have it; empty where that is one.
    left: Vec<u32>,
    copies: u32,
}

type Numbers = BTreeMap<Arc<str>, BTreeMap<Arc<str>, u32>>;

/// No site: of calls that are matched otherwise.
const NO_SITE: u32 = u32::MAX;

impl Sites {
    /// Of a script, each of whose calls stands for so many live ones.
    pub fn of(script: &Script, copies: u32) -> Self {
        let mut numbers = BTreeMap::<Arc<str>, Numbers>::new();
        let (mut count, mut raw) = (0, Vec::new());
        let together = together(script);
        let entries = script.calls().iter().enumerate().map(|(at, call)| {
            let by = script.matched_by(CallIndex(at as u32));
            let mut site = NO_SITE;
            if matches!(call.kind, CallKind::Http | CallKind::Tunnel) {
                let methods = numbers.entry(call.dependency.clone()).or_default();
                let paths = methods.entry(call.method.clone()).or_default();
                site = *paths.entry(by.template.clone()).or_insert(count);
                count = count.max(site + 1);
                raw.push((by.raw, by.keys));
            }
            Compact { site, cause: call.cause, keys: by.keys, answer: call.answer, together: together[at] }
        });
        let calls: Vec<Compact> = entries.collect();
        raw.sort_unstable_by_key(|(raw, _)| *raw);
        raw.dedup_by_key(|(raw, _)| *raw);
        let order = |level: Level| {
            Order::new(calls.len(), |call| {
                let it = &calls[call as usize];
                (it.site, level.key(&it.keys), it.cause.is_none(), it.cause)
            })
        };
        Self {
            numbers,
            orders: Level::ALL.map(order).into(),
            used: vec![false; calls.len()],
            left: if copies > 1 { vec![copies; calls.len()] } else { Vec::new() },
            copies,
            calls,
            raw,
        }
    }

    /// A new run begins.
    pub fn reset(&mut self) {
        self.used.fill(false);
        self.left.fill(self.copies);
        self.orders.iter_mut().for_each(Order::reset);
    }

    /// The site of a live call, by whichever of the dependency's names is known there.
    pub fn site(&self, dependencies: &[String], method: &str, template: &str) -> Option<u32> {
        let of =
            |dependency: &String| self.numbers.get(dependency.as_str())?.get(method)?.get(template).copied();
        dependencies.iter().find_map(of)
    }

    /// The sites of a dependency: (method, path, site).
    pub fn of_dependency(&self, name: &str) -> impl Iterator<Item = (&str, &str, u32)> {
        let methods = self.numbers.get(name).into_iter().flatten();
        methods.flat_map(|(method, paths)| paths.iter().map(move |(path, site)| (&**method, &**path, *site)))
    }

    /// The keys of a request that was recorded byte for byte like this.
    pub fn known(&self, raw: u64) -> Option<Keys> {
        let at = self.raw.binary_search_by_key(&raw, |(raw, _)| *raw).ok()?;
        Some(self.raw[at].1)
    }

    /// The first unused call of a site that is that alike.
    pub fn first(&mut self, site: u32, level: Level, keys: &Keys, of: Of) -> Option<CallIndex> {
        let range = self.range(site, level, keys, of);
        self.orders[level as usize].first(range, &self.used).map(|(_, call)| CallIndex(call))
    }

    /// Some unused calls of a site that are that alike, the first ones.
    pub fn some(&mut self, site: u32, level: Level, keys: &Keys, of: Of, most: usize) -> Vec<CallIndex> {
        let mut range = self.range(site, level, keys, of);
        let mut found = Vec::new();
        while found.len() < most
            && let Some((place, call)) = self.orders[level as usize].first(range.clone(), &self.used)
        {
            found.push(CallIndex(call));
            range.start = place + 1;
        }
        found
    }

    /// The calls next to one of which it is not known who made it, used or not: those that are that alike, and its likes.
    pub fn around(&self, site: u32, level: Level, keys: &Keys, call: CallIndex, most: usize) -> &[u32] {
        let all = self.orders[level as usize].all(self.range(site, level, keys, Of::Nobody));
        let place = all.partition_point(|other| *other < call.0);
        &all[place.saturating_sub(most)..all.len().min(place + most)]
    }

    fn range(&self, site: u32, level: Level, keys: &Keys, of: Of) -> std::ops::Range<usize> {
        let key = level.key(keys);
        let cause = match of {
            Of::Cause(cause) => (false, Some(Some(cause))),
            Of::Nobody => (true, None),
            Of::Somebody => (false, None),
        };
        self.orders[level as usize].range(|call| {
            let it = &self.calls[call as usize];
            let mine = (it.site, level.key(&it.keys), it.cause.is_none());
            mine.cmp(&(site, key, cause.0)).then_with(|| match cause.1 {
                Some(cause) => it.cause.cmp(&cause),
                None => Ordering::Equal,
            })
        })
    }

    /// A call of a site, used or not, and how many it has.
    pub fn any_of(&self, site: u32) -> Option<(CallIndex, usize)> {
        let order = &self.orders[Level::Template as usize];
        let range = order.range(|call| self.calls[call as usize].site.cmp(&site));
        order.all(range.clone()).first().map(|call| (CallIndex(*call), range.len()))
    }

    /// The call so many before this one, of the same site and path.
    pub fn earlier(&self, call: CallIndex, back: u32) -> Option<CallIndex> {
        let it = self.calls.get(call.0 as usize).filter(|it| it.site != NO_SITE)?;
        let order = &self.orders[Level::Path as usize];
        let range = order.range(|other| {
            let other = &self.calls[other as usize];
            (other.site, other.keys.path).cmp(&(it.site, it.keys.path))
        });
        let mut before: Vec<u32> = order.all(range).to_vec();
        before.retain(|other| *other < call.0);
        before.sort_unstable();
        let at = before.len().checked_sub(back.max(1) as usize)?;
        before.get(at).map(|other| CallIndex(*other))
    }

    /// It stands for one more live call.
    pub fn mark(&mut self, call: CallIndex) {
        let at = call.0 as usize;
        if let Some(left) = self.left.get_mut(at) {
            *left = left.saturating_sub(1);
            self.used[at] = *left == 0;
        } else {
            self.used[at] = true;
        }
    }

    /// Whether it stands for as many as it can.
    pub fn is_used(&self, call: CallIndex) -> bool {
        self.used[call.0 as usize]
    }

    pub fn keys(&self, call: CallIndex) -> Keys {
        self.calls[call.0 as usize].keys
    }

    pub fn cause(&self, call: CallIndex) -> Option<ExchangeIndex> {
        self.calls[call.0 as usize].cause
    }

    pub fn answer(&self, call: CallIndex) -> u64 {
        self.calls[call.0 as usize].answer
    }

    pub fn together(&self, call: CallIndex) -> Option<u32> {
        self.calls[call.0 as usize].together
    }
}

/// Exchanges that overlap, one with the next, are a stretch; the calls whose cause was ambiguous by the stretch in which
/// they began.
fn together(script: &Script) -> Vec<Option<u32>> {
    let mut times: Vec<(u64, u64)> = script
        .exchanges()
        .iter()
        .map(|exchange| (exchange.start_ns, exchange.end_ns.unwrap_or(exchange.asked_ns)))
        .collect();
    times.sort_unstable();
    let mut starts: Vec<u64> = Vec::new();
    let mut until = 0;
    for (start, end) in times {
        if starts.is_empty() || start > until {
            starts.push(start);
        }
        until = until.max(end);
    }
    let stretch = |at: u64| starts.partition_point(|start| *start <= at) as u32;
    let calls = script.calls().iter();
    calls.map(|call| (call.basis == Basis::Ambiguous).then(|| stretch(call.start_ns))).collect()
}
