//! docs/faults.md and the JSON Schema are as the grammar is. `INFERNOSIM_GOLDEN=write` writes both anew.

use std::path::PathBuf;

use super::super::action::{ENTRIES, Entry, Value};
use super::super::schema::schema;
use super::super::selector::SELECTORS;
use super::super::when::WHENS;
use super::super::{Plan, Term};

fn document(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)
}

/// What is there must be `wanted`, or becomes it.
fn same(name: &str, found: &str, wanted: &str) {
    if found != wanted && std::env::var("INFERNOSIM_GOLDEN").is_ok_and(|it| it == "write") {
        std::fs::write(document(name), wanted).unwrap();
        return;
    }
    let differs = found.lines().zip(wanted.lines()).find(|(found, wanted)| found != wanted);
    assert!(
        found == wanted,
        "docs/{name} is behind the grammar; INFERNOSIM_GOLDEN=write writes it: {differs:?}"
    );
}

/// The page with another table between `<!-- name:` and `<!-- end -->`.
fn put(page: &str, name: &str, table: &str) -> String {
    let begin = page.find(&format!("<!-- {name}:")).unwrap_or_else(|| panic!("{name}"));
    let begin = begin + page[begin..].find('\n').unwrap() + 1;
    let end = begin + page[begin..].find("<!-- end -->").unwrap();
    format!("{}{table}{}", &page[..begin], &page[end..])
}

fn cell(code: &str) -> String {
    format!("`{}`", code.replace('|', "\\|"))
}

fn terms(terms: &[Term]) -> String {
    let row = |term: &Term| {
        let word = cell(&format!("{}={}", term.word, term.value));
        format!("| {word} | {} | {} |\n", term.about.replace('|', "\\|"), cell(term.example))
    };
    format!("| word | chooses | for example |\n|---|---|---|\n{}", terms.iter().map(row).collect::<String>())
}

fn actions() -> String {
    let row = |entry: &&Entry| {
        let word = match entry.value {
            Value::None => cell(entry.word),
            Value::Optional(value) => cell(&format!("{}[={value}]", entry.word)),
            Value::Needed(value) => cell(&format!("{}={value}", entry.word)),
        };
        let aliases: Vec<String> = entry.aliases.iter().map(|alias| cell(alias)).collect();
        let aliases =
            if aliases.is_empty() { String::new() } else { format!(" (also {})", aliases.join(", ")) };
        format!("| {word}{aliases} | {} | {} | {} |\n", entry.kinds.text(), entry.about, cell(entry.example))
    };
    format!(
        "| action | of | what happens | for example |\n|---|---|---|---|\n{}",
        ENTRIES.iter().map(row).collect::<String>()
    )
}

#[test]
fn the_page_has_each_word_and_no_other() {
    let page = std::fs::read_to_string(document("faults.md")).unwrap();
    let wanted = put(&page, "selectors", &terms(&SELECTORS));
    let wanted = put(&wanted, "whens", &terms(&WHENS));
    let wanted = put(&wanted, "actions", &actions());
    same("faults.md", &page, &wanted);
}

#[test]
fn the_schema_is_that_of_the_grammar() {
    let found = std::fs::read_to_string(document("fault-plan.schema.json")).unwrap_or_default();
    same("fault-plan.schema.json", &found, &format!("{:#}\n", schema()));
}

#[test]
fn the_plans_of_the_page_are_plans() {
    let page = std::fs::read_to_string(document("faults.md")).unwrap();
    let plans: Vec<&str> =
        page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(plans.len() >= 2);
    for plan in plans {
        let read = Plan::from_toml(plan, "docs/faults.md").unwrap_or_else(|error| panic!("{error}"));
        assert!(!read.rules.is_empty());
    }
}
