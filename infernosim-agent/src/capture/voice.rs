use std::io::Write as _;

use super::report::Outcome;
use super::summary;

/// What a capture says on stderr. Nobody may be there to read it (`2>&1 | head`): the traffic and the recording must
/// not end with that.
#[derive(Clone, Copy, Debug, Default)]
pub struct Voice {
    /// Errors only, and what was asked for.
    pub quiet: bool,
    /// The summary at the end as one line of JSON.
    pub json: bool,
}

impl Voice {
    /// A message.
    pub fn say(self, text: impl FnOnce() -> String) {
        if !self.quiet {
            print(&text());
        }
    }

    /// Something that did not go well, and that the capture does without.
    pub fn complain(self, text: &str) {
        self.say(|| format!("infernosim: {text}"));
    }

    /// The last words of `command`.
    pub fn end(self, command: &str, outcome: &Outcome) {
        if self.json {
            print(&summary::to_json(command, outcome));
        } else if !self.quiet {
            print(&outcome.summary());
        } else if !outcome.is_complete() {
            print(&format!("infernosim: {}", outcome.faults()));
        }
    }
}

/// One write, so that lines of other processes do not come between.
fn print(text: &str) {
    let _ = std::io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}
