//! Command lines that make no sense: status 2, and the word that was meant.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use super::{commands, run, stderr, stdout};

#[test]
fn a_misspelt_word_is_told_its_neighbour() {
    for (line, meant) in [
        ("captrue -- true", "'capture'"),
        ("inspct x", "'inspect'"),
        ("docter", "'doctor'"),
        ("capture --incidnet x -- true", "'--incident'"),
        ("capture --recylce --pid 1", "'--recycle'"),
        ("capture --via tapp -- true", "'tap'"),
        ("inspect x --flailed", "'--failed'"),
        ("completions bahs", "'bash'"),
    ] {
        let output = run(line.split(' '));
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{line}: {said}");
        assert!(said.starts_with("error: ") && said.contains(meant), "{line}: {said}");
        assert_eq!(stdout(&output), "", "{line}");
    }
}

#[test]
fn no_command_takes_what_it_does_not_know() {
    for (words, _) in commands() {
        let output = run(words.iter().map(String::as_str).chain(["--no-such-option-at-all"]));
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(stderr(&output).contains("'--no-such-option-at-all'"), "{words:?}: {}", stderr(&output));
    }
}

#[test]
fn without_a_command_the_help_is_an_error() {
    let output = run([""; 0]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("Usage: infernosim"), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
}

#[test]
fn values_that_make_no_sense_are_named() {
    for (line, part) in [
        ("capture --buffer 64parsec -- true", "`parsec` is no unit of size"),
        ("capture --duration 10 -- true", "a time needs a unit"),
        ("capture --pid 0", "'--pid <N>'"),
        ("capture --pid 1 -- true", "cannot be used with"),
        ("capture", "the following required arguments"),
        ("capture --max-incidents 3 -- true", "--max-size"),
        (
            "inject --toxiproxy-api :0 --duration 10ms --inject latency=1s",
            "there is no target that `latency=1s`",
        ),
        ("replay --density -1", "a number greater than 0"),
        ("replay --plan /dev/zero", "it is too long"),
        ("replay --time-scale -1", "'--time-scale <X>'"),
        ("inject --ledger /nowhere/at/all -- true", "there is no such directory"),
        ("inject --list --recycle", "cannot be used with"),
    ] {
        let output = run(line.split(' '));
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(stderr(&output).contains(part), "{line}: {}", stderr(&output));
    }
}

#[test]
fn arguments_need_not_be_text() {
    let path = OsStr::from_bytes(b"/nowhere/\xff\xfe");
    let output = run([OsStr::new("inspect"), path]);
    assert_eq!(output.status.code(), Some(4), "a path is a path, whatever its bytes");
    assert!(stderr(&output).contains("does not exist"), "{}", stderr(&output));
    let output = run([path]);
    assert_eq!(output.status.code(), Some(2), "no command has such a name");
    let output = run([OsStr::new("inspect"), OsStr::new("x"), OsStr::from_bytes(b"\xff")]);
    assert_eq!(output.status.code(), Some(2), "an ID is text");
}
