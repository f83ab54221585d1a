//! A bar on stderr, on a terminal only.

use std::io::IsTerminal as _;
use std::sync::atomic::Ordering;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::driver::Progress;

/// How often it is drawn anew at most, in Hz.
const RATE_HZ: u8 = 10;

/// How far the runs are.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    runs: u64,
}

impl Bar {
    /// One for so many runs of so many requests each. Nothing is drawn where stderr is no terminal, or `quiet`.
    pub fn new(quiet: bool, runs: u64) -> Self {
        let shown = !quiet && std::io::stderr().is_terminal();
        let target =
            if shown { ProgressDrawTarget::stderr_with_hz(RATE_HZ) } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(style());
        bar.set_message("waiting for the target");
        Self { bar, runs }
    }

    /// A run begins, from 1.
    pub fn begin(&self, run: u64, requests: u64) {
        self.bar.set_prefix(format!("run {run}/{}", self.runs));
        self.bar.set_length(requests);
        self.bar.set_position(0);
        self.bar.set_message("0 in flight");
    }

    /// Shows where it is. To be called a few times a second.
    pub fn show(&self, progress: &Progress) {
        self.bar.set_position(progress.over.load(Ordering::Relaxed));
        self.bar.set_message(format!("{} in flight", progress.in_flight.load(Ordering::Relaxed)));
    }

    /// Writes a line of text above it.
    pub fn say(&self, line: &str) {
        self.bar.suspend(|| anstream::eprintln!("{line}"));
    }

    /// Takes it away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// Without colour: that is for what matters.
const TEMPLATE: &str = "{prefix} [{bar:30}] {pos}/{len} requests, {msg}, {elapsed}";

fn style() -> ProgressStyle {
    // A template that is wrong shows in the test.
    let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_the_run_and_how_far_it_is() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
        let bar = Bar::new(true, 10);
        assert_eq!(bar.bar.message(), "waiting for the target");
        bar.begin(3, 40);
        let progress = Progress::default();
        progress.over.store(12, Ordering::Relaxed);
        progress.in_flight.store(2, Ordering::Relaxed);
        bar.show(&progress);
        assert_eq!((bar.bar.position(), bar.bar.length()), (12, Some(40)));
        assert_eq!((bar.bar.prefix(), bar.bar.message()), ("run 3/10".to_owned(), "2 in flight".to_owned()));
        bar.begin(4, 40);
        assert_eq!((bar.bar.position(), bar.bar.message()), (0, "0 in flight".to_owned()));
        assert!(bar.bar.is_hidden(), "nobody asked for it");
        bar.end();
        assert!(bar.bar.is_finished());
    }
}
