//! Rules about documents: they exist, can be found, and their links lead somewhere.

use super::{Flaw, Tree};
use std::collections::BTreeSet;

const REQUIRED: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE", "docs/architecture.md"];

/// The documents that everybody looks for are there.
pub fn present(tree: &Tree) -> Vec<Flaw> {
    let has = |path: &str| tree.files.iter().any(|file| file.path == path);
    REQUIRED.into_iter().filter(|path| !has(path)).map(|path| Flaw::new(path, 1, "is missing")).collect()
}

/// Each document in docs/ can be reached from the README.
pub fn linked(tree: &Tree) -> Vec<Flaw> {
    let mut reached = BTreeSet::new();
    let mut next = vec!["README.md".to_owned()];
    while let Some(path) = next.pop() {
        let text = tree.files.iter().find(|file| file.path == path).and_then(|file| file.text.as_deref());
        if reached.insert(path.clone()) {
            let targets = text.map(targets).unwrap_or_default();
            next.extend(targets.iter().filter_map(|(_, target)| resolve(&path, target)));
        }
    }
    tree.texts(".md")
        .filter(|(path, _)| path.starts_with("docs/") && !reached.contains(*path))
        .map(|(path, _)| Flaw::new(path, 1, "no document links to it, starting from README.md"))
        .collect()
}

/// Each relative link leads to a file or folder of the tree.
pub fn links(tree: &Tree) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    for (path, text) in tree.texts(".md") {
        for (line, target) in targets(text) {
            if !is_relative(target) {
                continue;
            }
            if !resolve(path, target).is_some_and(|target| tree.has(&target)) {
                flaws.push(Flaw::new(path, line, format!("the link to {target:?} points nowhere")));
            }
        }
    }
    flaws
}

/// The targets of a document's links `[…](target)` and references `[…]: target`, each with its line.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        // What stands between two backticks is code: every second piece.
        for piece in line.split('`').step_by(2) {
            for (start, _) in piece.match_indices("](") {
                let target = &piece[start + 2..];
                let target = &target[..target.find([')', ' ']).unwrap_or(target.len())];
                found.push((at + 1, target));
            }
        }
        let reference = line.strip_prefix('[').and_then(|line| line.split_once("]: "));
        if let Some((_, target)) = reference {
            found.push((at + 1, target.split(' ').next().unwrap_or(target)));
        }
    }
    found
}

fn is_relative(target: &str) -> bool {
    !target.starts_with('#') && !target.contains("://") && !target.starts_with("mailto:")
}

/// The path in the tree that a relative link of the document at `from` leads to; none if it leaves the tree.
fn resolve(from: &str, target: &str) -> Option<String> {
    if !is_relative(target) || target.starts_with('/') {
        return None;
    }
    let target = target.split('#').next().unwrap_or(target);
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;
    use super::*;

    #[test]
    fn what_everybody_looks_for_is_there() {
        let all = REQUIRED.map(|path| (path, ""));
        assert_eq!(said(present, &all), [""; 0]);
        for missing in REQUIRED {
            let some: Vec<_> = all.into_iter().filter(|(path, _)| *path != missing).collect();
            assert_eq!(said(present, &some), [format!("{missing}:1: is missing")]);
        }
    }

    #[test]
    fn documents_are_reached_from_the_readme() {
        let readme = ("README.md", "[a](docs/a.md)");
        let all = [readme, ("docs/a.md", "see [b](b.md#part)"), ("docs/b.md", "")];
        assert_eq!(said(linked, &all), [""; 0]);
        // A document that only itself, or an island, links to is not found by anybody.
        let island = [readme, ("docs/a.md", ""), ("docs/c.md", "[d](d.md)"), ("docs/d.md", "[c](c.md)")];
        let flaws = said(linked, &island);
        assert_eq!(flaws.len(), 2);
        assert!(flaws[0].starts_with("docs/c.md:1: no document links to it"), "{flaws:?}");
    }

    #[test]
    fn links_lead_somewhere() {
        let text = "[a](../src/x.rs#L3) [b](https://h/x) [c](#part) [d](./) ![e](e.png \"title\")\n\
                    ```\n[no](nowhere)\n```\n`[no](nowhere)` [up](..)\n\n[r]: e.png\n";
        let good = [("docs/a.md", text), ("docs/e.png", ""), ("src/x.rs", "")];
        assert_eq!(said(links, &good), [""; 0]);
        for bad in ["[a](b.md)", "[a](../../x)", "[a](/etc/passwd)", "`x` [a](nowhere)", "[r]: nowhere"] {
            let flaws = said(links, &[("docs/a.md", &format!("\n{bad}\n"))]);
            assert_eq!(flaws.len(), 1, "{bad}");
            assert!(flaws[0].starts_with("docs/a.md:2: the link to "), "{flaws:?}");
        }
    }
}
