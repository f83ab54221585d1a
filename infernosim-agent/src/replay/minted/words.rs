//! Ids in text: the token in a form's hidden field, the link to what was made.

use std::collections::BTreeMap;

use crate::replay::fields::Leaf;

/// Longer text is not looked into, in bytes.
const LONGEST: usize = 1 << 20;
/// So many are looked at.
const MOST: usize = 1000;
/// A word is known by so much of what stands before it, in bytes.
const BEFORE: usize = 32;

/// Adds the words for which `is_id` holds: named by what stands before them on their line (`body."csrf' value='"`), so that
/// they are found again where a page has grown elsewhere.
pub fn add(found: &mut BTreeMap<Box<str>, Leaf>, text: &[u8], is_id: impl Fn(&str) -> bool) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    if text.len() > LONGEST {
        return;
    }
    let mut counts = BTreeMap::<String, usize>::new();
    // Where the next run begins, and where the last word ended: what stands before a word has no other id in it.
    let (mut at, mut last) = (0, 0);
    for run in text.split(is_between) {
        let (begin, before_run) = (at, last);
        // What separates words is ASCII.
        at += run.len() + 1;
        for (offset, word) in words(run).into_iter().filter(|(_, word)| is_id(word)) {
            let start = begin + offset;
            let since = if last <= start { last } else { before_run };
            let before = before(&text[since..start]);
            last = start + word.len();
            let count = counts.entry(before.to_owned()).or_default();
            let name = format!("body.{}[{count}]", serde_json::Value::from(before));
            *count += 1;
            found.insert(name.into(), Leaf::Text(word.into()));
            if found.len() >= MOST {
                return;
            }
        }
    }
}

fn is_between(c: char) -> bool {
    c.is_ascii()
        && (c.is_ascii_whitespace() || c.is_ascii_control() || "\"'`<>()[]{}|\\^,;:?&#!*$@%".contains(c))
}

/// The segments of a run (a path's), what is behind its first `=` (a query's value), and all of it: base64 has both
/// characters. Each with where it begins.
fn words(run: &str) -> Vec<(usize, &str)> {
    let run = run.trim_end_matches('.');
    let (mut words, mut at) = (Vec::new(), 0);
    for segment in run.split('/').filter(|_| run.contains('/')) {
        words.push((at, segment));
        at += segment.len() + 1;
    }
    if let Some((name, value)) = run.split_once('=').filter(|(_, value)| !value.trim_matches('=').is_empty())
    {
        words.push((name.len() + 1, value));
    }
    words.push((0, run));
    words
}

/// The end of the line so far.
fn before(text: &str) -> &str {
    let line = text.rsplit('\n').next().unwrap_or_default();
    let mut start = line.len().saturating_sub(BEFORE);
    while !line.is_char_boundary(start) {
        start += 1;
    }
    &line[start..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> Vec<(String, String)> {
        let mut found = BTreeMap::new();
        add(&mut found, text.as_bytes(), |word| {
            word.len() >= 8 && !word.contains(['/', '=']) && word.bytes().any(|byte| byte.is_ascii_digit())
        });
        let leaf = |leaf: &Leaf| leaf.as_str().unwrap_or_default().to_owned();
        found.iter().map(|(name, it)| (name.to_string(), leaf(it))).collect()
    }

    #[test]
    fn a_forms_token_and_what_a_link_leads_to() {
        let page = "<p>Hello</p>\n<input name='csrf' value='Zx9-k_2Lq8'>\n<a href=\"/orders/5f0c6d1e9b7a?page=cur50r99\">it</a>";
        assert_eq!(
            found(page),
            [
                (
                    r#"body."/orders/"[0]"#.replace("/orders/", "<a href=\\\"/orders/"),
                    "5f0c6d1e9b7a".to_owned()
                ),
                (r#"body."<input name='csrf' value='"[0]"#.to_owned(), "Zx9-k_2Lq8".to_owned()),
                (r#"body."?page="[0]"#.to_owned(), "cur50r99".to_owned()),
            ]
        );
    }

    #[test]
    fn a_page_that_has_grown_elsewhere_has_them_at_the_same_places() {
        let form = "<input name=csrf value='a1b2c3d4e5'>";
        let names = |text: &str| found(text).into_iter().map(|it| it.0).collect::<Vec<_>>();
        assert_eq!(names(form), names(&format!("<h1>News</h1>\n\n{form}\n")));
    }

    proptest! {
        #[test]
        fn any_text_will_do(text in "\\PC{0,300}") {
            for (_, word) in found(&text) {
                prop_assert!(text.contains(&word));
            }
        }
    }
}
