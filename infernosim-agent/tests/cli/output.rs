//! Where output goes, and what becomes of us where it cannot.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::process::Stdio;

use super::{commands, infernosim, run, stderr, stdout};

/// Command lines that print much, each with a status of its own.
const TALKATIVE: [&[&str]; 4] = [&["--help"], &["capture", "--help"], &["completions", "bash"], &["man"]];

#[test]
fn without_a_terminal_nothing_is_coloured() {
    for (words, _) in commands() {
        for flag in ["--help", "--no-such-option-at-all"] {
            let output = run(words.iter().map(String::as_str).chain([flag]));
            assert!(
                !stdout(&output).contains('\x1b') && !stderr(&output).contains('\x1b'),
                "{words:?} {flag}"
            );
        }
    }
}

/// The width and colours of the texts are those of a terminal, never of a variable that a shell left behind.
#[test]
fn colours_can_be_forced_and_no_color_wins_without() {
    let coloured = |variable: &str| {
        let output = infernosim().arg("--help").env(variable, "1").output().unwrap();
        stdout(&output).contains('\x1b')
    };
    assert!(coloured("CLICOLOR_FORCE"), "this test could not see colours otherwise");
    assert!(!coloured("NO_COLOR"));
}

#[test]
fn an_output_named_by_a_dash_is_stdout() {
    let place = tempfile::tempdir().unwrap();
    let incident = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/shop-go/incident");
    let export = |output: &[&str]| {
        let mut command = infernosim();
        let output = command.args(["export", "har", incident]).args(output).current_dir(&place).output();
        stdout(&output.unwrap())
    };
    assert!(export(&[]).starts_with("{\"log\""));
    assert_eq!(export(&["-o", "-"]), export(&[]));
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0, "a file was made");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    for arguments in TALKATIVE {
        let mut child = infernosim().args(arguments).spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    for arguments in TALKATIVE {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = infernosim().args(arguments).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("No space left on device"), "{arguments:?}: {}", stderr(&output));
    }
}

/// Messages that nobody can read must not change what became of the command.
#[test]
fn stderr_may_be_gone() {
    for arguments in [&["inspect", "/nowhere"][..], &["inspect", "/nowhere", "--json"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let status = infernosim().args(arguments).stderr(full).status().unwrap();
        assert_eq!(status.code(), Some(4), "{arguments:?}");
        let mut child = infernosim().args(arguments).stdout(Stdio::null()).spawn().unwrap();
        drop(child.stderr.take());
        assert_eq!(child.wait().unwrap().code(), Some(4), "{arguments:?}");
    }
}
