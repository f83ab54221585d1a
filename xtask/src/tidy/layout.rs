//! Rules about files: what stands at the top, names, sizes, white space.

use super::{Flaw, Tree};
use std::collections::BTreeSet;

/// What may stand at the top of the tree (docs/architecture.md).
const TOP_LEVEL: [&str; 20] = [
    ".cargo",
    ".ci",
    ".config",
    ".gitattributes",
    ".github",
    ".gitignore",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "clippy.toml",
    "docs",
    "examples",
    "fuzz",
    "infernosim-agent",
    "infernosim-common",
    "infernosim-ebpf",
    "rustfmt.toml",
    "xtask",
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 7] = ["util", "utils", "helper", "helpers", "manager", "managers", "types"];

const LARGEST_FILE: u64 = 1 << 20;

/// Nothing new at the top of the tree.
pub fn top_level(tree: &Tree) -> Vec<Flaw> {
    let names: BTreeSet<&str> = tree.files.iter().filter_map(|file| file.path.split('/').next()).collect();
    names
        .into_iter()
        .filter(|name| !TOP_LEVEL.contains(name))
        .map(|name| {
            Flaw::new(
                name,
                1,
                "does not belong at the top of the tree (xtask/src/tidy/layout.rs lists what does)",
            )
        })
        .collect()
}

/// A Rust file or its folder is named for what it does.
pub fn names(tree: &Tree) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    for file in tree.files.iter().filter(|file| file.path.ends_with(".rs")) {
        let path = file.path.trim_end_matches(".rs");
        if let Some(name) = path.split('/').find(|part| EMPTY_NAMES.contains(part)) {
            let sentence = format!("the name {name:?} says nothing; name it for what it does");
            flaws.push(Flaw::new(&file.path, 1, sentence));
        }
    }
    flaws
}

/// Nothing larger than 1 MiB.
pub fn large_files(tree: &Tree) -> Vec<Flaw> {
    let large = tree.files.iter().filter(|file| file.size > LARGEST_FILE);
    large
        .map(|file| {
            let sentence = format!("{} bytes, {LARGEST_FILE} at most: make it when it is needed", file.size);
            Flaw::new(&file.path, 1, sentence)
        })
        .collect()
}

/// No white space at the end of a line and no tab in Rust; a new line at the end of a file.
pub fn white_space(tree: &Tree) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    for ending in [".rs", ".md", ".toml", ".ci/run", ".sh"] {
        for (path, text) in tree.texts(ending) {
            for (at, line) in text.split('\n').enumerate() {
                if line.ends_with([' ', '\t', '\r']) {
                    flaws.push(Flaw::new(path, at + 1, "white space at the end of the line"));
                }
                if ending == ".rs" && line.contains('\t') {
                    flaws.push(Flaw::new(path, at + 1, "a tab; Rust is indented with spaces"));
                }
            }
            if !text.is_empty() && !text.ends_with('\n') {
                flaws.push(Flaw::new(path, text.lines().count(), "the last line does not end"));
            }
        }
    }
    flaws
}

#[cfg(test)]
mod tests {
    use super::super::tests::{said, tree};
    use super::*;

    #[test]
    fn nothing_new_at_the_top() {
        assert_eq!(said(top_level, &[("README.md", ""), ("docs/a/b.md", ""), ("xtask/x.rs", "")]), [""; 0]);
        let flaws = said(top_level, &[("notes.txt", ""), ("tools/a.sh", ""), ("tools/b.sh", "")]);
        assert_eq!(flaws.len(), 2);
        assert!(flaws[0].starts_with("notes.txt:1: ") && flaws[1].starts_with("tools:1: "), "{flaws:?}");
    }

    #[test]
    fn empty_names_are_refused() {
        assert_eq!(said(names, &[("a/b.rs", ""), ("a/types.md", ""), ("a/prototypes.rs", "")]), [""; 0]);
        for path in ["a/utils.rs", "a/helpers/b.rs", "types.rs", "a/manager/mod.rs"] {
            assert_eq!(said(names, &[(path, "")]).len(), 1, "{path}");
        }
    }

    #[test]
    fn a_mebibyte_at_most() {
        let mut tree = tree(&[("a.o", "")]);
        tree.files[0].size = 1 << 20;
        assert_eq!(large_files(&tree), []);
        tree.files[0].size += 1;
        assert_eq!(large_files(&tree).len(), 1);
    }

    #[test]
    fn white_space_is_seen() {
        assert_eq!(
            said(white_space, &[("a.rs", "a\n\n b\n"), ("a.txt", "a \n"), ("b.md", "a\tb\n")]),
            [""; 0]
        );
        for (path, text, line) in [
            ("a.rs", "a\nb \n", 2),
            ("a.md", "a  \n", 1),
            ("a.rs", "a\n\tb\n", 2),
            ("a.toml", "a\r\n", 1),
            ("a.rs", "a", 1),
        ] {
            let flaws = said(white_space, &[(path, text)]);
            assert_eq!(flaws.len(), 1, "{text:?}");
            assert!(flaws[0].starts_with(&format!("{path}:{line}: ")), "{flaws:?}");
        }
    }
}
