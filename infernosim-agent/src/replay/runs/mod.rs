//! One run after the other: the target is started, waited for, asked, and what it did is judged.

mod target;
mod untested;

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::sync::atomic::Ordering;

use target::is_readable;
use untested::{masked_whole, untested_here, untold, unused_live};

use crate::capture::signals::Signals;
use crate::clock::{self, Nanos};
use crate::error::Result;
use crate::replay::driver::{Bases, Carried, Job, Running, Scripted};
use crate::replay::judge::{Judge, JudgeOptions, Judgement, learning_runs};
use crate::replay::ledgers::{RunLedger, unfired};
use crate::replay::limits::Limits;
use crate::replay::minted::Substitution;
use crate::replay::observed::Observed;
use crate::replay::pressure::{Measured, Pressure};
use crate::replay::progress::Bar;
use crate::replay::ready::Claim;
use crate::replay::repeat;
use crate::replay::script::{ExchangeIndex, Script, Untested};
use crate::replay::seen::{End, Run};
use crate::replay::session::{Session, locked};
use crate::target::{Launched, Output, Written};

/// How often it is looked whether it does, in ms.
const READY_LOOK_MS: u16 = 3;
/// How often a run is looked at, in ms.
const LOOK_MS: u16 = 100;
/// So long nothing may happen at the stub until what the target does behind its answers is taken to be over, in ns.
const CALM_NS: u64 = 20_000_000;
/// So much longer than in the recording is waited for calls that are missing, in ns.
const LATE_NS: u64 = 500_000_000;
/// So long after the recording's end the first run begins, in ns: times of whole seconds that both have are told from
/// values that never change by being others.
const APART_NS: i128 = 1_000_000_000;
/// A target that ends, or stops answering, is started again so often that its volatile fields are known.
const RUNS_TO_LEARN: u32 = 3;

/// What came of all runs.
pub struct Judged {
    /// What the judge says.
    pub judgement: Judgement,
    /// What was measured of the runs that count.
    pub observed: Observed,
    /// The last lines of a CMD that ended before it was to.
    pub last_lines: Vec<String>,
    /// What is to be known of the recording, said before the first run.
    pub notes: Vec<String>,
    /// What could not be done, as sentences.
    pub problems: Vec<String>,
    /// What the recording, or this replay, did not let be tested.
    pub untested: Vec<Untested>,
    /// Values that the target made up and that were put into later requests of the last run.
    pub substituted: Vec<Substitution>,
    /// Packets of the target that were dropped, by kind, in all runs.
    pub leaked: BTreeMap<String, u64>,
    /// What became of the faults, in each run that had any.
    pub ledgers: Vec<RunLedger>,
}

/// The runs, as far as they are.
struct Runs<'s, 'a> {
    session: &'s mut Session<'a>,
    signals: &'s Signals,
    bar: Bar,
    launched: Option<Launched>,
    /// Of the ports that CMD listens on.
    claim: Claim,
    interrupted: bool,
    /// Of the last run.
    measured: Option<Measured>,
    observed: Observed,
    problems: Vec<String>,
    passed: BTreeMap<String, u64>,
    last_lines: Vec<String>,
    /// What CMD writes to stderr.
    written: Option<Written>,
    substituted: Vec<Substitution>,
    unrestored: BTreeMap<ExchangeIndex, Vec<String>>,
    /// So many runs come first, without faults.
    learning: u32,
    ledgers: Vec<RunLedger>,
}

/// Makes all runs that were asked for, and those that it takes to learn what is volatile.
pub fn all(session: &mut Session<'_>, signals: &Signals) -> Result<Judged> {
    let options = session.options;
    let known = options.volatile.clone();
    let injects = !options.faults.is_empty();
    let learning = learning_runs(options.runs, injects, known.is_some());
    let wanted = options.runs + learning;
    let bar = Bar::new(options.voice.quiet, wanted.into());
    let script = std::sync::Arc::clone(&session.script);
    let mut judge_options = JudgeOptions {
        requested: options.runs,
        learning: 0..learning as usize,
        request: session.chosen.request.clone(),
        unmediated: session.unmediated.clone(),
        injects,
        unfired: Vec::new(),
        ignore: options.ignore.clone(),
        strict: options.strict,
        volatile: known,
        live: options.live.iter().map(|rule| rule.dependency.clone()).collect(),
        interrupted: false,
        environment: None,
        slo: options.slo.clone(),
        now_ns: i128::from(clock::wall(clock::now())),
        repeat: repeat::of(options),
    };
    let mut runs = Runs {
        session,
        signals,
        bar,
        launched: None,
        claim: Claim::new(),
        interrupted: false,
        measured: None,
        observed: Observed::default(),
        problems: Vec::new(),
        passed: BTreeMap::new(),
        last_lines: Vec::new(),
        written: None,
        substituted: Vec::new(),
        unrestored: BTreeMap::new(),
        learning,
        ledgers: Vec::new(),
    };
    let first = judge_options.clone();
    let mut judge = Judge::new(&*script, &first);
    let made = runs.make(wanted, &mut judge);
    runs.stop_target();
    runs.bar.end();
    made?;
    judge_options.interrupted = runs.interrupted;
    judge_options.unfired = unfired(&runs.ledgers);
    judge_options.repeat.dependent = runs.substituted.iter().map(|it| it.used_in).collect();
    let judgement = judge.finish_as(&judge_options)?;
    Ok(runs.into_judged(judgement))
}

impl Runs<'_, '_> {
    fn make(&mut self, wanted: u32, judge: &mut Judge<'_, Script>) -> Result<()> {
        self.let_clocks_differ();
        if self.interrupted {
            return Ok(());
        }
        for number in 1..=wanted {
            if self.session.options.fresh {
                self.stop_target();
            }
            if !self.target_runs() {
                self.start_target(number)?;
            }
            let bases = match self.ready() {
                Ok(Some(bases)) => bases,
                Ok(None) => return Ok(()),
                // What was seen of it until then is worth a report.
                Err(error) if number > 1 && !self.session.launches() => {
                    self.problems.push(format!("run {number} of {wanted} was not made: {}", error.message));
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            let run = self.one(number, bases)?;
            let measured = self.measured.take();
            if number + self.session.options.runs > wanted {
                let (script, pace) = (&self.session.script, &self.session.options.pace);
                self.observed.add(measured, &run, script, pace.time_scale);
            }
            let completed = run.end.is_in_order();
            judge.add(&run)?;
            if self.interrupted {
                return Ok(());
            }
            if !completed {
                self.stop_target();
                if !self.session.launches() || number >= RUNS_TO_LEARN {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn let_clocks_differ(&mut self) {
        let since = i128::from(clock::wall(clock::now())) - self.session.script.ended_at();
        if (0..APART_NS).contains(&since) {
            let left_ms = u16::try_from((APART_NS - since) / 1_000_000).unwrap_or(0) + 1;
            self.interrupted = self.signals.wait([], Some(left_ms)).is_some();
        }
    }

    fn one(&mut self, number: u32, bases: Bases) -> Result<Run> {
        let session = &mut *self.session;
        locked(&session.matcher).begin();
        session.causes.begin(session.options.fresh || number == 1);
        let leaks = session.leaks();
        let paced_ns = session.chosen.plan.paced_ns();
        let options = session.options;
        let begun = clock::now();
        options.faults.begin(number > self.learning);
        session.stub.begin(begun)?;
        let matcher = std::sync::Arc::clone(&session.matcher);
        let scripted = Scripted::new(std::sync::Arc::clone(&session.script), session.causes.clone())
            .for_workers(options.pace.fanout)
            .on_round(move || locked(&matcher).again());
        let carried = scripted.carried();
        let stub = std::sync::Arc::clone(&session.stub);
        let job = Job {
            plan: std::sync::Arc::clone(&session.chosen.plan),
            bases,
            limits: Limits::new(options.max_wall_ns, options.max_idle_ns, options.window_ns, paced_ns),
            begun,
            exchanges: Box::new(scripted),
            activity: Box::new(move || stub.idle_since()),
            faults: Some(std::sync::Arc::clone(&options.faults)),
        };
        let idle = &session.driver.idle;
        let mut pressure =
            Pressure::begin(session.cgroup(), &session.processes(), &session.chosen.ports, idle);
        let running = session.driver.begin(job)?;
        self.bar.begin(number.into(), self.session.chosen.plan.requests());
        self.watch(&running, &mut pressure);
        let driven = running.wait()?;
        self.take(&mut locked(&carried));
        if let Some(problem) = &driven.unreadable {
            self.problems.push(problem.message.clone());
        }
        let rounds = driven.rounds;
        let mut run = driven.into_run();
        if run.end.is_in_order() {
            if self.calm(begun, rounds) {
                self.look_for_its_end(&mut run);
            } else {
                // What was still to come behind the answers was not waited for.
                (self.interrupted, run.end) = (true, End::Interrupted);
            }
        }
        self.measured = Some(pressure.end(&self.session.processes()));
        self.finish(&mut run, &leaks);
        if number > self.learning && !options.faults.is_empty() {
            self.ledgers.push(RunLedger::of(number - self.learning, &options.faults, &mut run));
        }
        Ok(run)
    }

    /// What a run carried into its requests.
    fn take(&mut self, carried: &mut Carried) {
        // Of the first worker: those of the others are others' values at the same places.
        self.substituted = carried.minted.get(&0).map(|minted| minted.uses().to_vec()).unwrap_or_default();
        self.unrestored.append(&mut carried.unrestored);
        self.problems.extend(carried.uncompared.take().map(|(_, why)| why));
    }

    /// Looks at a run until it is over.
    fn watch(&mut self, running: &Running, pressure: &mut Pressure) {
        loop {
            let ended = self.launched.as_ref().map(|launched| launched.pidfd.as_fd());
            let others = ended.into_iter().chain([running.ended_fd()]);
            if self.signals.wait(others, Some(LOOK_MS)).is_some() {
                self.interrupted = true;
                running.stop().end(End::Interrupted);
            }
            if is_readable(running.ended_fd()) {
                return;
            }
            if self.has_ended() {
                running.stop().end(End::TargetExited(None));
            }
            self.bar.show(&running.progress);
            let open = running.progress.in_flight.load(Ordering::Relaxed);
            pressure.look(&self.session.processes(), open);
        }
    }

    /// Waits for what the target does behind its answers: until all calls that are due were made and nothing happens, or
    /// it has had the time that it took in the recording. False if the user wants no more.
    fn calm(&self, begun: Nanos, rounds: u64) -> bool {
        let Session { chosen, options, stub, matcher, .. } = &*self.session;
        let from = clock::now();
        let due = chosen.calls as u64 * u64::from(options.pace.fanout) * rounds.max(1);
        let most_ns = (chosen.tail_ns as f64 * options.pace.time_scale) as u64 + LATE_NS;
        loop {
            self.session.hear();
            let now = clock::now();
            let calm = now.since(stub.idle_since().max(begun)) >= CALM_NS && now.since(from) >= CALM_NS;
            let all = locked(matcher).count() as u64 >= due;
            if (all && calm) || now.since(from) >= most_ns {
                return true;
            }
            if self.signals.wait([], Some(READY_LOOK_MS)).is_some() {
                return false;
            }
        }
    }

    /// Puts into a run what the stub, the kernel half and CMD's end tell of it.
    fn finish(&mut self, run: &mut Run, leaks: &BTreeMap<String, u64>) {
        self.session.hear();
        let seen = self.session.stub.end();
        run.calls = locked(&self.session.matcher).finish();
        run.refusals = seen.refusals;
        run.missing_failures = seen.missing_failures;
        for (kind, count) in self.session.leaks() {
            let more = count - leaks.get(&kind).copied().unwrap_or(0);
            if more > 0 {
                run.leaked.insert(kind, more);
            }
        }
        for (dependency, count) in seen.passed {
            *self.passed.entry(dependency).or_default() += count;
        }
        self.problems.extend(seen.problems);
        if let End::TargetExited(status) = &mut run.end {
            *status = self.stop_target();
            self.last_lines = self.last_lines();
        }
    }

    fn into_judged(self, judgement: Judgement) -> Judged {
        let mut problems = self.problems;
        let session = &*self.session;
        let output = session.target.as_ref().and_then(|target| target.output.as_ref());
        let dropped = output.map_or(0, Output::dropped);
        if dropped > 0 {
            problems.push(format!("target.log is full: {dropped} bytes more that CMD wrote were not kept"));
        }
        problems.extend(untold(session, &judgement));
        problems.extend(unused_live(session, &self.passed));
        problems.extend(session.target.iter().flat_map(|target| &target.remarks).cloned());
        problems.sort();
        problems.dedup();
        let mut untested = session.script.untested().to_vec();
        untested.extend(untested_here(session, &self.passed, &self.unrestored));
        untested.extend(masked_whole(&judgement.volatile));
        Judged {
            judgement,
            observed: self.observed,
            last_lines: self.last_lines,
            notes: session.script.notes().to_vec(),
            problems,
            untested,
            substituted: self.substituted,
            leaked: session.leaks(),
            ledgers: self.ledgers,
        }
    }
}
