//! All runs together.

use std::collections::BTreeMap;

use super::JudgeOptions;
use super::canonical::{Real, fingerprints, hex};
use super::condensed::{Condensed, Counts};
use super::divergence::{Divergence, Reason, Side};
use super::load::Load;
use super::place::{Phase, Place, Position};
use super::rates::Rates;
use super::recording::Recording;
use super::timeline::Timeline;
use super::told::{MOST_TOLD, Told};
use super::verdict::{Ended, Facts, Outcome, decide};
use super::volatile::site::site;
use super::volatile::{Volatile, could_be_volatile};
use crate::error::Result;
use crate::replay::fields::{Difference, Leaf};
use crate::replay::script::ExchangeIndex;
use crate::replay::slo::Held;

/// What a replay amounts to.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// In a word.
    pub outcome: Outcome,
    /// Why it did not pass, or passed only weakly; `NONE` without a reason.
    pub reason: String,
    /// That of most runs; zeros if there is none.
    pub fingerprint: String,
    /// What is volatile.
    pub volatile: Volatile,
    /// SHA-256 of that set, in hex.
    pub volatile_set: String,
    /// Runs that were asked for.
    pub requested: u32,
    /// The runs that were made, without those for learning.
    pub runs: Vec<Judged>,
    /// Runs that were made only to learn what is volatile.
    pub learning: u32,
    /// Runs with the fingerprint of most, without those that the user ended.
    pub deterministic: u32,
    /// Over all runs.
    pub counts: Counts,
    /// Over all runs: sums, and the worst of what does not add up.
    pub rates: Rates,
    /// Over all runs: how much there was to do, and how it went.
    pub load: Load,
    /// What became of each objective.
    pub slo: Vec<Held>,
    /// The divergences, in causal order, each with the runs that have it; the first ones.
    pub told: Vec<Told>,
    /// How many there are.
    pub found: u64,
    /// The command that shows it again; none if it passed.
    pub repeat: Option<String>,
    /// Nothing in these runs contradicts the recording, so that what was learned may be kept.
    pub is_clean: bool,
    /// When things happened in the first run that diverged, else in the last one; none if there is no run.
    pub timeline: Option<Timeline>,
}

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// SHA-256 over its canonical lines, in hex.
    pub fingerprint: String,
    /// How it ended.
    pub ended: Ended,
    /// How many divergences it has.
    pub divergences: u64,
    /// How much there was.
    pub counts: Counts,
    /// How fast.
    pub rates: Rates,
}

/// Which divergence, whatever the run.
type Key = (Position, Reason);

impl Judgement {
    pub(super) fn of(
        recording: &impl Recording,
        runs: &[Condensed],
        volatile: Volatile,
        options: &JudgeOptions,
    ) -> Result<Self> {
        let judged: Vec<Real<'_>> = runs
            .iter()
            .filter(|run| !run.is_learning)
            .map(|run| Real { run, differences: in_earnest(recording, run, &volatile) })
            .collect();
        let prints: Vec<String> =
            fingerprints(recording, &judged, &volatile)?.iter().map(|it| hex(it)).collect();
        // Runs that the user ended are no more than a beginning, which is like nothing: only the others are to be alike.
        let is_whole = |(real, _): &(&Real<'_>, &String)| real.run.ended != Ended::Interrupted;
        let whole: Vec<&String> = judged.iter().zip(&prints).filter(is_whole).map(|it| it.1).collect();
        let alike = if whole.is_empty() { prints.iter().collect() } else { whole };
        let ((fingerprint, deterministic), compared) = (most(&alike), alike.len());
        let (judged, open) = settled(judged, runs, options);
        let Gathered { list, counts, rates, load, all } = gather(recording, &judged, prints);
        let found = all.len() as u64;
        let first = all.keys().next().copied();
        let told: Vec<Told> = all
            .values()
            .take(MOST_TOLD)
            .map(|(divergence, runs)| Told::of(recording, divergence, runs.clone()))
            .collect();
        let slo = options.slo.hold(&load);
        let mut exchanges = (0_u32..).map(ExchangeIndex).take(recording.exchanges());
        let is_any_known = exchanges.any(|it| recording.exchange(it).status.is_some());
        let facts = Facts {
            is_unfit: options.environment.is_some(),
            first: first.map(|it| it.1),
            is_deterministic: deterministic as usize == compared,
            has_missed: slo.iter().any(|it| !it.is_met),
            is_partial: is_partial(&list, options),
            is_unfired: !options.unfired.is_empty(),
            // What is sent and compared with nothing covers nothing.
            sent: if is_any_known || counts.matched > 0 { counts.sent } else { 0 },
            matched: counts.matched,
            ambiguous: counts.ambiguous,
        };
        let outcome = decide(&facts);
        let learning = runs.iter().filter(|run| run.is_learning);
        let mut all = Self {
            outcome,
            reason: String::new(),
            fingerprint,
            volatile_set: hex(&volatile.digest()),
            volatile,
            requested: options.requested,
            runs: list,
            learning: u32::try_from(learning.count()).unwrap_or(u32::MAX),
            deterministic,
            counts,
            rates,
            load,
            slo,
            told,
            found,
            repeat: None,
            is_clean: first.is_none() && !facts.is_partial,
            timeline: None,
        };
        all.reason = all.why(options, first.is_some(), open);
        all.repeat = all.again(recording, options, first);
        Ok(all)
    }

    fn why(&self, options: &JudgeOptions, diverged: bool, open: u64) -> String {
        let first = || self.told.first().map(Told::place).unwrap_or_default();
        match self.outcome {
            Outcome::PassStrong => "NONE".into(),
            Outcome::PassWeak if self.counts.matched == 0 => {
                "nothing outbound was exercised: only answers were compared".into()
            }
            Outcome::PassWeak => format!(
                "{} could not be told from others with other answers that were in flight at the time",
                number(self.counts.ambiguous, "call")
            ),
            Outcome::FailInvalidEnv => {
                options.environment.clone().unwrap_or_else(|| "this host could not replay".into())
            }
            Outcome::FailSloMissed => {
                let missed = self.slo.iter().filter(|it| !it.is_met);
                let missed: Vec<String> =
                    missed.map(|it| format!("{} was missed: {}", it.objective, it.measured)).collect();
                missed.join(", ")
            }
            Outcome::FailNoCoverage if self.counts.sent > 0 => {
                "nothing was compared: no answer was recorded, and no call was made".into()
            }
            Outcome::FailNoCoverage => "no request was sent".into(),
            Outcome::Inconclusive if !is_partial(&self.runs, options) => {
                let rules: Vec<String> = options.unfired.iter().map(|rule| format!("`{rule}`")).collect();
                format!("never happened: {}", rules.join(", "))
            }
            Outcome::Inconclusive => {
                let open = match open {
                    0 => String::new(),
                    _ => format!(
                        "; {} unlike the recorded, of which only more runs tell whether that is their mood",
                        number(open, "value")
                    ),
                };
                format!(
                    "it was ended before its end: {} of {} were whole{open}",
                    self.completed(),
                    number(u64::from(self.requested), "run")
                )
            }
            Outcome::FailNonDeterministic if diverged => {
                format!("the runs are unlike each other, first {}", first())
            }
            Outcome::FailNonDeterministic => "the runs are unlike each other".into(),
            _ => first(),
        }
    }

    /// Runs that were made, without those for learning.
    pub fn executed(&self) -> u32 {
        u32::try_from(self.runs.len()).unwrap_or(u32::MAX)
    }

    /// Runs that came to their end.
    pub fn completed(&self) -> usize {
        self.runs.iter().filter(|it| it.ended == Ended::Completed).count()
    }

    /// The one command that shows it again.
    fn again(
        &self,
        recording: &impl Recording,
        options: &JudgeOptions,
        first: Option<Key>,
    ) -> Option<String> {
        let repeat = &options.repeat;
        let request = || {
            let (position, reason) = first?;
            let exchange = position.anchor.filter(|it| (it.0 as usize) < recording.exchanges())?;
            let recorded = recording.exchange(exchange);
            let needs_earlier = repeat.dependent.contains(&exchange)
                || self.told.first()?.cause.is_none()
                || reason == Reason::ResponseMismatch && has_state(recording, exchange);
            (recorded.is_replayable && !needs_earlier && !recorded.id.is_empty()).then_some(recorded.id)
        };
        match self.outcome {
            Outcome::PassStrong | Outcome::PassWeak => None,
            Outcome::FailNonDeterministic
            | Outcome::FailInvalidEnv
            | Outcome::FailSloMissed
            | Outcome::Inconclusive => {
                Some(repeat.command(self.requested.max(1), options.request.as_deref()))
            }
            _ => Some(repeat.command(1, options.request.as_deref().or_else(request))),
        }
    }
}

/// Whether runs are missing, or were ended.
fn is_partial(runs: &[Judged], options: &JudgeOptions) -> bool {
    let executed = u32::try_from(runs.len()).unwrap_or(u32::MAX);
    let was_interrupted = options.interrupted || runs.iter().any(|it| it.ended == Ended::Interrupted);
    was_interrupted || executed > 0 && executed < options.requested
}

/// Of a replay that the user ended: leaves out other values at places to which not enough runs came to disagree, and says
/// how many these are. They may be moods as well as divergences.
fn settled<'a>(
    mut judged: Vec<Real<'a>>,
    runs: &[Condensed],
    options: &JudgeOptions,
) -> (Vec<Real<'a>>, u64) {
    if !options.interrupted && !runs.iter().any(|it| it.ended == Ended::Interrupted) {
        return (judged, 0);
    }
    let real = if options.injects { 0 } else { options.requested as usize };
    let enough = (options.learning.len() + real).min(2);
    let came = |place: Place| {
        let tells = |run: &&Condensed| (run.is_learning || !options.injects) && run.has(place);
        runs.iter().filter(tells).count()
    };
    let mut open = 0;
    for real in &mut judged {
        real.differences.retain_mut(|(place, differences)| {
            if came(*place) < enough {
                let before = differences.len();
                differences.retain(|it| !could_be_volatile(it));
                open += (before - differences.len()) as u64;
            }
            !differences.is_empty()
        });
    }
    (judged, open)
}

/// What the runs have, one by one and together.
struct Gathered {
    list: Vec<Judged>,
    counts: Counts,
    rates: Rates,
    load: Load,
    all: BTreeMap<Key, (Divergence, Vec<u32>)>,
}

fn gather(recording: &impl Recording, judged: &[Real<'_>], prints: Vec<String>) -> Gathered {
    let mut all: BTreeMap<Key, (Divergence, Vec<u32>)> = BTreeMap::new();
    let (mut list, mut counts, mut rates) = (Vec::new(), Counts::default(), Rates::default());
    let mut load = Load::default();
    for ((number, real), fingerprint) in (1_u32..).zip(judged).zip(prints) {
        let run = real.run;
        let divergences = divergences(recording, real);
        list.push(Judged {
            fingerprint,
            ended: run.ended,
            divergences: run.found - run.divergences.len() as u64 + divergences.len() as u64,
            counts: run.counts,
            rates: run.rates,
        });
        counts.add(&run.counts);
        rates.join(&run.rates);
        load.join(&run.load);
        for one in divergences {
            let numbers = &mut all.entry((one.position, one.reason)).or_insert((one, Vec::new())).1;
            if numbers.last() != Some(&number) {
                numbers.push(number);
            }
        }
    }
    Gathered { list, counts, rates, load, all }
}

/// May the answer depend on what was sent before? GET and HEAD alone change nothing (RFC 9110 section 9.2.1).
fn has_state(recording: &impl Recording, exchange: ExchangeIndex) -> bool {
    let is_safe = |asked: &str| ["GET ", "HEAD ", "OPTIONS "].iter().any(|it| asked.starts_with(it));
    (0..exchange.0).any(|it| !is_safe(recording.exchange(ExchangeIndex(it)).asked))
}

/// The differences that nothing masks, place by place.
fn in_earnest(
    recording: &impl Recording,
    run: &Condensed,
    volatile: &Volatile,
) -> Vec<(Place, Vec<Difference>)> {
    let notes = run.notes.iter().filter_map(|note| {
        let site = site(recording, note.place);
        let left = note.differences.iter().filter(|it| !volatile.masks(&site, it));
        let left: Vec<_> = left.cloned().collect();
        (!left.is_empty()).then_some((note.place, left))
    });
    notes.collect()
}

/// All divergences of a run, in causal order.
fn divergences(recording: &impl Recording, real: &Real<'_>) -> Vec<Divergence> {
    let mut all = real.run.divergences.clone();
    for (place, differences) in &real.differences {
        let divergence = match *place {
            Place::Answer(exchange) => {
                let recorded = recording.exchange(exchange).status.unwrap_or_default();
                let status = differences.iter().find(|it| &*it.field == "status");
                let live = status.and_then(|it| status_of(it.live.as_ref()?)).unwrap_or(recorded);
                let (expected, actual) = (Side::Answer(recorded), Side::Answer(live));
                Divergence::inbound(Reason::ResponseMismatch, exchange, expected, actual)
            }
            Place::Call(call) => {
                let recorded = recording.call(call);
                let position = Position { anchor: recorded.anchor, phase: Phase::Calls, index: call.0 };
                let mismatch = Reason::RequestMismatch;
                Divergence::outbound(mismatch, position, Side::Call(call), Side::Call(call))
                    .caused(recorded.cause, recorded.basis)
            }
        };
        all.push(divergence.differing(differences.clone()));
    }
    all.sort_by_key(|it| (it.position, it.reason));
    all
}

fn status_of(leaf: &Leaf) -> Option<u16> {
    match leaf {
        Leaf::Number(number) => number.parse().ok(),
        _ => None,
    }
}

/// The fingerprint that most runs have, the first of those, and how many.
fn most(prints: &[&String]) -> (String, u32) {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for print in prints {
        *counts.entry(print).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or(0);
    let first = prints.iter().find(|it| counts[it.as_str()] == most);
    (first.map_or_else(|| "0".repeat(64), |it| (*it).clone()), most)
}

/// `1 call`, `2 calls`.
pub(super) fn number(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
