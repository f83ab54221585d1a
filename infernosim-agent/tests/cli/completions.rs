//! Completions, as the shells themselves take them.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::{commands, run, stderr, stdout};

fn script(shell: &str) -> String {
    let output = run(["completions", shell]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{shell}");
    stdout(&output)
}

/// What a shell prints that is given our script and then `more`, and what it complains of.
fn shell(program: &str, arguments: &[&str], more: &str) -> (String, String) {
    let name = program.rsplit('/').next().unwrap();
    let mut child = Command::new(program)
        .args(arguments)
        .env("HOME", "/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{name} (package {name}): {error}"));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(format!("{}\n{more}\n", script(name)).as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    (stdout(&output), stderr(&output))
}

/// What bash offers at the end of a line.
fn bash(line: &str) -> Vec<String> {
    let words: Vec<String> = line.split(' ').map(|word| format!("'{word}'")).collect();
    let last = words.len() - 1;
    let previous = &words[last - 1];
    let more = format!(
        "compopt() {{ :; }}\nCOMP_WORDS=({})\nCOMP_CWORD={last}\n_infernosim infernosim {} {previous}\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.join(" "),
        words[last],
    );
    let (offered, complaints) = shell("bash", &["--norc", "--noprofile"], &more);
    assert_eq!(complaints, "", "{line}");
    offered.lines().map(str::to_owned).filter(|word| !word.is_empty()).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    for (line, offered) in [
        ("infernosim cap", &["capture"][..]),
        ("infernosim insp", &["inspect"]),
        ("infernosim capture --tap", &["--tap-buffer"]),
        ("infernosim capture --via ", &["proxy", "tap"]),
        ("infernosim capture --via t", &["tap"]),
        ("infernosim completions po", &["powershell"]),
        ("infernosim nothing", &[]),
    ] {
        assert_eq!(bash(line), offered, "{line}");
    }
}

#[test]
fn bash_offers_every_command_and_every_option_but_hidden_ones() {
    for (words, command) in commands() {
        let line = ["infernosim".to_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ");
        let offered = bash(&format!("{line} "));
        for inner in command.get_subcommands() {
            assert_eq!(offered.iter().any(|word| word == inner.get_name()), !inner.is_hide_set(), "{line}");
        }
        let offered = bash(&format!("{line} --"));
        for long in command.get_arguments().filter_map(|argument| Some((argument, argument.get_long()?))) {
            let (argument, long) = long;
            let long = format!("--{long}");
            assert_eq!(offered.contains(&long), !argument.is_hide_set(), "{line} {long}: {offered:?}");
        }
    }
}

#[test]
fn fish_completes_commands_options_and_values() {
    for (line, offered) in [
        ("infernosim cap", "capture"),
        ("infernosim capture --tap", "--tap-buffer"),
        ("infernosim capture --via ta", "tap"),
    ] {
        let (said, complaints) = shell("fish", &["--no-config"], &format!("complete --do-complete '{line}'"));
        assert_eq!(complaints, "", "{line}");
        let words: Vec<&str> = said.lines().filter_map(|line| line.split('\t').next()).collect();
        assert_eq!(words, [offered], "{line}");
    }
}

/// The completion itself needs zsh's line editor; that the function is there and knows the options must do.
#[test]
fn zsh_takes_the_script() {
    let more = "print -- ${_comps[infernosim]}; (( $+functions[_infernosim] )) && print defined";
    let begin = "autoload -U compinit; compinit -D -u\n";
    let checked = shell("zsh", &["-f", "-n"], "");
    assert_eq!(checked, (String::new(), String::new()));
    let mut child = Command::new("zsh")
        .args(["-f", "-s"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text = format!("{begin}{}\n{more}\n", script("zsh"));
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), ("_infernosim\ndefined\n", ""));
}

#[test]
fn the_others_tell_of_every_command() {
    for shell in ["elvish", "powershell"] {
        let script = script(shell);
        for (words, _) in commands() {
            for word in words {
                assert!(script.contains(&word), "{shell}: {word}");
            }
        }
    }
}
