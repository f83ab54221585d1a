//! `--help` of every command, as it was read and found good.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::{commands, run, stderr, stdout};

/// Set to `write`, the files are made anew instead of compared: then read what git says has changed.
const WRITE: &str = "INFERNOSIM_GOLDEN";

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/help")
}

#[test]
fn the_help_of_every_command_is_as_it_was_read() {
    let write = std::env::var_os(WRITE).is_some_and(|word| word == "write");
    let mut expected = BTreeSet::new();
    let mut wrong = Vec::new();
    for (words, _) in commands() {
        let output = run(words.iter().map(String::as_str).chain(["--help"]));
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{words:?}");
        let name = format!(
            "{}.txt",
            ["infernosim".to_owned()].into_iter().chain(words).collect::<Vec<_>>().join("-")
        );
        let path = golden().join(&name);
        if write {
            std::fs::create_dir_all(golden()).unwrap();
            std::fs::write(&path, stdout(&output)).unwrap();
        }
        if std::fs::read_to_string(&path).unwrap_or_default() != stdout(&output) {
            wrong.push(name.clone());
        }
        expected.insert(name);
    }
    let kept: BTreeSet<String> = std::fs::read_dir(golden())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for stale in kept.difference(&expected) {
        if write {
            std::fs::remove_file(golden().join(stale)).unwrap();
        } else {
            wrong.push(format!("{stale} (no such command)"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{wrong:?} differ in tests/golden/help: run this test with {WRITE}=write, then git diff"
    );
}

#[test]
fn each_command_has_examples_and_each_option_a_text() {
    for (words, command) in commands() {
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(after.contains("Examples:\n  "), "{words:?} has no examples");
        assert!(command.get_about().is_some(), "{words:?}");
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                help.chars().next().is_some_and(char::is_uppercase),
                "{words:?} {}: {help:?}",
                argument.get_id()
            );
            assert!(!help.ends_with('.'), "{words:?} {}: {help:?}", argument.get_id());
        }
    }
}

/// Help is broken for the width of the terminal: a line that was broken by hand is broken again, in odd places, and
/// an example that is too long loses its columns.
#[test]
fn examples_fit_their_lines_and_prose_is_not_broken_by_hand() {
    for (words, command) in commands() {
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for paragraph in after.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
            if !paragraph.starts_with("Examples:\n") {
                assert!(
                    !paragraph.contains('\n'),
                    "{words:?}: end the line in the source with a backslash: {paragraph}"
                );
                continue;
            }
            for line in paragraph.lines() {
                assert!(line.chars().count() <= 100, "{words:?}: {line}");
            }
        }
    }
}

#[test]
fn the_short_help_is_no_longer_than_the_long_one() {
    for (words, _) in commands() {
        let [short, long] = ["-h", "--help"].map(|flag| run(words.iter().map(String::as_str).chain([flag])));
        assert_eq!(short.status.code(), Some(0), "{words:?}");
        assert!(!stdout(&short).is_empty());
        assert!(stdout(&short).lines().count() <= stdout(&long).lines().count(), "{words:?}");
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    for flag in ["--version", "-V"] {
        let output = run([flag]);
        assert_eq!(stdout(&output), format!("infernosim {}\n", env!("CARGO_PKG_VERSION")));
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    }
}
