//! The order of the rooms of `infernosim-agent/src`: a room may import only what stands before it.

use super::source::{code, is_word, line_of, without_tests, words};
use super::{Flaw, Tree};

const SOURCES: &str = "infernosim-agent/src/";

/// The rooms, level by level. A room may import from every level before its own.
const LEVELS: [&[&str]; 11] = [
    &["error", "clock", "privilege", "seed", "shutdown", "pattern", "quantity"],
    &["protocol"],
    &["incident"],
    &["fault", "invariant"],
    &["target", "redirect", "tap", "proxy"],
    &["capture"],
    &["replay"],
    &["inject"],
    &["simulate"],
    &["report"],
    &["cli"],
];

/// Levels whose rooms may import each other: the foundation, and the stations of a connection's way.
const OPEN_LEVELS: [usize; 2] = [0, 4];

/// Each import of the agent's goes downwards, and each room has its place.
pub fn imports(tree: &Tree) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    for (path, text) in tree.texts(".rs") {
        let Some(room) = path.strip_prefix(SOURCES).and_then(room_of) else { continue };
        let Some(own) = level(room) else {
            let sentence = format!("the room {room:?} has no place in the order (xtask/src/tidy/order.rs)");
            flaws.push(Flaw::new(path, 1, sentence));
            continue;
        };
        if path.ends_with("/tests.rs") || path.contains("/tests/") {
            continue;
        }
        let code = without_tests(&code(text));
        for (at, used) in uses(&code) {
            let Some(its) = level(used) else { continue };
            let open = OPEN_LEVELS.contains(&own);
            if used != room && (its > own || its == own && !open) {
                let sentence = format!("{room} may not import {used}: the order of the rooms is {}", order());
                flaws.push(Flaw::new(path, line_of(&code, at), sentence));
            }
        }
    }
    flaws
}

/// The room that a file under the sources belongs to; none for the crate's own `lib.rs` and `main.rs`.
fn room_of(path: &str) -> Option<&str> {
    let room = path.split('/').next()?;
    let room = room.strip_suffix(".rs").unwrap_or(room);
    (!["lib", "main"].contains(&room)).then_some(room)
}

fn level(room: &str) -> Option<usize> {
    LEVELS.iter().position(|rooms| rooms.contains(&room))
}

fn order() -> String {
    LEVELS.iter().map(|rooms| rooms.join(" ")).collect::<Vec<_>>().join(" < ")
}

/// The names that blanked code takes from `crate::`, one by one or in braces, with where.
fn uses(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for at in words(code, "crate") {
        let after = code[at + "crate".len()..].trim_start();
        let Some(path) = after.strip_prefix("::").map(str::trim_start) else { continue };
        if let Some(group) = path.strip_prefix('{') {
            found.extend(heads(group, code.len() - group.len()));
        } else {
            found.push((at, name(path)));
        }
    }
    found
}

/// The first names of a braced list's members, up to its closing brace.
fn heads(group: &str, offset: usize) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let (mut depth, mut fresh) = (0usize, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && depth == 0 && is_word(c) => {
                found.push((offset + at, name(&group[at..])));
                fresh = false;
            }
            _ => {}
        }
    }
    found
}

/// The name that `text` begins with.
fn name(text: &str) -> &str {
    &text[..text.find(|c| !is_word(c)).unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;
    use super::*;

    fn flaws(room: &str, text: &str) -> Vec<String> {
        said(imports, &[(&format!("{SOURCES}{room}"), text)])
    }

    #[test]
    fn what_stands_before_may_be_imported() {
        for (room, text) in [
            ("protocol/mod.rs", "use crate::error::Result;"),
            ("cli/mod.rs", "use crate::{capture, report::{self, Text}, error};"),
            ("proxy/relay.rs", "use crate::redirect::Flow; use crate::tap;"),
            ("shutdown.rs", "use crate::clock;"),
            ("capture/mod.rs", "use crate::capture::x; fn f() { crate::proxy::y() }"),
            ("main.rs", "use crate::cli;"),
            ("lib.rs", "pub use crate::cli;"),
        ] {
            assert_eq!(flaws(room, text), [""; 0], "{room}: {text}");
        }
    }

    #[test]
    fn what_stands_after_may_not() {
        for (room, text) in [
            ("protocol/mod.rs", "\nuse crate::incident::Event;"),
            ("protocol/http1/mod.rs", "\nfn f() { crate :: cli::run() }"),
            ("clock.rs", "use crate::{\nprotocol};"),
            ("proxy/mod.rs", "use crate::{error::{Exit, capture},\n capture::Recorder};"),
            ("report/mod.rs", "\npub(crate) use crate::cli;"),
        ] {
            let flaws = flaws(room, text);
            assert_eq!(flaws.len(), 1, "{room}: {text}");
            assert!(flaws[0].contains(".rs:2: "), "{flaws:?}");
            assert!(flaws[0].contains(" may not import "), "{flaws:?}");
        }
    }

    #[test]
    fn rooms_of_a_closed_level_do_not_know_each_other() {
        assert_eq!(flaws("capture/mod.rs", "use crate::replay;").len(), 1);
        assert_eq!(flaws("fault/mod.rs", "use crate::invariant;").len(), 1);
        assert_eq!(flaws("target/mod.rs", "use crate::proxy;").len(), 0);
    }

    #[test]
    fn tests_comments_and_macros_do_not_count() {
        let text = "// crate::cli\n#[cfg(test)]\nmod tests { use crate::cli; }\nlet x = \"crate::cli\"; mycrate::cli();";
        assert_eq!(flaws("protocol/mod.rs", text), [""; 0]);
        assert_eq!(flaws("protocol/tests.rs", "use crate::cli;"), [""; 0]);
        assert_eq!(flaws("protocol/mod.rs", "crate::some_macro!()"), [""; 0]);
    }

    #[test]
    fn a_room_needs_a_place() {
        let flaws = flaws("cellar/mod.rs", "");
        assert_eq!(flaws.len(), 1);
        assert!(flaws[0].contains("the room \"cellar\" has no place"), "{flaws:?}");
    }
}
