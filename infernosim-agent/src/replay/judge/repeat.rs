//! The one command that shows it again.

use std::collections::BTreeSet;

use crate::replay::script::ExchangeIndex;

/// What this replay was told, as words of a command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repeat {
    /// It was run by sudo, and needs that again.
    pub sudo: bool,
    /// The incident's directory.
    pub incident: String,
    /// Options that are to be given again, each word for itself: all but `--incident`, `--runs` and `--request`.
    pub options: Vec<String>,
    /// The target: `--` and CMD with its arguments, `--pid` and its number, …; empty without one.
    pub target: Vec<String>,
    /// Exchanges whose requests carried values that answers to earlier ones had minted.
    pub dependent: BTreeSet<ExchangeIndex>,
}

impl Repeat {
    /// The command: `runs` runs, of one exchange where its id is given, else of all.
    pub(super) fn command(&self, runs: u32, request: Option<&str>) -> String {
        let runs = runs.to_string();
        let mut words = if self.sudo { vec!["sudo"] } else { Vec::new() };
        words.extend(["infernosim", "replay", "--incident", &self.incident]);
        if let Some(id) = request {
            words.extend(["--request", id]);
        }
        words.extend(["--runs", &runs]);
        words.extend(self.options.iter().chain(&self.target).map(String::as_str));
        words.into_iter().map(quote).collect::<Vec<_>>().join(" ")
    }
}

/// A word as a POSIX shell reads it back.
fn quote(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_command_is_what_one_types() {
        let words = |words: &[&str]| words.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
        let repeat = Repeat {
            sudo: true,
            incident: "./my inc".into(),
            options: words(&["--ignore", "body.*"]),
            target: words(&["--", "./app", "it's"]),
            dependent: BTreeSet::new(),
        };
        assert_eq!(
            repeat.command(1, Some("0af7")),
            r"sudo infernosim replay --incident './my inc' --request 0af7 --runs 1 --ignore 'body.*' -- ./app 'it'\''s'"
        );
        assert_eq!(
            Repeat { incident: "inc".into(), ..Repeat::default() }.command(10, None),
            "infernosim replay --incident inc --runs 10"
        );
    }

    proptest! {
        #[test]
        fn a_shell_reads_back_what_was_quoted(word in "[^\0]*") {
            let found = shlex::split(&quote(&word)).unwrap();
            prop_assert_eq!(found, [word]);
        }
    }
}
