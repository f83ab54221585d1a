//! `cargo xtask test`: all tests; with `CI=true` everything that CI checks. One table of phases.

mod count;
mod phases;
mod privileged;

pub use count::Count;
pub use privileged::{Privileged, obstacle, run as privileged};

use crate::{command, misuse};
use anyhow::Result;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// A failed phase lets the rest of its group run, so that they are reported together, and nothing after it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Setup,
    KernelHalf,
    Look,
    Build,
    Test,
}

/// Who runs a phase.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    InCi,
}

/// One step of a run.
struct Phase {
    name: &'static str,
    group: Group,
    when: When,
    run: fn(&mut Run) -> Result<()>,
}

/// The phases, in their order. This table is the whole plan of CI: a new check is a new line.
const PHASES: &[Phase] = &[
    Phase { name: "setup tests", group: Group::Setup, when: When::Always, run: phases::setup_tests },
    Phase { name: "setup ebpf", group: Group::KernelHalf, when: When::InCi, run: phases::setup_ebpf },
    Phase { name: "ebpf verify", group: Group::KernelHalf, when: When::InCi, run: phases::ebpf_verify },
    Phase { name: "fmt", group: Group::Look, when: When::InCi, run: phases::fmt },
    Phase { name: "clippy", group: Group::Look, when: When::InCi, run: phases::clippy },
    Phase { name: "tidy", group: Group::Look, when: When::InCi, run: phases::tidy },
    Phase { name: "build", group: Group::Build, when: When::Always, run: phases::build },
    Phase { name: "tests", group: Group::Test, when: When::Always, run: phases::tests },
    Phase { name: "kernel tests", group: Group::Test, when: When::Always, run: phases::kernel_tests },
    Phase { name: "demos", group: Group::Test, when: When::Always, run: phases::demos },
    Phase { name: "doc tests", group: Group::Test, when: When::Always, run: phases::doc_tests },
];

/// What the phases share and leave behind.
#[derive(Default)]
pub struct Run {
    /// `CI=true`: what cannot be done here is a failure.
    ci: bool,
    /// A fresh kernel half to test instead of the committed one.
    object: Option<PathBuf>,
    /// Tests run so far.
    count: Count,
    /// What must not be overlooked at the end.
    warnings: Vec<String>,
}

impl Run {
    /// Cargo, embedding the object under test.
    fn cargo(&self) -> Command {
        let mut cargo = command::cargo();
        if let Some(object) = &self.object {
            cargo.env("INFERNOSIM_BPF_OBJECT", object);
        }
        cargo
    }

    /// Says something loudly, now and at the end.
    fn warn(&mut self, warning: String) {
        println!("WARNING: {warning}");
        self.warnings.push(warning);
    }
}

/// What became of a phase.
struct Outcome {
    name: &'static str,
    group: Group,
    took: Duration,
    /// Why it failed.
    error: Option<String>,
    /// Failed tests that it counted.
    failed_tests: u64,
}

/// Exit status: 0 all passed, 1 not.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    if !arguments.is_empty() {
        return misuse("test");
    }
    let ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
    let mut run = Run { ci, ..Run::default() };
    let mut outcomes: Vec<Outcome> = Vec::new();
    for phase in PHASES.iter().filter(|phase| ci || phase.when == When::Always) {
        if must_stop(&outcomes, phase.group) {
            break;
        }
        outcomes.push(perform(phase, &mut run));
    }
    print!("{}", summary(&outcomes, &run));
    Ok(if outcomes.iter().all(|outcome| outcome.error.is_none()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Whether a phase of another group than the next one's has failed.
fn must_stop(outcomes: &[Outcome], next: Group) -> bool {
    outcomes.iter().any(|outcome| outcome.error.is_some() && outcome.group != next)
}

/// Runs a phase and says how long it took.
fn perform(phase: &Phase, run: &mut Run) -> Outcome {
    println!("\n=== {}", phase.name);
    let failed_before = run.count.failed;
    #[expect(clippy::disallowed_methods, reason = "a stop watch for people; nothing is decided by it")]
    let start = Instant::now();
    let error = (phase.run)(run).err().map(|error| format!("{error:#}"));
    let took = start.elapsed();
    let failed_tests = run.count.failed - failed_before;
    match &error {
        Some(error) => println!("=== {} FAILED after {:.1} s: {error}", phase.name, took.as_secs_f64()),
        None => println!("=== {} took {:.1} s", phase.name, took.as_secs_f64()),
    }
    Outcome { name: phase.name, group: phase.group, took, error, failed_tests }
}

/// The table of phases, the warnings, and the last line. A phase that failed without a failed test (a build, a
/// lint) counts as one failure there, so that a failed run never ends with "0 failed".
fn summary(outcomes: &[Outcome], run: &Run) -> String {
    let mut text = String::from("\nphase            seconds\n");
    for Outcome { name, took, error, .. } in outcomes {
        let mark = if error.is_some() { "  FAILED" } else { "" };
        text.push_str(&format!("{name:<16} {:>7.1}{mark}\n", took.as_secs_f64()));
    }
    for warning in &run.warnings {
        text.push_str(&format!("\nWARNING: {warning}\n"));
    }
    for Outcome { name, error, .. } in outcomes {
        if let Some(error) = error {
            text.push_str(&format!("\nFAILED {name}: {error}\n"));
        }
    }
    let other =
        outcomes.iter().filter(|outcome| outcome.error.is_some() && outcome.failed_tests == 0).count();
    let Count { passed, failed } = run.count;
    text.push_str(&format!("\n{passed} passed, {} failed\n", failed + other as u64));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(group: Group, error: Option<&str>, failed_tests: u64) -> Outcome {
        let error = error.map(str::to_owned);
        Outcome { name: "x", group, took: Duration::from_millis(1500), error, failed_tests }
    }

    #[test]
    fn a_failure_stops_all_but_its_group() {
        let failed = [outcome(Group::Setup, None, 0), outcome(Group::Look, Some("no"), 0)];
        assert!(!must_stop(&failed, Group::Look));
        assert!(must_stop(&failed, Group::Build));
        assert!(!must_stop(&failed[..1], Group::Build));
    }

    #[test]
    fn the_last_line_counts_tests_and_phases_that_failed_without_one() {
        let last = |outcomes: &[Outcome], passed, failed| {
            let run = Run { count: Count { passed, failed }, ..Run::default() };
            summary(outcomes, &run).lines().last().unwrap_or_default().to_owned()
        };
        assert_eq!(last(&[outcome(Group::Test, None, 0)], 7, 0), "7 passed, 0 failed");
        assert_eq!(last(&[outcome(Group::Test, Some("x"), 2)], 5, 2), "5 passed, 2 failed");
        assert_eq!(last(&[outcome(Group::Look, Some("x"), 0)], 0, 0), "0 passed, 1 failed");
    }

    #[test]
    fn the_summary_repeats_what_must_not_be_overlooked() {
        let run = Run { warnings: vec!["mind this".into()], ..Run::default() };
        let text = summary(&[outcome(Group::Look, Some("because"), 0)], &run);
        for part in ["x                    1.5  FAILED\n", "\nWARNING: mind this\n", "\nFAILED x: because\n"]
        {
            assert!(text.contains(part), "{part:?} not in {text}");
        }
    }
}
