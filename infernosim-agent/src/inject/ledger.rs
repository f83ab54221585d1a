//! What became of the rules, said and written down at the end.

use std::fmt::Write as _;

use super::Options;
use super::rules::Rules;
use super::written::write;
use crate::error::{Exit, Result};
use crate::fault::Ledger;

/// Says it on stderr, writes the files that were asked for, and tells the status: 4 where a rule never fired.
///
/// # Errors
/// `Exit::Host` if a file cannot be written, `Exit::Usage` if too much fired for a plan of it.
pub fn end(rules: &Rules, options: &Options) -> Result<Exit> {
    let ledger = rules.ledger();
    options.voice.say(|| text(&ledger));
    let lost = rules.earlier().lost();
    if lost > 0 {
        options.voice.complain(&format!(
            "{lost} times `stale` would have had an answer that was not kept (1 MiB a site, 16 MiB in all): it had its own"
        ));
    }
    if let Some(path) = &options.ledger {
        write(path, "--ledger", &lines(&ledger))?;
    }
    if let Some(path) = &options.write_plan {
        let plan = ledger.plan()?.to_toml();
        write(path, "--write-plan", &format!("# What went wrong, by site and occurrence.\n{plan}"))?;
    }
    let idle = ledger.rules.iter().any(|rule| rule.fired == 0);
    Ok(if idle { Exit::Incident } else { Exit::Pass })
}

/// For people.
pub fn text(ledger: &Ledger) -> String {
    let mut text = format!("infernosim: faults, seed {}", ledger.seed);
    for rule in &ledger.rules {
        let _ = write!(
            text,
            "\n  {}: reached {}, fired {}, observed {}",
            rule.rule, rule.reached, rule.fired, rule.observed
        );
    }
    for rule in ledger.rules.iter().filter(|rule| rule.fired == 0) {
        let why = if rule.reached == 0 { "nothing happened that it is for" } else { "its turn never came" };
        let _ = write!(text, "\ninfernosim: the rule `{}` never fired: {why}", rule.rule);
    }
    text
}

/// One line for each firing, and before them one for each rule.
pub fn lines(ledger: &Ledger) -> String {
    let rules = ledger.rules.iter().map(serde_json::to_string);
    let entries = ledger.entries.iter().map(serde_json::to_string);
    // Strings and numbers can always be written.
    rules.chain(entries).flatten().map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Entry, RuleLedger};

    #[test]
    fn what_never_fired_is_named() {
        let rule = |text: &str, reached, fired| RuleLedger {
            rule: text.to_owned(),
            reached,
            fired,
            observed: fired,
        };
        let ledger = Ledger {
            seed: 7,
            rules: vec![rule("status=503", 2, 1), rule("dep=b refuse", 0, 0), rule("p=0 timeout", 3, 0)],
            entries: vec![Entry { site: "outbound a GET /".to_owned(), occurrence: 1, ..Entry::default() }],
            more: 0,
        };
        let said = text(&ledger);
        assert!(said.contains("status=503: reached 2, fired 1, observed 1"), "{said}");
        assert!(said.contains("`dep=b refuse` never fired: nothing happened that it is for"), "{said}");
        assert!(said.contains("`p=0 timeout` never fired: its turn never came"), "{said}");
        assert!(!said.contains("`status=503` never"), "{said}");
        assert_eq!(lines(&ledger).lines().count(), 4);
        assert!(lines(&ledger).lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    }
}
