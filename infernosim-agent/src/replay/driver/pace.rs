//! When each request is due, and what it waits for. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::replay::script::ExchangeIndex;

/// A client that asks within this of an answer, in the recording, waits for answers.
const FOLLOWS_NS: u64 = 10_000_000;

/// What the plan needs to know of a recorded exchange. Times are in ns of the recording's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Which.
    pub exchange: ExchangeIndex,
    /// When its request began.
    pub start_ns: u64,
    /// When its answer was whole, or it ended otherwise; none: when the recording ended it was still open.
    pub end_ns: Option<u64>,
    /// Whether its answer was recorded.
    pub answered: bool,
    /// The connection it was on; none: not known, and it gets one of its own.
    pub connection: Option<u64>,
    /// Who asked, if that is known.
    pub client: Option<IpAddr>,
    /// The port of the listener that it came to, if that is known.
    pub port: Option<u16>,
}

/// How the recording's times become those of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// `--time-scale`, 0 or more; at 0 there are no gaps, and the order is kept.
    pub time_scale: f64,
    /// `--density`, more than 0.
    pub density: f64,
    /// `--min-gap`, in ns.
    pub min_gap_ns: u64,
    /// `--fanout`: how many workers send all requests, each for itself, from 1.
    pub fanout: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { time_scale: 1.0, density: 1.0, min_gap_ns: 2_000_000, fanout: 1 }
    }
}

/// Which exchanges are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only these (`--request`); all, if none.
    pub only: Option<BTreeSet<ExchangeIndex>>,
    /// At most so many (`--max-events`); 0: all.
    pub most: u64,
}

/// One request of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is sent.
    pub exchange: ExchangeIndex,
    /// When, in ns since the run (or the round, with `--window`) began.
    pub due_ns: u64,
    /// The connection, by its place in the plan.
    pub lane: u32,
    /// Whether it is the last on its connection.
    pub last: bool,
    /// The step whose answer it waits for, since its client did.
    pub after: Option<u32>,
    /// How many steps, in the order in which they ended, had ended before it began.
    pub ended_before: u32,
    /// Its own place in that order, if it ended.
    pub rank: Option<u32>,
    /// How long it took in the recording, in ns; not scaled.
    pub took_ns: u64,
    /// Its answer was not recorded, and nobody waits for it longer than this, in ns; `u64::MAX`: than for the others.
    pub give_up_ns: Option<u64>,
    /// The port of the listener that it came to, if that is known.
    pub port: Option<u16>,
}

/// What is sent when: steps in the order in which they are due.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub(super) steps: Vec<Step>,
    /// The step of an exchange.
    places: Vec<Option<u32>>,
    pub(super) fanout: u32,
    /// Whether the recorded order alone says when to send (`--time-scale 0`).
    pub(super) by_order: bool,
    /// Whether exchanges were left out for `--max-events`.
    pub(super) cut: bool,
    /// From the beginning of one round to that of the next, in ns.
    pub(super) round_ns: u64,
}

impl Plan {
    /// The plan of these exchanges, which may come in any order.
    pub fn new(moments: impl IntoIterator<Item = Moment>, selection: &Selection, pace: &Pace) -> Self {
        let chosen =
            |moment: &Moment| selection.only.as_ref().is_none_or(|only| only.contains(&moment.exchange));
        let mut moments: Vec<Moment> = moments.into_iter().filter(chosen).collect();
        moments.sort_by_key(|moment| (moment.start_ns, moment.exchange));
        let most = usize::try_from(selection.most).unwrap_or(usize::MAX);
        let cut = most > 0 && moments.len() > most;
        if cut {
            moments.truncate(most);
        }
        let lanes = Lanes::of(&moments);
        let ends = Ends::of(&moments);
        let followed = followed(&moments, &ends);
        let mut due_ns = 0;
        let mut steps = Vec::with_capacity(moments.len());
        for (at, moment) in moments.iter().enumerate() {
            due_ns += at.checked_sub(1).map_or(0, |before| gap(&moments[before], moment, pace));
            steps.push(Step {
                exchange: moment.exchange,
                due_ns,
                lane: lanes.of[at],
                last: lanes.next[at].is_none(),
                after: followed[at],
                ended_before: ends.before(moment.start_ns, at),
                rank: ends.rank[at],
                took_ns: moment.end_ns.map_or(0, |end| end.saturating_sub(moment.start_ns)),
                give_up_ns: give_up(moment, lanes.next[at].map(|next| &moments[next as usize]), pace),
                port: moment.port,
            });
        }
        // A round is followed by the next as a request is by the next: after the mean gap.
        let gaps = steps.len().saturating_sub(1).max(1) as u64;
        let least = if pace.time_scale > 0.0 { pace.min_gap_ns } else { 0 };
        let round_ns = due_ns + (due_ns / gaps).max(least);
        let mut places = vec![None; steps.iter().map(|step| step.exchange.0 as usize + 1).max().unwrap_or(0)];
        for (step, at) in steps.iter().zip(0_u32..) {
            places[step.exchange.0 as usize] = Some(at);
        }
        Self { steps, places, fanout: pace.fanout.max(1), by_order: pace.time_scale <= 0.0, cut, round_ns }
    }

    /// How long it is meant to take until the last request is sent, in ns.
    pub fn paced_ns(&self) -> u64 {
        self.steps.last().map_or(0, |step| step.due_ns)
    }

    /// The step of an exchange, if it is one of this run's.
    pub fn step_of(&self, exchange: ExchangeIndex) -> Option<u32> {
        self.places.get(exchange.0 as usize).copied().flatten()
    }

    /// How many requests a round sends.
    pub fn requests(&self) -> u64 {
        self.steps.len() as u64 * u64::from(self.fanout)
    }

    /// The exchanges it sends, in the order in which they are due.
    pub fn exchanges(&self) -> impl Iterator<Item = ExchangeIndex> + '_ {
        self.steps.iter().map(|step| step.exchange)
    }
}

/// The time between the beginnings of two requests that follow each other, in ns:
/// `max(recorded gap × time scale ÷ density, least gap)`, the least gap only between those that did not overlap.
fn gap(before: &Moment, moment: &Moment, pace: &Pace) -> u64 {
    if pace.time_scale <= 0.0 {
        return 0;
    }
    let recorded = moment.start_ns.saturating_sub(before.start_ns);
    let overlapped = before.end_ns.is_none_or(|end| end > moment.start_ns);
    scaled(recorded, pace.time_scale / pace.density).max(if overlapped { 0 } else { pace.min_gap_ns })
}

/// A number that is too large becomes the largest.
fn scaled(ns: u64, by: f64) -> u64 {
    (ns as f64 * by).round() as u64
}

/// How long an answer that was not recorded is waited for: as long as its client did.
fn give_up(moment: &Moment, next: Option<&Moment>, pace: &Pace) -> Option<u64> {
    if moment.answered {
        return None;
    }
    let until = moment.end_ns.or(next.map(|next| next.start_ns));
    Some(until.map_or(u64::MAX, |until| scaled(until.saturating_sub(moment.start_ns), pace.time_scale)))
}

/// The connections.
struct Lanes {
    /// Of each step.
    of: Vec<u32>,
    /// The next step on the same.
    next: Vec<Option<u32>>,
}

impl Lanes {
    fn of(moments: &[Moment]) -> Self {
        let mut lanes = Self { of: Vec::with_capacity(moments.len()), next: vec![None; moments.len()] };
        let mut known: BTreeMap<u64, (u32, usize)> = BTreeMap::new();
        let mut count = 0;
        for (at, moment) in moments.iter().enumerate() {
            let before = moment.connection.and_then(|connection| known.get(&connection).copied());
            let lane = before.map_or(count, |(lane, _)| lane);
            match before {
                Some((_, before)) => lanes.next[before] = Some(at as u32),
                None => count += 1,
            }
            if let Some(connection) = moment.connection {
                known.insert(connection, (lane, at));
            }
            lanes.of.push(lane);
        }
        lanes
    }
}

/// The order in which the exchanges ended.
struct Ends {
    /// (when, which), in order.
    order: Vec<(u64, u32)>,
    rank: Vec<Option<u32>>,
}

impl Ends {
    fn of(moments: &[Moment]) -> Self {
        let ended = moments.iter().enumerate();
        let mut order: Vec<_> =
            ended.filter_map(|(at, moment)| Some((moment.end_ns?.max(moment.start_ns), at as u32))).collect();
        order.sort_unstable();
        let mut rank = vec![None; moments.len()];
        for (place, (_, at)) in order.iter().enumerate() {
            rank[*at as usize] = Some(place as u32);
        }
        Self { order, rank }
    }

    /// How many had ended when this one began. What ended in that very moment had, if it is earlier in order.
    fn before(&self, start_ns: u64, at: usize) -> u32 {
        self.order.partition_point(|ended| *ended < (start_ns, at as u32)) as u32
    }
}

/// For each step the one whose answer its client waited for: the last that ended, for the same client, within
/// [`FOLLOWS_NS`] before it began. Clients that are not known are taken for one.
fn followed(moments: &[Moment], ends: &Ends) -> Vec<Option<u32>> {
    let mut latest: BTreeMap<Option<IpAddr>, (u64, u32)> = BTreeMap::new();
    let mut over = ends.order.iter().peekable();
    let mut followed = Vec::with_capacity(moments.len());
    for (at, moment) in moments.iter().enumerate() {
        while let Some((end, which)) = over.next_if(|ended| **ended < (moment.start_ns, at as u32)) {
            latest.insert(moments[*which as usize].client, (*end, *which));
        }
        let near = latest.get(&moment.client).filter(|(end, _)| moment.start_ns - end <= FOLLOWS_NS);
        followed.push(near.map(|(_, which)| *which));
    }
    followed
}
