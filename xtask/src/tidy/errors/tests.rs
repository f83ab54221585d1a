use super::super::tests::{said, tree};
use super::*;

const SOURCE: &str = "infernosim-agent/src/a.rs";

/// The catalogue that is made of this source.
fn made(source: &str) -> String {
    let (path, text) = rewritten(&tree(&[(SOURCE, source), (DOCUMENT, "# Errors\n")]));
    assert_eq!(path, DOCUMENT);
    assert!(text.starts_with(&format!("# Errors\n{BEGIN}")), "{text}");
    text
}

/// The messages, each with its status and help.
fn found(source: &str) -> Vec<String> {
    let mut exit = "";
    let text = made(source);
    let rows = text.lines().filter_map(|line| {
        if let Some(heading) = line.strip_prefix("## ") {
            exit = heading.split(':').next().unwrap();
        }
        line.starts_with("| `").then(|| format!("{exit} {}", line.trim_end_matches(" ? |")))
    });
    rows.collect()
}

#[test]
fn messages_are_read_through_names_branches_and_calls() {
    for (source, expected) in [
        (r#"fn f() { ExpectedError::new(Exit::Host, "plain"); }"#, &["3 | `plain` |  |"][..]),
        (
            r#"fn f() { let s = format!("no {x}: {}", e()); Err(ExpectedError::new(Exit::Usage, s).help("do"))}"#,
            &["2 | `no …: …` | `do` |"],
        ),
        (
            r#"fn f() { let (why, help) = match e { A => ("a", "b"), B => return, o => (o.desc(), "d") };
               ExpectedError::new(Exit::Host, format!("x {why}")).help(help) }"#,
            &["3 | `x a` | `b`<br>`d` |", "3 | `x …` | `b`<br>`d` |"],
        ),
        (
            r#"fn cannot(what: &str) -> E { crate::error::ExpectedError::new(Exit::Host, format!("cannot {what}")) }
               fn g() { cannot("load"); cannot(&format!("make {}", 1)); } fn h() { let cannot = |x| x; cannot("no"); }"#,
            &["3 | `cannot load` |  |", "3 | `cannot make …` |  |"],
        ),
        (
            r#"fn f() { let fail = |what: &str| ExpectedError::new(Exit::Bug, what.to_owned()); fail("one"); }"#,
            &["101 | `one` |  |"],
        ),
        (
            r#"fn f(b: bool) { let e = ExpectedError::new(if b { Exit::Usage } else { Exit::Host }, "m"); e.help("h") }"#,
            &["2 | `m` | `h` |", "3 | `m` | `h` |"],
        ),
        (
            r#"fn f() { ExpectedError::new(Exit::Host, "a".to_owned() + " | `b`") }"#,
            &["3 | `` a \\| `b` `` |  |"],
        ),
        // What one call gives belongs together.
        (
            r#"fn f(s: &str, h: &str) { ExpectedError::new(Exit::Host, s).help(h) } fn g() { f("a", "b"); f("c", "d") }"#,
            &["3 | `a` | `b` |", "3 | `c` | `d` |"],
        ),
        // A special case is none of its own.
        (
            r#"fn f() { ExpectedError::new(Exit::Host, format!("cannot load the {x}"));
               ExpectedError::new(Exit::Host, "cannot load the map") }"#,
            &["3 | `cannot load the …` |  |"],
        ),
        (r#"#[cfg(test)] mod tests { fn f() { ExpectedError::new(Exit::Host, "of a test") } }"#, &[]),
        (r#"fn f() { Other::new(Exit::Host, "of another") }"#, &[]),
    ] {
        assert_eq!(found(source), expected, "{source}");
    }
}

#[test]
fn what_is_written_by_hand_stays() {
    let source =
        r#"fn f() { ExpectedError::new(Exit::Host, "a | `b`"); ExpectedError::new(Exit::Usage, "c"); }"#;
    let by_hand =
        made(source).replace("# Errors\n", "# Errors\n\nWords.\n").replace("` |  | ? |", "` |  | because |");
    let by_hand = by_hand.replace("`` |  | ? |", "`` |  | since |");
    let files = [(SOURCE, source), (DOCUMENT, by_hand.as_str())];
    assert_eq!(rewritten(&tree(&files)).1, by_hand);
    assert_eq!(said(catalogue, &files), [""; 0]);
}

#[test]
fn what_is_missing_or_stale_or_not_explained_is_a_flaw() {
    let source = r#"
fn f() { ExpectedError::new(Exit::Host, "a").help("b") }"#;
    let good = made(source).replace("| ? |", "| why |");
    assert_eq!(said(catalogue, &[(SOURCE, source), (DOCUMENT, &good)]), [""; 0]);
    for (document, flaw) in [
        (String::new(), "infernosim-agent/src/a.rs:2: docs/errors.md has no \"a\" "),
        (good.replace("| why |", "| ? |"), "docs/errors.md:8: say in the last column why"),
        (good.replace("| why |", "|  |"), "docs/errors.md:8: say in the last column why"),
        (good.replace("`b`", "`c`"), "docs/errors.md:8: other help is printed by now"),
        (good.clone() + "| `z` |  | why |\n", "docs/errors.md:9: nothing says \"z\" any more"),
        (
            good.replace("## 3: this", "## 2: that"),
            "infernosim-agent/src/a.rs:2: docs/errors.md has no \"a\" ",
        ),
    ] {
        let flaws = said(catalogue, &[(SOURCE, source), (DOCUMENT, &document)]);
        assert_eq!(flaws.len(), 1, "{flaws:?}");
        assert!(flaws[0].starts_with(flaw), "{flaw}: {flaws:?}");
    }
}

#[test]
fn errors_are_worded_as_the_others() {
    for (text, wrong) in
        [("The disk is full", true), ("it is full.", true), ("CMD is missing", false), ("/dev/x: no", false)]
    {
        let source = format!("fn f() {{ ExpectedError::new(Exit::Host, \"x\").help({text:?}) }}");
        let document = made(&source).replace("| ? |", "| why |");
        let flaws = said(catalogue, &[(SOURCE, &source), (DOCUMENT, &document)]);
        assert_eq!(flaws.len(), usize::from(wrong), "{flaws:?}");
    }
}

#[test]
fn a_pattern_covers_what_it_leaves_open() {
    for (pattern, text, covers) in [
        ("a … b", "a x b", true),
        ("a … b", "a … b", true),
        ("a …: …", "a x: y: z", true),
        ("a", "a", true),
        ("a", "ab", false),
        ("a …", "b a x", false),
        ("a … b", "a x c", false),
        ("… b … c", "x b c", false),
    ] {
        assert_eq!(wording::covers(pattern, text), covers, "{pattern} {text}");
    }
}
