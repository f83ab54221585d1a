//! Whom the target called: for who gave a dependency a name that it has not.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::rules::Rules;
use crate::fault::Rule;

/// So many names are kept.
const MOST: usize = 256;
/// So many are said.
const SAID: usize = 5;

/// Names of dependencies, as rules would have them.
#[derive(Debug, Default)]
pub struct Seen(Mutex<BTreeSet<String>>);

impl Seen {
    /// The target called it, or would have: what it may be named, the likeliest first.
    pub fn saw(&self, candidates: &[String]) {
        let Some(name) = candidates.first() else { return };
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() < MOST && !names.contains(name) {
            names.insert(name.clone());
        }
    }

    /// What to say of rules in force that name a dependency and chose nothing.
    pub fn hints(&self, rules: &Rules) -> Vec<String> {
        let became = rules.ledger().rules;
        let chose_nothing =
            |number: u32| became.get((number as usize).wrapping_sub(1)).is_some_and(|rule| rule.reached == 0);
        let idle = rules.list().into_iter().filter(|(number, _)| chose_nothing(*number));
        idle.filter_map(|(_, rule)| self.hint(&rule)).collect()
    }

    fn hint(&self, rule: &Rule) -> Option<String> {
        rule.dependencies().next()?;
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        let meant = rule.likely_dependency(&known).map(|name| format!("did `{rule}` mean {name}? "));
        let more = known.len().saturating_sub(SAID);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let called = known.get(..SAID).unwrap_or(&known).join(", ");
        (!called.is_empty()).then(|| format!("{}the target called {called}{more}", meant.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likely_name_is_said_and_what_there_was() {
        let seen = Seen::default();
        let hint = |text: &str| seen.hint(&Rule::parse(text).unwrap());
        assert_eq!(hint("dep=paymnets.test refuse"), None, "nobody was called");
        let saw = |name: &str| seen.saw(&[name.to_owned(), "10.0.0.7".to_owned()]);
        saw("payments.test:8080");
        saw("ledger.test");
        assert_eq!(hint("refuse"), None, "it is about all of them");
        assert_eq!(
            hint("dep=paymnets.test refuse").unwrap(),
            "did `dep=paymnets.test refuse` mean payments.test? the target called ledger.test, payments.test:8080"
        );
        (0..1000).for_each(|number| saw(&format!("n{number}.test")));
        assert!(hint("dep=qqqqqqqqqqqqq refuse").unwrap().ends_with(" and 251 more"));
    }
}
