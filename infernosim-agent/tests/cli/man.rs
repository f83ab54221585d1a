//! Manual pages, read by man's own formatter and by another one.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use super::{commands, run, stderr, stdout};

/// The text of a page, and what the formatter has to complain of.
fn formatted(page: &[u8]) -> (String, String) {
    let mut man = Command::new("man")
        .args(["--warnings", "-l", "-"])
        .env("MANWIDTH", "80")
        .env("LC_ALL", "C.UTF-8")
        .env("PAGER", "cat")
        .env_remove("MANPAGER")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("man (package man-db)");
    man.stdin.take().unwrap().write_all(page).unwrap();
    let output = man.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    (stdout(&output), stderr(&output))
}

#[test]
fn the_main_page_is_printed() {
    let output = run(["man"]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let (text, complaints) = formatted(&output.stdout);
    assert_eq!(complaints, "");
    for (words, command) in commands() {
        if words.len() == 1 {
            assert!(
                text.contains(&format!("infernosim-{}(1)", command.get_name())),
                "{words:?} not in {text}"
            );
        }
    }
}

#[test]
fn every_command_has_a_page_that_formatters_accept() {
    let directory = tempfile::tempdir().unwrap();
    // One that is to be made.
    let out = directory.path().join("share/man1");
    let output = run(["man".as_ref(), "--out".as_ref(), out.as_os_str()]);
    assert_eq!((output.status.code(), stderr(&output).as_str(), stdout(&output).as_str()), (Some(0), "", ""));
    let mut pages = BTreeSet::new();
    for (words, command) in commands() {
        let name = ["infernosim".to_owned()].into_iter().chain(words).collect::<Vec<_>>().join("-") + ".1";
        let (text, complaints) = formatted(&fs::read(out.join(&name)).unwrap());
        assert_eq!(complaints, "", "{name}");
        for heading in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES"] {
            assert!(text.lines().any(|line| line == heading), "{name} has no {heading}: {text}");
        }
        for option in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let long = option.get_long().map(|long| format!("--{long}")).unwrap_or_default();
            assert!(text.contains(&long), "{name} does not tell of {long}");
        }
        pages.insert(name);
    }
    let written = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(written.collect::<BTreeSet<_>>(), pages, "no page of what is no command");
    let lint = Command::new("mandoc")
        .args(["-T", "lint", "-W", "error"])
        .args(pages.iter().map(|name| out.join(name)))
        .output()
        .expect("mandoc (package mandoc)");
    assert!(lint.status.success(), "{}", stdout(&lint));
}

/// Lines of examples stay lines, and sections are sections.
#[test]
fn a_page_keeps_the_lines_of_examples() {
    let directory = tempfile::tempdir().unwrap();
    run(["man".as_ref(), "--out".as_ref(), directory.path().as_os_str()]);
    let (text, _) = formatted(&fs::read(directory.path().join("infernosim-capture.1")).unwrap());
    let (_, examples) = text.split_once("\nEXAMPLES\n").unwrap();
    let (examples, rest) = examples.split_once("\n\n").unwrap();
    assert!(examples.lines().any(|line| line == "       sudo infernosim capture --unit shop"), "{examples}");
    assert!(rest.starts_with("EXIT STATUS\n"), "{rest}");
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let output = run(["man", "--out", "/proc/nowhere"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        stderr(&output).starts_with("infernosim: /proc/nowhere cannot be written: "),
        "{}",
        stderr(&output)
    );
}
