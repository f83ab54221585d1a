//! `cargo xtask tidy`: the house rules as a test. Each broken rule is one line, `path:line: sentence`.
//!
//! The rules read a [`Tree`] and nothing else, so that each can be shown a tree that breaks it.

mod code;
mod documents;
mod errors;
mod layout;
mod order;
mod source;

use crate::{command, misuse, workspace};
use anyhow::Result;
use std::fmt;
use std::process::ExitCode;

/// A file of the tree, as git sees it: committed, or about to be.
#[derive(Debug)]
pub struct File {
    /// Relative to the root, with `/`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// The contents, if they are UTF-8.
    pub text: Option<String>,
}

/// All files that are committed or not ignored, in the order of their paths.
#[derive(Debug, Default)]
pub struct Tree {
    /// The files.
    pub files: Vec<File>,
}

impl Tree {
    /// The text files whose path ends so.
    fn texts<'a>(&'a self, ending: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .iter()
            .filter(move |file| file.path.ends_with(ending))
            .filter_map(|file| Some((file.path.as_str(), file.text.as_deref()?)))
    }

    /// Whether a file, or a folder with files in it, has this path.
    fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        path.is_empty() || self.files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
    }
}

/// A broken rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flaw {
    path: String,
    line: usize,
    sentence: String,
}

impl Flaw {
    /// A flaw at a line, counted from 1.
    fn new(path: &str, line: usize, sentence: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, sentence: sentence.into() }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.sentence)
    }
}

/// The rules.
const RULES: &[fn(&Tree) -> Vec<Flaw>] = &[
    code::sizes,
    code::notices,
    code::banned_words,
    code::unsafe_code,
    order::imports,
    layout::top_level,
    layout::names,
    layout::large_files,
    layout::white_space,
    documents::present,
    documents::linked,
    documents::links,
    errors::catalogue,
];

/// Exit status: 0 tidy, 1 not. With `--write` first makes anew what is made from the sources.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    match arguments {
        [] => {}
        [write] if write == "--write" => {
            let (path, text) = errors::rewritten(&read()?);
            std::fs::write(workspace::root().join(path), text)?;
            println!("tidy: wrote {path}");
        }
        _ => return misuse("tidy"),
    }
    let flaws = check(&read()?);
    for flaw in &flaws {
        println!("{flaw}");
    }
    if flaws.is_empty() {
        println!("tidy: the house is in order");
        return Ok(ExitCode::SUCCESS);
    }
    println!("tidy: {} to mend", flaws.len());
    Ok(ExitCode::FAILURE)
}

/// All flaws of a tree, ordered by path and line.
fn check(tree: &Tree) -> Vec<Flaw> {
    let mut flaws: Vec<Flaw> = RULES.iter().flat_map(|rule| rule(tree)).collect();
    flaws.sort();
    flaws
}

/// Reads the checkout.
fn read() -> Result<Tree> {
    let mut list = workspace::command("git");
    list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let names = command::output(&mut list)?;
    let root = workspace::root();
    let mut files = Vec::new();
    for path in names.split('\0').filter(|path| !path.is_empty()) {
        // Deleted but not yet committed as such, or a symbolic link to nowhere: not a file of the tree.
        let Ok(bytes) = std::fs::read(root.join(path)) else { continue };
        let size = bytes.len() as u64;
        files.push(File { path: path.to_owned(), size, text: String::from_utf8(bytes).ok() });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Tree { files })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of these files.
    pub(super) fn tree(files: &[(&str, &str)]) -> Tree {
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).to_owned(),
            size: text.len() as u64,
            text: Some((*text).to_owned()),
        };
        Tree { files: files.iter().map(file).collect() }
    }

    /// What a rule says of these files, as lines.
    pub(super) fn said(rule: fn(&Tree) -> Vec<Flaw>, files: &[(&str, &str)]) -> Vec<String> {
        rule(&tree(files)).iter().map(Flaw::to_string).collect()
    }

    #[test]
    fn every_rule_is_asked_and_its_flaws_come_in_order() {
        let flaws = check(&tree(&[
            ("infernosim-agent/src/helpers/mod.rs", "fn f() { todo!() } \n"),
            ("docs/alone.md", "[x](nowhere.md)\n"),
        ]));
        let lines: Vec<String> = flaws.iter().map(Flaw::to_string).collect();
        for part in [
            "docs/alone.md:1: no document links to it",
            "docs/alone.md:1: the link to \"nowhere.md\"",
            "LICENSE:1: ",
            "helpers/mod.rs:1: todo!",
            "helpers/mod.rs:1: the name \"helpers\"",
            "helpers/mod.rs:1: white space",
            "helpers/mod.rs:1: begins without",
            "helpers/mod.rs:1: the room \"helpers\"",
        ] {
            assert!(lines.iter().any(|line| line.contains(part)), "{part} not in {lines:#?}");
        }
        assert!(flaws.is_sorted());
    }
}
