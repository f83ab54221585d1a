//! `--json`: what programs read, against the examples that documents show.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;

use serde_json::Value;

use super::{commands, root, run, stderr, stdout};

const CAPTURE: &str = include_str!("../golden/json/capture.json");
const DOCTOR: &str = include_str!("../golden/json/doctor.json");
const ERROR: &str = include_str!("../golden/json/error.json");

/// Their result is a text, or files, in a format of its own.
const WITHOUT: [&str; 4] = ["completions", "man", "export", "report"];

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn every_command_with_results_has_it() {
    for (words, command) in commands() {
        let Some(first) = words.first() else { continue };
        let has = command.get_arguments().any(|argument| argument.get_long() == Some("json"));
        let is_group = command.has_subcommands();
        assert!(has || is_group || WITHOUT.contains(&first.as_str()), "{words:?}");
    }
}

#[test]
fn documents_show_the_examples() {
    let page = fs::read_to_string(root().join("docs/cli.md")).unwrap();
    for example in [CAPTURE, DOCTOR, ERROR] {
        assert!(page.contains(&format!("```json\n{example}```\n")), "docs/cli.md does not show {example}");
    }
}

#[test]
fn an_error_is_one_line() {
    let output = run(["inspect", "/nowhere", "--json"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(4), ""));
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    assert_eq!(json(&stderr(&output)), json(ERROR));
    // Without it, the same in words.
    let words = stderr(&run(["inspect", "/nowhere"]));
    let example = json(ERROR);
    let [error, help] = ["error", "help"].map(|key| example[key].as_str().unwrap());
    assert_eq!(words, format!("infernosim: {error}\n  {help}\n"));
}

#[test]
fn misuse_is_one_line_too() {
    for (line, part) in [
        ("inspect --json x --flailed", "'--flailed'"),
        ("doctor --json --no-such", "'--no-such'"),
        ("capture --json --buffer lots -- true", "--buffer"),
        ("docter --json", "'docter'"),
    ] {
        let output = run(line.split(' '));
        assert_eq!(output.status.code(), Some(2), "{line}");
        let said = json(&stderr(&output));
        assert_eq!(keys(&said), keys(&json(ERROR)), "{line}");
        assert!(said["error"].as_str().unwrap().contains(part), "{line}: {said}");
        assert_eq!(said["exit"], 2, "{line}");
    }
    // What stands behind `--` is CMD's.
    let output = run(["capture", "--no-such", "--", "true", "--json"]);
    assert!(stderr(&output).starts_with("error: "), "{}", stderr(&output));
    // Help stays help.
    assert!(stdout(&run(["inspect", "--json", "--help"])).contains("Usage: "));
}

#[test]
fn a_port_that_is_taken_is_told_to_programs() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("outbound.log");
    let listen = format!("--listen={}", taken.local_addr().unwrap());
    let output =
        run(["proxy".as_ref(), "--json".as_ref(), listen.as_ref(), "--log".as_ref(), log.as_os_str()]);
    let said = json(&stderr(&output));
    assert_eq!((output.status.code(), &said["exit"]), (Some(3), &Value::from(3)));
    assert!(said["help"].is_string(), "{said}");
}

#[test]
fn what_records_ends_with_its_summary() {
    for command in ["proxy", "inbound"] {
        for quiet in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let log = folder.path().join("a.log");
            let mut line = vec![command, "--json", "--listen=127.0.0.1:0", "--duration=50ms"];
            line.extend(["--log", log.to_str().unwrap()]);
            line.extend(quiet.then_some("-q"));
            line.extend((command == "inbound").then_some("--forward=127.0.0.1:9"));
            let output = run(&line);
            let said = stderr(&output);
            assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), ""), "{line:?}: {said}");
            let lines: Vec<&str> = said.lines().collect();
            assert_eq!(lines.len(), if quiet { 1 } else { 2 }, "the ready line, and the summary: {said}");
            let last = lines.last().unwrap();
            assert!(last.starts_with(&format!("{{\"infernosim\":\"{command}\",")), "{last}");
            let summary = json(last);
            assert_eq!(keys(&summary), keys(&json(CAPTURE)));
            assert_eq!((&summary["events"], &summary["complete"]), (&Value::from(0), &Value::from(true)));
            assert!(summary["incidents"][0]["path"].is_string(), "{summary}");
        }
    }
}

#[test]
fn the_doctor_tells_of_each_ability() {
    let output = run(["doctor", "--json"]);
    let abilities = json(&stdout(&output));
    let example = json(DOCTOR);
    let known = keys(&example[0]);
    let abilities = abilities.as_array().unwrap();
    assert!(abilities.len() > 5);
    for ability in abilities {
        let mut found = keys(ability);
        // Where there is something to do.
        found.insert("help");
        assert_eq!(found, known, "{ability}");
        assert!(ability["works"].is_boolean() && ability["detail"].is_string(), "{ability}");
    }
    let broken = abilities.iter().any(|ability| ability["works"] == false && ability["required"] == true);
    assert_eq!(output.status.code(), Some(if broken { 3 } else { 0 }), "{}", stderr(&output));
}

#[test]
fn inspect_prints_the_lines_as_they_are_stored() {
    let folder = tempfile::tempdir().unwrap();
    let line = "{\"type\":\"OutboundCall\", \"id\":\"5f0c\", \"url\":\"http://a/\",\"status\":200}\n";
    fs::write(folder.path().join("outbound.log"), line).unwrap();
    let output = run(["inspect".as_ref(), folder.path().as_os_str(), "--json".as_ref()]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), line), "{}", stderr(&output));
}
