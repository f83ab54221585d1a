//! A ledger written down as a plan that does the same again.

use std::collections::BTreeMap;

use super::action::ENTRIES;
use super::faults::OTHERS;
use super::word::{Word, split};
use super::{Entry, Ledger, Plan, Rule};
use crate::error::{Exit, ExpectedError, Result};

impl Ledger {
    /// A plan that, on the same traffic, does the same to the same occurrences of the same sites: nothing in it is left to
    /// chance or the clock. Each rule of it is one of the ledger's, at one site, with what was drawn.
    ///
    /// # Errors
    /// `Exit::Usage` where the ledger does not list all that fired, or is not one of ours.
    pub fn plan(&self) -> Result<Plan> {
        if self.more > 0 || self.entries.iter().any(|entry| entry.site == OTHERS) {
            let sentence = "the ledger does not list all that fired, so that no plan of it would do the same";
            return Err(ExpectedError::new(Exit::Usage, sentence).help("fewer rules, or a shorter run, fit"));
        }
        let mut rules = Vec::new();
        for ((rule, site), entries) in &self.by_site() {
            let text = self.rules.get(*rule as usize).map(|rule| rule.rule.as_str()).unwrap_or_default();
            let mut selectors = Rule::parse(text)?.selectors;
            selectors.site = Some((*site).to_owned());
            for (actions, occurrences) in &alike(entries) {
                for actions in apart(actions) {
                    let at = ranges(occurrences);
                    let text = format!("{selectors} at={at} {}", actions.join(" "));
                    let words = split(&text).map_err(|wrong| wrong.in_rule(&text))?;
                    rules.push(Rule::of(&words).map_err(|wrong| wrong.in_rule(&text))?);
                }
            }
        }
        Ok(Plan { seed: self.seed, rules })
    }

    fn by_site(&self) -> BTreeMap<(u32, &str), Vec<&Entry>> {
        let mut by_site: BTreeMap<_, Vec<&Entry>> = BTreeMap::new();
        for entry in &self.entries {
            by_site.entry((entry.rule, entry.site.as_str())).or_default().push(entry);
        }
        by_site
    }
}

/// What was done, and to which occurrences just that; the earliest first.
fn alike<'a>(entries: &[&'a Entry]) -> Vec<(Vec<&'a str>, Vec<u64>)> {
    let mut done: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for entry in entries {
        done.entry(entry.occurrence).or_default().push(&entry.action);
    }
    let mut alike: BTreeMap<Vec<&str>, Vec<u64>> = BTreeMap::new();
    for (occurrence, actions) in done {
        alike.entry(actions).or_default().push(occurrence);
    }
    let mut alike: Vec<_> = alike.into_iter().collect();
    alike.sort_by_key(|(_, occurrences)| occurrences.first().copied());
    alike
}

/// Actions as rules may have them: the same word again begins another rule.
fn apart<'a>(actions: &[&'a str]) -> Vec<Vec<&'a str>> {
    let word = |action: &'a str| Word::name_of(action);
    let mut rules: Vec<Vec<&str>> = Vec::new();
    for action in actions {
        let repeats = ENTRIES.iter().any(|entry| entry.word == word(action) && entry.repeats);
        match rules.last_mut() {
            Some(last) if repeats || !last.iter().any(|other| word(other) == word(action)) => {
                last.push(action)
            }
            _ => rules.push(vec![action]),
        }
    }
    rules
}

/// `1,4-6`.
fn ranges(occurrences: &[u64]) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for occurrence in occurrences {
        match ranges.last_mut() {
            Some((_, to)) if *to + 1 == *occurrence => *to = *occurrence,
            _ => ranges.push((*occurrence, *occurrence)),
        }
    }
    let text =
        ranges.iter().map(|(from, to)| if from == to { from.to_string() } else { format!("{from}-{to}") });
    text.collect::<Vec<_>>().join(",")
}
