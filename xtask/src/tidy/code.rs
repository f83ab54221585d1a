//! Rules about Rust source: sizes, notices, banned words, where `unsafe` may stand.

use super::source::{code, end_of_item, is_word, line_of, words};
use super::{Flaw, Tree};
use std::collections::BTreeSet;

const MOST_LINES_OF_A_FILE: usize = 500;
const MOST_LINES_OF_A_FUNCTION: usize = 70;

/// What may not be committed, and why.
const BANNED: [(&str, &str); 4] = [
    ("todo!", "todo! is a promise; write the code or file an issue"),
    ("unimplemented!", "unimplemented! is a panic that waits for a user"),
    ("dbg!", "dbg! is for the desk, not for the house"),
    ("#[ignore", "an ignored test is no test: mend it or take it out"),
];

/// The files, and folders with all that is in them, where `unsafe` may stand. Each entry is there for a reason that
/// safe code cannot meet; a file joins the list together with that reason.
const UNSAFE_ALLOWED: &[&str] = &[
    // Programs that run in the kernel read contexts and maps through pointers.
    "infernosim-ebpf/src/",
    // aya's Pod promises that each bit pattern of a boundary type is a value.
    "infernosim-common/src/addr.rs",
    "infernosim-common/src/flow.rs",
    "infernosim-common/src/replay.rs",
    "infernosim-common/src/task.rs",
    "infernosim-common/src/unix.rs",
    // A socket option that nix does not wrap: the network namespace's cookie.
    "infernosim-agent/src/redirect/netns.rs",
    // bpf(2) for a hook that aya has no name for: connects to UNIX sockets.
    "infernosim-agent/src/redirect/unix_connect.rs",
    // clone3 with CLONE_INTO_CGROUP, and what runs between it and exec.
    "infernosim-agent/src/target/launch.rs",
    // bpf(2) with BPF_PROG_QUERY, which aya has for cgroup devices only.
    "infernosim-agent/src/target/programs.rs",
    // accept4 with the peer's address, and IP_BIND_ADDRESS_NO_PORT: nix and socket2 wrap neither so.
    "infernosim-agent/src/proxy/socket.rs",
    // A server that tests capture: what io_uring is told to read and write it is told by address.
    "infernosim-agent/tests/kernel/harness/programs/uring.rs",
];

/// Files of at most 500 lines, functions of at most 70.
pub fn sizes(tree: &Tree) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    for (path, text) in tree.texts(".rs") {
        let lines = text.lines().count();
        if lines > MOST_LINES_OF_A_FILE {
            let sentence = format!("{lines} lines, {MOST_LINES_OF_A_FILE} at most: is this two files?");
            flaws.push(Flaw::new(path, MOST_LINES_OF_A_FILE + 1, sentence));
        }
        let code = code(text);
        for at in words(&code, "fn") {
            // `fn` in a type (`fn(u8)`) has no name.
            let name: String = code[at + 2..].trim_start().chars().take_while(|c| is_word(*c)).collect();
            if name.is_empty() {
                continue;
            }
            let first = line_of(&code, at);
            let lines = line_of(&code, end_of_item(&code, at)) - first + 1;
            if lines > MOST_LINES_OF_A_FUNCTION {
                let sentence =
                    format!("the function {name} has {lines} lines, {MOST_LINES_OF_A_FUNCTION} at most");
                flaws.push(Flaw::new(path, first, sentence));
            }
        }
    }
    flaws
}

/// Each folder's and each crate's first file begins with what it is for.
pub fn notices(tree: &Tree) -> Vec<Flaw> {
    let named = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        ["mod.rs", "lib.rs", "main.rs"].contains(&name)
    };
    tree.texts(".rs")
        .filter(|(path, text)| named(path) && !text.starts_with("//! "))
        .map(|(path, _)| Flaw::new(path, 1, "begins without a notice: say with //! what this folder is for"))
        .collect()
}

/// No promise, no print at the desk, no test that does not run.
pub fn banned_words(tree: &Tree) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    for (path, text) in tree.texts(".rs") {
        let code = code(text);
        for (word, sentence) in BANNED {
            let found = code.match_indices(word).filter(|(at, _)| !code[..*at].ends_with(is_word));
            flaws.extend(found.map(|(at, _)| Flaw::new(path, line_of(&code, at), sentence)));
        }
    }
    flaws
}

/// `unsafe` only in the files of the list, and no file in the list for nothing.
pub fn unsafe_code(tree: &Tree) -> Vec<Flaw> {
    unsafe_outside(tree, UNSAFE_ALLOWED)
}

fn unsafe_outside(tree: &Tree, allowed: &[&str]) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let mut used = BTreeSet::new();
    for (path, text) in tree.texts(".rs") {
        let code = code(text);
        let mut found = words(&code, "unsafe").peekable();
        let entry =
            allowed.iter().find(|entry| path == **entry || entry.ends_with('/') && path.starts_with(**entry));
        match entry {
            Some(entry) if found.peek().is_some() => {
                used.insert(entry);
            }
            Some(_) => {}
            None => {
                let sentence = "unsafe is only for the files listed in xtask/src/tidy/code.rs";
                flaws.extend(found.map(|at| Flaw::new(path, line_of(&code, at), sentence)));
            }
        }
    }
    let idle = allowed.iter().filter(|entry| !used.contains(entry));
    flaws.extend(idle.map(|entry| {
        Flaw::new(
            "xtask/src/tidy/code.rs",
            1,
            format!("{entry} has no unsafe (any more): take it off the list"),
        )
    }));
    flaws
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;
    use super::*;

    #[test]
    fn a_file_has_500_lines_at_most() {
        assert_eq!(said(sizes, &[("a.rs", &"//\n".repeat(500))]), [""; 0]);
        let flaws = said(sizes, &[("a.rs", &"//\n".repeat(501))]);
        assert_eq!(flaws, ["a.rs:501: 501 lines, 500 at most: is this two files?"]);
    }

    #[test]
    fn a_function_has_70_lines_at_most() {
        let function = |lines: usize| format!("//\npub fn long(a: [u8; 2]) {{{}}}\n", "\n".repeat(lines - 1));
        assert_eq!(said(sizes, &[("a.rs", &function(70))]), [""; 0]);
        let flaws = said(sizes, &[("a.rs", &function(71))]);
        assert_eq!(flaws, ["a.rs:2: the function long has 71 lines, 70 at most"]);
        // Neither a brace in a string nor a declaration without a body nor a type ends or begins one.
        let text = "trait T { fn f(&self); }\ntype F = fn(u8);\n".to_owned()
            + &function(71).replace("{\n", "{\n\"}\"");
        assert_eq!(said(sizes, &[("a.rs", &text)]).len(), 1);
    }

    #[test]
    fn a_folder_says_what_it_is_for() {
        let good = "//! What it is for.\n";
        assert_eq!(said(notices, &[("a/mod.rs", good), ("a/lib.rs", good), ("a/b.rs", "")]), [""; 0]);
        for path in ["a/mod.rs", "a/src/main.rs", "lib.rs"] {
            let flaws = said(notices, &[(path, "// no notice\n")]);
            assert_eq!(flaws.len(), 1, "{path}");
            assert!(flaws[0].starts_with(&format!("{path}:1: begins without")), "{flaws:?}");
        }
    }

    #[test]
    fn banned_words_are_found_in_code_only() {
        let quoted = "// todo!()\nlet a = \"dbg!\"; my_todo!(); ignore();\n";
        assert_eq!(said(banned_words, &[("a.rs", quoted)]), [""; 0]);
        for word in ["todo!()", "unimplemented!()", "dbg!(x)", "#[ignore]", "#[ignore = \"slow\"]"] {
            let flaws = said(banned_words, &[("a.rs", &format!("\n{word}"))]);
            assert_eq!(flaws.len(), 1, "{word}");
            assert!(flaws[0].starts_with("a.rs:2: "), "{flaws:?}");
        }
    }

    #[test]
    fn unsafe_stands_only_where_it_is_allowed() {
        let rule = |tree: &Tree| unsafe_outside(tree, &["in/", "one.rs"]);
        let text = "#![deny(unsafe_code)]\n// unsafe\nfn f() { unsafe { g() } }\n";
        assert_eq!(said(rule, &[("in/a.rs", text), ("one.rs", text)]), [""; 0]);
        let flaws =
            said(rule, &[("inside.rs", text), ("in/a.rs", text), ("other/one.rs", text), ("one.rs", text)]);
        assert_eq!(flaws.len(), 2, "{flaws:?}");
        assert!(flaws[0].starts_with("inside.rs:3: unsafe"), "{flaws:?}");
        let flaws = said(unsafe_code, &[("xtask/src/main.rs", text)]);
        assert!(flaws[0].starts_with("xtask/src/main.rs:3: unsafe"), "{flaws:?}");
    }

    #[test]
    fn a_file_does_not_stay_on_the_list_for_nothing() {
        let rule = |tree: &Tree| unsafe_outside(tree, &["in/", "one.rs"]);
        let flaws = said(rule, &[("in/a.rs", "unsafe {}"), ("one.rs", "// unsafe\n")]);
        assert_eq!(flaws.len(), 1, "{flaws:?}");
        assert!(flaws[0].contains(": one.rs has no unsafe"), "{flaws:?}");
    }
}
