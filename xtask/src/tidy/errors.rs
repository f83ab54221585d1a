//! The catalogue of errors, `docs/errors.md`: each error that the agent's sources can make is in it, with what they
//! say; why it happens is written by hand.

mod sources;
mod wording;

use super::{Flaw, Tree};
use sources::{Findings, Meaning, Place, last_word};
use std::collections::{BTreeMap, BTreeSet};
use syn::Expr;

const DOCUMENT: &str = "docs/errors.md";

/// What stands above this line is written by hand, what stands below is not, but for the last column.
const BEGIN: &str = "<!-- From here on kept by `cargo xtask tidy --write`, but for the last column. -->\n";

/// A pattern with fewer characters that are always the same says too little to stand for others.
const FEWEST_FIXED: usize = 12;

/// The last column of an error that nobody has explained yet.
const UNEXPLAINED: &str = "?";

/// The variants of `Exit`, in the order of their numbers, and what they mean.
const EXITS: [(&str, &str); 7] = [
    ("Fail", "1: a divergence, a missed objective, a failed run"),
    ("Usage", "2: the command line is wrong"),
    ("Host", "3: this host cannot"),
    ("Incident", "4: the incident is unusable, or its recording incomplete"),
    ("Bug", "101: a bug in InfernoSIM"),
    ("NotExecutable", "126: CMD cannot be executed"),
    ("NotFound", "127: CMD was not found"),
];

/// An error by what is always the same of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// Its status, as a place in `EXITS`.
    exit: usize,
    message: String,
}

/// What the sources tell of an error.
#[derive(Clone, Default)]
struct Entry {
    helps: BTreeSet<String>,
    /// The files and lines that make it.
    places: BTreeSet<(String, usize)>,
}

/// A row of the document.
struct Row {
    line: usize,
    help: String,
    why: String,
}

/// Each error is in the catalogue and explained, and the catalogue has no others.
pub fn catalogue(tree: &Tree) -> Vec<Flaw> {
    let entries = entries(tree);
    let rows = rows(tree);
    let mut flaws = Vec::new();
    for (key, entry) in &entries {
        let Some((path, line)) = entry.places.first() else { continue };
        flaws.extend(manners(key, entry).into_iter().map(|sentence| Flaw::new(path, *line, sentence)));
        let flaw = match rows.get(key) {
            None => Flaw::new(
                path,
                *line,
                format!("{DOCUMENT} has no {:?} (cargo xtask tidy --write)", key.message),
            ),
            Some(row) if row.help != help_cell(entry) => {
                Flaw::new(DOCUMENT, row.line, "other help is printed by now (cargo xtask tidy --write)")
            }
            Some(row) if row.why == UNEXPLAINED || row.why.is_empty() => {
                Flaw::new(DOCUMENT, row.line, "say in the last column why this happens, and what to do")
            }
            Some(_) => continue,
        };
        flaws.push(flaw);
    }
    let stale = rows.iter().filter(|(key, _)| !entries.contains_key(key));
    flaws.extend(stale.map(|(key, row)| {
        Flaw::new(
            DOCUMENT,
            row.line,
            format!("nothing says {:?} any more (cargo xtask tidy --write)", key.message),
        )
    }));
    flaws
}

/// How errors are worded (docs/cli.md): what people read behind `infernosim: `.
fn manners(key: &Key, entry: &Entry) -> Vec<String> {
    let texts = entry.helps.iter().chain([&key.message]);
    let wrong = texts.filter_map(|text| {
        let first = text.chars().next()?;
        let second = text.chars().nth(1).unwrap_or(' ');
        // An abbreviation may stand first.
        if first.is_uppercase() && second.is_lowercase() && !text.starts_with("Linux ") {
            return Some(format!("{text:?} begins with a capital"));
        }
        text.ends_with('.').then(|| format!("{text:?} ends with a full stop"))
    });
    wrong.collect()
}

/// The document as it has to be, with what people wrote into it.
pub fn rewritten(tree: &Tree) -> (&'static str, String) {
    let rows = rows(tree);
    let mut text = by_hand(tree).to_owned() + BEGIN;
    let mut exit = None;
    for (key, entry) in entries(tree) {
        if exit != Some(key.exit) {
            exit = Some(key.exit);
            text += &format!(
                "\n## {}\n\n| error | help | why, and what to do |\n|---|---|---|\n",
                EXITS[key.exit].1
            );
        }
        let why = rows.get(&key).map_or(UNEXPLAINED, |row| row.why.as_str());
        text += &format!("| {} | {} | {why} |\n", cell(&key.message), help_cell(&entry));
    }
    (DOCUMENT, text)
}

/// What stands above the catalogue.
fn by_hand(tree: &Tree) -> &str {
    let text = tree.texts(".md").find(|(path, _)| *path == DOCUMENT).map_or("", |(_, text)| text);
    text.split(BEGIN).next().unwrap_or_default()
}

fn entries(tree: &Tree) -> BTreeMap<Key, Entry> {
    let parsed = sources::parse(tree);
    let findings = Findings::of(&parsed);
    let mut entries: BTreeMap<Key, Entry> = BTreeMap::new();
    for site in &findings.sites {
        for place in findings.each_call(&site.place) {
            let helps: BTreeSet<String> =
                site.help.iter().flat_map(|help| wording::texts(&findings, help, &place)).collect();
            for exit in exits(&findings, site.exit, &place) {
                for message in wording::texts(&findings, site.message, &place) {
                    let entry = entries.entry(Key { exit, message }).or_default();
                    entry.helps.extend(helps.iter().cloned());
                    entry.places.insert((site.path.to_owned(), site.line));
                }
            }
        }
    }
    without_special_cases(entries)
}

/// Without errors that differ from another only in saying what it leaves open, as `cannot load x: …` beside
/// `cannot load …: …`.
fn without_special_cases(entries: BTreeMap<Key, Entry>) -> BTreeMap<Key, Entry> {
    let is_special = |key: &Key, entry: &Entry| {
        entries.iter().any(|(general, of_general)| {
            general != key
                && general.exit == key.exit
                && of_general.helps == entry.helps
                && general.message.replace(wording::UNKNOWN, "").chars().count() >= FEWEST_FIXED
                && wording::covers(&general.message, &key.message)
        })
    };
    entries
        .iter()
        .filter(|(key, entry)| !is_special(key, entry))
        .map(|(key, entry)| (key.clone(), entry.clone()))
        .collect()
}

/// Which variants of `Exit` an expression can come to.
fn exits(findings: &Findings, expression: &Expr, place: &Place) -> Vec<usize> {
    match expression {
        Expr::If(choice) => {
            let last = |block: &syn::Block| match block.stmts.last() {
                Some(syn::Stmt::Expr(last, None)) => exits(findings, last, place),
                _ => Vec::new(),
            };
            let otherwise = choice.else_branch.as_ref().map(|(_, other)| exits(findings, other, place));
            [last(&choice.then_branch), otherwise.unwrap_or_default()].concat()
        }
        Expr::Block(block) => match block.block.stmts.last() {
            Some(syn::Stmt::Expr(last, None)) => exits(findings, last, place),
            _ => Vec::new(),
        },
        Expr::Match(choice) => choice.arms.iter().flat_map(|arm| exits(findings, &arm.body, place)).collect(),
        Expr::Path(_) => {
            let name = last_word(expression).unwrap_or_default();
            if let Some(at) = EXITS.iter().position(|(exit, _)| *exit == name) {
                return vec![at];
            }
            match findings.meaning(&name, place) {
                Meaning::Value(value, None) => exits(findings, value, place),
                Meaning::Arguments(given) => {
                    given.iter().flat_map(|(argument, place)| exits(findings, argument, place)).collect()
                }
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}

/// The rows of the document as it is.
fn rows(tree: &Tree) -> BTreeMap<Key, Row> {
    let text = tree.texts(".md").find(|(path, _)| *path == DOCUMENT).map_or("", |(_, text)| text);
    let above = by_hand(tree).lines().count();
    let mut found = BTreeMap::new();
    let mut exit = None;
    for (at, line) in text.lines().enumerate().skip(above) {
        if let Some(heading) = line.strip_prefix("## ") {
            exit = EXITS.iter().position(|(_, meaning)| *meaning == heading);
        }
        // A bar that is no border is written with a backslash.
        let cells = line.replace("\\|", "\0");
        let cells: Vec<String> = cells.split('|').map(|cell| cell.trim().replace('\0', "\\|")).collect();
        let ([_, message, help, why, _], Some(exit)) = (&cells[..], exit) else { continue };
        if let Some(message) = uncelled(message) {
            found.insert(Key { exit, message }, Row { line: at + 1, help: help.clone(), why: why.clone() });
        }
    }
    found
}

fn help_cell(entry: &Entry) -> String {
    entry.helps.iter().map(|help| cell(help)).collect::<Vec<_>>().join("<br>")
}

/// A text as code in a table.
fn cell(text: &str) -> String {
    let text = text.replace('|', "\\|");
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

/// The text of such a cell; none of a heading or a rule.
fn uncelled(cell: &str) -> Option<String> {
    let inside = match cell.strip_prefix("`` ") {
        Some(rest) => rest.strip_suffix(" ``")?,
        None => cell.strip_prefix('`')?.strip_suffix('`')?,
    };
    Some(inside.replace("\\|", "|"))
}

#[cfg(test)]
mod tests;
