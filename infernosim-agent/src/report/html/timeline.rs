//! One run as rows: each request to the target, below it the calls that it made; bars for how long they took, marks where
//! faults fired.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use super::escape;
use crate::report::document::{Divergence, Report};
use crate::report::faulted::{Faulted, Happened};
use crate::report::people::{count, duration};
use crate::report::timeline::{TimedCall, TimedExchange, Timeline};

/// So many rows are drawn.
const MOST_ROWS: usize = 2000;
/// So many firings of faults are marked.
const MOST_FIRED: usize = 2000;
/// So many of them have a line through all rows; more would be a curtain.
const MOST_HAIRS: usize = 100;
/// So many rules have a lane.
const MOST_LANES: usize = 50;
/// About so many times are written at the axis.
const TICKS: u64 = 8;

/// The timeline, laid out.
pub struct Picture<'a> {
    timeline: Option<&'a Timeline>,
    rows: Vec<Row<'a>>,
    /// Rows that are not drawn.
    more: u64,
    /// Rules that fired, in order, and when.
    lanes: Vec<(&'a str, Vec<&'a Happened>)>,
    end_ns: u64,
    /// Ids of rows.
    ids: BTreeSet<String>,
    /// Of the divergences of this run: inbound indices, outbound indices.
    off: [BTreeSet<u32>; 2],
}

/// A row.
#[derive(Clone, Copy)]
enum Row<'a> {
    Exchange(&'a TimedExchange),
    /// A call; whether it stands below what made it happen.
    Call(&'a TimedCall, bool),
}

impl<'a> Picture<'a> {
    /// Of the report's timeline; empty where there is none.
    pub fn of(report: &'a Report) -> Self {
        let timeline = report.timeline.as_ref();
        let mut rows = timeline.map(rows).unwrap_or_default();
        let more = rows.len().saturating_sub(MOST_ROWS) as u64;
        rows.truncate(MOST_ROWS);
        let run = timeline.map_or(0, |it| it.run);
        let faults = report.faults.as_ref().filter(|it| it.run == run);
        let lanes = faults.map(lanes).unwrap_or_default();
        let last_fault = lanes.iter().flat_map(|it| &it.1).map(|it| it.at_ns).max().unwrap_or(0);
        let end_ns = rows.iter().map(Row::end).max().unwrap_or(0).max(last_fault).max(1);
        let ids = rows.iter().filter_map(Row::id).collect();
        let of_run = report.divergences.iter().filter(|it| it.runs.contains(&run));
        let mut off = [BTreeSet::new(), BTreeSet::new()];
        for it in of_run {
            // A call too many has the index of a call that may be as recorded.
            if it.direction == "inbound" {
                off[0].insert(it.index);
            } else if it.reason != "unexpected_outbound_call" {
                off[1].insert(it.index);
            }
        }
        Self { timeline, rows, more, lanes, end_ns, ids, off }
    }

    /// Whether any fault fired.
    pub fn has_faults(&self) -> bool {
        !self.lanes.is_empty()
    }

    /// The id of the row that shows this divergence, if there is one.
    pub fn place(&self, it: &Divergence) -> Option<String> {
        let own = if it.direction == "inbound" {
            Some(format!("i{}", it.index))
        } else {
            (it.reason != "unexpected_outbound_call").then(|| format!("o{}", it.index))
        };
        let of_cause = || it.cause.as_ref().map(|cause| format!("i{}", cause.index));
        own.filter(|it| self.ids.contains(it)).or_else(|| of_cause().filter(|it| self.ids.contains(it)))
    }

    /// The section of the page.
    pub fn write(&self, out: &mut String) -> fmt::Result {
        let Some(timeline) = self.timeline else { return Ok(()) };
        writeln!(out, "<section aria-label=\"Timeline\">\n<h2>Timeline of run {}</h2>", timeline.run)?;
        writeln!(
            out,
            "<p class=\"legend\"><span class=\"key inbound\">request to the target</span>\
             <span class=\"key call\">call of the target</span><span class=\"key off\">diverges (≠)</span>"
        )?;
        if self.has_faults() {
            writeln!(out, "<span class=\"key fault\">fault fired</span>")?;
        }
        writeln!(out, "</p>")?;
        let more = self.more + timeline.more;
        if more > 0 {
            let shown = self.rows.len();
            writeln!(
                out,
                "<p class=\"quiet\">{shown} of {} are shown: those of divergences, those nearest in time to these and to \
                 faults, and an even share of the others.</p>",
                count(shown as u64 + more, "event")
            )?;
        }
        writeln!(
            out,
            "<div class=\"chart card\" tabindex=\"0\" role=\"region\" aria-label=\"Rows of the timeline\">"
        )?;
        writeln!(out, "<div class=\"rows\">")?;
        self.hairs(out)?;
        self.axis(out)?;
        for (rule, fired) in &self.lanes {
            self.lane(rule, fired, out)?;
        }
        let mut used = BTreeSet::new();
        for row in &self.rows {
            self.row(row, &mut used, out)?;
        }
        writeln!(out, "</div>\n</div>\n</section>")
    }

    /// How far in the run this is, in percent.
    #[expect(clippy::cast_precision_loss, reason = "two decimals are drawn")]
    fn percent(&self, ns: u64) -> String {
        format!("{:.2}%", ns as f64 * 100.0 / self.end_ns as f64)
    }

    fn axis(&self, out: &mut String) -> fmt::Result {
        write!(
            out,
            "<div class=\"axis\"><span>since the run began</span><svg class=\"track\" aria-hidden=\"true\">"
        )?;
        for at in self.times() {
            let x = self.percent(at);
            // None may stand out at the left or at the right.
            let is_near_end = self.end_ns - at < self.end_ns / 16;
            let anchor = if at == 0 {
                "start"
            } else if is_near_end {
                "end"
            } else {
                "middle"
            };
            write!(out, "<text x=\"{x}\" y=\"13\" text-anchor=\"{anchor}\">{}</text>", tick(at))?;
        }
        writeln!(out, "</svg><span></span></div>")
    }

    /// Lines through all rows: times, and where faults fired.
    fn hairs(&self, out: &mut String) -> fmt::Result {
        write!(out, "<div class=\"hairs\" aria-hidden=\"true\"><svg>")?;
        let times = self.times().map(|at| ("tick", at));
        let faults = self.lanes.iter().flat_map(|it| &it.1).take(MOST_HAIRS).map(|it| ("fault", it.at_ns));
        for (class, at) in times.chain(faults) {
            let x = self.percent(at);
            write!(out, "<line class=\"{class}\" x1=\"{x}\" x2=\"{x}\" y1=\"0\" y2=\"100%\"/>")?;
        }
        writeln!(out, "</svg></div>")
    }

    /// The times at the axis.
    fn times(&self) -> impl Iterator<Item = u64> {
        let step = step(self.end_ns);
        (0..=self.end_ns / step).map(move |it| it * step)
    }

    fn lane(&self, rule: &str, fired: &[&Happened], out: &mut String) -> fmt::Result {
        let rule = escape(rule);
        write!(
            out,
            "<div class=\"lane\" data-kind=\"fault\"><span class=\"name\" title=\"{rule}\">{rule}</span>"
        )?;
        let times = count(fired.len() as u64, "firing");
        write!(out, "<svg class=\"track\" role=\"img\" aria-label=\"{times}\">{BED}")?;
        for it in fired {
            let observed = it.observed.as_deref().map_or(String::new(), |it| format!(": {it}"));
            let told = format!("{}, {} at {}{observed}", it.action, it.site, duration(it.at_ns));
            write!(
                out,
                "<svg x=\"{}\" overflow=\"visible\"><path class=\"fired\" d=\"M0 3 6 9 0 15 -6 9Z\"><title>{}</title>\
                 </path></svg>",
                self.percent(it.at_ns),
                escape(&told),
            )?;
        }
        writeln!(out, "</svg><span class=\"took\">{}×</span></div>", fired.len())
    }

    fn row(&self, row: &Row<'_>, used: &mut BTreeSet<String>, out: &mut String) -> fmt::Result {
        let id = row.id().filter(|id| used.insert(id.clone()));
        let id = id.map_or(String::new(), |id| format!(" id=\"{id}\""));
        let is_off = self.is_off(row);
        let (off, data) = if is_off { (" off", " data-off") } else { ("", "") };
        let (class, kind) = match row {
            Row::Exchange(_) => ("inbound", "inbound"),
            Row::Call(_, true) => ("call", "outbound"),
            Row::Call(_, false) => ("call loose", "outbound"),
        };
        let name = escape(&row.name());
        let took = row.ended().map_or("open".to_owned(), |end| duration(end.saturating_sub(row.start())));
        let took = row.status().map_or(took.clone(), |status| format!("{status} · {took}"));
        let open = if row.ended().is_none() { " open" } else { "" };
        let (from, to) = (self.percent(row.start()), self.percent(row.ended().unwrap_or(self.end_ns)));
        writeln!(
            out,
            "<details class=\"row {class}{off}\"{id} data-kind=\"{kind}\"{data}><summary>\
             <span class=\"name\" title=\"{name}\">{name}</span><svg class=\"track\" aria-hidden=\"true\">{BED}\
             <line class=\"bar{open}\" x1=\"{from}\" x2=\"{to}\" y1=\"9\" y2=\"9\"/></svg>\
             <span class=\"took\">{took}</span></summary>"
        )?;
        write!(out, "<dl>")?;
        for (what, value) in row.facts() {
            write!(out, "<dt>{what}</dt><dd>{}</dd>", escape(&value))?;
        }
        writeln!(out, "</dl></details>")
    }

    fn is_off(&self, row: &Row<'_>) -> bool {
        match row {
            Row::Exchange(it) => self.off[0].contains(&it.index),
            Row::Call(it, _) => it.index.is_none_or(|index| self.off[1].contains(&index)),
        }
    }
}

/// The line on which bars lie.
const BED: &str = "<line class=\"bed\" x1=\"0\" x2=\"100%\" y1=\"9\" y2=\"9\"/>";

/// Requests in order, each with its calls below it; calls of which nothing tells whose they are stand where they happened.
fn rows(timeline: &Timeline) -> Vec<Row<'_>> {
    let mut by_cause: BTreeMap<u32, Vec<&TimedExchange>> = BTreeMap::new();
    for it in &timeline.inbound {
        by_cause.entry(it.index).or_default().push(it);
    }
    // (of the group: begin, place) and of the row itself: begin.
    let mut all: Vec<((u64, u32, bool), u64, Row<'_>)> = Vec::new();
    for it in &timeline.inbound {
        all.push(((it.sent_ns, it.index, false), 0, Row::Exchange(it)));
    }
    for it in &timeline.calls {
        let sent = it.cause.and_then(|cause| by_cause.get(&cause));
        // Of a request that was sent several times the last one before the call.
        let sent = sent.and_then(|all| all.iter().rev().find(|one| one.sent_ns <= it.at_ns).or(all.first()));
        match sent {
            Some(one) => all.push(((one.sent_ns, one.index, false), it.at_ns, Row::Call(it, true))),
            None => all.push(((it.at_ns, u32::MAX, true), 0, Row::Call(it, false))),
        }
    }
    all.sort_by_key(|it| (it.0, it.1, matches!(it.2, Row::Call(..))));
    all.into_iter().map(|it| it.2).collect()
}

/// What fired in the run that is shown.
fn lanes(faults: &Faulted) -> Vec<(&str, Vec<&Happened>)> {
    let rules = faults.rules.iter().take(MOST_LANES).enumerate();
    let lanes = rules.map(|(at, rule)| {
        let fired = faults.happened.iter().take(MOST_FIRED).filter(|it| it.rule as usize == at);
        (&*rule.rule, fired.collect())
    });
    lanes.filter(|(_, fired): &(&str, Vec<&Happened>)| !fired.is_empty()).collect()
}

impl Row<'_> {
    fn start(&self) -> u64 {
        match self {
            Self::Exchange(it) => it.sent_ns,
            Self::Call(it, _) => it.at_ns,
        }
    }

    fn ended(&self) -> Option<u64> {
        match self {
            Self::Exchange(it) => it.ended_ns,
            Self::Call(it, _) => it.answered_ns,
        }
    }

    fn end(&self) -> u64 {
        self.ended().unwrap_or_else(|| self.start())
    }

    fn id(&self) -> Option<String> {
        match self {
            Self::Exchange(it) => Some(format!("i{}", it.index)),
            Self::Call(it, _) => it.index.map(|index| format!("o{index}")),
        }
    }

    fn status(&self) -> Option<u16> {
        match self {
            Self::Exchange(it) => it.status,
            Self::Call(..) => None,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Exchange(it) => it.asked.clone(),
            Self::Call(it, _) => format!("{} {}", it.dependency, it.asked).trim().to_owned(),
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = vec![("asked", self.name())];
        match self {
            Self::Exchange(it) => {
                facts.push(("place", format!("inbound event index={}", it.index)));
                let status = it.status.map_or("no whole answer".to_owned(), |it| it.to_string());
                facts.push(("status", status));
            }
            Self::Call(it, _) => {
                let recorded = it.index.map(|index| format!("outbound event index={index}"));
                facts.push(("recorded as", recorded.unwrap_or_else(|| "nothing".to_owned())));
                let cause = it.cause.map(|cause| format!("inbound event index={cause}"));
                facts.push(("cause", cause.unwrap_or_else(|| "not known".to_owned())));
            }
        }
        facts.push(("began at", duration(self.start())));
        let ended = self.ended().map_or("still open at the run's end".to_owned(), duration);
        facts.push(("ended at", ended));
        facts
    }
}

/// Between times at the axis: 1, 2 or 5 times a power of ten, in ns.
fn step(end_ns: u64) -> u64 {
    let least = (end_ns / TICKS).max(1);
    let power = 10_u64.pow(least.ilog10());
    [1, 2, 5, 10].into_iter().map(|it| it * power).find(|it| *it >= least).unwrap_or(least)
}

/// A time at the axis, without decimals that say nothing.
fn tick(ns: u64) -> String {
    match ns {
        0 => "0".to_owned(),
        _ if ns.is_multiple_of(1_000_000_000) => format!("{}s", ns / 1_000_000_000),
        _ if ns >= 1_000_000_000 => duration(ns),
        _ if ns.is_multiple_of(1_000_000) => format!("{}ms", ns / 1_000_000),
        _ if ns.is_multiple_of(1_000) => format!("{}µs", ns / 1_000),
        _ => format!("{ns}ns"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_a_few_round_times() {
        for (end, expected) in [(1, 1), (5, 1), (310_000_000, 50_000_000), (7_000_000_000, 1_000_000_000)] {
            assert_eq!(step(end), expected, "{end}");
        }
        for end in [1, 9, 10, 61, 12_345, 999_999_999_999, u64::MAX / 2] {
            assert!((1..=10).contains(&(end / step(end))), "{end}");
        }
        assert_eq!([0, 40_000_000, 1_500_000_000, 2_000_000_000].map(tick), ["0", "40ms", "1.50s", "2s"]);
    }
}
