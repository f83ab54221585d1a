//! What documents and `--help` tell people to type must be understood: an option that was renamed, or never was,
//! is found here.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;

use super::shell::calls;
use super::{commands, root};

/// A line or a piece of a document that may call infernosim.
struct Shown {
    line: usize,
    text: String,
    /// Within a sentence: values may be left out.
    inline: bool,
}

/// Code of a document: lines of fenced blocks, and what stands between backticks.
fn code(document: &str) -> Vec<Shown> {
    let mut found = Vec::new();
    // In a console what is typed stands after a prompt; the rest is output.
    let (mut fence, mut console) = (false, false);
    let mut begun: Option<Shown> = None;
    for (at, line) in document.lines().enumerate() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            fence = !fence;
            console = !["sh", "bash", "shell"].contains(&language.trim());
            continue;
        }
        if !fence {
            let pieces = line.split('`').skip(1).step_by(2);
            found.extend(pieces.map(|piece| Shown {
                line: at + 1,
                text: piece.replace("\\|", "|"),
                inline: true,
            }));
            continue;
        }
        let mut shown = match begun.take() {
            Some(begun) => Shown { text: begun.text + line.trim(), ..begun },
            None => {
                let typed = line.trim().strip_prefix("$ ");
                let typed = if console { typed } else { Some(typed.unwrap_or(line.trim())) };
                let Some(typed) = typed else { continue };
                Shown { line: at + 1, text: typed.to_owned(), inline: false }
            }
        };
        if shown.text.ends_with('\\') {
            shown.text.pop();
            begun = Some(shown);
        } else {
            found.push(shown);
        }
    }
    found
}

/// Why a call would not be understood, or nothing.
fn complaint(words: &[String], inline: bool) -> Option<String> {
    let partly = inline || words.iter().any(|word| word.contains('…'));
    let plain = |word: &String| match inline {
        true => word.trim_matches(['[', ']']).to_owned(),
        false => word.clone(),
    };
    let words: Vec<String> = words.iter().filter(|word| *word != "…").map(plain).collect();
    let error = infernosim::cli::check(words.iter().map(OsString::from)).err()?;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => None,
        // `capture --pid` and `--max-size SIZE` are ways of speaking.
        ErrorKind::MissingRequiredArgument
        | ErrorKind::InvalidValue
        | ErrorKind::ValueValidation
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            if partly =>
        {
            None
        }
        _ => Some(error.to_string().lines().next().unwrap_or_default().to_owned()),
    }
}

/// All documents for users: the README's and those in docs/ and examples/.
fn documents() -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md")];
    let mut folders = vec![root().join("docs"), root().join("examples")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("node_modules") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn check(name: &Path, shown: &[Shown]) -> (usize, Vec<String>) {
    let mut checked = 0;
    let mut wrong = Vec::new();
    for Shown { line, text, inline } in shown {
        for words in calls(text) {
            checked += 1;
            if let Some(why) = complaint(&words, *inline) {
                wrong.push(format!("{}:{line}: {text}: {why}", name.display()));
            }
        }
    }
    (checked, wrong)
}

#[test]
fn what_documents_tell_to_type_is_understood() {
    let (mut checked, mut wrong) = (0, Vec::new());
    for path in documents() {
        let name = path.strip_prefix(root()).unwrap().to_owned();
        let (these, complaints) = check(&name, &code(&fs::read_to_string(&path).unwrap()));
        checked += these;
        wrong.extend(complaints);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 40, "only {checked} calls found: are documents read?");
}

#[test]
fn examples_of_help_are_understood() {
    for (words, command) in commands() {
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples = after.split("\n\n").find(|paragraph| paragraph.starts_with("Examples:")).unwrap();
        let mut called = 0;
        for line in examples.lines().skip(1) {
            // What an example does stands behind it, after three spaces.
            let typed = line.trim().split("   ").next().unwrap_or_default();
            for call in calls(typed) {
                called += 1;
                assert_eq!(complaint(&call, false), None, "{line}");
                let is_its_own = words.iter().zip(call.iter().skip(1)).all(|(word, called)| word == called);
                let is_alias = call.get(1).is_some_and(|word| word.starts_with("--mode"));
                assert!(is_its_own || is_alias, "an example of {words:?} calls another command: {line}");
            }
        }
        assert!(called > 0, "{words:?}");
    }
}

#[test]
fn what_is_wrong_is_seen() {
    let document = "a `infernosim capture --pid N` b `infernosim captrue`\n\n\
                    ```console\n$ sudo infernosim doctor --jsno\ninfernosim no output\n```\n\
                    ```sh\ninfernosim inspect \\\n  DIR --via tap   # why\n```\n\
                    `infernosim capture --duration | --drain`\n";
    let (checked, wrong) = check(Path::new("x.md"), &code(document));
    assert_eq!(checked, 5);
    let lines: Vec<&str> = wrong.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(lines, ["x.md:1", "x.md:4", "x.md:8"], "{wrong:#?}");
}
