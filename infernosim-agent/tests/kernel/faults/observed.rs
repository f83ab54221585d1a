//! What clients saw, and the tables of it in docs/faults.md. `INFERNOSIM_GOLDEN=write` writes them anew.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::PathBuf;

use serde::Deserialize;

use crate::harness::Replayed;

/// Who asks, and by which path.
#[derive(Clone, Copy)]
pub struct Client {
    pub title: &'static str,
    pub path: &'static str,
}

/// What each client is to see of an action.
#[derive(Clone, Copy)]
pub struct Row<const N: usize> {
    pub action: &'static str,
    /// Status or error, by client; behind a `…`, how it ends.
    pub what: [&'static str; N],
    /// At least and at most.
    pub bytes: (u64, u64),
    /// At least and at most.
    pub ms: (u64, u64),
    /// What else is not as recorded.
    pub notes: &'static str,
}

/// What one client saw, as clients.py tells it.
#[derive(Debug, Deserialize)]
pub struct Saw {
    client: String,
    what: String,
    bytes: u64,
    pub ms: u64,
    notes: String,
}

impl Saw {
    pub fn read(line: &str) -> Self {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    fn cell(&self) -> String {
        let notes = if self.notes.is_empty() { String::new() } else { format!("; {}", self.notes) };
        format!("{}, {} bytes, {} ms{notes}", self.what, self.bytes, self.ms)
    }
}

impl<const N: usize> Row<N> {
    /// Asserts that a client saw what it is to see; not that it was not too late.
    pub fn assert_is(&self, saw: &Saw, what: &str, replayed: &Replayed) {
        // A RST may overtake what was not read yet.
        let is_it = match what.strip_prefix('…') {
            Some(end) => saw.what.ends_with(end),
            None => saw.what == what,
        };
        let (least, most) = self.bytes;
        let is_all = saw.notes == self.notes && (least..=most).contains(&saw.bytes) && saw.ms >= self.ms.0;
        assert!(is_it && is_all, "{}, {}, {what}: {saw:?}\n{}", self.action, saw.client, replayed.all());
    }

    /// Of the table.
    pub fn line(&self, saws: &[Saw]) -> String {
        let cells: Vec<String> = saws.iter().map(Saw::cell).collect();
        let line = format!("| `{}` | {} |", self.action, cells.join(" | "));
        println!("{line}");
        line
    }
}

/// The page's table of this name has these lines. What was measured differs each time: that it is a line of the same
/// action is enough, unless the page is to be written.
pub fn page_says(name: &str, titles: &[&str], lines: &[String]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/faults.md");
    let mut file = File::options().read(true).write(true).open(path).unwrap();
    // Tests beside this one write the other tables.
    file.lock().unwrap();
    let mut page = String::new();
    file.read_to_string(&mut page).unwrap();
    let begin = page.find(&format!("<!-- observed {name}:")).unwrap_or_else(|| panic!("no table {name}"));
    let begin = begin + page[begin..].find('\n').unwrap() + 1;
    let end = begin + page[begin..].find("<!-- end -->").unwrap();
    let head = format!("| action | {} |\n|{}", titles.join(" | "), "---|".repeat(titles.len() + 1));
    if std::env::var("INFERNOSIM_GOLDEN").is_ok_and(|it| it == "write") {
        let page = format!("{}{head}\n{}\n{}", &page[..begin], lines.join("\n"), &page[end..]);
        file.rewind().unwrap();
        file.set_len(0).unwrap();
        file.write_all(page.as_bytes()).unwrap();
        return;
    }
    let action = |line: &str| line.split(" | ").next().unwrap_or_default().to_owned();
    let found: Vec<String> = page[begin..end].lines().map(action).collect();
    let wanted: Vec<String> = head.lines().map(action).chain(lines.iter().map(|line| action(line))).collect();
    assert_eq!(found, wanted, "docs/faults.md, observed {name}: INFERNOSIM_GOLDEN=write writes it");
}
