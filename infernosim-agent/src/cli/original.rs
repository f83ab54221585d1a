//! The command line of the original InfernoSIM (`infernosim --mode=proxy --listen=:9000 --log=outbound.log`) as ours.

use std::ffi::{OsStr, OsString};

use crate::error::{Exit, ExpectedError, Result};

/// The original's flags that we know, by its `cmd/agent/main.go`. As for every program with Go's flag package, one dash
/// is as good as two.
const FLAGS: [&str; 4] = ["mode", "listen", "forward", "log"];
/// Those of its `replay`.
const REPLAY_FLAGS: [&str; 14] = [
    "incident",
    "target-base",
    "runs",
    "time-scale",
    "density",
    "min-gap",
    "max-wall-time",
    "max-idle-time",
    "max-events",
    "inject",
    "stub-listen",
    "stub-compat-listen",
    "fanout",
    "window",
];
/// Where it listened unless told, in either mode.
const LISTEN: &str = "--listen=:8080";

/// With `--mode` as the command that it names, and `replay` with two dashes; all others as they are.
///
/// # Errors
/// `Exit::Usage` if there is no such mode.
pub fn translate(arguments: impl IntoIterator<Item = OsString>) -> Result<Vec<OsString>> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if arguments.get(1).is_some_and(|first| first == "replay") {
        let ours = arguments.iter().position(|word| word == "--").unwrap_or(arguments.len());
        let words = arguments.into_iter().enumerate();
        let spelled = |(at, word)| if at < ours { with_two_dashes(word, &REPLAY_FLAGS) } else { word };
        return Ok(words.map(spelled).collect());
    }
    // Where a command is named, `--mode` may be an argument of CMD's.
    if !arguments.get(1).is_some_and(|first| first.as_encoded_bytes().starts_with(b"-")) {
        return Ok(arguments);
    }
    let mut words = arguments.iter().cloned().map(|word| with_two_dashes(word, &FLAGS));
    let mut translated: Vec<OsString> = words.next().into_iter().collect();
    let mut mode = None;
    let mut rest = Vec::new();
    while let Some(word) = words.next() {
        if word == "--mode" {
            mode = Some(words.next().unwrap_or_default());
        } else if let Some(named) = word.to_str().and_then(|word| word.strip_prefix("--mode=")) {
            mode = Some(named.into());
        } else {
            rest.push(word);
        }
    }
    let Some(mode) = mode else { return Ok(arguments) };
    if mode != "proxy" && mode != "inbound" {
        let message = format!("there is no mode `{}`", mode.display());
        return Err(
            ExpectedError::new(Exit::Usage, message).help("the modes are --mode=proxy and --mode=inbound")
        );
    }
    translated.push(mode);
    let names_listen = |word: &OsString| {
        word.to_str().is_some_and(|word| word == "--listen" || word.starts_with("--listen="))
    };
    if !rest.iter().any(names_listen) {
        translated.push(LISTEN.into());
    }
    translated.extend(rest);
    Ok(translated)
}

fn with_two_dashes(word: OsString, flags: &[&str]) -> OsString {
    let name = |word: &OsStr| -> Option<String> {
        let name = word.to_str()?.strip_prefix('-')?;
        flags.contains(&name.split('=').next()?).then(|| format!("--{name}"))
    };
    name(&word).map_or(word, OsString::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> String {
        let words = translate(line.split(' ').map(OsString::from)).unwrap();
        words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn modes_are_commands() {
        for line in [
            "infernosim --mode=proxy --listen=:9000 --log=outbound.log",
            "infernosim --listen=:9000 --mode proxy --log=outbound.log",
            "infernosim -mode=proxy -listen=:9000 -log=outbound.log",
            "infernosim --listen=:9000 -mode proxy -log=outbound.log",
        ] {
            assert_eq!(translated(line), "infernosim proxy --listen=:9000 --log=outbound.log", "{line}");
        }
        assert_eq!(
            translated("infernosim --mode=inbound --listen :18080 --forward=localhost:8084 --quiet"),
            "infernosim inbound --listen :18080 --forward=localhost:8084 --quiet"
        );
    }

    #[test]
    fn without_listen_it_is_the_port_of_the_original() {
        assert_eq!(translated("infernosim --mode=proxy"), "infernosim proxy --listen=:8080");
    }

    #[test]
    fn one_dash_is_as_good_as_two() {
        assert_eq!(
            translated("infernosim replay -incident . -target-base=http://localhost:8084 -runs 10 -q"),
            "infernosim replay --incident . --target-base=http://localhost:8084 --runs 10 -q"
        );
        let of_cmd = "infernosim replay --runs 1 -- ./app -runs 10";
        assert_eq!(translated(of_cmd), of_cmd);
    }

    #[test]
    fn other_command_lines_stay_as_they_are() {
        for line in [
            "infernosim",
            "infernosim --version",
            "infernosim -V",
            "infernosim capture -- ./app --mode=proxy -log x",
            "infernosim -q inspect",
        ] {
            assert_eq!(translated(line), line);
        }
    }

    #[test]
    fn an_unknown_mode_names_the_two() {
        for line in ["infernosim --mode=mitm", "infernosim --mode"] {
            let error = translate(line.split(' ').map(OsString::from)).unwrap_err();
            assert_eq!(error.exit, Exit::Usage);
            assert!(error.help.unwrap().contains("--mode=inbound"));
        }
    }
}
