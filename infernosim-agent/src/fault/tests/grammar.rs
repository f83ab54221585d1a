//! What is a rule, and what is none.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::action::ENTRIES;
use super::super::selector::SELECTORS;
use super::super::when::WHENS;
use super::*;
use crate::error::Exit;

#[test]
fn each_entry_and_term_has_an_example_that_is_understood() {
    let mut words = BTreeSet::new();
    for entry in ENTRIES {
        let example = rule(entry.example);
        assert!(example.actions.iter().any(|action| action.entry.word == entry.word), "{}", entry.word);
        assert!(words.insert(entry.word), "{} is there twice", entry.word);
        for alias in entry.aliases {
            let other = rule(&entry.example.replace(&format!("{}=", entry.word), &format!("{alias}=")));
            assert_eq!(other, example, "{alias}");
            assert!(words.insert(alias), "{alias} is there twice");
        }
    }
    for term in SELECTORS.iter().chain(&WHENS) {
        assert!(words.insert(term.word), "{} is there twice", term.word);
        let action = if term.example.starts_with("dir=in") { "cancel" } else { "latency=1s" };
        rule(&format!("{} {action}", term.example));
    }
}

#[test]
fn mistakes_are_named_and_the_near_word_is_said() {
    for (text, message, help) in [
        ("dep=payments latncy=+200ms", "`latncy`", "did you mean `latency`?"),
        ("dpe=payments reset", "`dpe`", "did you mean `dep`?"),
        ("dep=payments delay=1s", "`delay`", "did you mean `latency`?"),
        ("dep=payments toxicity=0.1 reset", "`toxicity`", "did you mean `p`?"),
        ("dep=payments dns=nxdomian", "`nxdomian`", "did you mean `nxdomain`?"),
        ("dir=inn cancel", "`inn`", "did you mean `in`?"),
        ("stream=upsteam reset", "`upsteam`", "did you mean `upstream`?"),
        ("latency=1s~1s:parto", "`parto`", "did you mean `pareto`?"),
        ("dep=payments p=10% reset", "from 0 to 1", "10 % is `p=0.1`"),
        ("dep=payments latency=200", "a time needs a unit", ""),
        ("dep=payments", "no action", "add what is to happen"),
        ("", "no action", "add what is to happen"),
        ("dep=payments latency", "needs a value", "write `latency="),
        ("dep= latency=1s", "needs a value", "write `dep=PATTERN[:PORT]`"),
        ("dep=payments refuse=1", "takes no value", "for example"),
        ("path=/a path=/b reset", "there twice", ""),
        ("status=500 status=501", "there twice", ""),
        ("p=0.1 at=2 reset", "`at` says which occurrences", "leave one of the two away"),
        ("dir=in dns=nxdomain", "inbound requests", "leave `dir=in` away"),
        ("dir=in truncate=1", "inbound requests", "leave `dir=in` away"),
        ("dep=payments cancel", "inbound requests", "leave `dep` away"),
        ("dir=in dep=payments latency=1s", "inbound requests", ""),
        ("latency=1s cancel", "inbound requests", "`dir=in`"),
        ("op='GET /' refuse", "no method", "leave `op`"),
        ("stream=upstream dns=nxdomain", "no bytes", "leave `stream` away"),
        ("stream=upstream status=500", "answers", "leave `stream=upstream` away"),
        ("dep=payments:80 dns=nxdomain", "no port", "leave the port"),
        ("site='connect a' latency=1s", "`site` is something else", ""),
        ("dep='payments reset", "a quote ' is not closed", ""),
        ("bandwidth=64KiB", "no rate", "write `64KiB/s`"),
        ("status=99", "no status", "from 200 to 599"),
    ] {
        let error = Rule::parse(text).expect_err(text);
        assert_eq!(error.exit, crate::error::Exit::Usage);
        assert!(error.message.contains(message), "{text}: {}", error.message);
        assert!(error.help.as_deref().unwrap_or_default().contains(help), "{text}: {:?}", error.help);
    }
}

proptest! {
    #[test]
    fn a_rule_is_read_back_as_it_is_printed(text in some_rule()) {
        let read = rule(&text);
        let again = rule(&read.to_string());
        prop_assert_eq!(again.to_string(), read.to_string());
        prop_assert_eq!(&again, &read);
    }

    #[test]
    fn no_text_makes_it_panic(text in r#"((dep|p|at|latency|slice|dns|corrupt|reset|op|every|xyz)(=[a0-9~:@,.'"%* -]{0,8})? ?){0,5}"#) {
        let _ = Rule::parse(&text);
    }
}

#[test]
fn what_no_recording_can_tell_is_refused_in_a_replay() {
    let plan = |rule: &str| Plan { seed: 0, rules: vec![Rule::parse(rule).unwrap()] };
    for word in ["corrupt=3", "half-close", "slow-close=1s"] {
        plan(&format!("dep=a {word}")).check_for_replay().unwrap();
        let error = plan(&format!("dep=a stream=upstream {word}")).check_for_replay().unwrap_err();
        assert_eq!(error.exit, Exit::Usage);
        assert!(error.message.contains(&word[..word.find('=').unwrap_or(word.len())]), "{}", error.message);
        assert!(error.help.unwrap().contains("infernosim inject"));
    }
    plan("dep=a stream=upstream bandwidth=1kB/s limit-bytes=10").check_for_replay().unwrap();
}
